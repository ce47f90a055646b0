"""Queue, cancel, retry and deadlines of operations; suspension, rotation timers; workers."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _operations()
    _clients()
    _access_keys()
    _workers()


def downgrade() -> None:
    """Refused: an older state of the database is a backup of it."""
    raise NotImplementedError("Restore a backup made before the upgrade instead.")


def _operations() -> None:
    for column, value in (("priority", "10"), ("run", "1"), ("event_count", "0")):
        # With a value for the rows that are there already, and none for those to come.
        op.add_column(
            "operations", sa.Column(column, sa.Integer(), nullable=False, server_default=value)
        )
    op.execute(
        "UPDATE operations SET event_count = (SELECT count(*) FROM operation_events "
        "WHERE operation_events.operation_id = operations.id)"
    )
    with op.batch_alter_table("operations") as table:
        for column in ("priority", "run", "event_count"):
            table.alter_column(column, server_default=None)
        table.add_column(sa.Column("worker", sa.String(64)))
        table.add_column(sa.Column("waiting_for", sa.String()))
        table.add_column(sa.Column("deadline_at", sa.DateTime(timezone=True)))
        table.add_column(sa.Column("cancel_requested_at", sa.DateTime(timezone=True)))
        table.add_column(sa.Column("cancel_mode", sa.String(32)))
        table.drop_index("ix_operations_state_created_at")
        table.create_index(
            "ix_operations_state_priority_created_at", ["state", "priority", "created_at"]
        )


def _clients() -> None:
    op.add_column("clients", sa.Column("suspended_at", sa.DateTime(timezone=True)))
    op.add_column("clients", sa.Column("suspended_reason", sa.String()))
    op.add_column("clients", sa.Column("expiry_warned_days", sa.Integer()))


def _access_keys() -> None:
    for column in ("turn_off_at", "delete_at", "aged_at"):
        op.add_column("access_keys", sa.Column(column, sa.DateTime(timezone=True)))


def _workers() -> None:
    op.create_table(
        "workers",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("process_id", sa.Integer(), nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("name", name="pk_workers"),
    )
