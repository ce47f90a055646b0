"""A caller of the service: asks for operations as the API's callers, or the clock, do."""

import asyncio
import time
from typing import Any

import httpx
from fastapi import FastAPI
from sqlmodel import select

from models.access_keys import AccessKey
from models.base import utc_now
from models.clients import Client
from models.database import transaction
from models.operations import Operation, OperationKind
from service.context import Services
from service.http.app import create_app
from service.http.quota import AdmissionControl
from service.rotation.due import begin_due
from stacks.clients import clients_for
from tests.chaos.scenarios import Request, Scenario, request_for


def ask(services: Services, token: str, scenario: Scenario, slug: str, kind: OperationKind) -> None:
    """Ask for the operation; raises `RuntimeError` when it is refused."""
    if kind is OperationKind.update:
        _let_the_clock_ask(services, slug)
        return
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"{slug} {kind.value}"}
    request = request_for(kind, slug, ends_overlap=OperationKind.update in scenario.actions)
    answer = asyncio.run(_send(services, request, headers))
    if not answer.is_success:
        raise RuntimeError(f"{kind.value} {slug}: {answer.status_code} {answer.text}")


def suspend(services: Services, token: str, slug: str) -> None:
    """Have the client suspended, as somebody would who repeats the request until AWS confirms it.

    One that is closed or was taken back meanwhile is suspended too: no key of it may work.
    """
    headers = {"Authorization": f"Bearer {token}"}
    request = Request("POST", f"/v1/clients/{slug}/suspend", params={"reason": "of the run"})
    while not asyncio.run(_send(services, request, headers)).is_success:
        time.sleep(0.1)


def operation_of(services: Services, slug: str, kind: OperationKind) -> Operation | None:
    """The client's operation of this kind; there is one of each in a run."""
    query: Any = select(Operation).join(Client).where(Client.slug == slug, Operation.kind == kind)
    with transaction(services.database, write=False) as session:
        found: Operation | None = session.exec(query).first()
        return found


_kept: list[FastAPI] = []


def application_over(services: Services) -> FastAPI:
    """Return the real application over these services.

    Made once for all processes that are forked after it: it is what takes longest in a short life.
    What it holds of its services lies in its state.
    """
    if not _kept:
        _kept.append(create_app(services))
    _kept[0].state.services = services
    _kept[0].state.admission = AdmissionControl.of(services)
    return _kept[0]


async def _send(services: Services, request: Request, headers: dict[str, str]) -> httpx.Response:
    """Ask the real application, past the network."""
    application = httpx.ASGITransport(application_over(services))
    async with httpx.AsyncClient(transport=application, base_url="http://127.0.0.1") as caller:
        return await caller.request(
            request.method,
            request.path,
            json=request.json,
            params=request.params,
            headers=headers,
        )


def _let_the_clock_ask(services: Services, slug: str) -> None:
    """Do what the clock does when an overlap has ended, without waiting for it."""
    with transaction(services.database) as session:
        client = session.exec(select(Client).where(Client.slug == slug)).one()
        operation = begin_due(session, client.id, utc_now())
    if operation is not None:
        services.dispatcher.start(operation.id)


def spoil(services: Services, slug: str) -> None:
    """Take the policy and the key away behind the service's back, so that there is drift."""
    with transaction(services.database, write=False) as session:
        client = session.exec(select(Client).where(Client.slug == slug)).one()
        keys = session.exec(select(AccessKey).where(AccessKey.client_id == client.id)).all()
    iam = clients_for(services.areas.environment).iam
    for name in iam.list_user_policies(UserName=slug)["PolicyNames"]:
        iam.delete_user_policy(UserName=slug, PolicyName=name)
    held = {k["AccessKeyId"] for k in iam.list_access_keys(UserName=slug)["AccessKeyMetadata"]}
    for key in keys:
        if key.access_key_id in held:
            iam.delete_access_key(UserName=slug, AccessKeyId=str(key.access_key_id))
