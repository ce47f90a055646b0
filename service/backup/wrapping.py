"""The sealing keys in a backup: wrapped under a key that is made from a passphrase.

scrypt (RFC 7914) with N = 2^17, r = 8, p = 1, the first choice of OWASP's password storage cheat
sheet, makes each guess cost 128 MB; AES-256-GCM wraps. What is wrapped is bound to the rest of
the backup.
"""

import base64
import json
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from service.backup.errors import BackupError

_COST, _BLOCK, _PARALLEL = 1 << 17, 8, 1
_MOST_COST = 1 << 20
"""Guards a restore against a manipulated file that asks for more memory than there is."""
_KEY_BYTES, _SALT_BYTES, _NONCE_BYTES = 32, 16, 12


def wrap(content: bytes, passphrase: str, bound: bytes) -> bytes:
    """Return the content wrapped, as JSON; only the same passphrase and ``bound`` open it."""
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    cipher = AESGCM(_derived(passphrase, salt, _COST))
    document = {
        "kdf": "scrypt",
        "n": _COST,
        "salt": base64.b64encode(salt).decode(),
        "nonce": base64.b64encode(nonce).decode(),
        "wrapped": base64.b64encode(cipher.encrypt(nonce, content, bound)).decode(),
    }
    return json.dumps(document, indent=2).encode()


def unwrap(document: bytes, passphrase: str, bound: bytes) -> bytes:
    """Return what was wrapped; raises `BackupError`."""
    try:
        fields = json.loads(document)
        salt, nonce, wrapped = (
            base64.b64decode(fields[name], validate=True) for name in ("salt", "nonce", "wrapped")
        )
        cost = int(fields["n"])
        if not 1 < cost <= _MOST_COST:
            raise ValueError(cost)
        cipher = AESGCM(_derived(passphrase, salt, cost))
        return cipher.decrypt(nonce, wrapped, bound)
    except (ValueError, KeyError, TypeError):
        raise BackupError(
            "The wrapped sealing keys in the backup are damaged; use another backup."
        ) from None
    except InvalidTag:
        raise BackupError(
            "The sealing keys can't be unwrapped: HANDOVER_BACKUP_PASSPHRASE is not the one that "
            "the backup was taken with, or files of the backup were exchanged."
        ) from None


def _derived(passphrase: str, salt: bytes, cost: int) -> bytes:
    scrypt = Scrypt(salt=salt, length=_KEY_BYTES, n=cost, r=_BLOCK, p=_PARALLEL)
    return scrypt.derive(passphrase.encode())
