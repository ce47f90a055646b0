"""A checked wish as plain data: who asks, and for what. `service.intents` turns it into rows."""

import re
import uuid
from dataclasses import dataclass
from datetime import date

from models.clients import ContractKind, Profile

_AUDITED_REQUEST_ID = re.compile(r"[0-9a-f]{8}[0-9a-f-]{0,56}")


@dataclass(frozen=True)
class Requester:
    """Who asks: the actor's row id, the address of the socket's peer, the id of the request."""

    actor_id: str
    source_ip: str | None = None
    request_id: str | None = None

    @property
    def audited_request_id(self) -> str | None:
        """Return the request id as the audit keeps it: hexadecimal, another form as its UUID
        (version 5).

        A caller chooses its request ids, so they could hold a name, which must not get into the
        chain.
        """
        if self.request_id is None or _AUDITED_REQUEST_ID.fullmatch(self.request_id):
            return self.request_id
        return uuid.uuid5(uuid.NAMESPACE_OID, self.request_id).hex


@dataclass(frozen=True)
class SignerIntent:
    """The signer, by first and last name or by one full name that is never split."""

    email: str
    first_name: str | None = None
    last_name: str | None = None
    full_name: str | None = None

    @property
    def names(self) -> dict[str, str]:
        """The names that are given, by field."""
        fields = ("first_name", "last_name", "full_name")
        return {name: value for name in fields if (value := getattr(self, name)) is not None}


@dataclass(frozen=True)
class ContractIntent:
    """The contract that permits the sharing (SP-05)."""

    kind: ContractKind
    reference: str
    signed_on: date
    ends_on: date | None
    jurisdiction: str
    signer: SignerIntent


@dataclass(frozen=True)
class OpenIntent:
    """A checked wish to open an area; made by `service.intake.validate` only."""

    legal_name: str
    slug: str
    purpose: str
    data_categories: tuple[str, ...]
    profile: Profile
    language: str
    valid_until: date | None
    contract: ContractIntent
    special_category: bool = False


@dataclass(frozen=True)
class ReopenIntent:
    """A checked wish to open a closed or failed area again; None leaves a value as it is."""

    contract: ContractIntent | None
    purpose: str
    data_categories: tuple[str, ...]
    profile: Profile
    language: str
    valid_until: date | None
    special_category: bool = False
