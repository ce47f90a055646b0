"""`GET /v1/queue`: how much work waits, for how long, and which workers live."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import Field

from models.database import transaction
from models.operations import OperationState
from models.workers import WorkerRow, database_now
from service import problems
from service.http.dependencies import Admin, ServicesDep
from service.http.documents import Document
from service.http.openapi import documented
from service.queue import aws_away_since, depths, rate, workers
from service.rotation.postponing import given_up

router = APIRouter(prefix="/v1/queue", tags=["health"])


class DepthDocument(Document):
    """Operations of one state and priority."""

    state: OperationState
    priority: str = Field(examples=["urgent"])
    count: int


class WorkerDocument(Document):
    """A worker as it was last seen."""

    name: str
    version: str
    host: str
    process_id: int
    alive: bool = Field(description="False when it has stopped or gives no sign of life.")
    draining: bool = Field(description="It ends what it has and takes nothing new.")
    aws_away_since: datetime | None = Field(description="Since when AWS does not answer it.")
    clock_stands_since: datetime | None = Field(
        description="Since when its clock does not look after all that falls due."
    )
    started_at: datetime
    seen_at: datetime
    stopped_at: datetime | None


class QueueDocument(Document):
    """The queue of operations, and who works on it."""

    unfinished: int = Field(description="Operations awaiting approval, pending or running.")
    limit: int = Field(description="Past it no new area is opened (429).")
    depths: list[DepthDocument]
    oldest_seconds: float | None = Field(description="Age of the oldest pending operation.")
    ended_per_second: float = Field(description="Over the last minute.")
    aws_away_since: datetime | None = Field(description="Operations wait while AWS is away.")
    keys_given_up: int = Field(
        description="Keys for which the clock has given up what is due: repair their clients."
    )
    workers: list[WorkerDocument]


@router.get("", summary="The queue", responses=documented(problems.INSUFFICIENT_SCOPE))
def read_queue(services: ServicesDep, _caller: Admin) -> QueueDocument:
    """Tell depth by state and priority, the age of the oldest, and the workers with their life."""
    with transaction(services.database, write=False) as session:
        found = depths(session)
        pending = [row.oldest_at for row in found if row.state is OperationState.pending]
        age = database_now(session) - min(pending) if pending else None
        return QueueDocument(
            unfinished=sum(row.count for row in found),
            limit=services.settings.queue_limit,
            depths=[
                DepthDocument(state=row.state, priority=row.priority.name, count=row.count)
                for row in found
            ],
            oldest_seconds=round(max(0.0, age.total_seconds()), 3) if age is not None else None,
            ended_per_second=round(rate(session), 3),
            aws_away_since=aws_away_since(session),
            keys_given_up=given_up(session),
            workers=[_worker(row, alive) for row, alive in workers(session)],
        )


def _worker(row: WorkerRow, alive: bool) -> WorkerDocument:
    return WorkerDocument(
        alive=alive,
        aws_away_since=row.circuit_open_since,
        **row.model_dump(exclude={"circuit_open_since", "backend"}),
    )
