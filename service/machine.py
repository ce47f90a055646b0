"""What the service needs of its own machine before it takes on work: room to write, its key file.

What makes a key is refused at the door while something is amiss, before a row is written or AWS is
touched. Closing and suspending are not: taking access away must work on a sick machine too. What
does both, as the rotation of a leaked key does, cuts at once and waits with the new key.
"""

import shutil
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from models.sealing import Keyring, SealingError
from service import problems
from service.problems import Problem, ProblemType
from service.settings import Settings

MEGABYTE = 1 << 20
_PATIENCE = "30"
"""Seconds until it is worth looking again whether somebody has mended the machine."""

_SQLITE_FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_TRUNCATE")
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL_FULL = ("53100",)
_POSTGRESQL_READ_ONLY = ("25006",)


def refuse_unfit(settings: Settings) -> None:
    """Raise the 503 Problem that says why no key can be made now; call it before writing."""
    found = unfit(settings)
    if found is not None:
        raise _problem(*found)


def unfit(settings: Settings) -> tuple[ProblemType, str] | None:
    """Return why no key can be made now, as a problem's type and a sentence, or None."""
    if low_places(settings):
        sentence = f"Less than {settings.disk_floor_mb} MB are free on a disk of the service."
        return problems.STORAGE_LOW, sentence
    if key_file_trouble(settings) is not None:
        return problems.SEALING_KEYS_LOST, "The file with the sealing keys can't be used."
    return None


def low_places(settings: Settings) -> dict[Path, int]:
    """Return the folders on whose disk less than the floor is free, with the free megabytes."""
    free = {place: shutil.disk_usage(place).free // MEGABYTE for place in _written_places(settings)}
    return {place: left for place, left in free.items() if left < settings.disk_floor_mb}


def key_file_trouble(settings: Settings) -> str | None:
    """Return what is wrong with the key file, None when it is there and can be used.

    A service that runs holds the keys in memory. What it would seal under keys whose file is gone
    could never be opened again after its next start.
    """
    try:
        Keyring.from_file(settings.keyring)
    except SealingError as error:
        return str(error)
    return None


def database_problem(error: DBAPIError) -> Problem:
    """Return the 503 for a database that failed; nothing of the transaction is kept."""
    kind, detail = _classified(error)
    return _problem(
        kind,
        f"{detail} Nothing was half-written.",
        "5" if kind is problems.DATABASE_UNAVAILABLE else _PATIENCE,
    )


def refuses_changes(error: DBAPIError) -> bool:
    """Tell whether a database that is there keeps nothing: it is full, or closed to changes.

    Somebody frees space or opens it again, so that whoever waits comes through.
    """
    return _classified(error)[0] in (problems.STORAGE_FULL, problems.DATABASE_READ_ONLY)


def _classified(error: DBAPIError) -> tuple[ProblemType, str]:
    name = getattr(error.orig, "sqlite_errorname", None) or ""
    state = getattr(error.orig, "sqlstate", None) or ""
    if name in _SQLITE_FULL or state in _POSTGRESQL_FULL:
        return problems.STORAGE_FULL, "The database has no room to write."
    if name.startswith("SQLITE_READONLY") or state in _POSTGRESQL_READ_ONLY:
        return problems.DATABASE_READ_ONLY, "The database takes no changes."
    return problems.DATABASE_UNAVAILABLE, "The database did not answer in time."


def _problem(kind: ProblemType, detail: str, retry_after: str = _PATIENCE) -> Problem:
    return Problem(kind, detail, headers={"Retry-After": retry_after})


def _written_places(settings: Settings) -> set[Path]:
    places = [settings.data_directory]
    if settings.state_url.startswith("file://"):
        places.append(Path(settings.state_url.removeprefix("file://")))
    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite" and url.database:
        places.append(Path(url.database).parent)
    return {_existing(place.absolute()) for place in places}


def _existing(place: Path) -> Path:
    return next(folder for folder in (place, *place.parents) if folder.exists())
