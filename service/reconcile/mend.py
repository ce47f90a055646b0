"""Putting right what the survey found, always in the direction of less access.

Cutting and removing go first, by direct calls or the closing's own teardown; operations for what
has to be made again last. Nothing that lacks our tag is touched, and no client that an operation
works on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session, select

from models.access_keys import AccessKey, AccessKeyStatus
from models.audit import AuditEntry, append_audit
from models.base import utc_now
from models.clients import Client, ClientState
from models.database import transaction
from models.operations import Operation, unfinished_operation
from service.areas_inputs import area_inputs, boundary_arn
from service.context import Services
from service.intents import begin_close, keys_of
from service.problems import Problem
from service.reconcile.findings import Finding, Remedy
from service.rotation.wishes import begin_repair
from service.suspension.switching import carry_out, enforce, target_of
from service.wishes import Requester
from stacks.access import told
from stacks.client import AreaInputs
from stacks.failures import StackError

REMOVE_AT_MOST = 10
"""Areas that one mending may take away without being told so: more look like the wrong database."""

_ORDER = (
    Remedy.cut,
    Remedy.note_suspension,
    Remedy.delete_key,
    Remedy.note_key,
    Remedy.remove_policy,
    Remedy.remove,
    Remedy.close,
    Remedy.repair,
)
_TAKES_AWAY = (Remedy.remove, Remedy.close)


class TooMuchToRemove(Exception):
    """More areas would be taken away than was permitted; nothing was mended."""


@dataclass(frozen=True)
class Mended:
    """What became of one finding; `operation_id` where an operation was started for it."""

    finding: Finding
    done: bool
    outcome: str
    operation_id: str | None = None


def mend(
    services: Services,
    findings: Sequence[Finding],
    requester: Requester,
    *,
    remove_at_most: int = REMOVE_AT_MOST,
) -> list[Mended]:
    """Put right what can be put right without a decision; return what was done about each.

    Operations are only started: look again when they have ended. Raises `TooMuchToRemove`.
    """
    _refuse_too_much(findings, remove_at_most)
    mender = _Mender(services, requester)
    undecided = [
        Mended(found, done=False, outcome="Needs somebody to look at it; nothing was touched.")
        for found in findings
        if found.remedy is Remedy.none
    ]
    ordered = [found for remedy in _ORDER for found in findings if found.remedy is remedy]
    return [*(mender.mend(found) for found in ordered), *undecided]


def _refuse_too_much(findings: Sequence[Finding], most: int) -> None:
    areas = {found.slug for found in findings if found.remedy in _TAKES_AWAY}
    if len(areas) > most:
        raise TooMuchToRemove(
            f"{len(areas)} areas would be taken away, and at most {most} may be: see first that "
            "this is the right database. If it is, permit more with --remove-at-most. Nothing was "
            "mended."
        )


class _Mender:
    """Mends one finding after the other; a client is closed or repaired once."""

    def __init__(self, services: Services, requester: Requester) -> None:
        self._services = services
        self._requester = requester
        self._operations: dict[str, Operation] = {}
        self._removed: set[str] = set()
        self._ways: Mapping[Remedy, Callable[[Finding, Client | None], str]] = {
            Remedy.cut: self._cut,
            Remedy.note_suspension: self._note_suspension,
            Remedy.delete_key: self._delete_key,
            Remedy.note_key: self._note_key,
            Remedy.remove_policy: self._remove_policy,
            Remedy.remove: self._remove,
            Remedy.close: self._close,
            Remedy.repair: self._repair,
        }

    def mend(self, found: Finding) -> Mended:
        """Do what the finding's remedy says, unless somebody works on the client now."""
        try:
            client = self._client(found)
            if client is not None and found.slug not in self._operations and self._busy(client):
                return Mended(found, done=False, outcome="An operation works on it; look again.")
            outcome = self._ways[found.remedy](found, client)
        except StackError as error:
            return Mended(found, done=False, outcome=error.failure.detail)
        except Problem as problem:
            return Mended(found, done=False, outcome=problem.detail)
        operation = self._operations.get(found.slug)
        started = operation.id if operation and found.remedy not in _DIRECT else None
        return Mended(found, done=True, outcome=outcome, operation_id=started)

    def _client(self, found: Finding) -> Client | None:
        with transaction(self._services.database, write=False) as session:
            return session.get(Client, found.client_id) if found.client_id else None

    def _busy(self, client: Client) -> bool:
        with transaction(self._services.database, write=False) as session:
            return unfinished_operation(session, client.id) is not None

    def _cut(self, found: Finding, client: Client | None) -> str:
        assert client is not None  # the survey tells it of clients only
        if client.suspended_at is not None:
            carry_out(self._services, client.id, anew=True)
        else:
            with transaction(self._services.database, write=False) as session:
                target = target_of(client, keys_of(session, client))
            self._services.areas.switch.keys_off(target, [found.subject])
        return self._tell(found, "Cut.")

    def _note_suspension(self, found: Finding, client: Client | None) -> str:
        assert client is not None
        enforce(self._services, client.id, look=True)
        return self._tell(found, "The records say now that the client is suspended.")

    def _delete_key(self, found: Finding, client: Client | None) -> str:
        assert client is not None
        with told(found.slug):
            self._services.areas.access.delete_key(client.user_name, found.subject)
        return self._tell(found, "Deleted the key.")

    def _note_key(self, found: Finding, client: Client | None) -> str:
        with transaction(self._services.database) as session:
            key = session.exec(
                select(AccessKey).where(AccessKey.access_key_id == found.subject).with_for_update()
            ).one()
            key.status, key.turn_off_at = AccessKeyStatus.inactive, None
            key.ended_at = key.ended_at or utc_now()
            self._audit(session, found, client)
        return "The records say now that the key is off. Rotate it to give the client a new one."

    def _remove_policy(self, found: Finding, client: Client | None) -> str:
        assert client is not None
        with told(found.slug):
            self._services.areas.access.remove_policy(client.user_name, found.subject)
        return self._tell(found, "Took the policy away.")

    def _remove(self, found: Finding, client: Client | None) -> str:
        if client is not None and client.state is not ClientState.closed:
            return self._close(found, client)
        if found.slug in self._removed:
            return "Taken away with the rest of the area."
        areas, area = self._services.areas, self._area(found, client)
        areas.key_off(area)
        areas.close(area)
        with told(area.slug):
            areas.access.delete_placeholder(area)
        self._removed.add(found.slug)
        return self._tell(found, "Taken away; the client's objects stay.")

    def _close(self, found: Finding, client: Client | None) -> str:  # noqa: ARG002 - one of the ways
        reason = f"Reconciliation: {found.detail}"
        return self._begin(
            found,
            "Closing was started; reopen it if that is wrong.",
            lambda session, row: begin_close(session, row, reason, self._requester),
        )

    def _repair(self, found: Finding, client: Client | None) -> str:  # noqa: ARG002 - one of the ways
        reason = f"Reconciliation: {found.detail}"
        return self._begin(
            found,
            "A repair was started.",
            lambda session, row: begin_repair(session, row, self._requester, reason=reason),
        )

    def _begin(
        self, found: Finding, outcome: str, begin: Callable[[Session, Client], Operation]
    ) -> str:
        if found.slug in self._operations:
            return "The operation that was started puts this right as well."
        with transaction(self._services.database) as session:
            client = session.get_one(Client, found.client_id, with_for_update=True)
            operation = begin(session, client)
        self._operations[found.slug] = operation
        self._services.dispatcher.start(operation.id)
        return outcome

    def _area(self, found: Finding, client: Client | None) -> AreaInputs:
        services = self._services
        account = services.areas.account()
        if client is not None:
            return area_inputs(services.settings, account, client, [])
        # Of a stray nothing is known but its name and what our tag says.
        return AreaInputs(
            # Never empty: a user without our tag must not look like this client's.
            client_id=found.client_id or "unknown",
            slug=found.slug,
            bucket=services.settings.bucket,
            region=services.settings.region,
            group=services.settings.group,
            boundary_arn=boundary_arn(services.settings, account),
            profile=services.settings.profiles_allowed[0].value,
            keys=(),
        )

    def _tell(self, found: Finding, outcome: str) -> str:
        client = self._client(found)
        with transaction(self._services.database) as session:
            self._audit(session, found, client)
        return outcome

    def _audit(self, session: Session, found: Finding, client: Client | None) -> None:
        by = self._requester
        append_audit(
            session,
            AuditEntry(
                actor_id=by.actor_id,
                action="reconciliation.mended",
                object_type="client" if client else "reconciliation",
                object_id=client.id if client else by.actor_id,
                client_id=client.id if client else None,
                source_ip=by.source_ip,
                request_id=by.audited_request_id,
                data={"finding": found.kind.value, "remedy": found.remedy.value},
            ),
        )


_DIRECT = frozenset(_ORDER) - {Remedy.remove, Remedy.close, Remedy.repair}
