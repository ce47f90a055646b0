"""A backup taken in the middle of load, restored elsewhere; AWS goes on and is not restored."""

import random
import shutil
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.localaws import LocalAws
from models.base import utc_now
from models.clients import ClientState
from models.database import transaction
from service.accounts import ensure_operator
from service.backup import restore_local, take_backup
from service.backup.restoring import RESUMING_AT_BACKUP
from service.backup.taking import TakenBackup
from service.reconcile import Mended, mend, survey
from service.wishes import Requester
from tests.seeds import first_seed
from tests.service.house import House, house, in_threads
from tests.service.suspension.hands import change, secret_of, works

PASSPHRASE = "a passphrase of the backup"
CLIENTS = 24


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LocalAws]:
    """An AWS that goes on existing, whatever becomes of the service's own machine."""
    with LocalAws.start(tmp_path / "aws") as local:
        yield local


@pytest.fixture(autouse=True)
def passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    """The passphrase that wraps the sealing keys."""
    monkeypatch.setenv("HANDOVER_BACKUP_PASSPHRASE", PASSPHRASE)


def give_state_passphrase(monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    """Hand over what no backup holds, as an operator would."""
    secret = (folder / "keys" / "passphrase").read_text().strip()
    monkeypatch.setenv("HANDOVER_PASSPHRASE", secret)
    return secret


def put_right(home: House) -> list[Mended]:
    """Reconcile until nothing more can be done: operations may leave something to mend again."""
    with transaction(home.services.database) as session:
        requester = Requester(ensure_operator(session).id)
    done: list[Mended] = []
    while found := survey(home.services):
        mended = mend(home.services, found, requester, remove_at_most=CLIENTS * 2)
        assert all(each.done for each in mended), [each for each in mended if not each.done]
        done += mended
        assert len(done) < CLIENTS * 20, done[-5:]
        home.settle()
    return done


def secrets_of(home: House) -> list[str]:
    """Every secret in clear that this service has issued and still knows."""
    found = [
        key.open_secret(home.services.keyring)
        for client in home.clients()
        for key in home.keys(client.slug)
    ]
    return [secret for secret in found if secret is not None]


def keys_of(home: House) -> dict[str, list[str | None]]:
    """The ids of each client's keys."""
    return {c.slug: [key.access_key_id for key in home.keys(c.slug)] for c in home.clients()}


class Load:
    """Callers that open clients and close every third, and a backup taken among them."""

    def __init__(self, home: House, backups: Path, seed: int) -> None:
        self.home, self.backups, self.seed = home, backups, seed
        self.taken: TakenBackup | None = None
        self.under_way: set[str] = set()

    def run(self) -> None:
        """Let them all loose, and wait until everything has ended."""
        in_threads(CLIENTS + 1, lambda n: self._live(n) if n < CLIENTS else self._back_up())
        self.home.settle()

    def _live(self, number: int) -> None:
        home, slug = self.home, f"Client-{number}"
        pause = random.Random(self.seed + number).uniform(0.0, 2.0)  # noqa: S311 - load
        time.sleep(pause)
        answer = home.ask_open(slug)
        assert answer.status_code == 202, answer.text
        if number % 3:
            return
        while home.client(slug).state is ClientState.opening:
            time.sleep(0.05)
        time.sleep(pause)
        assert home.ask_close(slug).status_code == 202

    def _back_up(self) -> None:
        """Wait until some clients are open, and copy while others are being opened and closed."""
        home = self.home
        while sum(client.state is ClientState.open for client in home.clients()) < CLIENTS // 4:
            time.sleep(0.02)
        self.taken = take_backup(home.services.settings, self.backups)


def unpacked(file: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of a backup, by name."""
    with tarfile.open(file) as archive:
        for info in archive:
            stream = archive.extractfile(info)
            assert stream is not None
            yield info.name, stream.read()


def test_a_backup_from_the_middle_of_load_carries_on(
    tmp_path: Path, aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was under way at the backup ends by itself; after mending there is nothing to find."""
    seed = first_seed()
    print(f"seed {seed}")
    with house(tmp_path / "old", aws) as old:
        load = Load(old, tmp_path / "backups", seed)
        load.run()
        assert survey(old.services) == []
        issued, handed_out = secrets_of(old), keys_of(old)
        lived = {client.slug: client.state for client in old.clients()}
    assert load.taken is not None
    passphrase = give_state_passphrase(monkeypatch, tmp_path / "old")
    content = dict(unpacked(load.taken.file))
    for secret in (*issued, PASSPHRASE, passphrase):
        assert not any(secret.encode() in file for file in content.values())

    restored = restore_local(load.taken.file, tmp_path / "new")
    assert restored.manifest == load.taken.manifest
    # A key whose area was closed after the backup can't be proven any more: do not wait long.
    with house(tmp_path / "new", aws, changes={"key_proof_seconds": 2.0}) as new:
        began = {client.slug: client.state for client in new.clients()}
        new.settle()
        put_right(new)
        assert survey(new.services) == []
        ended = {client.slug: client.state for client in new.clients()}
        print(f"at the backup {Counter(began.values())}, lived {Counter(lived.values())}")
        settled = {ClientState.open, ClientState.closed, ClientState.failed}
        assert set(ended.values()) <= settled
        # Whoever was open before and stayed so keeps the key that was handed out.
        kept = keys_of(new)
        for slug, state in began.items():
            if state is lived[slug] is ClientState.open:
                assert kept[slug] == handed_out[slug], slug
        new.close(*(slug for slug, state in ended.items() if state is ClientState.open))
        assert survey(new.services) == []


def test_rows_that_are_older_than_the_state_find_the_key_that_was_handed_out(
    tmp_path: Path, aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the state is copied last: an opening goes on from it, with the same key and secret."""
    with house(tmp_path / "old", aws, worker=False) as old:
        assert old.ask_open("ABC-LLC").status_code == 202
        taken = take_backup(old.services.settings, tmp_path / "backups")
    with house(tmp_path / "old", aws) as old:
        old.settle()
        handed_out, issued = keys_of(old), secrets_of(old)
    give_state_passphrase(monkeypatch, tmp_path / "old")
    restore_local(taken.file, tmp_path / "new")
    shutil.rmtree(tmp_path / "new" / "state")
    shutil.copytree(tmp_path / "old" / "state", tmp_path / "new" / "state")
    with house(tmp_path / "new", aws) as new:
        new.settle()
        assert (keys_of(new), secrets_of(new)) == (handed_out, issued)
        assert survey(new.services) == []


def test_what_was_cut_after_the_backup_stays_cut(
    tmp_path: Path, aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RX-22: neither the repair that was under way, nor a later one, nor a resumption that was
    under way gives a key back that leaked afterwards.
    """
    reason = {"reason": "of the test"}
    with house(tmp_path / "old", aws) as old:
        old.open("Repaired", "Resumed")
    with house(tmp_path / "old", aws, worker=False) as old:
        for slug in ("Repaired", "Resumed"):
            secret = secret_of(old.services, old.keys(slug)[0])
            assert works(old, old.keys(slug)[0], secret)
        answer = old.api.post("/v1/clients/Repaired/refresh", params={"repair": "true"})
        assert answer.status_code == 202, answer.text
        # Resumed in the records, and AWS has not confirmed it yet.
        change(old, "Resumed", cut_at=utc_now())
        taken = take_backup(old.services.settings, tmp_path / "backups")
        # What `rotate?now=true` does in AWS first of all.
        for slug in ("Repaired", "Resumed"):
            [key] = old.keys(slug)
            old.iam.update_access_key(
                UserName=slug, AccessKeyId=key.access_key_id, Status="Inactive"
            )
    give_state_passphrase(monkeypatch, tmp_path / "old")
    restore_local(taken.file, tmp_path / "new")
    with house(tmp_path / "new", aws) as new:
        new.settle()
        answer = new.api.post("/v1/clients/Repaired/refresh", params={"repair": "true"} | reason)
        assert answer.status_code == 202, answer.text
        new.settle()
        assert not works(new, new.keys("Repaired")[0])
        resumed = new.client("Resumed")
        assert (resumed.state, resumed.suspended_reason) == ("suspended", RESUMING_AT_BACKUP)
        assert not works(new, new.keys("Resumed")[0])
        put_right(new)
        assert survey(new.services) == []
        assert not works(new, new.keys("Repaired")[0])
        # The way on, for both.
        for slug in ("Repaired", "Resumed"):
            answer = new.api.post(f"/v1/clients/{slug}/rotate", params={"now": "true"})
            assert answer.status_code == 202, answer.text
        new.settle()
        assert new.api.post("/v1/clients/Resumed/resume", params=reason).status_code == 200
        for slug in ("Repaired", "Resumed"):
            before, after = new.keys(slug)
            assert (works(new, before), works(new, after)) == (False, True)


def test_the_state_is_copied_after_the_rows_and_the_keys_last(
    tmp_path: Path, aws: LocalAws
) -> None:
    with house(tmp_path / "old", aws) as old:
        old.open("ABC-LLC")
        taken = take_backup(old.services.settings, tmp_path / "backups")
    with tarfile.open(taken.file) as archive:
        made = {info.name: info.mtime for info in archive}
    rows = max(at for name, at in made.items() if name.startswith(("database", "operations")))
    state = [at for name, at in made.items() if name.startswith("state")]
    assert rows <= min(state)
    assert max(state) <= made["keys/sealing.wrapped.json"]
