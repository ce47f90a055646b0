"""Reconciling by API and by command."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.localaws import LocalAws
from service.cli.main import app
from service.local import local_service
from stacks.policies import compact, suspension_denial
from tests.service.backup.test_round_trip import keys_of
from tests.service.house import House, house
from tests.service.http.conftest import caller, mint


def test_the_api_lists_page_by_page_for_admins_only(lived: House) -> None:
    content = compact(suspension_denial())
    names = {f"added-{number}" for number in range(3)}
    for name in names:
        lived.iam.put_user_policy(UserName="ABC-LLC", PolicyName=name, PolicyDocument=content)
    found, more = set(), {"page_size": "2"}
    while True:
        page = lived.api.get("/v1/reconciliation", params=more)
        assert page.status_code == 200, page.text
        found |= {item["subject"] for item in page.json()["items"]}
        assert {item["kind"] for item in page.json()["items"]} == {"policy_foreign"}
        if page.json()["next_page_token"] is None:
            break
        more["page_token"] = page.json()["next_page_token"]
    assert found == names
    reader = mint(lived.services, "clients:read")
    with caller(str(lived.api.base_url), reader) as client:
        assert client.get("/v1/reconciliation").status_code == 403
    limited = mint(lived.services, "admin", slugs=["ABC-LLC"])
    with caller(str(lived.api.base_url), limited) as client:
        assert client.get("/v1/reconciliation").status_code == 403


def test_the_command_lists_then_mends(tmp_path: Path) -> None:
    """Status 1 while something is left to be done; a local service is looked at while stopped."""
    run, data = CliRunner(), tmp_path / "data"
    with local_service(data):
        pass
    words = ["reconcile", "--data", str(data), "--json"]
    with LocalAws.start(data / "aws") as aws, house(data, aws) as home:
        home.open("ABC-LLC")
        before = keys_of(home)
        home.s3.delete_object(Bucket=home.services.settings.bucket, Key="ABC-LLC/images/")
    told = run.invoke(app, words)
    assert told.exit_code == 1
    [finding] = json.loads(told.stdout)["findings"]
    assert (finding["kind"], finding["remedy"]) == ("placeholder_missing", "repair")
    mended = run.invoke(app, [*words, "--mend"])
    assert mended.exit_code == 0, mended.output
    assert json.loads(run.invoke(app, words).stdout)["agreed"]
    with LocalAws.start(data / "aws") as aws, house(data, aws) as home:
        assert keys_of(home) == before


def test_a_running_local_service_is_not_disturbed(tmp_path: Path) -> None:
    with local_service(tmp_path / "data"):
        told = CliRunner().invoke(app, ["reconcile", "--data", str(tmp_path / "data")])
    assert "Another service runs" in str(told.exception)


@pytest.mark.parametrize("word", ["backup", "restore", "reconcile"])
def test_each_command_has_help(word: str) -> None:
    assert CliRunner().invoke(app, [word, "--help"]).exit_code == 0
