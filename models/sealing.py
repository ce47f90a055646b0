"""Secrets at rest: AES-256-GCM under a key that lives outside the database (RX-03)."""

import base64
import binascii
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NewType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SealedText = NewType("SealedText", bytes)
"""Format byte, key id (8 bytes), nonce (12), ciphertext with tag; all of it is authenticated."""

_FORMAT = b"\x01"
_KEY_BYTES, _KEY_ID_BYTES, _NONCE_BYTES, _TAG_BYTES = 32, 8, 12, 16
_HEADER_BYTES = len(_FORMAT) + _KEY_ID_BYTES


class SealingError(Exception):
    """Something is wrong with the key file or with a sealed value; the message says what to do."""


class KeyFileMissing(SealingError):
    """There is no key file at the path."""


class KeyFileExists(SealingError):
    """A key file is there already; making a new one would lose every sealed value."""


class KeyFileExposed(SealingError):
    """Others than its owner may read or write the key file."""


class KeyFileDamaged(SealingError):
    """The key file is not one that this module wrote."""


class UnknownKey(SealingError):
    """The value was sealed under a key that the keyring does not hold."""


class SealBroken(SealingError):
    """The value was altered, moved to another row, or sealed under another key."""


class Keyring:
    """Keys for sealing: the primary one seals, every one opens. Its repr shows key ids only."""

    def __init__(self, keys: Mapping[str, bytes], primary: str) -> None:
        """`keys`: 32-byte keys by their ids; `primary`: the id of the one that seals."""
        if primary not in keys or any(_key_id(key) != name for name, key in keys.items()):
            raise KeyFileDamaged("The keyring's primary key is missing, or an id does not fit.")
        self._keys, self._primary = dict(keys), primary

    @classmethod
    def holding(cls, key: bytes) -> "Keyring":
        """A keyring with just this 32-byte key, which comes from elsewhere than a file."""
        return cls({_key_id(key): key}, _key_id(key))

    @classmethod
    def generate(cls, path: Path) -> "Keyring":
        """Write a new key file (mode 0600) with one key; raises KeyFileExists if one is there."""
        keyring = cls._with_new_primary({})
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise KeyFileExists(
                f"{path} exists. Use it, or move it away if nothing was sealed with it."
            ) from None
        keyring._write(descriptor)
        _sync_folder(path)
        return keyring

    @classmethod
    def from_file(cls, path: Path) -> "Keyring":
        """Read a key file; raises KeyFileMissing, KeyFileExposed or KeyFileDamaged."""
        try:
            # Not blocking: a pipe in the file's place must not hold the start up.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise KeyFileMissing(
                f"There is no key file at {path}. Put the backup of it there; make a new one only "
                "for a new database."
            ) from None
        except OSError as error:
            raise KeyFileDamaged(f"{path} cannot be read: {error.strerror}.") from None
        try:
            _refuse_exposed(path, os.fstat(descriptor))
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return cls._parse(path, file.read())
        finally:
            os.close(descriptor)

    def rotate(self, path: Path) -> "Keyring":
        """Put a new primary key in front, keep the old ones for opening, and replace the file."""
        rotated = self._with_new_primary(self._keys)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            rotated._write(descriptor)
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(path)
        return rotated

    @property
    def primary(self) -> str:
        """The id of the key that seals."""
        return self._primary

    def seal(self, plaintext: str, *, aad: str) -> SealedText:
        """Seal a text under the primary key, bound to `aad` (table, column and row id)."""
        header = _FORMAT + bytes.fromhex(self._primary)
        nonce = os.urandom(_NONCE_BYTES)
        cipher = AESGCM(self._keys[self._primary])
        sealed = cipher.encrypt(nonce, plaintext.encode(), header + aad.encode())
        return SealedText(header + nonce + sealed)

    def open(self, blob: bytes, *, aad: str) -> str:
        """The text that was sealed for `aad`; raises UnknownKey or SealBroken."""
        header, rest = blob[:_HEADER_BYTES], blob[_HEADER_BYTES:]
        key = self._keys.get(key_id_of(blob))
        if key is None:
            raise UnknownKey(
                f"A value in {aad} is sealed under key {key_id_of(blob)}, which the key file does "
                "not hold. Put the key file back that belongs to this database."
            )
        nonce, sealed = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        try:
            return AESGCM(key).decrypt(nonce, sealed, header + aad.encode()).decode()
        except InvalidTag:
            raise SealBroken(
                f"The sealed value of {aad} was altered or belongs to another row. "
                "Restore the row from a backup, or rotate the client's key."
            ) from None

    def reseal(self, blob: bytes, *, aad: str) -> SealedText:
        """The same text sealed under the present primary key."""
        return self.seal(self.open(blob, aad=aad), aad=aad)

    def __repr__(self) -> str:
        return f"Keyring(primary={self._primary!r}, keys={sorted(self._keys)!r})"

    @classmethod
    def _with_new_primary(cls, older: Mapping[str, bytes]) -> "Keyring":
        key = AESGCM.generate_key(bit_length=_KEY_BYTES * 8)
        return cls({**older, _key_id(key): key}, _key_id(key))

    @classmethod
    def _parse(cls, path: Path, content: bytes) -> "Keyring":
        try:
            document = json.loads(content)
            encoded = document["keys"].items()
            keys = {name: base64.b64decode(key, validate=True) for name, key in encoded}
            return cls(keys, document["primary"])
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error, SealingError):
            # Not chained: the parser's error would quote the file, and the file is the secret.
            raise KeyFileDamaged(
                f"{path} is not a key file of this program, or it is damaged. Restore its backup."
            ) from None

    def _write(self, descriptor: int) -> None:
        keys = {name: base64.b64encode(key).decode() for name, key in self._keys.items()}
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump({"version": 1, "primary": self._primary, "keys": keys}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())


