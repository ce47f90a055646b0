"""What secrets the files of a stack hold, be it checkpoint, backup or history."""

import json
import re
from pathlib import Path
from typing import Any

from engine.secrets import PassphraseSecrets


def secrets_kept(state: Path, passphrase: str, stack: str) -> set[str]:
    """Decrypt all that any file of the stack holds below a file backend's folder."""
    found: set[str] = set()
    for file in state.rglob("*"):
        if not file.is_file() or stack not in str(file):
            continue
        text = file.read_text()
        for salt in set(re.findall(r'"salt": ?"([^"]+)"', text)):
            secrets = PassphraseSecrets(salt, passphrase)
            for ciphertext in re.findall(r'"ciphertext": ?"([^"]+)"', text):
                found |= _strings(json.loads(secrets.decrypt(ciphertext)))
    return found


def _strings(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*(_strings(item) for item in value.values()))
    return {value} if isinstance(value, str) else set()
