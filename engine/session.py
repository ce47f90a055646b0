"""What one command works with: an environment, a folder, a backend and its secrets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.backend import FileBackend, StackName, open_backend, parse_stack_name
from engine.checkpoint import Deployment, decode_checkpoint
from engine.configuration import ConfigEntry, decode_config
from engine.errors import CheckpointError, EngineError, SecretsError
from engine.files import write_atomically
from engine.project import Project, StackSettings, load_project, load_stack_settings
from engine.secrets import PassphraseSecrets, passphrase_from
from engine.serialization import Secrets

_SALT_FILE = "passphrase-salt"
_salt_lock = threading.Lock()


@dataclass(frozen=True)
class Session:
    """The surroundings of one command. ``say`` and ``complain`` take lines for its output."""

    environment: Mapping[str, str]
    directory: Path
    say: Callable[[str], None]
    complain: Callable[[str], None]
    selected: dict[str, str] = field(default_factory=dict)
    """The stack that was selected last, by project."""

    @cached_property
    def backend(self) -> FileBackend:
        """The backend that PULUMI_BACKEND_URL names, else the one of Pulumi.yaml."""
        url = self.environment.get("PULUMI_BACKEND_URL", "")
        if not url and self._project_file is not None:
            url = self._project_file.backend_url
        return open_backend(url)

    @cached_property
    def _project_file(self) -> Project | None:
        return load_project(self.directory)

    @property
    def project(self) -> str | None:
        """Name of the project in the working folder."""
        return self._project_file.name if self._project_file else None

    def stack_name(self, text: str) -> StackName:
        """Read a stack's name. Raises EngineError."""
        if not text:
            raise EngineError("no stack is named; pass --stack")
        return parse_stack_name(text, None if text.count("/") == 2 else self.project)

    def load(self, stack: StackName) -> Deployment:
        """The recorded state of a stack. Raises StackNotFoundError, CheckpointError."""
        data = self.backend.read(stack)
        where = str(self.backend.checkpoint_path(stack))
        try:
            return decode_checkpoint(data, where, self.open_secrets)
        except CheckpointError as error:
            backup = self.backend.last_good(stack)
            hint = f"; the last good backup is {backup}" if backup else ""
            raise CheckpointError(f"{error}{hint}") from error
        except SecretsError as error:
            raise SecretsError(f"the state of stack '{stack.name}' ({where}): {error}") from error

    def open_secrets(self, entry: Mapping[str, Any] | None) -> Secrets:
        """The secrets that a deployment names, or those of the backend when it names none."""
        if not entry:
            return self.backend_secrets()
        if entry["type"] != PassphraseSecrets.type:
            raise EngineError(
                f"the stack's secrets provider is '{entry['type']}'; the embedded engine knows "
                "only 'passphrase'; use the official `pulumi` program for others"
            )
        return PassphraseSecrets(entry["state"]["salt"], passphrase_from(self.environment))

    def backend_secrets(self) -> PassphraseSecrets:
        """Secrets for new stacks: one salt a backend, so that a process derives one key."""
        passphrase = passphrase_from(self.environment)
        path = self.backend.directory / _SALT_FILE
        with _salt_lock:
            if path.exists():
                return PassphraseSecrets(path.read_text().strip(), passphrase)
            secrets = PassphraseSecrets.create(passphrase)
            write_atomically(path, f"{secrets.state}\n".encode(), durable=True)
            return secrets

    def settings(self, stack: StackName) -> StackSettings:
        """Pulumi.<stack>.yaml of the working folder."""
        return load_stack_settings(self.directory, stack.name)

    def settings_secrets(self, settings: StackSettings) -> PassphraseSecrets:
        """Secrets for the configuration of a stack, under the salt that the file names."""
        if not settings.encryption_salt:
            secrets = self.backend_secrets()
            settings.encryption_salt = secrets.state
            return secrets
        return PassphraseSecrets(settings.encryption_salt, passphrase_from(self.environment))

    def config(self, stack: StackName) -> dict[str, ConfigEntry]:
        """The decrypted configuration of a stack."""
        settings = self.settings(stack)
        if not settings.config:
            return {}
        plain = decode_config(settings.config, None)
        if not any(entry.secret for entry in plain.values()):
            return plain
        return decode_config(settings.config, self.settings_secrets(settings).decrypt)
