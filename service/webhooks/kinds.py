"""What a kind of connection is: how it signs, what means "signed", what it says where."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.webhooks.mapping import Rule
from service.webhooks.verifiers import Verifier

SIGNED_VALUE = "{signed_value}"
"""In a condition: the connection's own value, or the kind's default."""

CLIENT_ROLE = "Client"
"""The role that the client's signer has in a template of an e-signature tool."""


@dataclass(frozen=True)
class Condition:
    """What the path has to find, whatever its case, for an event to be a signed contract."""

    path: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Lookup:
    """One question to the tool's API; the answer is put under `fetched` by this name.

    `id_path` finds the id in the event and in what was fetched before it; of several ids none is
    taken, since nobody says which is meant. `only_properties`: the API answers the properties that
    it is asked for, which are those that the mapping reads.
    """

    name: str
    address: str
    id_path: str
    only_properties: bool = False


@dataclass(frozen=True)
class Api:
    """The tool's API: how the credential is shown, and what is asked in turn."""

    header: str
    prefix: str
    lookups: tuple[Lookup, ...]
    default_url: str | None = None


@dataclass(frozen=True)
class Kind:
    """One kind of connection.

    `carries` and `fetches` say in words what comes with the event and what is asked for.
    `id_header`: the header with the event's id, where it is documented as unique and covered by
    the signature; else an event is known by a hash without what `volatile` names, which changes
    from one attempt to the next. `batch`: the body is a list of events. `marked`: the tool reports
    all kinds of documents or deals, and only one that says its kind of contract is ours.
    """

    title: str
    verifier: Verifier
    carries: str
    fetches: str
    signed: tuple[Condition, ...]
    mapping: Mapping[str, Rule]
    batch: bool = False
    id_header: str | None = None
    volatile: tuple[str, ...] = ()
    signed_value: str | None = None
    marked: bool = True
    username: str | None = None
    needs_base_url: bool = False
    api: Api | None = None
    still_signed: tuple[Condition, ...] = field(default=())
    """Checked again on what was fetched, as events come late and out of order."""
