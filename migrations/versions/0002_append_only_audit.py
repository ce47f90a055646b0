"""Triggers that keep the audit chain append-only and in order (RX-17, RX-41)."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

GENESIS = "0" * 64

# SQLite removes rows for INSERT OR REPLACE without firing DELETE triggers; the INSERT trigger
# stands in the way of that, because a replaced row is never the next one of the chain.
SQLITE = (
    """
    CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
    BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END
    """,
    """
    CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
    BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END
    """,
    f"""
    CREATE TRIGGER audit_events_in_order BEFORE INSERT ON audit_events
    WHEN NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM audit_events)
      OR NEW.previous_hash <> coalesce(
        (SELECT hash FROM audit_events ORDER BY sequence DESC LIMIT 1), '{GENESIS}')
    BEGIN SELECT RAISE(ABORT, 'an audit event must follow the last one of the chain'); END
    """,  # noqa: S608 - the one value put in is the constant above
)
POSTGRESQL = (
    """
    CREATE FUNCTION audit_events_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'audit events are append-only';
    END $$
    """,
    f"""
    CREATE FUNCTION audit_events_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM audit_events)
        OR NEW.previous_hash <> coalesce(
          (SELECT hash FROM audit_events ORDER BY sequence DESC LIMIT 1), '{GENESIS}')
      THEN
        RAISE EXCEPTION 'an audit event must follow the last one of the chain';
      END IF;
      RETURN NEW;
    END $$
    """,  # noqa: S608 - the one value put in is the constant above
    """
    CREATE TRIGGER audit_events_no_change BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_events_refuse()
    """,
    """
    CREATE TRIGGER audit_events_no_truncate BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_refuse()
    """,
    """
    CREATE TRIGGER audit_events_in_order BEFORE INSERT ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_events_in_order()
    """,
)


def upgrade() -> None:
    connection = op.get_bind()
    for statement in POSTGRESQL if connection.dialect.name == "postgresql" else SQLITE:
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    """Refused: an older state of the database is a backup of it."""
    raise NotImplementedError("Restore a backup made before the upgrade instead.")
