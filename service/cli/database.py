"""``handover db``: the database's schema."""

import typer

from models.database import current, head, upgrade
from service.assembly import open_database
from service.cli.output import JsonFlag, show
from service.settings import Settings

app = typer.Typer(help="The database's schema.", no_args_is_help=True)


@app.command("upgrade")
def upgrade_command(as_json: JsonFlag = False) -> None:
    """Bring the database up to what this program needs; safe to run again."""
    settings = Settings()
    open_database(settings).dispose()
    revision = upgrade(settings.database)
    show(
        {"revision": revision},
        as_json=as_json,
        text=f"The database is at revision {revision}.",
    )


@app.command("status")
def status_command(as_json: JsonFlag = False) -> None:
    """Show the revision of the database, and the one that this program needs."""
    database = open_database(Settings())
    try:
        found = current(database)
    finally:
        database.dispose()
    wanted = head()
    behind = "" if found == wanted else " Run `handover db upgrade`."
    show(
        {"revision": found, "needed": wanted, "ready": found == wanted},
        as_json=as_json,
        text=f"The database is at {found or 'no revision'}, this program needs {wanted}.{behind}",
    )
