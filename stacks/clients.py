"""boto3 clients for the direct calls of this house, on the same settings as the engine's."""

from collections.abc import Mapping
from dataclasses import replace

from engine.aws.clients import Clients, Settings
from engine.aws.clients import clients_for as shared_clients


def clients_for(environment: Mapping[str, str]) -> Clients:
    """Return the clients of the environment's account, shared by all that ask.

    Raises `engine.provider.ProviderError` where the embedded engine must not reach AWS itself.
    """
    return shared_clients(Settings.of(environment, {}))


def clients_with_key(
    environment: Mapping[str, str], access_key_id: str, secret_access_key: str
) -> Clients:
    """Return clients that act with another key at the same endpoints; shared with nobody."""
    settings = Settings.of(environment, {})
    return Clients(
        replace(settings, access_key=access_key_id, secret_key=secret_access_key, token=None)
    )
