"""What Pulumi stacks put out, kept for reading without an engine. Never a secret."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, UniqueConstraint

from models.base import JsonColumn, Table, UtcDateTime, new_id, references, utc_now


class StackOutput(Table, table=True):
    """One output of one stack; `client_id` is None for the foundation's."""

    __tablename__ = "stack_outputs"
    __table_args__ = (UniqueConstraint("project", "stack", "name"),)

    id: str = Field(default_factory=new_id, primary_key=True, max_length=32)
    client_id: str | None = Field(default=None, sa_column_args=references("clients.id"), index=True)
    project: str = Field(max_length=100)
    stack: str = Field(max_length=100)
    name: str = Field(max_length=100)
    value: Any = Field(default=None, sa_type=JsonColumn, nullable=True)
    recorded_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
