"""The whole service as a user starts it: a process of its own, with worker and local AWS."""

import copy
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from service.demo.process import Served, service_process
from tests.service.http.conftest import ABC_LLC

WAIT = {"Prefer": "wait=60"}

NewClient = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the module's service."""
    return tmp_path_factory.mktemp("live") / "data"


@pytest.fixture(scope="module")
def served(data: Path) -> Iterator[Served]:
    """A running service."""
    with service_process(data) as running:
        yield running


@pytest.fixture(scope="module")
def api(served: Served) -> Iterator[httpx.Client]:
    """The admin of the running service."""
    with caller(served) as client:
        yield client


def caller(served: Served) -> httpx.Client:
    """Return a client that acts as the service's admin."""
    return httpx.Client(
        base_url=served.address,
        headers={"Authorization": f"Bearer {served.token}"},
        timeout=90,
        trust_env=False,
    )


def root(served: Served, service: str) -> Any:
    """Return a boto3 client of the service's local AWS as its root user."""
    return key_client(served, service, "test", "test")


def key_client(served: Served, service: str, key_id: str, secret: str) -> Any:
    """Return a boto3 client of the service's local AWS with a key."""
    session: Any = boto3.Session()
    return session.client(
        service,
        endpoint_url=served.aws_endpoint,
        verify=served.aws_ca_bundle,
        region_name="eu-west-1",
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
    )


@pytest.fixture
def new_client(unique: str) -> NewClient:
    """`new_client(name=…)`: a request for the area of a client that no other test uses."""

    def make(name: str = "") -> dict[str, Any]:
        request = copy.deepcopy(ABC_LLC)
        request["legal_name"] = f"Client {name}{unique}"
        request["contract"]["reference"] = f"DPA {name}{unique}"
        return request

    return make


def end(pid: int, sig: signal.Signals) -> None:
    """Send a signal to the process that a test started."""
    os.kill(pid, sig)
