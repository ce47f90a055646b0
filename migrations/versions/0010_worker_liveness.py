"""Where each worker keeps its Pulumi state, and since when its circuit to AWS is open."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workers", sa.Column("backend", sa.String(512)))
    op.add_column("workers", sa.Column("circuit_open_since", sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Refused: an older state of the database is a backup of it."""
    raise NotImplementedError("Restore a backup made before the upgrade instead.")
