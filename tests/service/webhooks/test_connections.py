"""Connections over the API and the command line: what is shown, refused, and written down."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select
from typer.testing import CliRunner

from models.actors import Actor, ActorKind
from models.audit import AuditEvent
from models.clients import Client
from models.database import transaction
from models.operations import Operation
from models.webhooks import WebhookEvent
from service.cli.main import app
from service.context import Services
from service.local import prepare
from service.problems import Problem
from tests.service.http.conftest import Stage, TokenFactory, caller, with_settings
from tests.service.http.handworker import HandWorker
from tests.service.webhooks.conftest import Connect
from tests.service.webhooks.fake_apis import FakeToolApi
from tests.service.webhooks.tools import (
    BASE_URL,
    DOCUSIGN,
    HUBSPOT,
    PANDADOC,
    STANDARD,
    ZOHO_SIGN,
    Contract,
)

CONNECTIONS = "/v1/webhook-connections"


def test_a_connection_says_all_but_its_secret(admin: httpx.Client, services: Services) -> None:
    """PB-13: the secret is in the first answer and in no other."""
    made = admin.post(CONNECTIONS, json={"name": "intern", "kind": "standard"}).json()
    secret = made["secret"]
    assert secret.startswith("whsec_")
    connection = made["connection"]
    assert connection["address"] == f"{BASE_URL}/v1/webhooks/{connection['id']}"
    assert connection["fetches"] == "nothing"
    for path in ("", "/intern", f"/{connection['id']}"):
        answer = admin.get(CONNECTIONS + path)
        assert answer.status_code == 200
        assert secret not in answer.text
        assert secret.removeprefix("whsec_") not in answer.text
    with transaction(services.database, write=False) as session:
        actor = session.get_one(Actor, connection["actor"])
        assert (actor.kind, actor.roles) == (ActorKind.system, [])
        told = [e for e in session.exec(select(AuditEvent)) if e.object_id == connection["id"]]
        assert [(e.action, e.data) for e in told] == [
            ("webhook_connection.created", {"kind": "standard"})
        ]


def test_a_secret_that_was_brought_is_not_shown(admin: httpx.Client) -> None:
    request = {"name": "sign", "kind": "docusign", "secret": "the key that DocuSign made"}
    assert admin.post(CONNECTIONS, json=request).json()["secret"] is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Not A Name"}, "name"),
        ({"kind": "carrier-pigeon"}, "kind"),
        ({"secret": "short"}, "secret"),
        ({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw-not base64"}, "secret"),
        ({"secret": "whsec_AAAA"}, "secret"),
        ({"mapping": {"nonsense": "a"}}, "mapping.nonsense"),
        ({"mapping": {"purpose": "a["}}, "mapping.purpose"),
        ({"mapping": {"purpose": 5}}, "mapping.purpose"),
        ({"api_url": "https://api.hubapi.com"}, "api_url"),
        ({"credential": "not used here"}, "credential"),
        ({"kind": "hubspot"}, "credential"),
        ({"kind": "hubspot", "credential": "päss"}, "credential"),
        ({"kind": "pipedrive", "credential": "x"}, "api_url"),
        ({"kind": "hubspot", "credential": "x", "api_url": "http://10.0.0.1"}, "api_url"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_cannot_work_is_refused_by_its_field(
    admin: httpx.Client, change: dict[str, Any], field: str
) -> None:
    answer = admin.post(CONNECTIONS, json={"name": "a", "kind": "standard", **change})
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert str(change.get("secret", "\0")) not in answer.text
    assert admin.get(CONNECTIONS).json()["items"] == []


def test_a_name_is_taken_once(admin: httpx.Client) -> None:
    request = {"name": "intern", "kind": "standard"}
    admin.post(CONNECTIONS, json=request).raise_for_status()
    answer = admin.post(CONNECTIONS, json=request)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/connection-exists")


def test_hubspot_needs_the_base_url(stage: Stage, services: Services, token: TokenFactory) -> None:
    """The tool signs the address, which is never taken from a request."""
    address = stage.put(with_settings(services, base_url=None))
    with caller(address, token("admin")) as admin:
        request = {"name": "crm", "kind": "hubspot", "credential": "x"}
        answer = admin.post(CONNECTIONS, json=request)
        assert "HANDOVER_BASE_URL" in answer.text
        made = admin.post(CONNECTIONS, json={"name": "a", "kind": "standard"}).json()
        assert made["connection"]["address"] is None


def test_only_administrators_see_connections_and_events(address: str, token: TokenFactory) -> None:
    """PB-16: events hold what tools say about people."""
    scopes = ("clients:read", "clients:write", "clients:close", "records:read")
    with caller(address, token(*scopes)) as writer:
        for path in (CONNECTIONS, "/v1/webhook-events"):
            assert writer.get(path).status_code == 403
            assert (
                writer.post(
                    path + ("/x/replay" if "events" in path else ""),
                    json={"name": "a", "kind": "standard"},
                ).status_code
                == 403
            )


def test_pages_of_connections(admin: httpx.Client) -> None:
    for name in "abcde":
        admin.post(CONNECTIONS, json={"name": name, "kind": "standard"}).raise_for_status()
    first = admin.get(CONNECTIONS, params={"page_size": 3}).json()
    rest = admin.get(CONNECTIONS, params={"page_token": first["next_page_token"]}).json()
    names = [item["name"] for item in first["items"] + rest["items"]]
    assert (names, rest["next_page_token"]) == (list("abcde"), None)


def test_what_is_unknown_is_404(admin: httpx.Client) -> None:
    for path in (f"{CONNECTIONS}/nobody", "/v1/webhook-events/nobody", f"{CONNECTIONS}/%00"):
        assert admin.get(path).status_code == 404, path
    assert admin.post("/v1/webhook-events/nobody/replay").status_code == 404


def test_a_dry_run_shows_what_would_happen_and_writes_nothing(
    connected: Connect,
    admin: httpx.Client,
    services: Services,
    contract: Contract,
    worker: HandWorker,
    tool_api: FakeToolApi,
) -> None:
    """`POST …/test`: fields, findings and outcome, by the very code that would open."""
    tool_api.knows(contract)

    def tried(tool: Any, body: Any, **more: Any) -> dict[str, Any]:
        path = f"{CONNECTIONS}/{tool.kind}/test"
        answer = admin.post(path, json={"body": body, **more})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["items"][0]
        return found

    for tool in (STANDARD, HUBSPOT, PANDADOC):
        connected(tool)
        good = tried(tool, tool.event(contract))
        assert (good["outcome"], good["findings"]) == ("opened", [])
        assert good["fields"]["legal_name"] == contract.legal_name
    given = tried(HUBSPOT, HUBSPOT.event(contract), fetched={"deal": {"properties": {}}})
    assert given["outcome"] == "ignored"
    incomplete = STANDARD.event(contract)
    del incomplete["data"]["legal_name"]
    gap = tried(STANDARD, incomplete)
    assert gap["outcome"] == "needs_attention"
    assert gap["findings"] == [{"field": "legal_name", "reason": "is missing"}]
    unrelated = tried(STANDARD, {"type": "lunch.ordered"})
    assert unrelated["outcome"] == "ignored"
    assert admin.post(f"{CONNECTIONS}/standard/test", json={"body": []}).status_code == 422
    with transaction(services.database, write=False) as session:
        for table in (Client, Operation, WebhookEvent):
            assert session.exec(select(table)).all() == []
        assert [a for a in session.exec(select(AuditEvent.action)) if "client" in a] == []
    assert worker.started == []


def test_a_dry_run_sees_the_contract_that_is_there(
    connected: Connect, admin: httpx.Client, contract: Contract, processor: Any
) -> None:
    connection = connected(STANDARD)
    connection.deliver(STANDARD.event(contract))
    processor.sweep()
    body = {"body": STANDARD.event(contract)}
    found = admin.post(f"{CONNECTIONS}/standard/test", json=body).json()["items"][0]
    assert found["outcome"] == "duplicate"


def test_a_changed_mapping_is_what_a_replay_uses(
    connected: Connect, admin: httpx.Client, contract: Contract, processor: Any
) -> None:
    connection = connected(ZOHO_SIGN, mapping={})
    connection.deliver(ZOHO_SIGN.event(contract))
    processor.sweep()
    [event] = connection.events(state="needs_attention")
    assert {"legal_name", "purpose", "contract.jurisdiction"} <= set(event["missing"])
    change = {"mapping": dict(ZOHO_SIGN.connection["mapping"])}
    admin.patch(f"{CONNECTIONS}/zoho-sign", json=change).raise_for_status()
    admin.post(f"{event['links']['self']}/replay").raise_for_status()
    processor.sweep()
    assert connection.events()[0]["state"] == "opened"


def test_the_command_line_does_the_same(tmp_path: Path) -> None:
    """`handover webhook …`: add, list, rotate, disable; events, complete, replay."""
    prepare(tmp_path)
    runner = CliRunner()

    def run(*words: str) -> Any:
        command = ["webhook", *words, "--data", str(tmp_path), "--json"]
        done = runner.invoke(app, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    mapping = tmp_path / "mapping.json"
    mapping.write_text(json.dumps({"contract.kind": {"constant": "dpa"}}))
    made = run("connection", "add", "sign", "--kind", "docusign", "--mapping", str(mapping))
    assert len(made["secret"]) > 30
    assert made["path"] == f"/v1/webhooks/{made['id']}"
    [listed] = run("connection", "list")
    assert (listed["name"], listed["kind"], listed["active"]) == ("sign", "docusign", True)
    assert run("connection", "rotate", "sign", "--overlap-hours", "2")["secret"] != made["secret"]
    assert run("connection", "disable", "sign")["active"] is False
    assert run("events") == []


def test_the_command_line_completes_and_replays(
    connected: Connect,
    contract: Contract,
    processor: Any,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = DOCUSIGN.event(contract)
    body["data"]["envelopeSummary"]["recipients"]["signers"] = []
    connection = connected(DOCUSIGN)
    connection.deliver(body)
    processor.sweep()
    [event] = connection.events(state="needs_attention")
    for name, value in {
        "ORGANISATION_NAME": "Test Ltd",
        "DPO_CONTACT": "dpo@test.example",
        "HELP_CONTACT": "help@test.example",
        "TIME_ZONE": "Europe/Madrid",
        "BUCKET": "test-clients",
        "REGION": "eu-west-1",
        "PASSPHRASE": "of the test",
        "DATABASE_URL": str(services.database.url.render_as_string(hide_password=False)),
    }.items():
        monkeypatch.setenv(f"HANDOVER_{name}", value)
    runner = CliRunner()
    listed = runner.invoke(app, ["webhook", "events", "--state", "needs_attention", "--json"])
    assert json.loads(listed.stdout)[0]["id"] == event["id"]
    words = ["webhook", "complete", event["id"], "--set", "contract.signer.full_name=Ada Lovelace"]
    done = runner.invoke(app, [*words, "--set", "contract.signer.email=ada@abc.example"])
    assert done.exit_code == 0, done.output
    processor.sweep()
    assert connection.events()[0]["state"] == "opened"
    refused = runner.invoke(app, ["webhook", "replay", event["id"]])
    assert isinstance(refused.exception, Problem)
    assert "only one that was ignored or needs attention" in refused.exception.detail
