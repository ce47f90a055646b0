"""Operations driven by hand, step by step, so that a test can act at every point between them."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError
from sqlmodel import select
from typing_extensions import override

from models.access_keys import AccessKey, AccessKeyStatus
from models.audit import AuditEvent, verify_chain
from models.clients import Client
from models.database import transaction
from models.operations import Operation
from service.assembly import build_areas
from service.context import Services
from service.worker.beginning import begin
from service.worker.circuit import Circuit
from service.worker.journal import Journal
from service.worker.patience import carry_out
from service.worker.plans import PLANS, Plan
from service.worker.work import FailureReference, Ticket, Work
from stacks.clients import acting_with_key
from stacks.events import OnProgress, ResourceProgress
from tests.faults.proxy import FaultProxy
from tests.service.house import House, served
from tests.service.http.conftest import caller, mint

Action = Callable[[], Any]
HTTP_PATIENCE = 60.0


def new_name() -> str:
    """A legal name, and slug, that no other test uses."""
    return f"S-{secrets.token_hex(4)}"


class Meddler(Work):
    """The parts that steps need; `meddle` is called at the `at`-th event of an engine, or at
    `every` one.
    """

    at, every = -1, False
    meddle: Action | None = None
    seen = 0

    @override
    def progress(self, ticket: Ticket, total: int) -> OnProgress:
        tell = super().progress(ticket, total)

        def told(progress: ResourceProgress) -> None:
            tell(progress)
            self.seen += 1
            if (self.every or self.seen == self.at) and self.meddle is not None:
                self.meddle()

        return told


class Hands:
    """Carries out operations of a house without a worker."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.journal = Journal(house.services.database, house.services.hub)
        services = house.services
        self.work = Meddler(services, self.journal, Circuit(services.areas.answers))

    def steps(self, operation_id: str) -> Iterator[str]:
        """Carry out the operation; yields each step's name before it, and "end" at the end."""
        with transaction(self.house.services.database, write=False) as session:
            operation = session.get_one(Operation, operation_id)
        ticket, plan = Ticket(operation_id, operation.run), PLANS[operation.kind]
        assert begin(self.work, ticket) is not None
        failure: FailureReference | None = None
        for step in plan.steps:
            yield step.name
            failure = carry_out(self.work, ticket, step.function)
            if failure is not None:
                yield plan.on_failure.name
                plan.on_failure.function(self.work, ticket, failure)
                break
        yield "end"

    def drive(self, operation_id: str, *, before: str = "", act: Action | None = None) -> None:
        """Carry out the operation, and act before one of its steps."""
        for step in self.steps(operation_id):
            if step == before and act is not None:
                act()

    def operation(self, operation_id: str) -> Operation:
        """The operation as it stands."""
        with transaction(self.house.services.database, write=False) as session:
            return session.get_one(Operation, operation_id)


@contextmanager
def hands_of(house: House) -> Iterator[Hands]:
    """Hands for a house, until the context ends."""
    hands = Hands(house)
    try:
        yield hands
    finally:
        hands.journal.close()


@contextmanager
def misled(house: House, proxy: FaultProxy) -> Iterator[House]:
    """The same house as a process that sees its AWS through the proxy; `iam` is the truth."""
    areas = build_areas(house.services.settings, proxy.environment())
    services = replace(house.services, areas=areas)
    with served(services) as address, caller(address, mint(services, "admin")) as api:
        api.timeout = HTTP_PATIENCE
        yield House(replace(house.runtime, services=services), house.aws, api)


def plan_of(kind: Any) -> Plan:
    """The plan of a kind of operation."""
    return PLANS[kind]


def secret_of(services: Services, key: AccessKey) -> str:
    """The secret of a key, in clear."""
    secret = key.open_secret(services.keyring)
    assert secret is not None
    return secret


def works(house: House, key: AccessKey, secret: str | None = None) -> bool:
    """Tell whether AWS lets the key list its own prefix."""
    slug = house.iam.get_access_key_last_used(AccessKeyId=key.access_key_id)["UserName"]
    secret = secret or secret_of(house.services, key)
    with acting_with_key(house.aws.environment(), key.access_key_id or "", secret) as keyed:
        s3 = keyed.s3()
        try:
            s3.list_objects_v2(Bucket=house.services.settings.bucket, Prefix=f"{slug}/")
        except ClientError:
            return False
    return True


def held_keys(house: House, slug: str) -> dict[str, str]:
    """The keys of a user as AWS holds them: id and status."""
    keys = house.iam.list_access_keys(UserName=slug)["AccessKeyMetadata"]
    return {key["AccessKeyId"]: key["Status"] for key in keys}


def denied(house: House, slug: str) -> bool:
    """Tell whether the user carries the denial of a suspension."""
    names = house.iam.list_user_policies(UserName=slug)["PolicyNames"]
    return "handover-suspended" in names


def living(keys: list[AccessKey]) -> list[AccessKey]:
    """Those of the keys that are not deleted."""
    return [key for key in keys if key.status is not AccessKeyStatus.deleted]


def actions(house: House, slug: str) -> list[str]:
    """The actions in the client's audit, oldest first."""
    client = house.client(slug)
    with transaction(house.services.database, write=False) as session:
        query = select(AuditEvent).where(AuditEvent.client_id == client.id)
        assert verify_chain(session).ok
        return [e.action for e in sorted(session.exec(query), key=lambda e: e.sequence)]


def change(house: House, slug: str, **values: Any) -> None:
    """Set columns of the client's row."""
    with transaction(house.services.database) as session:
        client = session.get_one(Client, house.client(slug).id)
        for name, value in values.items():
            setattr(client, name, value)
