"""``handover reconcile``: what AWS and the records disagree on, and putting it right."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from models.database import transaction
from models.operations import UNFINISHED, Operation
from service.accounts import ensure_operator
from service.assembly import aws_environment, running
from service.cli.output import JsonFlag, show
from service.cli.scope import DataOption
from service.context import Services
from service.local import local_service
from service.reconcile import Finding, Mended, mend, survey
from service.reconcile.mend import REMOVE_AT_MOST
from service.settings import Settings
from service.wishes import Requester

PATIENCE_SECONDS = 600
_LOOK_SECONDS = 0.2


def reconcile(
    put_right: Annotated[
        bool, typer.Option("--mend", help="Put right what needs no decision.")
    ] = False,
    remove_at_most: Annotated[
        int,
        typer.Option(
            min=0, help="How many areas may be taken away; more look like the wrong database."
        ),
    ] = REMOVE_AT_MOST,
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List what AWS and the records disagree on; status 1 while something is left to be done.

    Mending only ever takes access away, or starts a repair or a closing. What lacks our tag is
    never touched. With --data the local service must not run: ask its API instead.
    """
    with _services(data, working=put_right) as services:
        found = survey(services)
        if not put_right:
            _show(found, [], as_json=as_json)
            raise typer.Exit(1 if found else 0)
        with transaction(services.database) as session:
            requester = Requester(ensure_operator(session).id)
        mended = mend(services, found, requester, remove_at_most=remove_at_most)
        if data is not None:
            _await_end(services, mended)
    _show(found, mended, as_json=as_json)
    raise typer.Exit(0 if all(each.done for each in mended) else 1)


@contextmanager
def _services(data: Path | None, *, working: bool) -> Iterator[Services]:
    if data is not None:
        with local_service(data, worker=working) as local:
            yield local.runtime.services
    else:
        settings = Settings()
        # The operations that mending starts are the running service's to carry out.
        with running(settings, aws_environment(settings), worker=False) as runtime:
            yield runtime.services


def _await_end(services: Services, mended: Sequence[Mended]) -> None:
    """Wait until the operations have ended: with this process their worker ends."""
    started = {each.operation_id for each in mended if each.operation_id}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while started and time.monotonic() < deadline:
        with transaction(services.database, write=False) as session:
            states = {id_: session.get_one(Operation, id_).state for id_ in started}
        started = {id_ for id_, state in states.items() if state in UNFINISHED}
        time.sleep(_LOOK_SECONDS if started else 0)


def _show(found: Sequence[Finding], mended: Sequence[Mended], *, as_json: bool) -> None:
    rows = [_row(finding) for finding in found] if not mended else [*map(_outcome, mended)]
    text = "\n".join(map(_line, rows)) or "AWS and the records agree."
    show({"agreed": not found, "findings": rows}, as_json=as_json, text=text)


def _row(finding: Finding) -> dict[str, Any]:
    return {
        "client": finding.slug,
        "kind": finding.kind.value,
        "detail": finding.detail,
        "subject": finding.subject,
        "remedy": finding.remedy.value,
    }


def _outcome(mended: Mended) -> dict[str, Any]:
    operation = {"operation": mended.operation_id} if mended.operation_id else {}
    return _row(mended.finding) | {"done": mended.done, "outcome": mended.outcome} | operation


def _line(row: dict[str, Any]) -> str:
    told = f"{row['client']}: {row['detail']}"
    if "outcome" in row:
        return f"{'ok ' if row['done'] else 'RED'} {told}\n    → {row['outcome']}"
    needs = "look at it yourself" if row["remedy"] == "none" else f"--mend: {row['remedy']}"
    return f"{told}\n    → {needs.replace('_', ' ')}"
