"""The passphrase secrets provider: AES-256-GCM under a key derived from a passphrase.

Same format as the official program (pkg/secrets/passphrase): state ``v1:<salt>:<check>``, where
``check`` is the word ``pulumi`` encrypted; ciphertext ``v1:<nonce>:<sealed>``, both in base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.errors import SecretsError

_TYPE = "passphrase"
_ITERATIONS = 1_000_000
_KEY_BYTES = 32
_SALT_BYTES = 8
_NONCE_BYTES = 12
_CHECK_WORD = "pulumi"

_keys: dict[tuple[str, bytes], bytes] = {}
_keys_lock = threading.Lock()


class PassphraseSecrets:
    """Encrypts and decrypts the secrets of one stack.

    An equal plaintext is given the ciphertext it already has, so that a checkpoint in which
    nothing changed stays the same. One object serves one update.
    """

    type = _TYPE

    def __init__(self, state: str, passphrase: str) -> None:
        """``state`` is the salt with its check. Raises SecretsError for a wrong passphrase."""
        self.state = state
        self._cipher = AESGCM(_key_for_state(state, passphrase))
        self._known: dict[str, str] = {}
        self._verify()

    @classmethod
    def create(cls, passphrase: str) -> PassphraseSecrets:
        """Make secrets under a new salt (one derivation of a key, about 0.3 s)."""
        salt = os.urandom(_SALT_BYTES)
        cipher = AESGCM(_derive_key(passphrase, salt))
        return cls(f"v1:{_encode(salt)}:{_seal(cipher, _CHECK_WORD)}", passphrase)

    def encrypt(self, plaintext: str) -> str:
        """Encrypt a text."""
        if plaintext not in self._known:
            self._known[plaintext] = _seal(self._cipher, plaintext)
        return self._known[plaintext]

    def decrypt(self, ciphertext: str) -> str:
        """Decrypt a text. Raises SecretsError when it is not one of this salt and passphrase."""
        plaintext = _open(self._cipher, ciphertext)
        self._known[plaintext] = ciphertext
        return plaintext

    def _verify(self) -> None:
        try:
            word = _open(self._cipher, self.state.split(":", 2)[2])
        except SecretsError as error:
            raise SecretsError(
                "incorrect passphrase; set PULUMI_CONFIG_PASSPHRASE or "
                "PULUMI_CONFIG_PASSPHRASE_FILE to the passphrase of this stack"
            ) from error
        if word != _CHECK_WORD:
            raise SecretsError("the passphrase check of this stack is malformed")


def passphrase_from(environment: Mapping[str, str]) -> str:
    """Find the passphrase in the environment. Raises SecretsError when it is not there."""
    if "PULUMI_CONFIG_PASSPHRASE" in environment:
        return environment["PULUMI_CONFIG_PASSPHRASE"]
    path = environment.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    if not path:
        raise SecretsError(
            "passphrase must be set with PULUMI_CONFIG_PASSPHRASE or "
            "PULUMI_CONFIG_PASSPHRASE_FILE environment variables"
        )
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SecretsError(f"cannot read the passphrase file {path}: {error.strerror}") from error


def _key_for_state(state: str, passphrase: str) -> bytes:
    parts = state.split(":", 2)
    if len(parts) != 3 or parts[0] != "v1":
        raise SecretsError("the encryption salt is not of the form v1:<salt>:<check>")
    return _derive_key(passphrase, _decode(parts[1]))


def _derive_key(passphrase: str, salt: bytes) -> bytes:
    # The lock is held while deriving: of many stacks that start at once, one pays.
    with _keys_lock:
        key = _keys.get((passphrase, salt))
        if key is None:
            key = hashlib.pbkdf2_hmac(
                "sha256", passphrase.encode(), salt, _ITERATIONS, dklen=_KEY_BYTES
            )
            _keys[passphrase, salt] = key
        return key


def _seal(cipher: AESGCM, plaintext: str) -> str:
    nonce = os.urandom(_NONCE_BYTES)
    return f"v1:{_encode(nonce)}:{_encode(cipher.encrypt(nonce, plaintext.encode(), None))}"


def _open(cipher: AESGCM, ciphertext: str) -> str:
    version, _, rest = ciphertext.partition(":")
    nonce, separator, sealed = rest.partition(":")
    if version != "v1" or not separator:
        raise SecretsError("a ciphertext is not of the form v1:<nonce>:<sealed>")
    try:
        return cipher.decrypt(_decode(nonce), _decode(sealed), None).decode()
    except (InvalidTag, ValueError) as error:
        raise SecretsError("a secret cannot be decrypted with this passphrase") from error


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise SecretsError("a salt or ciphertext is not valid base64") from error
