"""Backup and restore: database, operations, engine state and the wrapped sealing keys."""

from service.backup.checking import verify_backup
from service.backup.errors import BackupError
from service.backup.local import restore_local
from service.backup.restoring import restore_backup
from service.backup.taking import take_backup

__all__ = ["BackupError", "restore_backup", "restore_local", "take_backup", "verify_backup"]
