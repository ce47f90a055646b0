"""Imported once by the server that processes are forked from: what each would otherwise do anew.

A process of the service spends its first second reading AWS's models and preparing classes; runs
start thousands. Nothing here is at work any more when the first process is forked.
"""

import asyncio
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import botocore.loaders
import httpx
import pytest
from sqlalchemy.orm import configure_mappers

from engine.aws.clients import ANSWER_VARIABLE, Clients, Settings
from service.assembly import running
from service.local import prepare
from tests.chaos import campaign, child
from tests.chaos.asking import application_over
from tests.postgres import running_server
from tests.service.unhurried import unhurried

ALSO = (campaign, pytest, running_server)
"""What the parent's main module imports: each forked process imports that module again."""

_NOWHERE = {
    "AWS_ENDPOINT_URL": "https://127.0.0.1:1",
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    ANSWER_VARIABLE: "1",
}


def _keep_models() -> None:
    """Let all sessions share what botocore reads from its files."""
    loader: Any = botocore.loaders.Loader
    load = loader.load_data_with_path
    paths = tuple(botocore.session.Session().get_component("data_loader").search_paths)

    @lru_cache(maxsize=64)
    def kept(name: str) -> Any:
        return load(botocore.loaders.Loader(extra_search_paths=list(paths)), name)

    loader.load_data_with_path = lambda _, name: kept(name)


def _warm_service(folder: Path) -> None:
    settings = prepare(folder)
    with running(settings, _NOWHERE, worker=False) as runtime:
        asyncio.run(_ask(application_over(runtime.services)))


async def _ask(application: Any) -> None:
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as caller:
        await caller.get("/v1/clients")


def _warm_aws() -> None:
    clients = Clients(Settings.of(_NOWHERE, {}))
    for client in (clients.iam, clients.sts, clients.s3()):
        assert client is not None


unhurried()
_keep_models()
_warm_aws()
configure_mappers()
with tempfile.TemporaryDirectory(prefix="handover-chaos-warm-") as _name:
    _warm_service(Path(_name) / "data")

main = child.main
"""What forked processes run."""
