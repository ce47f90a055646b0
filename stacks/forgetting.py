"""Forgetting a key's secret in a stack: in its state, its backups and its history, on either
engine.

AWS tells a secret once, and the state keeps it for ever; once the key has reached its people
nobody needs it there (PB-13). Backups and history keep whole old states, so they go as well; what
an update was, when and by whom stays in the history's records.
"""

from collections.abc import Collection, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stacks.automation import Stacks
from stacks.backend import Deployment
from stacks.client import CLIENTS_PROJECT, AreaInputs, ClientProgram
from stacks.clients import clients_for

_KEY = "aws:iam/accessKey:AccessKey"
_STACK = "pulumi:pulumi:Stack"
_SECRET_OUTPUTS = ("secret", "sesSmtpPasswordV4", "encryptedSecret", "encryptedSesSmtpPasswordV4")
_EXPORTED = "access_key_secrets"


def forget_in_state(stacks: Stacks, area: AreaInputs, generations: Collection[int]) -> bool:
    """Take the secrets of these key generations out of the stack's state; tell if any were there.

    The next `up` writes the stack's outputs anew, without them. Raises `StackError`.
    """
    program = ClientProgram(area)
    state = stacks.export(program)
    if state is None:
        return False
    names = {key.logical_name for key in area.keys if key.generation in generations}
    without = _without(state, names)
    if without is None:
        return False
    stacks.import_(program, without)
    return True


def forget_copies(stacks: Stacks, area: AreaInputs) -> None:
    """Delete the old states that backups and history keep of the area's stack."""
    backend, name = stacks.backend, area.slug
    if backend.url.startswith("file://"):
        _delete_files(Path(backend.url.removeprefix("file://")), name)
    elif backend.url.startswith("s3://"):
        _delete_objects(backend.url, backend.environment, name)


def _without(state: Deployment, names: Collection[str]) -> Deployment | None:
    content = deepcopy(state.deployment)
    found = False
    for resource in content.get("resources") or []:
        outputs: dict[str, Any] = resource.get("outputs") or {}
        if resource["type"] == _KEY and resource["urn"].rsplit("::", 1)[-1] in names:
            for output in _SECRET_OUTPUTS:
                found |= outputs.pop(output, None) is not None
        elif resource["type"] == _STACK:
            outputs.pop(_EXPORTED, None)
    return Deployment(state.version, content) if found else None


def _delete_files(root: Path, name: str) -> None:
    folder = root / ".pulumi"
    for old in (folder / "backups" / CLIENTS_PROJECT / name).glob("*"):
        old.unlink(missing_ok=True)
    for old in (folder / "history" / CLIENTS_PROJECT / name).glob("*.checkpoint.json*"):
        old.unlink(missing_ok=True)
    for old in (folder / "stacks" / CLIENTS_PROJECT).glob(f"{name}.json*.bak"):
        old.unlink(missing_ok=True)


def _delete_objects(url: str, environment: Mapping[str, str], name: str) -> None:
    parsed = urlsplit(url)
    root = f"{parsed.path.strip('/')}/.pulumi".lstrip("/")
    s3: Any = clients_for(environment).s3()
    for prefix, keep in (
        (f"{root}/backups/{CLIENTS_PROJECT}/{name}/", ""),
        (f"{root}/history/{CLIENTS_PROJECT}/{name}/", ".history.json"),
        (f"{root}/stacks/{CLIENTS_PROJECT}/{name}.json.bak", ""),
    ):
        # With versions, as deleting an object in a versioned bucket only hides it.
        pages = s3.get_paginator("list_object_versions").paginate(
            Bucket=parsed.netloc, Prefix=prefix
        )
        for page in pages:
            for item in page.get("Versions", []) + page.get("DeleteMarkers", []):
                if not (keep and keep in item["Key"]):
                    where = {"Key": item["Key"], "VersionId": item["VersionId"]}
                    s3.delete_object(Bucket=parsed.netloc, **where)
