"""Approvals of operations, and delegations."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_approvals()
    _create_delegations()
    _create_decisions()


def downgrade() -> None:
    """Refused: an older state of the database is a backup of it."""
    raise NotImplementedError("Restore a backup made before the upgrade instead.")


def _moment(name: str, *, nullable: bool = False) -> sa.Column[sa.DateTime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _refers(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column],
        [f"{to}.id"],
        name=f"fk_{table}_{column}_{to}",
        deferrable=True,
        initially="DEFERRED",
    )


def _create_approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("operation_id", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("condition", sa.String(32), nullable=False),
        sa.Column("value", sa.String(64)),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("needed", sa.Integer(), nullable=False),
        sa.Column("alternate", sa.String(32), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=False),
        _moment("requested_at"),
        _moment("expires_at"),
        _moment("ended_at", nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.CheckConstraint("needed >= 1", name=op.f("ck_approvals_needed_is_positive")),
        _refers("approvals", "operation_id", "operations"),
        _refers("approvals", "client_id", "clients"),
        _refers("approvals", "requested_by", "actors"),
        sa.PrimaryKeyConstraint("id", name="pk_approvals"),
        sa.UniqueConstraint("operation_id", "rule", name="uq_approvals_operation_id_rule"),
    )
    op.create_index("ix_approvals_client_id", "approvals", ["client_id"])
    op.create_index("ix_approvals_requested_at_id", "approvals", ["requested_at", "id"])
    op.create_index(
        "ix_approvals_waiting",
        "approvals",
        ["expires_at"],
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )


def _create_delegations() -> None:
    op.create_table(
        "delegations",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("actor_id", sa.String(), nullable=False),
        sa.Column("delegated_by", sa.String(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        _moment("created_at"),
        _moment("revoked_at", nullable=True),
        sa.Column("revoked_by", sa.String()),
        sa.CheckConstraint(
            "valid_from <= valid_until", name=op.f("ck_delegations_begins_before_it_ends")
        ),
        _refers("delegations", "actor_id", "actors"),
        _refers("delegations", "delegated_by", "actors"),
        _refers("delegations", "revoked_by", "actors"),
        sa.PrimaryKeyConstraint("id", name="pk_delegations"),
    )
    op.create_index("ix_delegations_actor_id", "delegations", ["actor_id"])
    op.create_index("ix_delegations_created_at_id", "delegations", ["created_at", "id"])


def _create_decisions() -> None:
    op.create_table(
        "approval_decisions",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("approval_id", sa.String(), nullable=False),
        sa.Column("actor_id", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(32), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("delegation_id", sa.String(32)),
        sa.Column("reason", sa.String(), nullable=False),
        _moment("decided_at"),
        _refers("approval_decisions", "approval_id", "approvals"),
        _refers("approval_decisions", "actor_id", "actors"),
        _refers("approval_decisions", "delegation_id", "delegations"),
        sa.PrimaryKeyConstraint("id", name="pk_approval_decisions"),
        sa.UniqueConstraint(
            "approval_id", "actor_id", name="uq_approval_decisions_approval_id_actor_id"
        ),
    )
