"""Workers: the processes that carry out operations, each under a stable name."""

from datetime import datetime

from sqlmodel import Field

from models.base import Table, UtcDateTime, utc_now


class WorkerRow(Table, table=True):
    """One worker as it was last seen. `draining`: it ends what it has and takes nothing new."""

    __tablename__ = "workers"

    name: str = Field(primary_key=True, max_length=64)
    version: str = Field(max_length=32)
    host: str = Field(max_length=255)
    process_id: int
    draining: bool = False
    started_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    seen_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    stopped_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
