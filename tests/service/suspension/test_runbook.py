"""The five commands for a leaked key in docs/operations.md, run as they stand."""

import re
import subprocess
from pathlib import Path

import pytest

from engine.localaws import LocalAws
from tests.service.house import House, house
from tests.service.http.conftest import mint
from tests.service.suspension.hands import new_name, works

ROOT = Path(__file__).resolve().parents[3]


def commands(key_id: str, slug: str) -> str:
    """The runbook's first block of shell commands, for this key and client."""
    text = (ROOT / "docs" / "operations.md").read_text()
    found = re.search(r"```bash\n(.*?)```", text, re.DOTALL)
    assert found
    assert found[1].count("\n# ") == 5
    named = found[1].replace("AKIAIOSFODNN7EXAMPLE", key_id).replace("SLUG=ABC-LLC", f"SLUG={slug}")
    return f"set -euo pipefail\n{named}"


def run(place: House, script: str, folder: Path) -> str:
    """Run a script as ops do, with a token that may read, write, close and fetch records."""
    scopes = ("clients:read", "clients:write", "clients:close", "records:read")
    environment = {
        "PATH": "/usr/bin:/bin:/usr/local/bin",
        "H": str(place.api.base_url).rstrip("/"),
        "TOKEN": mint(place.services, *scopes),
    }
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.replace(" ", "")


@pytest.mark.timeout(120)
def test_a_leaked_key_in_five_commands(tmp_path: Path, local_aws: LocalAws) -> None:
    """RX-22, RX-25: cut, replaced, given back and handed out, by what the runbook says."""
    slug = new_name()
    with house(tmp_path / "data", local_aws) as place:
        place.open(slug)
        [leaked] = place.keys(slug)
        said = run(place, commands(str(leaked.access_key_id), slug), tmp_path)
        assert '"cut":true' in said
        assert (tmp_path / "record.pdf").read_bytes().startswith(b"%PDF")
        old, new = place.keys(slug)
        assert (works(place, old), works(place, new)) == (False, True)
        assert place.client(slug).state == "open"
        place.close(slug)
