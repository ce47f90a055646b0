"""Webhooks in: connections and the events they brought."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)


def upgrade() -> None:
    _connections()
    _events()


def downgrade() -> None:
    """Refused: an older state of the database is a backup of it."""
    raise NotImplementedError("Restore a backup made before the upgrade instead.")


def _reference(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column],
        [f"{other}.id"],
        name=f"fk_{table}_{column}_{other}",
        deferrable=True,
        initially="DEFERRED",
    )


def _connections() -> None:
    table = "webhook_connections"
    op.create_table(
        table,
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("actor_id", sa.String(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("previous_secret", sa.LargeBinary()),
        sa.Column("previous_until", sa.DateTime(timezone=True)),
        sa.Column("username", sa.String(64)),
        sa.Column("signed_value", sa.String(100)),
        sa.Column("mapping", _JSON, nullable=False),
        sa.Column("api_url", sa.String(200)),
        sa.Column("credential", sa.LargeBinary()),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_connections"),
        sa.UniqueConstraint("name", name="uq_webhook_connections_name"),
        _reference(table, "actor_id", "actors"),
    )


def _events() -> None:
    table = "webhook_events"
    op.create_table(
        table,
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("dedupe_key", sa.String(64), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("missing", _JSON, nullable=False),
        sa.Column("mapped", sa.Text()),
        sa.Column("completion", sa.Text()),
        sa.Column("completed_by", sa.String()),
        sa.Column("operation_id", sa.String()),
        sa.Column("client_id", sa.String()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True)),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_events"),
        sa.UniqueConstraint(
            "connection_id", "dedupe_key", name="uq_webhook_events_connection_id_dedupe_key"
        ),
        _reference(table, "connection_id", "webhook_connections"),
        _reference(table, "completed_by", "actors"),
        _reference(table, "operation_id", "operations"),
        _reference(table, "client_id", "clients"),
    )
    op.create_index("ix_webhook_events_state_due_at", table, ["state", "due_at"])
    op.create_index("ix_webhook_events_received_at_id", table, ["received_at", "id"])
    op.create_index("ix_webhook_events_operation_id", table, ["operation_id"])
