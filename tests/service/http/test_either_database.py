"""What asks the database for more than rows, on each kind of database."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select

from models.actors import Actor
from models.database import transaction, upgrade
from models.templates import ApprovalStep
from pdf import ApprovalError
from service.accounts import ensure_operator
from service.context import Services
from service.templates import approve
from tests.service.http.handworker import HandWorker

Request = dict[str, Any]
CLIENT = "/v1/clients/ABC-LLC"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, migrated_file: Path, tmp_path: Path) -> str:
    """The URL of a migrated database, once of each kind."""
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgres_url"))
        upgrade(url)
        return url
    shutil.copy(migrated_file, tmp_path / "handover.db")
    return f"sqlite:///{tmp_path / 'handover.db'}"


def test_each_version_counts_its_own_downloads(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """SP-26 in part: who fetched which version of the record, and how often, newest first."""
    worker.automatic = True
    client = api.post("/v1/clients", json=abc_llc, headers={"Prefer": "wait=5"}).json()
    api.get(f"{CLIENT}/record.pdf")
    etag = api.get(CLIENT).headers["ETag"]
    api.patch(CLIENT, json={"purpose": "Another study"}, headers={"If-Match": etag})
    for _ in range(2):
        api.get(f"{CLIENT}/record.pdf")
    number = client["records"][0]["number"]
    answer = api.get(f"/v1/records/{number}").json()
    assert answer["links"] == {"self": f"/v1/records/{number}", "client": CLIENT}
    counted = [(r["number"], r["version"], r["downloads"]["count"]) for r in answer["items"]]
    assert counted == [(number, 2, 2), (number, 1, 1)]
    hashes = [record["sha256"] for record in answer["items"]]
    assert None not in hashes
    assert len(set(hashes)) == 2


def test_a_step_is_signed_once_by_whoever_comes_first(services: Services) -> None:
    """SP-30: of two signatures of one step at the same time one is refused with its reason."""
    names = ["one author", "another author"]
    with transaction(services.database) as session:
        session.add_all([Actor(name=name, roles=["JD-020"]) for name in names])
        operator = ensure_operator(session)

    def sign(name: str) -> str:
        try:
            with transaction(services.database) as session:
                actor = session.exec(select(Actor).where(Actor.name == name)).one()
                approve(
                    session,
                    operator,
                    services.settings.zone,
                    actor=actor,
                    version="1",
                    step=ApprovalStep.author,
                    commit="0" * 40,
                )
        except ApprovalError as error:
            return str(error)
        return "signed"

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(sign, names))
    outcomes.remove("signed")
    assert "next needs its reviewer" in outcomes[0]
