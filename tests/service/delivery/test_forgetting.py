"""A receipt, by hand or by the key's own use; then the secret is forgotten everywhere."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from engine.localaws import LocalAws
from models.access_keys import AccessKey
from models.base import utc_now
from models.clients import Client, find_client
from models.database import transaction
from models.deliveries import Receipt, ReceiptHow, RecordLink, token_digest
from models.operations import CancelMode, Operation, OperationKind, OperationState
from service.accounts import ensure_operator
from service.areas_inputs import area_inputs
from service.assembly import Runtime
from service.delivery.courier import Courier
from service.delivery.forgetting import forget_due
from service.delivery.receipts import look_for_use, receive
from service.intents import latest_operation
from service.records import RecordGone
from stacks.areas import Areas
from tests.localaws import client_of
from tests.service.worker.test_worker import ended, wish
from tests.stacks.kept import secrets_kept


class FakeKeyUse:
    """Stands in for IAM's `GetAccessKeyLastUsed`, which the local AWS does not have."""

    def __init__(self, used: datetime | None) -> None:
        self.used = used
        self.asked: list[str] = []

    def last_used(self, access_key_id: str) -> datetime | None:
        """Return what the test says."""
        self.asked.append(access_key_id)
        return self.used


@pytest.fixture
def slug(runtime: Runtime, unique: str) -> str:
    ended(runtime, wish(runtime, unique))
    return unique


def key_of(runtime: Runtime, slug: str) -> tuple[Client, AccessKey]:
    with transaction(runtime.services.database, write=False) as session:
        client = find_client(session, slug)
        assert client is not None
        query = select(AccessKey).where(AccessKey.client_id == client.id)
        return client, session.exec(query).one()


def download(runtime: Runtime, slug: str, at: datetime) -> None:
    client, key = key_of(runtime, slug)
    with transaction(runtime.services.database) as session:
        session.add(
            RecordLink(
                client_id=client.id,
                access_key_row_id=key.id,
                token_sha256=token_digest(slug),
                created_by=ensure_operator(session).id,
                expires_at=at + timedelta(hours=1),
                downloaded_at=at,
            )
        )


def receipts(runtime: Runtime) -> list[Receipt]:
    with transaction(runtime.services.database, write=False) as session:
        return list(session.exec(select(Receipt)).all())


@pytest.mark.parametrize(
    ("used_after", "counts"), [(None, False), (-1, False), (0, False), (1, True)]
)
def test_a_use_later_than_proof_and_download_is_a_receipt(
    runtime: Runtime, slug: str, used_after: int | None, counts: bool
) -> None:
    downloaded = utc_now()
    download(runtime, slug, downloaded)
    moment = None if used_after is None else downloaded + timedelta(seconds=used_after)
    use = FakeKeyUse(moment)
    assert look_for_use(runtime.services, use) == counts
    assert use.asked == [key_of(runtime, slug)[1].access_key_id]
    assert [receipt.how for receipt in receipts(runtime)] == [ReceiptHow.used] * counts


def test_our_own_proof_of_the_key_is_no_receipt(runtime: Runtime, slug: str) -> None:
    _, key = key_of(runtime, slug)
    assert key.proven_at is not None
    download(runtime, slug, key.proven_at - timedelta(hours=1))
    assert look_for_use(runtime.services, FakeKeyUse(key.proven_at)) == 0


def test_a_key_that_nobody_downloaded_is_not_asked_about(runtime: Runtime, slug: str) -> None:
    use = FakeKeyUse(utc_now())
    assert look_for_use(runtime.services, use) == 0
    assert use.asked == []


def test_the_local_aws_knows_of_no_use(runtime: Runtime, slug: str) -> None:
    download(runtime, slug, utc_now() - timedelta(hours=1))
    Courier(runtime.services).tick(utc_now())
    assert receipts(runtime) == []


def test_after_the_grace_the_secret_is_nowhere_and_the_key_works_on(
    runtime: Runtime, slug: str, local_aws: LocalAws
) -> None:
    """PB-13: database, checkpoint, backups and history; the record's metadata stays."""
    services = runtime.services
    client, key = key_of(runtime, slug)
    secret = key.open_secret(services.keyring)
    assert secret is not None
    assert secret in secrets_in_state(runtime, slug)
    with transaction(services.database) as session:
        receive(session, services.settings, key.id, ReceiptHow.confirmed)
    assert forget_due(services, utc_now() + timedelta(days=13)) == 0
    assert forget_due(services, utc_now() + timedelta(days=15)) == 1
    operation = last_operation(runtime, client)
    assert (operation.kind, operation.state) == (OperationKind.update, OperationState.succeeded)

    assert key_of(runtime, slug)[1].secret is None
    assert secrets_in_state(runtime, slug) == set()
    [receipt] = receipts(runtime)
    assert receipt.erased_at is not None
    assert forget_due(services, utc_now() + timedelta(days=15)) == 0
    gone = pytest.raises(RecordGone, match="Rotate the key")
    with transaction(services.database, write=False) as session, gone:
        services.records.issue_pdf(session, client)
    s3 = client_of(local_aws, "s3", key=key.access_key_id or "", secret=secret)
    assert "Contents" in s3.list_objects_v2(Bucket=client.bucket, Prefix=client.prefix)

    # And what runs on the stack afterwards neither fails nor makes another key.
    area = area_inputs(services.settings, services.areas.account(), client, [key])
    assert services.areas.drift(area) == []
    opened = services.areas.open(area)
    assert [(one.access_key_id, one.secret_access_key) for one in opened.keys] == [
        (key.access_key_id, "")
    ]


def test_forgetting_can_be_cancelled_and_is_asked_for_again(
    runtime: Runtime, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine stops before it writes the stack anew, and nothing is called forgotten."""
    services = runtime.services
    client, key = key_of(runtime, slug)
    with transaction(services.database) as session:
        receive(session, services.settings, key.id, ReceiptHow.confirmed)
    forget_secrets = Areas.forget_secrets

    def cancel_first(areas: Areas, *arguments: Any, **options: Any) -> None:
        with transaction(services.database) as session:
            operation = latest_operation(session, client)
            assert operation is not None
            operation.cancel_requested_at = utc_now()
            operation.cancel_mode = CancelMode.roll_back
        forget_secrets(areas, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Areas, "forget_secrets", cancel_first)
        assert forget_due(services, utc_now() + timedelta(days=15)) == 1
        assert last_operation(runtime, client).state is OperationState.cancelled
    assert key_of(runtime, slug)[1].secret is not None
    assert [receipt.erased_at for receipt in receipts(runtime)] == [None]

    assert forget_due(services, utc_now() + timedelta(days=16)) == 1
    assert last_operation(runtime, client).state is OperationState.succeeded
    assert key_of(runtime, slug)[1].secret is None
    assert secrets_in_state(runtime, slug) == set()


def last_operation(runtime: Runtime, client: Client) -> Operation:
    with transaction(runtime.services.database, write=False) as session:
        found = latest_operation(session, client)
    assert found is not None
    return ended(runtime, found.id)[0]


def secrets_in_state(runtime: Runtime, slug: str) -> set[str]:
    settings = runtime.services.settings
    assert settings.passphrase is not None
    folder = Path(settings.state_url.removeprefix("file://"))
    return secrets_kept(folder, settings.passphrase.get_secret_value(), slug)
