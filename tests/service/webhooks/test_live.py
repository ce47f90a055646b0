"""From a tool's raw bytes to an opened area and an opened PDF: the whole service as a process."""

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pikepdf
import pytest

from service.demo.process import Served, service_process
from tests.service.live.conftest import caller, key_client, root
from tests.service.live.test_main_job import code_of, key_of
from tests.service.webhooks.connected import PATIENCE, Connected, connect
from tests.service.webhooks.fake_apis import FakeToolApi
from tests.service.webhooks.tools import BASE_URL, TOOLS, Contract, Tool
from tests.waiting import until


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running service that the world reaches under a base URL."""
    data = tmp_path_factory.mktemp("live") / "data"
    with service_process(data, {"HANDOVER_BASE_URL": BASE_URL}) as running:
        yield running


@pytest.fixture(scope="module")
def api(served: Served) -> Iterator[httpx.Client]:
    """The admin of the running service."""
    with caller(served) as client:
        yield client


@pytest.fixture(scope="module")
def address(served: Served) -> str:
    """Where the running service answers."""
    return served.address


def opened(api: httpx.Client, connection: Connected) -> dict[str, Any]:
    """Wait until the newest event has opened its area; return the client."""
    event = connection.settled()
    assert event["state"] == "opened", event
    deadline = time.monotonic() + PATIENCE
    while True:
        operation = api.get(event["links"]["operation"], headers={"Prefer": "wait=20"}).json()
        if operation["state"] == "succeeded":
            break
        assert time.monotonic() < deadline, operation
        assert operation["state"] in ("pending", "running"), operation
        time.sleep(0.1)
    client: dict[str, Any] = api.get(event["links"]["client"]).json()
    return client


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.kind)
def test_from_raw_bytes_to_an_opened_area_and_pdf(
    served: Served,
    api: httpx.Client,
    address: str,
    visitor: httpx.Client,
    unique: str,
    tool: Tool,
    tool_api: FakeToolApi,
) -> None:
    """SP-05, SP-15, SP-22, SP-28: the key in the PDF works; the password is the signer's name."""
    contract = Contract(f"Client {unique}", f"DPA {unique}")
    tool_api.knows(contract)
    connection = connect(api, visitor, tool, tool_api)
    assert connection.deliver(tool.event(contract)).json()["new"] == 1
    client = opened(api, connection)
    assert (client["state"], client["contract"]["reference"]) == ("open", contract.reference)
    pdf = api.get(f"/v1/clients/{client['slug']}/record.pdf").content
    with pytest.raises(pikepdf.PasswordError):
        pikepdf.open(io.BytesIO(pdf))
    key_id, secret = key_of(pdf)
    s3 = key_client(served, "s3", key_id, secret)
    own = {"Bucket": client["area"]["bucket"], "Key": f"{client['area']['prefix']}images/a.png"}
    assert code_of(lambda: s3.put_object(**own, Body=b"image")) == "done"
    assert code_of(lambda: s3.list_objects_v2(Bucket=own["Bucket"])) == "AccessDenied"


def test_a_flood_of_deliveries_makes_one_stack_and_one_key(
    served: Served, api: httpx.Client, visitor: httpx.Client, unique: str, tool_api: FakeToolApi
) -> None:
    """Ten deliveries of one contract while the first is at work: one user, one key."""
    contract = Contract(f"Client {unique}", f"DPA {unique}")
    standard = TOOLS[0]
    connection = connect(api, visitor, standard, tool_api, name=f"flood-{unique}")
    for _ in range(10):
        connection.deliver(standard.event(contract))
    connection.settled()
    slug = contract.legal_name.replace(" ", "-")
    states = sorted(event["state"] for event in connection.events())
    while "received" in states or "processing" in states:
        time.sleep(0.05)
        states = sorted(event["state"] for event in connection.events())
    assert states == ["duplicate"] * 9 + ["opened"]
    [operation] = api.get("/v1/operations", params={"client": slug}).json()["items"]
    until(lambda: api.get(operation["links"]["self"]).json()["state"] == "succeeded")
    assert len(root(served, "iam").list_access_keys(UserName=slug)["AccessKeyMetadata"]) == 1


def test_no_secret_of_a_connection_lies_in_clear(
    served: Served, api: httpx.Client, visitor: httpx.Client, unique: str, tool_api: FakeToolApi
) -> None:
    """PB-13: neither in the service's log, nor in its database, after good and bad deliveries."""
    standard = TOOLS[0]
    connection = connect(api, visitor, standard, tool_api, name=f"quiet-{unique}")
    connection.deliver(standard.event(Contract(f"Client {unique}", f"DPA {unique}")))
    connection.deliver(b"nonsense")
    opened(api, connection)
    data = Path(served.aws_ca_bundle).parents[2]
    held = {file: content(file) for file in data.rglob("*") if file.is_file()}
    assert any(connection.name.encode() in text for text in held.values())
    secret = connection.secret.removeprefix("whsec_").encode()
    assert [file for file, text in held.items() if secret in text] == []


def content(file: Path) -> bytes:
    """What the file holds; nothing when the running service has just removed it."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""
