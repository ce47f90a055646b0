"""Why a backup could not be taken, or can't be used."""


class BackupError(Exception):
    """Nothing was left half-done; the message says what to do."""
