"""Errors of the embedded engine. Each message says what happened and what to do next."""

from __future__ import annotations

OFFICIAL = "use the official `pulumi` program for that"


class EngineError(Exception):
    """The engine cannot do what was asked; the message is meant for the caller."""


class UnsupportedError(EngineError):
    """A verb, flag or resource option that only the official program has."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not supported by the embedded engine; {OFFICIAL}")


class StackNotFoundError(EngineError):
    """The backend has no stack of that name."""

    def __init__(self, stack: str) -> None:
        super().__init__(f"no stack named '{stack}' found")


class StackExistsError(EngineError):
    """A stack of that name is already there."""

    def __init__(self, stack: str) -> None:
        super().__init__(f"stack '{stack}' already exists")


class StackLockedError(EngineError):
    """Another update works on the stack."""


class CheckpointError(EngineError):
    """A checkpoint file that cannot be trusted; it is left as it is."""


class SecretsError(EngineError):
    """Secrets cannot be encrypted or decrypted."""


class UpdateFailedError(EngineError):
    """An update, preview, refresh or destroy ended with errors that were already reported."""