class LostKeyring(Keyring):
    """Stands where a keyring would, while its file can't be used: it neither seals nor opens."""

    def __init__(self, trouble: SealingError) -> None:
        """`trouble` is why, and is raised by whatever needs a key."""
        self._trouble = trouble

    @property
    def primary(self) -> str:
        """Raises the trouble."""
        raise self._trouble

    def seal(self, plaintext: str, *, aad: str) -> SealedText:  # noqa: ARG002 - as a keyring's
        """Raises the trouble."""
        raise self._trouble

    def open(self, blob: bytes, *, aad: str) -> str:  # noqa: ARG002 - as a keyring's
        """Raises the trouble."""
        raise self._trouble

    def rotate(self, path: Path) -> Keyring:  # noqa: ARG002 - as a keyring's
        """Raises the trouble."""
        raise self._trouble

    def __repr__(self) -> str:
        return f"LostKeyring({type(self._trouble).__name__})"


def key_id_of(blob: bytes) -> str:
    """The id of the key that sealed this value, 16 hexadecimal digits; raises SealBroken."""
    if blob[:1] != _FORMAT or len(blob) < _HEADER_BYTES + _NONCE_BYTES + _TAG_BYTES:
        raise SealBroken("The value is not a sealed one, or part of it is missing.")
    return blob[len(_FORMAT) : _HEADER_BYTES].hex()


def _key_id(key: bytes) -> str:
    if len(key) != _KEY_BYTES:
        raise KeyFileDamaged(f"A key has {len(key)} bytes; it must have {_KEY_BYTES}.")
    return hashlib.sha256(b"handover key id" + key).digest()[:_KEY_ID_BYTES].hex()


def _refuse_exposed(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileDamaged(f"{path} is not a regular file.")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileExposed(
            f"{path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o}). "
            f"Run: chmod 600 {path}; and rotate the key if others have had access."
        )


def _sync_folder(path: Path) -> None:
    """Make the file's name durable, not only its content."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
