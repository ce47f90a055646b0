"""What the records say should be in AWS, client by client, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlmodel import Session, col, func, select

from models.access_keys import AccessKey, AccessKeyStatus
from models.clients import Client, ClientState
from models.operations import UNFINISHED, Operation


@dataclass(frozen=True)
class Claim:
    """What the records say of one client; `busy` while an operation works on it."""

    client: Client
    keys: tuple[AccessKey, ...]
    operations: int
    busy: bool

    @property
    def area_wished(self) -> bool:
        """Whether the whole area should be there."""
        return self.client.state in (ClientState.open, ClientState.suspended)

    @property
    def area_known(self) -> bool:
        """Whether the records know of something in AWS: also what a failed operation left."""
        left = any(key.status is not AccessKeyStatus.deleted for key in self.keys)
        return self.area_wished or (self.client.state is ClientState.failed and left)

    @property
    def suspended(self) -> bool:
        """Whether no key of the client may work."""
        return self.client.suspended_at is not None

    @property
    def resuming(self) -> bool:
        """Whether access is being given back, and AWS has not confirmed it yet."""
        return not self.suspended and self.client.cut_at is not None

    def wished_keys(self) -> dict[str, bool]:
        """Return the ids of the keys that should exist, and whether AWS should accept them."""
        on = self.area_wished and not self.suspended
        return {
            key.access_key_id: on and key.status is AccessKeyStatus.active
            for key in self.keys
            if key.access_key_id and key.status is not AccessKeyStatus.deleted
        }

    def same_as(self, other: "Claim | None") -> bool:
        """Whether nothing happened to the client between two readings."""
        return other is not None and self._stamp() == other._stamp()

    def _stamp(self) -> object:
        keys = [(key.id, key.status, key.access_key_id) for key in self.keys]
        return self.client.revision, self.operations, self.busy, keys


def read_claims(session: Session) -> dict[str, Claim]:
    """Return the claims of all clients, by client id."""
    keys: dict[str, list[AccessKey]] = {}
    for key in session.exec(select(AccessKey).order_by(col(AccessKey.generation))):
        keys.setdefault(key.client_id, []).append(key)
    unfinished = col(Operation.state).in_(sorted(UNFINISHED))
    busy = set(session.exec(select(Operation.client_id).where(unfinished)))
    counts = _operation_counts(session)
    return {
        client.id: Claim(
            client, tuple(keys.get(client.id, ())), counts.get(client.id, 0), client.id in busy
        )
        for client in session.exec(select(Client))
    }


def _operation_counts(session: Session) -> Mapping[str, int]:
    # Runs, not rows: a retry in place is work as well.
    runs = func.sum(col(Operation.run))
    query = select(Operation.client_id, runs).group_by(col(Operation.client_id))
    return {client_id: int(count) for client_id, count in session.exec(query)}
