"""``handover keys``: the keys that seal secrets in the database."""

import typer

from models.sealing import Keyring
from service.cli.output import JsonFlag, show
from service.settings import Settings

app = typer.Typer(help="The keys that seal secrets in the database.", no_args_is_help=True)


@app.command("generate")
def generate(as_json: JsonFlag = False) -> None:
    """Make the key file that HANDOVER_KEYRING_FILE names; an existing one is never overwritten."""
    file = Settings().keyring
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    keyring = Keyring.generate(file)
    show(
        {"file": str(file), "primary": keyring.primary},
        as_json=as_json,
        text=(
            f"Made {file}, key {keyring.primary}. Back it up apart from the database: without it "
            "no record can be issued again."
        ),
    )
