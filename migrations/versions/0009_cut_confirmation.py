"""Since when AWS holds the cut of a suspended client, and why it was resumed."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("clients", sa.Column("cut_at", sa.DateTime(timezone=True)))
    op.add_column("clients", sa.Column("resumed_reason", sa.String()))


def downgrade() -> None:
    """Refused: an older state of the database is a backup of it."""
    raise NotImplementedError("Restore a backup made before the upgrade instead.")
