"""Approvals of the record's template (SP-08, SP-29, SP-30)."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "template_approvals",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("template_version", sa.String(32), nullable=False),
        sa.Column("step", sa.String(32), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("actor_id", sa.String(), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("commit_id", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["actor_id"],
            ["actors.id"],
            name="fk_template_approvals_actor_id_actors",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("id", name="pk_template_approvals"),
        sa.UniqueConstraint(
            "template_version", "step", name="uq_template_approvals_template_version_step"
        ),
        sa.UniqueConstraint(
            "template_version", "actor_id", name="uq_template_approvals_template_version_actor_id"
        ),
    )


def downgrade() -> None:
    """Refused: an older state of the database is a backup of it."""
    raise NotImplementedError("Restore a backup made before the upgrade instead.")
