"""Restoring the folder of a local service."""

import shutil
from pathlib import Path

from service.backup.errors import BackupError
from service.backup.restoring import Restored, restore_backup
from service.local import local_settings, make_private, write_private
from service.settings import LocalSettings


def restore_local(file: Path, directory: Path) -> Restored:
    """Restore the backup into a folder that is new or empty; raises `BackupError`.

    The local AWS of a trial is not part of a backup: it stands for AWS itself.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise BackupError(
            f"{directory} is not empty. A backup is restored only where nothing is; give another "
            "--data folder. Nothing was changed."
        )
    given = LocalSettings().passphrase
    if given is None:
        raise BackupError(
            "HANDOVER_PASSPHRASE is not set. The backup does not hold it: it is the content of "
            "keys/passphrase in the folder of the service that was backed up. Nothing was restored."
        )
    make_private(directory)
    try:
        make_private(directory / "keys")
        write_private(directory / "keys" / "passphrase", given.get_secret_value())
        return restore_backup(file, local_settings(directory))
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
