"""Secrets at rest: bound to their row, unreadable without the key file (RX-03, PB-13)."""

import base64
import json
import os
import stat
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from models import AccessKey, Actor
from models.database import transaction
from models.sealing import (
    KeyFileDamaged,
    KeyFileExists,
    KeyFileExposed,
    KeyFileMissing,
    Keyring,
    SealBroken,
    SealingError,
    UnknownKey,
    key_id_of,
)
from tests.models.factories import make_client, make_key

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ROW = "access_keys/secret/0123456789abcdef0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def keyring(path: Path) -> Keyring:
    return Keyring.generate(path)


def test_what_is_sealed_comes_back(keyring: Keyring) -> None:
    blob = keyring.seal(SECRET, aad=ROW)
    assert SECRET.encode() not in bytes(blob)
    assert keyring.open(blob, aad=ROW) == SECRET


@given(text=st.text(), aad=st.text())
def test_any_text_comes_back(text: str, aad: str) -> None:
    keyring = Keyring.holding(b"k" * 32)
    assert keyring.open(keyring.seal(text, aad=aad), aad=aad) == text


def test_two_seals_of_one_text_differ(keyring: Keyring) -> None:
    assert keyring.seal(SECRET, aad=ROW) != keyring.seal(SECRET, aad=ROW)


def test_a_value_moved_to_another_row_does_not_open(keyring: Keyring) -> None:
    blob = keyring.seal(SECRET, aad=ROW)
    with pytest.raises(SealBroken, match="another row"):
        keyring.open(blob, aad=ROW.replace("0", "1"))


def test_a_value_altered_anywhere_does_not_open(keyring: Keyring) -> None:
    blob = keyring.seal(SECRET, aad=ROW)
    for position in range(len(blob)):
        altered = bytearray(blob)
        altered[position] ^= 1
        with pytest.raises(SealingError):
            keyring.open(bytes(altered), aad=ROW)


@given(blob=st.binary())
def test_any_other_bytes_are_refused_by_name(blob: bytes) -> None:
    with pytest.raises(SealingError):
        Keyring.holding(b"k" * 32).open(blob, aad=ROW)


def test_another_key_does_not_open(keyring: Keyring, tmp_path: Path) -> None:
    other = Keyring.generate(tmp_path / "other.json")
    with pytest.raises(UnknownKey, match=keyring.primary):
        other.open(keyring.seal(SECRET, aad=ROW), aad=ROW)


def test_the_file_is_for_its_owner_only(keyring: Keyring, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Keyring.from_file(path).open(keyring.seal(SECRET, aad=ROW), aad=ROW) == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o777])
def test_a_file_that_others_may_touch_is_refused(keyring: Keyring, path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(KeyFileExposed, match="chmod 600"):
        Keyring.from_file(path)


def test_a_file_that_is_there_is_never_overwritten(keyring: Keyring, path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(KeyFileExists):
        Keyring.generate(path)
    assert path.read_bytes() == before


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(KeyFileMissing, match=str(path)):
        Keyring.from_file(path)


def test_a_damaged_file_is_refused_without_quoting_it(keyring: Keyring, path: Path) -> None:
    key = json.loads(path.read_text())["keys"][keyring.primary]
    short = base64.b64encode(b"short").decode()
    damaged = [
        "",
        "{",
        "[]",
        "{}",
        f'{{"primary": "{keyring.primary}", "keys": "{key}"}}',
        f'{{"primary": "other", "keys": {{"{keyring.primary}": "{key}"}}}}',
        f'{{"primary": "other", "keys": {{"other": "{key}"}}}}',
        f'{{"primary": "{keyring.primary}", "keys": {{"{keyring.primary}": "{short}"}}}}',
        f'{{"primary": "{keyring.primary}", "keys": {{"{keyring.primary}": "{key}!"}}}}',
        path.read_text()[:-10],
    ]
    for content in damaged:
        path.write_text(content)
        with pytest.raises(KeyFileDamaged) as raised:
            Keyring.from_file(path)
        assert key not in "".join(traceback.format_exception(raised.value))


def test_a_folder_or_pipe_is_not_a_key_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for other in (tmp_path, pipe):
        with pytest.raises(KeyFileDamaged, match="not a regular file"):
            Keyring.from_file(other)


def test_after_rotation_the_new_key_seals_and_the_old_one_still_opens(
    keyring: Keyring, path: Path
) -> None:
    old = keyring.seal(SECRET, aad=ROW)
    keyring.rotate(path)
    rotated = Keyring.from_file(path)
    assert rotated.primary != keyring.primary
    assert rotated.open(old, aad=ROW) == SECRET
    assert key_id_of(rotated.seal(SECRET, aad=ROW)) == rotated.primary
    assert key_id_of(rotated.reseal(old, aad=ROW)) == rotated.primary
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_nothing_printable_shows_a_key_or_a_secret(keyring: Keyring, path: Path) -> None:
    key = AccessKey(client_id="a" * 32, generation=1)
    key.seal_secret(keyring, SECRET)
    encoded = json.loads(path.read_text())["keys"][keyring.primary]
    shown = repr(keyring) + str(keyring) + repr(key) + str(key.model_dump())
    assert encoded not in shown
    assert repr(base64.b64decode(encoded)) not in shown
    assert "secret" not in shown
    assert keyring.primary in repr(keyring)


def test_the_database_holds_the_secret_sealed_only(
    engine: Engine, actor: Actor, keyring: Keyring
) -> None:
    """RX-03: neither the database nor its files hold the secret in clear."""
    with transaction(engine) as session:
        key = make_key(session, make_client(session, actor))
        assert key.open_secret(keyring) is None
        key.seal_secret(keyring, SECRET)
    with transaction(engine, write=False) as session:
        kept = session.get_one(AccessKey, key.id)
        assert kept.open_secret(keyring) == SECRET
    if engine.dialect.name == "sqlite":
        assert engine.url.database is not None
        folder = Path(engine.url.database).parent
        files = [file for file in folder.iterdir() if file.name.startswith("handover.db")]
        assert files
        assert not any(SECRET.encode() in file.read_bytes() for file in files)


def test_a_secret_swapped_between_two_rows_does_not_open(
    engine: Engine, actor: Actor, keyring: Keyring
) -> None:
    with transaction(engine) as session:
        client = make_client(session, actor)
        first, second = make_key(session, client, 1), make_key(session, client, 2)
        first.seal_secret(keyring, SECRET)
        second.secret = first.secret
        with pytest.raises(SealBroken, match=second.id):
            second.open_secret(keyring)
