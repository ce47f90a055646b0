"""Which version of this program runs."""

from importlib import metadata


def version() -> str:
    """Return the installed version; ``0.0.0`` where the program was not installed."""
    try:
        return metadata.version("handover")
    except metadata.PackageNotFoundError:
        return "0.0.0"
