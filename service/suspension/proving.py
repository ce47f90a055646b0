"""Proving, when a client is resumed, the keys that were made while it was suspended."""

import logging
from collections.abc import Sequence

from models.access_keys import AccessKey, AccessKeyStatus
from models.base import utc_now
from models.clients import Client
from models.database import transaction
from models.sealing import SealingError
from service.areas_inputs import area_inputs
from service.context import Services
from stacks.access import KeyNotProven

log = logging.getLogger(__name__)

PATIENCE = 15.0
"""Seconds that a resumption may take longer for the proof of its keys; somebody waits for it."""


def prove_again(services: Services, client: Client, keys: Sequence[AccessKey]) -> None:
    """Prove each key that is to work and was never seen to; note those that do.

    A key that does not work yet is no error: its record waits, and resuming again tries again.
    Nor is one whose secret can't be opened: the client may have it, and only its record is lost.
    Raises `StackError` when AWS is away.
    """
    for key in keys:
        if key.status is not AccessKeyStatus.active or key.proven_at or not key.access_key_id:
            continue
        secret = _secret(services, client, key)
        if secret is None:
            continue
        area = area_inputs(services.settings, services.areas.account(), client, keys)
        patience = min(PATIENCE, services.settings.key_proof_seconds)
        try:
            services.areas.prove(area, key.access_key_id, secret, timeout=patience)
        except KeyNotProven as error:
            log.warning(
                "%s is resumed and its key is not proven: %s", client.id, error.failure.code
            )
            continue
        with transaction(services.database) as session:
            row = session.get_one(AccessKey, key.id, with_for_update=True)
            row.proven_at = row.proven_at or utc_now()


def _secret(services: Services, client: Client, key: AccessKey) -> str | None:
    """Return the key's secret, or None where it is forgotten or can't be opened."""
    try:
        return key.open_secret(services.keyring)
    except SealingError as trouble:
        log.error(
            "%s is resumed and its key %s can't be proven. %s",
            client.slug,
            key.access_key_id,
            trouble,
        )
        return None
