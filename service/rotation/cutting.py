"""Cutting by direct calls the keys that are off for good, while the others work on."""

from models.access_keys import AccessKeyStatus
from models.clients import find_client
from models.database import transaction
from service.context import Services
from service.intents import keys_of
from service.suspension.switching import target_of
from stacks.suspension import HeldAccess


def cut_retired(services: Services, slug: str) -> HeldAccess:
    """Make every key inactive that is wished off for good; return what AWS confirms.

    Raises `StackError` when AWS refuses or is away: the wish stays, and the operation that was
    started with it cuts them first of all.
    """
    with transaction(services.database, write=False) as session:
        client = find_client(session, slug)
        assert client is not None  # rows of clients are never deleted
        keys = keys_of(session, client)
    off = [
        key.access_key_id
        for key in keys
        if key.access_key_id is not None and key.status is AccessKeyStatus.inactive
    ]
    return services.areas.switch.keys_off(target_of(client, keys), off)
