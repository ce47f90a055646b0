"""What the OpenAPI document says beyond what the routes' types say: problems, headers, examples."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from service import problems
from service.http.documents import ProblemDocument
from service.http.errors import MEDIA_TYPE
from service.problems import ProblemType

Responses = dict[int | str, dict[str, Any]]

DESCRIPTION = """
Opens a private storage area for each client under contract, hands over its key as a protected
PDF record, and closes it again.

Changes to an area are operations: the answer is 202 with `Location`, and the operation can be
polled, followed as server-sent events, or waited for with `Prefer: wait=N`. Every problem is
`application/problem+json` with a stable `type`, which is also the address of its description.
"""

_REFERENCE = {"$ref": "#/components/schemas/ProblemDocument"}
_ALWAYS = (
    problems.UNAUTHENTICATED,
    problems.INTERNAL_ERROR,
    problems.DATABASE_UNAVAILABLE,
    problems.STORAGE_FULL,
    problems.DATABASE_READ_ONLY,
    problems.SEALING_KEYS_LOST,
)

FOLLOW_HEADERS = {
    "Location": {"description": "Where to follow the operation.", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds until it is worth looking again.",
        "schema": {"type": "integer"},
    },
    "Preference-Applied": {
        "description": "The wait that was honoured.",
        "schema": {"type": "string"},
    },
}
PDF_CONTENT = {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}


def documented(*kinds: ProblemType, public: bool = False) -> Responses:
    """Return the `responses` of a route that can answer these problems, besides those of every
    route.
    """
    by_status: dict[int | str, list[ProblemType]] = {}
    for kind in (*kinds, *(() if public else _ALWAYS)):
        by_status.setdefault(kind.status, []).append(kind)
    return {status: _response(found) for status, found in by_status.items()}


def operation_id(route: APIRoute) -> str:
    """Return the id of a route in the document: the name of its function."""
    return route.name


def install(app: FastAPI) -> None:
    """Let the document name the schema of problems, which no route has as its model."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document["components"]["schemas"]
        schema = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas["ProblemDocument"] = schema
        return document

    replaced: Callable[[], dict[str, Any]] = openapi
    app.openapi = replaced  # type: ignore[method-assign]  # the documented way to extend it


def _response(kinds: list[ProblemType]) -> dict[str, Any]:
    return {
        "description": " / ".join(kind.title for kind in kinds),
        "content": {
            MEDIA_TYPE: {"schema": _REFERENCE, "examples": {k.name: _example(k) for k in kinds}}
        },
    }


def _example(kind: ProblemType) -> dict[str, Any]:
    return {
        "summary": kind.title,
        "description": kind.remedy,
        "value": {
            "type": kind.uri,
            "title": kind.title,
            "status": kind.status,
            "detail": kind.title + ".",
            "instance": "urn:handover:request:9f2c41c8b7a94d0fb1f0c6a6c3f0e2d1",
        },
    }
