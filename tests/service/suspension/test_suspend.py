"""Suspending over HTTP: cut in the API's own process, confirmed by AWS, wished for good."""

import os
import signal
import threading
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest

from models.clients import Client, current_contract
from models.database import transaction
from service.areas_inputs import area_inputs
from service.assembly import build_areas
from service.suspension.switching import FOUND_CUT, carry_out, enforce
from stacks import clients
from stacks.client import ClientProgram
from stacks.policies import SUSPENSION_POLICY, compact, suspension_denial
from tests.service.house import House, served
from tests.service.http.conftest import caller, mint
from tests.service.suspension.hands import Hands, actions, change, denied, held_keys, works
from tests.waiting import PATIENCE, Standstill

LEAK = {"reason": "The key was seen in a public repository"}
WITHIN = 3.0
"""Seconds in which a key is cut, whatever holds the stack."""


def as_(house: House, *scopes: str, slugs: list[str] | None = None) -> httpx.Client:
    """A caller with these scopes."""
    return caller(str(house.api.base_url), mint(house.services, *scopes, slugs=slugs))


def test_suspending_cuts_at_once_and_answers_what_aws_confirms(idle: House, slug: str) -> None:
    """RX-22: 200 with the status of each key and the denial, as AWS tells them."""
    [key] = idle.keys(slug)
    assert works(idle, key)

    answer = idle.api.post(f"/v1/clients/{slug}/suspend", params=LEAK)

    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["keys"] == [{"key_id": key.access_key_id, "status": "Inactive"}]
    assert (found["cut"], found["denied"], found["user_exists"]) == (True, True, True)
    assert (found["state"], found["suspended"]["reason"]) == ("suspended", LEAK["reason"])
    assert found["suspended"]["cut_at"] is not None
    assert not works(idle, key)
    assert denied(idle, slug)
    assert actions(idle, slug)[-2:] == ["client.suspended", "client.access_cut"]
    client = idle.api.get(f"/v1/clients/{slug}").json()
    assert client["suspended"]["reason"] == LEAK["reason"]
    assert client["links"]["resume"] == f"/v1/clients/{slug}/resume"
    # Once more changes nothing and confirms it anew.
    again = idle.api.post(f"/v1/clients/{slug}/suspend", params={"reason": "another"}).json()
    assert again["suspended"] == found["suspended"]


def test_a_leak_report_names_a_key(idle: House, slug: str) -> None:
    """`POST /v1/keys/{access_key_id}/suspend`: the same for the key's holder."""
    [key] = idle.keys(slug)
    answer = idle.api.post(f"/v1/keys/{key.access_key_id}/suspend", params=LEAK)
    assert answer.status_code == 200
    assert (answer.json()["client"], answer.json()["cut"]) == (slug, True)
    assert not works(idle, key)


def test_a_key_that_nobody_knows_is_to_be_sought_in_aws(idle: House, slug: str) -> None:
    answer = idle.api.post("/v1/keys/AKIAIOSFODNN7EXAMPLE/suspend", params=LEAK)
    assert answer.status_code == 404
    assert "handover key off" in answer.json()["detail"]
    assert idle.api.post("/v1/keys/%00x/suspend", params=LEAK).status_code == 404


def test_another_clients_key_is_not_there(idle: House, slug: str) -> None:
    """A token that is limited to slugs learns nothing of others: 404, and nothing is cut."""
    [key] = idle.keys(slug)
    with as_(idle, "clients:close", slugs=["Another"]) as limited:
        assert limited.post(f"/v1/keys/{key.access_key_id}/suspend").status_code == 404
        assert limited.post(f"/v1/clients/{slug}/suspend").status_code == 404
    assert works(idle, key)


def test_who_may_close_may_suspend_and_who_may_open_may_resume(idle: House, slug: str) -> None:
    """Taking access away and giving it are two rights."""
    with as_(idle, "clients:write") as writer, as_(idle, "clients:close") as closer:
        assert writer.post(f"/v1/clients/{slug}/suspend").status_code == 403
        # Without a reason too: at night nobody should look for the right words first.
        assert closer.post(f"/v1/clients/{slug}/suspend").status_code == 200
        assert closer.post(f"/v1/clients/{slug}/resume", params=LEAK).status_code == 403
        assert writer.post(f"/v1/clients/{slug}/resume").status_code == 422
        assert writer.post(f"/v1/clients/{slug}/resume", params=LEAK).status_code == 200


