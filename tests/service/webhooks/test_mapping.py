"""From events to requests: each tool's default mapping, values in the request's form, any event."""

import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.webhooks import WebhookConnection, WebhookKind
from service.requests import CreateClient
from service.webhooks.catalogue import KINDS
from service.webhooks.events import MAX_DEPTH, UnreadableBody, events_in, without
from service.webhooks.mapping import FIELDS, MappingError, check_mapping, map_event
from service.webhooks.reading import Reading, wish_of
from tests.service.webhooks.tools import DOCUSIGN, PANDADOC, STANDARD, TOOLS, Contract, Tool

MADRID = ZoneInfo("Europe/Madrid")
CONTRACT = Contract("ABC LLC", "DPA-2026-014")


def reading(kind: str, **mapping: Any) -> Reading:
    connection = WebhookConnection(
        name="x", kind=WebhookKind(kind), actor_id="x", secret=b"", mapping=mapping
    )
    return Reading.of(connection, MADRID)


def event_of(tool: Tool) -> dict[str, Any]:
    body = tool.event(CONTRACT)
    found: dict[str, Any] = body[0] if isinstance(body, list) else body
    return found


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.kind)
def test_each_kind_has_a_sound_mapping(tool: Tool) -> None:
    """The defaults keep to the rules that an administrator's mapping is held to."""
    kind = KINDS[WebhookKind(tool.kind)]
    check_mapping(kind.mapping)
    assert kind.carries
    assert kind.fetches
    assert (kind.fetches == "nothing") is (kind.api is None)


def test_the_generic_event_is_the_request() -> None:
    """Every field of POST /v1/clients can come with it."""
    fields = reading("standard").fields(event_of(STANDARD))
    assert wish_of(fields, {}).request == CreateClient.model_validate(event_of(STANDARD)["data"])
    assert set(KINDS[WebhookKind.standard].mapping) == FIELDS
    assert {"contract.signer.full_name", "valid_until", "special_category"} <= FIELDS


def test_docusign_takes_the_signer_in_the_clients_role() -> None:
    """One full name that is never split; time, country and list become what the request wants."""
    fields = reading("docusign").fields(event_of(DOCUSIGN))
    assert fields["contract.signer.full_name"] == "Ada Lovelace"
    assert fields["contract.signed_on"] == "2026-03-31"
    assert fields["contract.jurisdiction"] == "ES"
    assert fields["contract.kind"] == "dpa"
    assert fields["data_categories"] == ["clinical images", "metadata"]


@pytest.mark.parametrize("roles", [("Client", "Client"), ("Provider", "Other")])
def test_of_several_signers_none_is_guessed(roles: tuple[str, str]) -> None:
    """Who signed decides the password of the record: better ask than guess."""
    event = event_of(DOCUSIGN)
    signers = event["data"]["envelopeSummary"]["recipients"]["signers"]
    for signer, role in zip(signers, roles, strict=True):
        signer["roleName"] = role
    wish = wish_of(reading("docusign").fields(event), {})
    assert wish.request is None
    missing = {error.field for error in wish.errors}
    assert missing == {"contract.signer.email", "contract.signer.full_name"}


def test_a_single_signer_needs_no_role() -> None:
    event = event_of(PANDADOC)
    event["data"]["recipients"] = event["data"]["recipients"][:1]
    event["data"]["recipients"][0]["role"] = ""
    fields = reading("pandadoc").fields(event)
    assert fields["contract.signer.last_name"] == "Lovelace"


def test_one_form_of_the_signers_name_is_kept() -> None:
    """Whole parts before a full name; what a person gives before both."""
    parts = {"contract.signer.first_name": "Ada", "contract.signer.last_name": "Lovelace"}
    full = {"contract.signer.full_name": "Ada King"}
    assert "contract.signer.full_name" not in wish_of({**parts, **full}, {}).fields
    assert wish_of(parts, full).fields == full
    assert wish_of(full, parts).fields == parts
    half = {"contract.signer.first_name": "Ada", **full}
    assert wish_of(half, {}).fields == full


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2026-03-31", "2026-03-31"),
        ("2026-03-31T22:30:00Z", "2026-04-01"),
        ("2026-03-31T22:30:00.1234567Z", "2026-04-01"),
        ("2026-03-31 21:30:00", "2026-03-31"),
        (1774951200000, "2026-03-31"),
        ("1774951200000", "2026-03-31"),
        (1774951200, "2026-03-31"),
        ("yesterday evening", "yesterday evening"),
        (10**30, 10**30),
    ],
)
def test_a_time_becomes_the_day_that_it_was_here(value: Any, day: Any) -> None:
    """Days begin and end in the organisation's time zone."""
    found = map_event({"contract.signed_on": "at"}, {"at": value}, MADRID)
    assert found == {"contract.signed_on": day}


@pytest.mark.parametrize("value", [None, "", [], {}, True, False])
def test_what_says_nothing_is_left_out(value: Any) -> None:
    assert map_event({"purpose": "p"}, {"p": value}, MADRID) == {}


