"""How often the clock's work on a key failed."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With a value for the rows that are there already, and none for those to come.
    op.add_column(
        "access_keys", sa.Column("failed_tries", sa.Integer(), nullable=False, server_default="0")
    )
    with op.batch_alter_table("access_keys") as table:
        table.alter_column("failed_tries", server_default=None)


def downgrade() -> None:
    """Refused: an older state of the database is a backup of it."""
    raise NotImplementedError("Restore a backup made before the upgrade instead.")
