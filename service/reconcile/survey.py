"""Comparing what AWS holds with what the records say. Nothing is changed.

Clients that an operation works on are left out: what AWS holds of them changes at this moment.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from models.database import transaction
from service.areas_inputs import area_inputs, boundary_arn
from service.context import Services
from service.reconcile.area_checks import area_findings, nothing_left
from service.reconcile.claims import Claim, read_claims
from service.reconcile.findings import Finding, FindingKind, Remedy, finding
from stacks.client import CLIENTS_PROJECT, AreaInputs
from stacks.inventory import HeldUser, held_users, objects_there

SECOND_LOOK_SECONDS = 0.3
"""How long to wait before a disagreement is believed: a direct call may be under way, and AWS
tells of a change some time after it was made."""


@dataclass(frozen=True)
class Picture:
    """Both sides at one moment; claims only of clients to which nothing happened meanwhile."""

    claims: Mapping[str, Claim]
    areas: Mapping[str, AreaInputs]
    known_clients: frozenset[str]
    known_slugs: frozenset[str]
    users: Mapping[str, HeldUser]
    placeholders: Mapping[tuple[str, str], int]
    stacks: frozenset[str]
    boundary: str


def survey(services: Services, *, pause: float = SECOND_LOOK_SECONDS) -> list[Finding]:
    """Return what AWS and the records disagree on, sorted; empty when they agree.

    Each disagreement was seen twice, `pause` seconds apart. Raises `stacks.failures.StackError`
    when AWS does not answer.
    """
    found = _look(services)
    if not found:
        return []
    time.sleep(pause)
    return sorted(set(found) & set(_look(services)))


def _look(services: Services) -> list[Finding]:
    picture = _picture(services)
    return [*_client_findings(picture), *_stray_users(picture), *_stray_stacks(picture)]


def _picture(services: Services) -> Picture:
    account = services.areas.account()
    before = _claims(services)
    areas = {
        claim.client.id: area_inputs(services.settings, account, claim.client, claim.keys)
        for claim in before.values()
    }
    environment = services.areas.environment
    stacks = services.areas.stacks.names(CLIENTS_PROJECT)
    names = {*stacks, *(claim.client.user_name for claim in before.values())}
    users = held_users(environment, names)
    placeholders = objects_there(
        environment, [(area.bucket, area.placeholder_key) for area in areas.values()]
    )
    # Read again last: a row is always written before AWS is touched for it.
    after = _claims(services)
    steady = {id_: c for id_, c in after.items() if not c.busy and c.same_as(before.get(id_))}
    return Picture(
        claims=steady,
        areas=areas,
        known_clients=frozenset(after),
        known_slugs=frozenset(claim.client.slug_key for claim in after.values()),
        users={user.name.lower(): user for user in users},
        placeholders=placeholders,
        stacks=frozenset(stacks),
        boundary=boundary_arn(services.settings, account),
    )


def _claims(services: Services) -> dict[str, Claim]:
    with transaction(services.database, write=False) as session:
        return read_claims(session)


def _client_findings(picture: Picture) -> Iterator[Finding]:
    for claim in picture.claims.values():
        area = picture.areas[claim.client.id]
        user = picture.users.get(claim.client.user_name.lower())
        size = picture.placeholders.get((area.bucket, area.placeholder_key))
        has_stack = area.slug in picture.stacks
        if claim.area_known:
            yield from area_findings(claim, area, user, size, has_stack=has_stack)
        else:
            yield from nothing_left(area, user, size, has_stack=has_stack)


def _stray_users(picture: Picture) -> Iterator[Finding]:
    for user in picture.users.values():
        if user.client_id is None or user.client_id in picture.known_clients:
            continue
        detail = (
            f"IAM has the user {user.name} with our tag, and the records know no client "
            f"{user.client_id}."
        )
        stray = finding(
            FindingKind.user_without_client, user.name, detail, client_id=user.client_id
        )
        # Another installation in this account tags its users in the same way; the boundary is
        # one's own.
        ours = user.boundary_arn == picture.boundary
        yield stray if ours else _left_alone(stray, "It has another boundary than ours")


def _stray_stacks(picture: Picture) -> Iterator[Finding]:
    for name in picture.stacks:
        if name.lower() in picture.known_slugs:
            continue
        user = picture.users.get(name.lower())
        detail = f"The engine has a stack {name}, and the records know no such client."
        stray = finding(
            FindingKind.stack_without_client,
            name,
            detail,
            client_id=(user.client_id or "") if user else "",
        )
        # Taking the stack away would take the user of its name with it.
        ours = user is None or (
            user.client_id is not None
            and user.client_id not in picture.known_clients
            and user.boundary_arn == picture.boundary
        )
        yield stray if ours else _left_alone(stray, "A user of that name is not ours")


def _left_alone(stray: Finding, why: str) -> Finding:
    return replace(stray, detail=f"{stray.detail} {why}: look who made it.", remedy=Remedy.none)
