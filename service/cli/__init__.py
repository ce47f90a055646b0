"""The command line, ``handover``."""

from service.cli.main import main

__all__ = ["main"]
