"""boto3 clients for the direct calls of this house, on the same settings as the engine's."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import lru_cache
from typing import Any

from botocore.credentials import CredentialProvider, Credentials, ReadOnlyCredentials

from engine.aws.clients import Clients, Settings, open_session
from engine.aws.clients import clients_for as shared_clients

_acting: ContextVar[ReadOnlyCredentials] = ContextVar("acting")
_making = threading.Lock()

HURRIED_ATTEMPTS, HURRIED_SECONDS = 3, 4.0
"""The budget of a call that somebody waits for: an AWS that is away is told within 15 seconds."""


def clients_for(environment: Mapping[str, str]) -> Clients:
    """Return the clients of the environment's account, shared by all that ask.

    Raises `engine.provider.ProviderError` where the embedded engine must not reach AWS itself.
    """
    return shared_clients(Settings.of(environment, {}))


def hurried_clients_for(environment: Mapping[str, str]) -> Clients:
    """Return clients like `clients_for`, which give an AWS that is away up within seconds.

    For calls that somebody waits for, such as cutting a key. Raises like `clients_for`.
    """
    settings = Settings.of(environment, {})
    seconds = min(settings.answer_seconds, HURRIED_SECONDS)
    return shared_clients(replace(settings, attempts=HURRIED_ATTEMPTS, answer_seconds=seconds))


@contextmanager
def acting_with_key(
    environment: Mapping[str, str], access_key_id: str, secret_access_key: str
) -> Iterator[Clients]:
    """Give clients that sign with this key while the context lasts, in this thread.

    All keys share one set of clients: making a set for each would cost tens of milliseconds and
    some megabytes a key.
    """
    settings = replace(Settings.of(environment, {}), access_key=None, secret_key=None, token=None)
    with _making:
        clients = _keyed(settings)
    before = _acting.set(ReadOnlyCredentials(access_key_id, secret_access_key, None))
    try:
        yield clients
    finally:
        _acting.reset(before)


class _ActingCredentials(Credentials):
    """Credentials that are, at each request, those that the calling thread acts with."""

    def __init__(self) -> None:
        super().__init__("unused", "unused")

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return what `acting_with_key` has set."""
        return _acting.get()


class _ActingProvider(CredentialProvider):
    METHOD = "handover-acting"

    def load(self) -> Credentials:
        """Return the credentials that follow the thread."""
        return _ActingCredentials()


@lru_cache(maxsize=4)
def _keyed(settings: Settings) -> Clients:
    session = open_session(settings)
    core: Any = session._session
    core.get_component("credential_provider").providers.insert(0, _ActingProvider())
    return Clients(settings, session)
