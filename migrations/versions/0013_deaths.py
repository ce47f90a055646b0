"""In which operations a worker died, and when each ended, to be counted quickly."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With a value for the rows that are there already, and none for those to come.
    counter = sa.Column("deaths", sa.Integer(), nullable=False, server_default="0")
    op.add_column("operations", counter)
    mark = sa.Column("under_way", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("operations", mark)
    with op.batch_alter_table("operations") as table:
        table.alter_column("deaths", server_default=None)
        table.alter_column("under_way", server_default=None)
        table.create_index("ix_operations_finished_at", ["finished_at"])


def downgrade() -> None:
    """Refused: an older state of the database is a backup of it."""
    raise NotImplementedError("Restore a backup made before the upgrade instead.")