def test_resuming_gives_the_access_back(idle: House, slug: str) -> None:
    [key] = idle.keys(slug)
    idle.api.post(f"/v1/clients/{slug}/suspend", params=LEAK)

    answer = idle.api.post(f"/v1/clients/{slug}/resume", params={"reason": "False alarm"})

    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["state"], found["suspended"], found["denied"]) == ("open", None, False)
    assert found["keys"] == [{"key_id": key.access_key_id, "status": "Active"}]
    assert works(idle, key)
    assert actions(idle, slug)[-2:] == ["client.resumed", "client.access_given_back"]
    assert idle.client(slug).resumed_reason == "False alarm"
    refused = idle.api.post(f"/v1/clients/{slug}/resume", params=LEAK)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/client-not-suspended")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"valid_until": "today"}, "/problems/validity-ended"),
        ({"ends_on": "yesterday"}, "/problems/contract-ended"),
    ],
)
def test_what_has_ended_is_not_resumed(
    values: dict[str, str], problem: str, idle: House, slug: str
) -> None:
    idle.api.post(f"/v1/clients/{slug}/suspend", params=LEAK)
    today = idle.services.today()
    if "valid_until" in values:
        change(idle, slug, valid_until=today)
    else:
        with transaction(idle.services.database) as session:
            client = session.get_one(Client, idle.client(slug).id)
            contract = current_contract(session, client.id)
            assert contract is not None
            contract.ends_on = today.replace(year=today.year - 1)
    answer = idle.api.post(f"/v1/clients/{slug}/resume", params=LEAK)
    assert (answer.status_code, answer.json()["type"]) == (409, problem)
    assert denied(idle, slug)


def test_a_client_that_is_worked_on_is_suspended_and_not_resumed(
    idle: House, slug: str, hands: Hands
) -> None:
    """Suspending waits for no operation; resuming does. A closing forgets the suspension."""
    [key] = idle.keys(slug)
    operation = idle.ask_close(slug).json()["id"]
    answer = idle.api.post(f"/v1/clients/{slug}/suspend", params=LEAK)
    assert (answer.status_code, answer.json()["state"]) == (200, "closing")
    assert not works(idle, key)
    refused = idle.api.post(f"/v1/clients/{slug}/resume", params=LEAK)
    assert refused.json()["type"] == "/problems/operation-in-progress"
    hands.drive(operation)
    client = idle.client(slug)
    assert (client.state, client.suspended_at) == ("closed", None)
    refused = idle.api.post(f"/v1/clients/{slug}/resume", params=LEAK)
    assert refused.json()["type"] == "/problems/client-closed"
    dead = idle.api.post(f"/v1/keys/{key.access_key_id}/suspend", params=LEAK).json()
    assert (dead["cut"], dead["user_exists"]) == (True, False)
    hands.drive(idle.api.post(f"/v1/clients/{slug}/reopen").json()["id"])
    assert idle.client(slug).state == "open"


def test_the_answer_comes_while_an_engine_holds_the_stack(idle: House, slug: str) -> None:
    """It waits for no worker, queue, engine or stack lock: there is no worker, and the stack is
    held.
    """
    services = idle.services
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        begun.set()
        go_on.wait(2 * PATIENCE)

    client, keys = idle.client(slug), idle.keys(slug)
    area = area_inputs(services.settings, services.areas.account(), client, keys)
    program = ClientProgram(replace(area, profile="read-only"))
    holder = threading.Thread(target=services.areas.stacks.up, args=(program, hold))
    holder.start()
    try:
        assert begun.wait(PATIENCE)
        with Standstill() as standstill:
            began = time.monotonic()
            answer = idle.api.post(f"/v1/clients/{slug}/suspend", params=LEAK)
            seconds = time.monotonic() - began
        assert holder.is_alive(), "it was answered while the stack was held"
    finally:
        go_on.set()
        holder.join(PATIENCE)
    assert (answer.status_code, answer.json()["cut"]) == (200, True)
    assert seconds - standstill.seconds < WITHIN
    print(f"suspended in {seconds * 1000:.0f} ms while the stack was held")
    assert denied(idle, slug)


