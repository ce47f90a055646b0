"""Runs migrations on the connection that `models.database` hands over, in its transaction."""

from alembic import context
from sqlalchemy import Connection

from models import Table


def main() -> None:
    """Run the wanted revisions; the caller commits."""
    connection = context.config.attributes.get("connection")
    if not isinstance(connection, Connection):
        raise TypeError("Migrations need a database connection. Run: handover db upgrade")
    if connection.dialect.name == "postgresql":
        # Rather fail and be run again than keep the running service waiting behind us.
        connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        # SQLite alters a table by making it anew.
        render_as_batch=connection.dialect.name == "sqlite",
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


main()
