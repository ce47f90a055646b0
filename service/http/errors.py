"""Renders every answer that is not a success as `application/problem+json` (RFC 9457)."""

import logging
import re
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from starlette.exceptions import HTTPException

from models.sealing import SealingError
from service import problems
from service.http.routes import allowed_methods
from service.machine import database_problem
from service.problems import FieldError, Problem, describe

_log = logging.getLogger("handover.http")
MEDIA_TYPE = "application/problem+json"

_WORDS = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "model_attributes_type": "must be an object",
    "model_type": "must be an object",
    "dict_type": "must be an object",
}
_UNION_TAGS = frozenset({"parts", "full"})


def problem_response(problem: Problem, request_id: str) -> Response:
    """Return the answer for a problem; `instance` names the request, as the log does."""
    kind = problem.problem
    document: dict[str, Any] = {
        "type": kind.uri,
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "instance": f"urn:handover:request:{request_id}",
    }
    if problem.errors:
        document["errors"] = [_error_document(error) for error in problem.errors]
    document |= problem.members
    return JSONResponse(document, kind.status, headers=problem.headers, media_type=MEDIA_TYPE)


def request_id_of(request: Request) -> str:
    """Return the id that the outermost middleware gave to the request."""
    return str(request.state.request_id)


def install(app: FastAPI) -> None:
    """Register the handlers for problems, invalid requests, unknown addresses and a lost
    database.
    """
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(OperationalError, _on_lost_database)
    app.add_exception_handler(InterfaceError, _on_lost_database)
    # What PostgreSQL calls a write in a read-only transaction.
    app.add_exception_handler(InternalError, _on_lost_database)
    app.add_exception_handler(SealingError, _on_lost_keys)


def _error_document(error: FieldError) -> dict[str, str]:
    return {"field": error.field, "reason": error.reason, **error.suggestion}


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error, request_id_of(request))


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(_invalid(error.errors()), request_id_of(request))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == problems.METHOD_NOT_ALLOWED.status:
        return _method_not_allowed(request)
    kind = {
        400: problems.MALFORMED_BODY,
        401: problems.UNAUTHENTICATED,
        404: problems.NOT_FOUND,
    }.get(error.status_code, problems.INTERNAL_ERROR)
    detail = "There is nothing at this address." if error.status_code == 404 else kind.title + "."
    return problem_response(Problem(kind, detail), request_id_of(request))


async def _on_lost_database(request: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError)
    _log.error("request %s: the database failed: %s", request_id_of(request), error)
    return problem_response(database_problem(error), request_id_of(request))


async def _on_lost_keys(request: Request, error: Exception) -> Response:
    # Its sentence names files of the server: for the log, not for the caller.
    _log.error("request %s: %s", request_id_of(request), error)
    problem = Problem(
        problems.SEALING_KEYS_LOST,
        "What is sealed can't be opened: the sealing keys are amiss.",
        headers={"Retry-After": "30"},
    )
    return problem_response(problem, request_id_of(request))


def _method_not_allowed(request: Request) -> Response:
    # Starlette's own Allow names the methods of the first route at this address only.
    allow = ", ".join(allowed_methods(request.url.path))
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": allow})
    problem = Problem(
        problems.METHOD_NOT_ALLOWED,
        f"{request.method} is not known here; this address answers {allow}.",
        headers={"Allow": allow},
    )
    return problem_response(problem, request_id_of(request))


def _invalid(errors: Sequence[Any]) -> Problem:
    if any(error["type"] == "json_invalid" for error in errors):
        return Problem(problems.MALFORMED_BODY, "The body could not be read as JSON.")
    fields = tuple(FieldError(_path(error["loc"]), _reason(error)) for error in errors)
    kind = (
        problems.INVALID_REQUEST
        if any(error["loc"][0] == "body" for error in errors)
        else problems.INVALID_PARAMETER
    )
    return Problem(kind, describe(fields), errors=fields)


def _path(location: Sequence[Any]) -> str:
    steps = [step for step in location[1:] if step not in _UNION_TAGS]
    path = ".".join(str(step) for step in steps) or "body"
    # Unknown field names are the caller's own text: print them only as far as they are plain.
    return re.sub(r"[^A-Za-z0-9_.\-]", "?", path)[:120]


def _reason(error: Any) -> str:
    if words := _WORDS.get(error["type"]):
        return words
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message.removeprefix("Input should").removeprefix("String should")
    return f"should{message}" if message != error["msg"] and message[:1] == " " else message
