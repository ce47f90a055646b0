"""Delivery of records: one-time links, messages, receipts; the code of a record's password."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _record_links()
    _delivery_events()
    _mails()
    _receipts()
    op.add_column("records", sa.Column("code", sa.LargeBinary()))
    op.add_column("records", sa.Column("code_shown_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Refused: an older state of the database is a backup of it."""
    raise NotImplementedError("Restore a backup made before the upgrade instead.")


def _refers(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column],
        [f"{to}.id"],
        name=f"fk_{table}_{column}_{to}",
        deferrable=True,
        initially="DEFERRED",
    )


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _record_links() -> None:
    op.create_table(
        "record_links",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("access_key_row_id", sa.String(), nullable=False),
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        _moment("created_at"),
        _moment("expires_at"),
        _moment("downloaded_at", nullable=True),
        _moment("confirmed_at", nullable=True),
        _refers("record_links", "client_id", "clients"),
        _refers("record_links", "access_key_row_id", "access_keys"),
        _refers("record_links", "created_by", "actors"),
        sa.PrimaryKeyConstraint("id", name="pk_record_links"),
        sa.UniqueConstraint("token_sha256", name="uq_record_links_token_sha256"),
    )
    op.create_index(
        "ix_record_links_client_id_created_at", "record_links", ["client_id", "created_at"]
    )


def _delivery_events() -> None:
    op.create_table(
        "delivery_events",
        sa.Column("id", COUNTER, nullable=False),
        sa.Column("link_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        _moment("at"),
        sa.Column("network", sa.String(64)),
        _refers("delivery_events", "link_id", "record_links"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery_events"),
    )
    op.create_index("ix_delivery_events_link_id", "delivery_events", ["link_id"])


def _mails() -> None:
    op.create_table(
        "mails",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("link_id", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("link", sa.LargeBinary()),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failure", sa.String()),
        _moment("next_attempt_at"),
        _moment("created_at"),
        _moment("sent_at", nullable=True),
        _refers("mails", "link_id", "record_links"),
        sa.PrimaryKeyConstraint("id", name="pk_mails"),
    )
    op.create_index("ix_mails_state_next_attempt_at", "mails", ["state", "next_attempt_at"])


def _receipts() -> None:
    op.create_table(
        "receipts",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("access_key_row_id", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("how", sa.String(32), nullable=False),
        _moment("at"),
        _moment("erase_at"),
        _moment("erased_at", nullable=True),
        _refers("receipts", "access_key_row_id", "access_keys"),
        _refers("receipts", "client_id", "clients"),
        sa.PrimaryKeyConstraint("id", name="pk_receipts"),
        sa.UniqueConstraint("access_key_row_id", name="uq_receipts_access_key_row_id"),
    )
    op.create_index("ix_receipts_client_id", "receipts", ["client_id"])
    op.create_index("ix_receipts_erase_at", "receipts", ["erase_at"])
