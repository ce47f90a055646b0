"""``handover backup``, ``handover restore`` and ``handover reconcile``."""

from pathlib import Path
from typing import Annotated

import typer

from service.backup import restore_backup, restore_local, take_backup, verify_backup
from service.cli.output import JsonFlag, refuse, show
from service.cli.scope import DataOption, settings_for
from service.settings import LocalSettings, Settings

app = typer.Typer(help="Take a backup while work goes on, and check one.")


@app.callback(invoke_without_command=True)
def take(
    context: typer.Context,
    to: Annotated[
        Path | None, typer.Option(help="A folder, or a file whose name ends in .tar.gz.")
    ] = None,
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Copy database, operations, engine state and wrapped sealing keys into one file.

    Needs HANDOVER_BACKUP_PASSPHRASE. What the engine keeps elsewhere than in a folder, and AWS
    itself, are not part of it.
    """
    if context.invoked_subcommand is not None:
        return
    if to is None:
        refuse("to", "Say where to: handover backup --to FOLDER", as_json=as_json)
    if data is not None and not (data / "handover.db").exists():
        refuse("data", f"There is no local service in {data}.", as_json=as_json)
    taken = take_backup(settings_for(data), to)
    head = taken.manifest.audit_head
    anchor = f"{head.sequence} {head.hash}" if head else "no event yet"
    show(
        {
            "file": str(taken.file),
            "sha256": taken.sha256,
            "manifest": taken.manifest.model_dump(mode="json", exclude={"files"}),
        },
        as_json=as_json,
        text="\n".join(
            (
                f"Wrote {taken.file}",
                f"SHA-256     {taken.sha256}",
                f"Audit head  {anchor}",
                "Note both down elsewhere: they show later that neither was altered.",
                "To restore it you need:",
                *(f"  - {need}" for need in taken.manifest.needs),
            )
        ),
    )


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(help="The backup.")], as_json: JsonFlag = False
) -> None:
    """Check a backup: digests, database, audit chain; and its keys where the passphrase is set."""
    passphrase = LocalSettings().backup_passphrase
    manifest = verify_backup(file, passphrase.get_secret_value() if passphrase else None)
    keys = "checked" if passphrase else "not checked: HANDOVER_BACKUP_PASSPHRASE is not set"
    show(
        {
            "file": str(file),
            "good": True,
            "keys_checked": passphrase is not None,
            "manifest": manifest.model_dump(mode="json", exclude={"files"}),
        },
        as_json=as_json,
        text=f"{file} is good. Made {manifest.made_at:%Y-%m-%d %H:%M} UTC, schema "
        f"{manifest.revision}, {len(manifest.files)} files. Keys: {keys}.",
    )


def restore(
    file: Annotated[Path, typer.Argument(help="The backup.")],
    data: Annotated[
        Path | None,
        typer.Option(help="New folder of a local service; without it HANDOVER_* decides."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Restore a backup where nothing is yet; says what to do next.

    Needs HANDOVER_BACKUP_PASSPHRASE, and HANDOVER_PASSPHRASE of the service that was backed up.
    """
    restored = (
        restore_backup(file, Settings()) if data is None else restore_local(file, data.absolute())
    )
    manifest = restored.manifest
    show(
        {
            "made_at": manifest.made_at,
            "revision": restored.revision,
            "next_steps": list(restored.next_steps),
        },
        as_json=as_json,
        text="\n".join(
            (
                f"Restored the backup of {manifest.made_at:%Y-%m-%d %H:%M} UTC.",
                *(f"{number}. {step}" for number, step in enumerate(restored.next_steps, 1)),
            )
        ),
    )
