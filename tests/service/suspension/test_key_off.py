"""`handover key off`: the cut with the database down, and with it up."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from engine.localaws import running_on
from models.audit import AuditEvent
from models.database import transaction
from service.cli.main import main
from tests.service.house import House
from tests.service.suspension.hands import denied, held_keys, works


@pytest.fixture
def cli(idle: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command as ops do: settings in the environment, the house's AWS and database."""
    settings = idle.services.settings
    for name, value in {
        **idle.aws.environment(),
        "HANDOVER_ORGANISATION_NAME": "Test Ltd",
        "HANDOVER_DPO_CONTACT": "dpo@test.example",
        "HANDOVER_HELP_CONTACT": "help@test.example",
        "HANDOVER_TIME_ZONE": "Europe/Madrid",
        "HANDOVER_BUCKET": settings.bucket,
        "HANDOVER_REGION": settings.region,
        "HANDOVER_PASSPHRASE": "of the test",
        "HANDOVER_DATA_DIRECTORY": str(settings.data_directory),
    }.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, Any]:
        monkeypatch.setattr("sys.argv", ["handover", *arguments, "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        status = int(ended.value.code or 0)
        return status, json.loads(said.err if status else said.out)

    return run


def test_with_the_database_up_the_client_is_suspended_too(cli: Any, idle: House, slug: str) -> None:
    [key] = idle.keys(slug)
    status, said = cli("key", "off", str(key.access_key_id), "--reason", "Seen on a web page")
    assert (status, said["cut"], said["recorded"], said["to_do"]) == (0, True, True, [])
    assert said["keys"] == {key.access_key_id: "Inactive"}
    assert not works(idle, key)
    client = idle.client(slug)
    assert (client.state, client.suspended_reason) == ("suspended", "Seen on a web page")
    with transaction(idle.services.database, write=False) as session:
        events = session.exec(select(AuditEvent).where(AuditEvent.client_id == client.id)).all()
    assert "client.suspended" in [event.action for event in events]


@pytest.mark.parametrize("how", ["no file", "no server", "no settings"])
def test_with_the_database_down_the_key_is_cut_and_what_to_do_is_said(
    how: str, cli: Any, idle: House, slug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same cut by AWS alone; nothing is left behind but in AWS."""
    if how == "no file":
        monkeypatch.setenv("HANDOVER_DATA_DIRECTORY", str(tmp_path))
    elif how == "no server":
        monkeypatch.setenv("HANDOVER_DATABASE_URL", f"postgresql:///x?host={tmp_path}")
    else:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("HANDOVER_PASSPHRASE")
    [key] = idle.keys(slug)

    status, said = cli("key", "off", str(key.access_key_id))

    assert (status, said["cut"], said["recorded"]) == (0, True, False)
    assert f"/v1/clients/{slug}/suspend" in said["to_do"][0]
    assert "handover reconcile" in said["to_do"][1]
    assert not works(idle, key)
    assert denied(idle, slug)
    assert not list(tmp_path.rglob("*.db"))
    # Once the database is back the records are told.
    assert idle.api.post(f"/v1/clients/{slug}/suspend").json()["cut"] is True


def test_what_is_not_ours_is_not_touched(cli: Any, idle: House, slug: str) -> None:
    status, said = cli("key", "off", "AKIAIOSFODNN7EXAMPLE")
    assert (status, said["error"]["code"]) == (1, "UnknownKey")
    stranger = f"{slug}-stranger"
    idle.iam.create_user(UserName=stranger)
    made = idle.iam.create_access_key(UserName=stranger)["AccessKey"]
    status, said = cli("key", "off", made["AccessKeyId"])
    assert (status, said["error"]["code"]) == (1, "NotOurs")
    assert held_keys(idle, stranger) == {made["AccessKeyId"]: "Active"}


def test_a_local_service_is_found_by_its_folder(cli: Any, idle: House, slug: str) -> None:
    """`--data`: the database and the AWS of a local service, whether it runs or not."""
    folder = idle.services.settings.data_directory
    assert running_on(folder / "aws") is None
    (folder / "aws").symlink_to(idle.aws.directory)
    assert running_on(folder / "aws", region=idle.aws.region) == idle.aws.environment()
    [key] = idle.keys(slug)
    status, said = cli("key", "off", str(key.access_key_id), "--data", str(folder))
    assert (status, said["cut"], said["recorded"]) == (0, True, True)
    assert idle.client(slug).state == "suspended"
