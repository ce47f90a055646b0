"""`/healthz`, `/readyz` and the pages that describe problem types: what answers without a token."""

from datetime import datetime
from html import escape
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials
from sqlalchemy.exc import SQLAlchemyError

from models.database import DatabaseNotMigrated, DatabaseTooNew, require_migrated, transaction
from models.workers import live_workers
from service import problems
from service.context import Services
from service.http.dependencies import ServicesDep, bearer, caller_behind
from service.http.documents import Alive, Check, Readiness
from service.http.openapi import documented
from service.http.outlook import AwsOutlook
from service.http.pages import page, prose
from service.http.threads import threads_of
from service.machine import key_file_trouble, low_places
from service.problems import Problem, ProblemType
from service.queue import aws_away_since, clock_stands_since, depth
from service.rotation.postponing import given_up
from stacks.areas import AreasReadiness

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Alive")
@router.get("/v1/healthz", summary="Alive", include_in_schema=False)
async def healthz() -> Alive:
    """Say that the process answers, and nothing about what it depends on."""
    return Alive(status="alive")


@router.get(
    "/readyz",
    summary="Ready",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "At least one check is red."}},
)
@router.get("/v1/readyz", summary="Ready", response_model=Readiness, include_in_schema=False)
async def readyz(
    request: Request,
    services: ServicesDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Response:
    """Check database, migrations, AWS identity, foundation, engine and worker; 503 when one is red.

    What AWS said is told for some seconds without asking again. The AWS identity itself is told
    only to callers with a valid token.
    """
    outlook = request.app.state.outlook
    assert isinstance(outlook, AwsOutlook)
    found = await outlook.look()
    checks = await run_sync(
        _checks, request, services, credentials, found, limiter=threads_of(request).probes
    )
    ready = Readiness(ready=all(check.ok for check in checks), checks=checks)
    return JSONResponse(ready.model_dump(mode="json"), 200 if ready.ready else 503)


@router.get("/problems", summary="All problem types", response_class=HTMLResponse)
async def list_problems() -> HTMLResponse:
    """Describe every problem type on one page."""
    return page("Problems", "".join(map(_entry, problems.CATALOGUE.values())))


@router.get(
    "/problems/{name}",
    summary="One problem type",
    response_class=HTMLResponse,
    responses=documented(problems.NOT_FOUND, problems.INVALID_PARAMETER, public=True),
)
async def read_problem(name: str) -> HTMLResponse:
    """Describe one problem type: the page behind its `type` URI (RFC 9457)."""
    kind = problems.CATALOGUE.get(name)
    if kind is None:
        raise Problem(problems.NOT_FOUND, "There is no such problem type.")
    return page(kind.title, _entry(kind))


def _checks(
    request: Request,
    services: Services,
    credentials: HTTPAuthorizationCredentials | None,
    found: AreasReadiness | None,
) -> list[Check]:
    checks = _database_checks(services)
    known = _is_known(request, services, credentials) if all(c.ok for c in checks) else False
    checks += [_disk_check(services), _key_check(services)]
    checks += _area_checks(services, found, known)
    return checks + _work_checks(services)


def _is_known(
    request: Request, services: Services, credentials: HTTPAuthorizationCredentials | None
) -> bool:
    if credentials is None:
        return False
    return caller_behind(request, services, credentials.credentials) is not None


def _database_checks(services: Services) -> list[Check]:
    try:
        require_migrated(services.database)
    except (DatabaseNotMigrated, DatabaseTooNew) as error:
        return [
            Check(name="database", ok=True, detail="answers"),
            Check(name="migrations", ok=False, detail=str(error)),
        ]
    except SQLAlchemyError:
        return [
            Check(name="database", ok=False, detail="does not answer; check HANDOVER_DATABASE_URL"),
            Check(name="migrations", ok=False, detail="not known while the database is away"),
        ]
    return [
        Check(name="database", ok=True, detail="answers"),
        Check(name="migrations", ok=True, detail="up to date"),
    ]


def _area_checks(services: Services, found: AreasReadiness | None, known: bool) -> list[Check]:
    if found is None:
        away = "AWS does not answer in time"
        return [
            Check(name="engine", ok=True, detail=services.areas.stacks.engine),
            Check(name="aws_identity", ok=False, detail=away),
            Check(name="foundation", ok=False, detail=f"not known: {away}"),
        ]
    trouble = " ".join(found.problems) if known or services.settings.local else ""
    # Throttled it tells nothing, and is there: taken out of a balancer the API could cut no key.
    busy = "not known: AWS asks for fewer calls" if found.throttled else ""
    identity = found.identity_arn if known and found.identity_arn else f"answers in {found.region}"
    refused, missing = "AWS refuses or cannot be reached", "not there; run `handover foundation up`"
    there = found.identity_arn is not None
    return [
        Check(name="engine", ok=True, detail=f"{found.engine} {found.engine_version}"),
        Check(
            name="aws_identity",
            ok=there or found.throttled,
            detail=identity if there else trouble or busy or refused,
        ),
        Check(
            name="foundation",
            ok=found.foundation or found.throttled,
            detail="applied" if found.foundation else trouble or busy or missing,
        ),
    ]


def _disk_check(services: Services) -> Check:
    low = low_places(services.settings)
    floor = services.settings.disk_floor_mb
    detail = f"less than {floor} MB are free; no area is opened" if low else f"over {floor} MB free"
    return Check(name="disk", ok=not low, detail=detail)


def _key_check(services: Services) -> Check:
    trouble = key_file_trouble(services.settings)
    lost = trouble is not None
    detail = "missing or can't be used; put HANDOVER_KEYRING_FILE back" if lost else "there"
    return Check(name="sealing_keys", ok=not lost, detail=detail)


def _work_checks(services: Services) -> list[Check]:
    alive = services.dispatcher.alive()
    try:
        with transaction(services.database, write=False) as session:
            names = [worker.name for worker in live_workers(session) if not worker.draining]
            away, waiting = aws_away_since(session), depth(session)
            stands, left = clock_stands_since(session), given_up(session)
    except SQLAlchemyError:
        return [Check(name="worker", ok=alive, detail="not known while the database is away")]
    works = "works" if alive else f"{len(names)} work elsewhere"
    limit = services.settings.queue_limit
    room = "" if waiting < limit else "; no area is opened until it is shorter"
    gone = f"AWS has not answered since {away:%Y-%m-%dT%H:%M:%SZ}; operations wait" if away else ""
    return [
        Check(
            name="worker",
            ok=alive or bool(names),
            detail=works if alive or names else "no worker runs; start `handover worker`",
        ),
        Check(name="queue", ok=True, detail=f"{waiting} of at most {limit} unfinished{room}"),
        Check(name="aws_circuit", ok=away is None, detail=gone or "closed"),
        Check(name="clock", ok=stands is None, detail=_of_clock(stands, left)),
    ]


def _of_clock(stands: datetime | None, left: int) -> str:
    if stands is None:
        return f"goes; keys whose due work it gave up: {left}; see the audit" if left else "goes"
    return (
        f"has stood still since {stands:%Y-%m-%dT%H:%M:%SZ}; no end of validity and no due key is "
        "looked after; see the log, and start the worker again"
    )


def _entry(kind: ProblemType) -> str:
    name = f"<code>{escape(kind.name)}</code> ({kind.status})"
    return f"<h2>{name}</h2><p>{prose(kind.title)}.</p><p>{prose(kind.remedy)}</p>"
