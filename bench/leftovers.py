"""Was each client made exactly once, and is nothing left of it: in AWS and in the database."""

from collections import Counter
from typing import Any

from sqlmodel import select

from models.access_keys import AccessKey, AccessKeyStatus
from models.clients import Client, ClientState
from models.database import transaction
from models.operations import Operation, OperationKind, OperationState
from models.records import Record
from tests.localaws import client_of
from tests.service.workers.fleet import Fleet

BUCKET = "legit-health-clients"


def check_open(fleet: Fleet, slugs: list[str]) -> list[str]:
    """Return what is wrong when all clients should be open, each exactly once."""
    clients, operations, keys, records = _rows(fleet)
    wrong = _differences("clients", Counter(c.slug for c in clients), slugs)
    wrong += [f"{c.slug} is {c.state.value}" for c in clients if c.state is not ClientState.open]
    opened = [o.client_id for o in operations if o.state is OperationState.succeeded]
    wrong += _differences("openings", Counter(opened), [c.id for c in clients])
    wrong += _differences("records", Counter(r.client_id for r in records), [c.id for c in clients])
    in_aws = {slug: _keys(fleet, slug) for slug in _users(fleet)}
    wrong += _differences("users", Counter(list(in_aws)), slugs)
    known = {k.access_key_id for k in keys if k.status is AccessKeyStatus.active}
    wrong += [f"{slug} has the keys {ids}" for slug, ids in in_aws.items() if len(ids) != 1]
    wrong += [f"key {i} is in no record" for ids in in_aws.values() for i in ids if i not in known]
    return wrong


def check_closed(fleet: Fleet, slugs: list[str]) -> list[str]:
    """Return what is left when all clients should be closed."""
    clients, operations, keys, _ = _rows(fleet)
    wrong = [f"{c.slug} is {c.state.value}" for c in clients if c.state is not ClientState.closed]
    closings = [o.client_id for o in operations if o.kind is OperationKind.close]
    wrong += _differences("closings", Counter(closings), [c.id for c in clients])
    wrong += [f"user {slug} is left" for slug in _users(fleet) if slug in slugs]
    wrong += [
        f"key {k.access_key_id} lives" for k in keys if k.status is not AccessKeyStatus.deleted
    ]
    wrong += [f"the secret of {k.access_key_id} is kept" for k in keys if k.secret is not None]
    return wrong + [
        f"object {key} is left" for key in _objects(fleet) if key.split("/")[0] in slugs
    ]


def _differences(what: str, found: "Counter[str]", wanted: list[str]) -> list[str]:
    if found == Counter(wanted):
        return []
    missing, many = Counter(wanted) - found, found - Counter(wanted)
    return [f"{what}: {missing.total()} missing, {many.total()} too many"]


def _rows(fleet: Fleet) -> tuple[list[Client], list[Operation], list[AccessKey], list[Record]]:
    with transaction(fleet.database, write=False) as session:
        return (
            list(session.exec(select(Client))),
            list(session.exec(select(Operation))),
            list(session.exec(select(AccessKey))),
            list(session.exec(select(Record))),
        )


def _users(fleet: Fleet) -> list[str]:
    pages = client_of(fleet.aws, "iam").get_paginator("list_users").paginate()
    return [user["UserName"] for page in pages for user in page["Users"]]


def _keys(fleet: Fleet, slug: str) -> list[str]:
    found: Any = client_of(fleet.aws, "iam").list_access_keys(UserName=slug)
    return [key["AccessKeyId"] for key in found["AccessKeyMetadata"]]


def _objects(fleet: Fleet) -> list[str]:
    pages = client_of(fleet.aws, "s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]
