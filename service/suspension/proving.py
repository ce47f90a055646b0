"""Proving, when a client is resumed, the keys that were made while it was suspended."""

import logging
from collections.abc import Sequence

from models.access_keys import AccessKey, AccessKeyStatus
from models.base import utc_now
from models.clients import Client
from models.database import transaction
from service.areas_inputs import area_inputs
from service.context import Services
from stacks.access import KeyNotProven

log = logging.getLogger(__name__)

PATIENCE = 15.0
"""Seconds that a resumption may take longer for the proof of its keys; somebody waits for it."""


def prove_again(services: Services, client: Client, keys: Sequence[AccessKey]) -> None:
    """Prove each key that is to work and was never seen to; note those that do.

    A key that does not work yet is no error: its record waits, and resuming again tries again.
    Raises `StackError` when AWS is away.
    """
    for key in keys:
        if key.status is not AccessKeyStatus.active or key.proven_at or not key.access_key_id:
            continue
        secret = key.open_secret(services.keyring)
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
