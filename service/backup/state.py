"""The engine's state in a backup: the folder of the file backend, checkpoint by checkpoint.

An engine replaces each checkpoint by a rename, so that a file read in one go is a whole one. Of
what vanishes meanwhile nothing is missed: a stack that is gone has nothing in AWS.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from engine.errors import SecretsError
from engine.secrets import PassphraseSecrets
from service.backup.errors import BackupError

_SALT = re.compile(rb'"salt"\s*:\s*"(v1:[^"]+)"')


def folder_of(backend_url: str) -> Path | None:
    """Return the folder of a file backend, None where the state is kept elsewhere."""
    if not backend_url.startswith("file://"):
        return None
    return Path(backend_url.removeprefix("file://"))


def copy_state(folder: Path, target: Path) -> None:
    """Copy the state, but for the locks of those who work on it now and half-written files."""
    for file in _files(folder):
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            continue
        copy = target / file.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        copy.write_bytes(content)
        copy.chmod(0o600)


def refuse_wrong_passphrase(folder: Path, passphrase: str | None) -> None:
    """Raise `BackupError` when the passphrase does not open the state's secrets."""
    salt = next(_salts(folder), None)
    if salt is None:
        return
    if passphrase is None:
        raise BackupError(
            "The state's secrets need HANDOVER_PASSPHRASE, which no backup holds: set it to the "
            "one of the service that was backed up (of a local one: its file keys/passphrase)."
        )
    try:
        PassphraseSecrets(salt, passphrase)
    except SecretsError:
        raise BackupError(
            "HANDOVER_PASSPHRASE does not open the secrets of the backed-up state; set the one of "
            "the service that was backed up. Nothing was restored."
        ) from None


def _files(folder: Path) -> Iterator[Path]:
    locks = folder / ".pulumi" / "locks"
    for file in sorted(folder.rglob("*")):
        half_written = file.name.startswith(".") and file.suffix == ".tmp"
        if file.is_file() and not half_written and locks not in file.parents:
            yield file


def _salts(folder: Path) -> Iterator[str]:
    shared = folder / ".pulumi" / "passphrase-salt"
    if shared.is_file():
        yield shared.read_text().strip()
    for checkpoint in sorted((folder / ".pulumi" / "stacks").glob("*/*.json")):
        if found := _SALT.search(checkpoint.read_bytes()):
            yield found[1].decode()