def test_an_aws_that_is_away_is_told_and_the_wish_stays(idle: House, slug: str) -> None:
    """503 says that the suspension is committed; what carries it out later needs no caller."""
    [key] = idle.keys(slug)
    away = {**idle.aws.environment(), "AWS_ENDPOINT_URL": "https://127.0.0.1:9"}
    blind = replace(idle.services, areas=build_areas(idle.services.settings, away))
    with served(blind) as address, caller(address, mint(blind, "admin")) as api:
        answer = api.post(f"/v1/clients/{slug}/suspend", params=LEAK)
    assert answer.status_code == 503
    problem = answer.json()
    assert (problem["type"], problem["committed"]) == ("/problems/access-unconfirmed", True)
    assert "suspended" in problem["detail"]
    client = idle.client(slug)
    assert client.suspended_at is not None
    assert (client.cut_at, client.state) == (None, "suspended")
    assert works(idle, key)
    assert carry_out(idle.services, client.id).held.cut
    assert not works(idle, key)
    assert idle.client(slug).cut_at is not None


def test_a_frozen_aws_is_told_within_seconds(
    idle: House, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An AWS that takes the call and never answers must not hold whoever calls."""
    monkeypatch.setattr(clients, "HURRIED_SECONDS", 0.3)
    os.kill(idle.aws.pid, signal.SIGSTOP)
    try:
        answer = idle.api.post(f"/v1/clients/{slug}/suspend", params=LEAK)
    finally:
        os.kill(idle.aws.pid, signal.SIGCONT)
    assert answer.status_code == 503
    assert idle.client(slug).suspended_at is not None


def test_a_resumption_that_aws_did_not_confirm_may_be_repeated(idle: House, slug: str) -> None:
    [key] = idle.keys(slug)
    idle.api.post(f"/v1/clients/{slug}/suspend", params=LEAK)
    away = {**idle.aws.environment(), "AWS_ENDPOINT_URL": "https://127.0.0.1:9"}
    blind = replace(idle.services, areas=build_areas(idle.services.settings, away))
    with served(blind) as address, caller(address, mint(blind, "admin")) as api:
        answer = api.post(f"/v1/clients/{slug}/resume", params=LEAK)
    assert (answer.status_code, idle.client(slug).state) == (503, "open")
    assert not works(idle, key)
    assert idle.api.post(f"/v1/clients/{slug}/resume", params=LEAK).status_code == 200
    assert works(idle, key)
    assert idle.client(slug).cut_at is None


def test_the_last_wish_wins_whoever_was_slower(idle: House, slug: str) -> None:
    """A slow suspension that ends after the resumption that undid it must not leave a cut."""
    services, client_id = idle.services, idle.client(slug).id
    [key] = idle.keys(slug)
    switch = services.areas.switch

    class Slow(type(switch)):  # type: ignore[misc]  # the class of a real part
        def cut(self, target: Any, *_: Any, **__: Any) -> Any:
            """Resume in between: the wish was read, and AWS is not told yet."""
            services.areas.switch = switch
            idle.api.post(f"/v1/clients/{slug}/resume", params=LEAK)
            return switch.cut(target)

    change(idle, slug, suspended_at=idle.client(slug).created_at, state="suspended")
    services.areas.switch = Slow(idle.aws.environment())
    confirmation = carry_out(services, client_id)
    assert (confirmation.held.denied, confirmation.client.suspended_at) == (False, None)
    assert works(idle, key)


def test_a_cut_that_no_record_knows_becomes_a_suspension(idle: House, slug: str) -> None:
    """`handover key off` with the database down: no later work switches the key on again."""
    assert not enforce(idle.services, idle.client(slug).id, look=True)
    idle.iam.put_user_policy(
        UserName=slug,
        PolicyName=SUSPENSION_POLICY,
        PolicyDocument=compact(suspension_denial()),
    )
    assert enforce(idle.services, idle.client(slug).id, look=True)
    client = idle.client(slug)
    assert (client.state, client.suspended_reason) == ("suspended", FOUND_CUT)
    assert set(held_keys(idle, slug).values()) == {"Inactive"}
    assert "client.suspended" in actions(idle, slug)
