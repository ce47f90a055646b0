"""Webhooks out: endpoints, messages and their deliveries."""

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    """Refused: an older state of the database is a backup of it."""
    raise NotImplementedError("Restore a backup made before the upgrade instead.")