def test_yes_and_no_as_text_and_nothing_else() -> None:
    """A special category is never lost by a form that nobody expected: it stays, and is refused."""
    for sent, kept in (("true", True), ("false", False), (True, True), ("Yes", "Yes")):
        found = map_event({"special_category": "s"}, {"s": sent}, MADRID)
        assert found == {"special_category": kept}
    fields = reading("standard").fields(event_of(STANDARD)) | {"special_category": "Yes"}
    assert [error.field for error in wish_of(fields, {}).errors] == ["special_category"]


@pytest.mark.parametrize(
    ("mapping", "named"),
    [
        ({"nonsense": "a"}, "nonsense is not a field"),
        ({"purpose": "a["}, "purpose has a path that is no JMESPath"),
        ({"purpose": "(" * 900}, "purpose has a path that is no JMESPath"),
        ({"purpose": "a" * 1001}, "longer than 1000"),
        ({"purpose": {"value": "a"}}, "purpose needs a path"),
    ],
)
def test_an_unusable_mapping_names_its_field(mapping: Any, named: str) -> None:
    with pytest.raises(MappingError) as caught:
        check_mapping(mapping)
    assert named in str(caught.value)


def test_an_own_mapping_goes_before_the_default_field_by_field() -> None:
    found = reading("docusign", purpose={"constant": "Another"}, data_categories=None)
    fields = found.fields(event_of(DOCUSIGN))
    assert fields["purpose"] == "Another"
    assert "data_categories" not in fields
    assert fields["legal_name"] == "ABC LLC"


def test_counters_of_attempts_make_no_new_event() -> None:
    for tool, counter in (("hubspot", "attemptNumber"), ("docusign", "retryCount")):
        kind = KINDS[WebhookKind(tool)]
        keys = {
            events_in(kind, json.dumps({"a": 1, counter: n}).encode(), {})[0].dedupe_key
            for n in range(3)
        }
        assert len(keys) == 1
    pipedrive = KINDS[WebhookKind.pipedrive]
    event = {"meta": {"attempt": 2, "id": "x"}, "data": {}}
    assert without(event, pipedrive.volatile) == {"meta": {"id": "x"}, "data": {}}
    assert event["meta"] == {"attempt": 2, "id": "x"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"\xff\xfe",
        b"[1, 2]",
        b'"text"',
        b"NaN",
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"[" * 100000,
        b'{"a":' * (MAX_DEPTH + 2) + b"1" + b"}" * (MAX_DEPTH + 2),
        b'{"a": ' + b"1" * 5000 + b"}",
        b"[" + b",".join([b"{}"] * 201) + b"]",
    ],
)
def test_an_unreadable_body_is_told_as_such(body: bytes) -> None:
    for kind in KINDS.values():
        with pytest.raises(UnreadableBody):
            events_in(kind, body, {})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def spoilt_events(draw: st.DrawFn) -> tuple[Tool, dict[str, Any]]:
    """An event of a tool in which some value, at any depth, is something else."""
    tool = draw(st.sampled_from(TOOLS))
    event = json.loads(json.dumps(event_of(tool)))
    place: Any = event
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        inner = place[key]
        if isinstance(inner, dict | list) and inner and draw(st.booleans()):
            place = inner
            continue
        place[key] = draw(json_values)
        return tool, event


def test_a_kind_of_contract_that_is_no_text_is_another_kind() -> None:
    """As from a form's field with several values."""
    told = reading("zoho-sign").unmarked({"contract.kind": ["dpa"]})
    assert told is not None
    assert "names another kind of contract" in told


@settings(max_examples=120, deadline=None)
@given(spoilt_events())
def test_any_event_is_read_without_an_error(spoilt: tuple[Tool, dict[str, Any]]) -> None:
    """Whatever a signed event holds, it is a request, has named gaps, or is none of ours."""
    tool, event = spoilt
    read = reading(tool.kind)
    read.unrelated(event)
    fields = read.fields({**event, "fetched": {}})
    read.unmarked(fields)
    wish = wish_of(fields, {})
    assert (wish.request is None) is bool(wish.errors)
    assert all(error.field for error in wish.errors)
    json.dumps(wish.fields)


@settings(max_examples=80, deadline=None)
@given(path=st.text(max_size=30), document=json_values)
def test_any_path_is_refused_or_evaluated(path: str, document: Any) -> None:
    try:
        check_mapping({"purpose": path})
    except MappingError:
        return
    map_event({"purpose": path}, {"fetched": document}, MADRID)


@settings(max_examples=80, deadline=None)
@given(name=st.text(min_size=1, max_size=30))
def test_any_name_comes_through_whole_or_is_refused_by_name(name: str) -> None:
    """A signer's one name is never split, shortened or mended on the way."""
    event = event_of(DOCUSIGN)
    event["data"]["envelopeSummary"]["recipients"]["signers"][1]["name"] = name
    fields = reading("docusign").fields(json.loads(json.dumps(event)))
    assert fields.get("contract.signer.full_name", "") == name
    wish = wish_of(fields, {})
    if wish.request is None:
        assert [error.field for error in wish.errors] == ["contract.signer.full_name"]
