"""What must hold after each run, whatever happened in it: looked up in AWS and SQL directly.

Shares no code with the service's own reconciliation: each checks the other.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from botocore.exceptions import ClientError
from sqlmodel import Session, col, select

from models.access_keys import AccessKey, AccessKeyStatus
from models.audit import AuditEvent, verify_chain
from models.clients import Client, ClientState
from models.database import transaction
from models.operations import (
    UNFINISHED,
    EventKind,
    Operation,
    OperationEvent,
    OperationKind,
    OperationState,
)
from models.records import Record
from service.settings import LocalSettings
from stacks.policies import SUSPENSION_POLICY
from tests.chaos.scenarios import Scenario
from tests.chaos.world import PROGRAM, World

BUCKET = LocalSettings.model_fields["bucket"].default
_LIVE = (ClientState.open, ClientState.suspended)
_THERE = (AccessKeyStatus.active, AccessKeyStatus.inactive)
_OUTCOMES = {
    OperationKind.open: "opened",
    OperationKind.reopen: "opened",
    OperationKind.close: "closed",
    OperationKind.rotate: "rotated",
    OperationKind.update: "keys_retired",
    OperationKind.repair: "repaired",
}


def broken(world: World, scenario: Scenario, slug: str) -> list[str]:
    """What does not hold of the client of one run; nothing where all is well."""
    with transaction(world.database, write=False) as session:
        client = session.exec(select(Client).where(Client.slug == slug)).one_or_none()
        if client is None:
            return ["the client was lost"]
        keys = session.exec(select(AccessKey).where(AccessKey.client_id == client.id)).all()
        found = [
            *_operations(session, client, scenario),
            *_records(session, client, keys),
            *_client(client, scenario),
        ]
    due = {key.access_key_id or "": key.status.name for key in keys if key.status in _THERE}
    if client.suspended_at is not None:
        due = dict.fromkeys(due, AccessKeyStatus.inactive.name)
    if scenario.denied and scenario.kind is OperationKind.close:
        return [*found, *_cut(world, client)]
    if client.state not in _LIVE:
        return [*found, *_gone(world, client, due)]
    if len(due) != scenario.keys:
        found.append(f"{len(due)} keys where {scenario.keys} are due")
    return [*found, *_whole(world, client, scenario, due)]


def _client(client: Client, scenario: Scenario) -> Iterator[str]:
    wanted = scenario.left
    if wanted is ClientState.open and client.suspended_at is not None:
        wanted = ClientState.suspended
    if client.state is not wanted:
        yield f"the client is {client.state}, not {wanted}"


def _operations(session: Session, client: Client, scenario: Scenario) -> Iterator[str]:
    operations = session.exec(select(Operation).where(Operation.client_id == client.id)).all()
    kinds = Counter(operation.kind for operation in operations)
    if kinds != Counter(scenario.actions):
        yield f"operations are {dict(kinds)}, not one of each of {scenario.actions}"
    for operation in operations:
        failing = scenario.denied is not None and operation.kind is scenario.kind
        wanted = OperationState.failed if failing else OperationState.succeeded
        told = f"{operation.kind} {operation.failure_code} {operation.failure_detail}"
        if operation.state is not wanted:
            yield f"the operation is {operation.state}, not {wanted}: {told}"
        if failing and (operation.failure_code != "AccessDenied" or not operation.next_step):
            yield f"it does not say why it failed and what to do: {told}"
        yield from _events(session, operation)


def _events(session: Session, operation: Operation) -> Iterator[str]:
    query = select(OperationEvent).where(
        OperationEvent.operation_id == operation.id, OperationEvent.kind == EventKind.state
    )
    moves = [str(event.data["to"]) for event in session.exec(query)]
    ends = [state for state in moves if OperationState(state) not in UNFINISHED]
    if len(ends) != 1:
        yield f"the operation ended {len(ends)} times: {moves}"
    audited = session.exec(select(AuditEvent).where(AuditEvent.client_id == operation.client_id))
    actions = [it.action for it in audited if it.data.get("operation_id") == operation.id]
    failed = operation.state is OperationState.failed
    outcome = f"{operation.kind.value}_failed" if failed else _OUTCOMES[operation.kind]
    if actions.count(f"client.{outcome}") != 1:
        yield f"client.{outcome} is not in the audit once: {actions}"


def _records(session: Session, client: Client, keys: Any) -> Iterator[str]:
    records = session.exec(select(Record).where(Record.client_id == client.id)).all()
    a_key = Counter(record.access_key_row_id for record in records)
    for key in keys:
        wanted = 1 if key.access_key_id and client.state in _LIVE else a_key[key.id]
        if a_key[key.id] != wanted or a_key[key.id] > 1:
            yield f"key {key.generation} has {a_key[key.id]} records"
    made = session.exec(
        select(AuditEvent).where(
            AuditEvent.client_id == client.id, col(AuditEvent.action) == "record.created"
        )
    ).all()
    if len(made) != len(records):
        yield f"{len(records)} records, and {len(made)} in the audit"


def _cut(world: World, client: Client) -> Iterator[str]:
    """Of an area that could not be closed: its key is off, and stays so."""
    try:
        listed = world.iam.list_access_keys(UserName=client.user_name)["AccessKeyMetadata"]
    except world.iam.exceptions.NoSuchEntityException:
        return
    yield from (f"a key is on: {key}" for key in listed if key["Status"] != "Inactive")


def _whole(
    world: World, client: Client, scenario: Scenario, due: Mapping[str, str]
) -> Iterator[str]:
    name = client.user_name
    try:
        listed = world.iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
        policies = world.iam.list_user_policies(UserName=name)["PolicyNames"]
        groups = world.iam.list_groups_for_user(UserName=name)["Groups"]
    except ClientError as error:
        yield f"the user of an open client: {error}"
        return
    held = {key["AccessKeyId"]: key["Status"].lower() for key in listed}
    # A key that AWS would not turn off is wished off, and the clock tries again.
    postponed = scenario.denied is not None and scenario.kind is OperationKind.update
    if set(held) != set(due) if postponed and client.suspended_at is None else held != due:
        yield f"the user has the keys {held}, due are {due}"
    denial = [SUSPENSION_POLICY] if client.suspended_at is not None else []
    if sorted(policies) != sorted([f"{client.slug}_s3_access", *denial]) or len(groups) != 1:
        yield f"the user has policies {policies} and {len(groups)} groups"
    if not world.s3.list_objects_v2(Bucket=BUCKET, Prefix=client.prefix).get("KeyCount"):
        yield "the placeholder is not there"


def _gone(world: World, client: Client, due: Mapping[str, str]) -> Iterator[str]:
    if due:
        yield f"keys of a client that is {client.state} count as there: {list(due)}"
    try:
        world.iam.get_user(UserName=client.user_name)
    except world.iam.exceptions.NoSuchEntityException:
        pass
    else:
        yield f"a user is left of a client that is {client.state}"
    versions = world.s3.list_object_versions(Bucket=BUCKET, Prefix=client.prefix)
    if versions.get("Versions") or versions.get("DeleteMarkers"):
        yield "objects are left"
    state = world.folder / "state" / ".pulumi" / "stacks" / "handover-clients"
    if (state / f"{client.slug}.json").exists():
        yield "a stack is left"


def _not_closed(session: Session) -> Sequence[Client]:
    """The clients whose area is left because AWS would not let it be closed."""
    refused = (Operation.kind == OperationKind.close, Operation.state == OperationState.failed)
    return session.exec(select(Client).join(Operation).where(*refused)).all()


def _engines_left(world: World) -> Iterator[str]:
    """The official program, its plugins and its locks: none outlives its operation."""
    for process in psutil.process_iter(["name", "cwd"]):
        if process.info["name"] == PROGRAM and _is_below(process.info["cwd"], world.folder):
            yield f"the official program is left running as {process.pid}"
    locks = world.folder / "state" / ".pulumi" / "locks"
    yield from (f"a lock is left: {path.name}" for path in locks.rglob("*.json"))


def _is_below(path: str | None, folder: Path) -> bool:
    return path is not None and Path(path).is_relative_to(folder.resolve())


def broken_everywhere(world: World) -> list[str]:
    """What does not hold of the account as a whole."""
    found = [*_engines_left(world)]
    with transaction(world.database, write=False) as session:
        if not verify_chain(session).ok:
            found.append("the audit chain is broken")
        live = session.exec(select(Client).where(col(Client.state).in_(_LIVE))).all()
        users = {client.user_name for client in (*live, *_not_closed(session))}
        known = {key.access_key_id for key in session.exec(select(AccessKey)).all()}
        unfinished = session.exec(
            select(Operation.id).where(col(Operation.state).in_(sorted(UNFINISHED)))
        ).all()
    found += [f"operation {id_} is not finished" for id_ in unfinished]
    iam = world.iam
    for page in iam.get_paginator("list_users").paginate():
        for user in page["Users"]:
            if user["UserName"] not in users:
                found.append(f"user {user['UserName']} without a client")
            for key in iam.list_access_keys(UserName=user["UserName"])["AccessKeyMetadata"]:
                if key["AccessKeyId"] not in known:
                    found.append(f"key {key['AccessKeyId']} that no record knows")
    return found
