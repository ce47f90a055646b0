"""Logging: lines for people on stderr, or in a file of the local mode's folder."""

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s %(message)s"


def configure_logging(level: str, directory: Path | None) -> None:
    """Send the log to stderr, or to ``handover.log`` in the directory, which is made if need be."""
    handler: logging.Handler = logging.StreamHandler()
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.parent.chmod(0o700)
        handler = RotatingFileHandler(
            directory / "handover.log", maxBytes=10_000_000, backupCount=3
        )
    logging.basicConfig(level=level.upper(), format=_FORMAT, handlers=[handler], force=True)
    # They tell each request and query, with what it carries.
    for chatty in ("botocore", "boto3", "urllib3", "httpx", "httpcore", "alembic", "fontTools"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
