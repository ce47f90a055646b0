"""What the engine sees of an area, through HTTP, on the real engine and the local AWS."""

from typing import Any

import httpx

from service.context import Services
from service.http.quota import UserQuota
from tests.service.http.conftest import Stage, TokenFactory, caller, with_settings
from tests.service.http.handworker import HandWorker

Request = dict[str, Any]


def test_preview_of_opening_names_each_resource(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """What would be made, resource by resource; nothing is."""
    worker.automatic = True
    abc_llc["legal_name"] = "Preview Company"
    api.post("/v1/clients", json=abc_llc)
    answer = api.get("/v1/clients/Preview-Company/preview", params={"of": "open"})
    assert answer.status_code == 200, answer.text
    changes = answer.json()["changes"]
    assert {change["operation"] for change in changes} == {"create"}
    assert {change["type"].rsplit(":", 1)[-1] for change in changes} >= {
        "User",
        "UserPolicy",
        "UserGroupMembership",
        "AccessKey",
    }
    closing = api.get("/v1/clients/Preview-Company/preview", params={"of": "close"})
    assert closing.json() == {"of": "close", "changes": []}


def test_refresh_of_what_was_never_made_is_in_step(
    api: httpx.Client, worker: HandWorker, abc_llc: Request
) -> None:
    """Drift is told without changing anything."""
    worker.automatic = True
    api.post("/v1/clients", json=abc_llc | {"legal_name": "Refresh Company"})
    answer = api.post("/v1/clients/Refresh-Company/refresh")
    assert (answer.status_code, answer.json()) == (200, {"in_step": True, "drift": []})


def test_looks_wait_for_the_operation(api: httpx.Client, abc_llc: Request) -> None:
    """While an operation runs the stack is its own: 409 with a link."""
    api.post("/v1/clients", json=abc_llc)
    for answer in (
        api.get("/v1/clients/ABC-LLC/preview", params={"of": "open"}),
        api.post("/v1/clients/ABC-LLC/refresh"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (
            409,
            "/problems/operation-in-progress",
        )
    assert api.get("/v1/clients/ABC-LLC/preview", params={"of": "all"}).status_code == 422
    assert api.get("/v1/clients/ABC-LLC/preview").status_code == 422


def test_past_the_quota_nothing_is_made(
    stage: Stage, services: Services, token: TokenFactory, worker: HandWorker, abc_llc: Request
) -> None:
    """Past AWS's quota of users: a plain refusal before anything is written."""
    others = services.areas.user_count()
    address = stage.put(with_settings(services, iam_user_quota=others + 1))
    with caller(address, token("admin")) as client:
        assert client.post("/v1/clients", json=abc_llc).status_code == 202
        another = abc_llc | {"legal_name": "Another Company"}
        answer = client.post("/v1/clients", json=another)
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (409, "/problems/user-quota-reached")
        assert (problem["users"], problem["limit"]) == (others + 1, others + 1)
        assert client.get("/v1/clients/Another-Company").status_code == 404
        repeated = client.post("/v1/clients", json=abc_llc)
        assert repeated.json()["type"] == "/problems/client-exists"


def test_quota_counts_users_that_are_no_clients(services: Services) -> None:
    """Users made elsewhere in the account count, too."""
    quota = UserQuota(services.areas, services.database, limit=10)
    quota.refresh()
    assert quota.others == services.areas.user_count()
