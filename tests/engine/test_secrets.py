"""Secrets are encrypted at rest, masked in everything that is shown, and kept when unchanged."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pulumi import ResourceOptions
from pulumi import automation as auto

from engine.errors import SecretsError
from engine.properties import SECRET_SIGNATURE, SIGNATURE_KEY, from_struct, to_struct
from engine.provider import ProviderError
from engine.secrets import PassphraseSecrets
from tests.engine.conftest import PASSPHRASE, Workbench, client_program

SECRET = "plain-secret-key-1"


def everything_written(workbench: Workbench) -> bytes:
    files = [path for path in workbench.directory.rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in files)


def test_no_secret_is_written_or_shown_in_plain(workbench: Workbench) -> None:
    """PB-13: the access key's secret is never readable in state, history, events or output."""
    lines: list[str] = []
    seen: list[str] = []
    stack = workbench.stack(client_program)
    result = stack.up(on_output=lines.append, on_event=lambda event: seen.append(repr(event)))
    assert result.outputs["secret"].value.startswith(SECRET)
    stack.up()
    stack.refresh()
    stack.preview_destroy()
    stack.destroy(on_output=lines.append)
    assert SECRET.encode() not in everything_written(workbench)
    shown = json.dumps(workbench.events) + "".join(lines + seen) + result.stdout + result.stderr
    assert SECRET not in shown
    assert "[secret]" in shown
    assert len(list((workbench.state / ".pulumi/history").rglob("*.json"))) > 3


def test_ciphertext_is_that_of_the_official_program(workbench: Workbench) -> None:
    """AES-256-GCM under PBKDF2-SHA256 with 1,000,000 rounds: pkg/secrets/passphrase."""
    stack = workbench.stack(client_program)
    plaintext = stack.up().outputs["secret"].value
    salt = workbench.latest()["secrets_providers"]["state"]["salt"]
    key = hashlib.pbkdf2_hmac(
        "sha256", PASSPHRASE.encode(), base64.b64decode(salt.split(":")[1]), 1_000_000, 32
    )

    def decrypt(ciphertext: str) -> str:
        version, nonce, sealed = ciphertext.split(":")
        assert version == "v1"
        opened = AESGCM(key).decrypt(base64.b64decode(nonce), base64.b64decode(sealed), None)
        return opened.decode()

    assert decrypt(salt.split(":", 2)[2]) == "pulumi"
    stored = workbench.resource("key-1")["outputs"]["secret"]
    assert stored[SIGNATURE_KEY] == SECRET_SIGNATURE
    assert json.loads(decrypt(stored["ciphertext"])) == plaintext


def test_an_unchanged_secret_keeps_its_ciphertext(workbench: Workbench) -> None:
    stack = workbench.stack(client_program)
    stack.up()
    before = workbench.resource("key-1")
    stack.up()
    assert workbench.resource("key-1") == before


def test_stacks_of_a_backend_share_one_salt(workbench: Workbench) -> None:
    workbench.stack(client_program, "one")
    workbench.stack(client_program, "two")
    assert (
        workbench.latest("one")["secrets_providers"] == workbench.latest("two")["secrets_providers"]
    )


def test_what_goes_in_secret_comes_out_secret(workbench: Workbench) -> None:
    def program() -> None:
        tags: dict[str, Any] = {"open": "seen", "hidden": pulumi.Output.secret("hidden-value")}
        user = aws.iam.User("user", name="ada", tags=tags)
        pulumi.export("tags", user.tags)
        pulumi.export("deep", {"list": [pulumi.Output.secret({"inner": "deep-value"})]})
        pulumi.export("applied", user.tags.apply(lambda tags: (tags or {})["hidden"] + "!"))

    outputs = workbench.stack(program).up().outputs
    assert outputs["deep"].value == {"list": [{"inner": "deep-value"}]}
    assert outputs["applied"].secret
    written = everything_written(workbench)
    assert b"hidden-value" not in written
    assert b"deep-value" not in written
    assert b"seen" in written
    assert workbench.cloud.things["aws:iam/user:User", "ada"]["tags"]["hidden"] == "hidden-value"
    masked = workbench.workspace().pulumi_command.run(
        ["stack", "output", "--json", "--stack", "ABC-LLC"],
        str(workbench.work),
        workbench.environment(),
    )
    assert json.loads(masked.stdout)["deep"] == {"list": ["[secret]"]}


def test_a_secret_in_an_error_is_masked(workbench: Workbench) -> None:
    def program() -> None:
        hidden = pulumi.Output.secret("hidden-value")
        aws.iam.User("user", name="ada", path=hidden, opts=ResourceOptions())

    workbench.cloud.refuse["create", "ada"] = ProviderError("Bad", "path hidden-value is bad")
    with pytest.raises(auto.CommandError, match=r"path \[secret\] is bad") as failure:
        workbench.stack(program).up()
    assert "hidden-value" not in str(failure.value) + json.dumps(workbench.events)


def test_a_secret_that_a_program_prints_is_masked(workbench: Workbench) -> None:
    def program() -> None:
        key = aws.iam.AccessKey("key-1", user="ada")
        pulumi.Output.unsecret(key.secret).apply(lambda text: pulumi.log.warn(f"it is {text}"))

    workbench.stack(program).up()
    assert "it is [secret]" in workbench.diagnostics("warning")


def test_passphrase_may_be_in_a_file(workbench: Workbench) -> None:
    path = workbench.directory / "passphrase"
    path.write_text(f"{PASSPHRASE}\n")
    environment = workbench.environment()
    del environment["PULUMI_CONFIG_PASSPHRASE"]
    workbench.stack(client_program).up()
    command = workbench.workspace().pulumi_command
    arguments = ["stack", "output", "secret", "--show-secrets", "--stack", "ABC-LLC"]
    found = command.run(
        arguments, str(workbench.work), {**environment, "PULUMI_CONFIG_PASSPHRASE_FILE": str(path)}
    )
    assert found.stdout.startswith(SECRET)
    with pytest.raises(auto.CommandError, match="passphrase must be set"):
        command.run(arguments, str(workbench.work), environment)


def test_salt_and_ciphertext_that_cannot_be_read(salt: str) -> None:
    secrets = PassphraseSecrets(salt, PASSPHRASE)
    for broken in ("", "v1:", "v2:a:b", "v1:!!:!!", "v1:AAAA:AAAA"):
        with pytest.raises(SecretsError):
            secrets.decrypt(broken)
    for broken in ("", "v2:a:b", "v1:AAAA:nonsense"):
        with pytest.raises(SecretsError):
            PassphraseSecrets(broken, PASSPHRASE)


def test_values_travel_to_a_program_and_back() -> None:
    properties = from_struct(
        to_struct(
            {
                "none": None,
                "yes": True,
                "whole": 7,
                "part": 2.5,
                "text": "é",
                "list": [[], {}, [None]],
            }
        )
    )
    assert properties == {
        "none": None,
        "yes": True,
        "whole": 7,
        "part": 2.5,
        "text": "é",
        "list": [[], {}, [None]],
    }
    assert isinstance(properties["whole"], int)
