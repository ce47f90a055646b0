"""README's curl examples do what they say, and the demo's claims can fail."""

import io
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pypdf
import pytest
from rich.console import Console

from service.demo.claims import Claims
from service.demo.process import Served

ROOT = Path(__file__).resolve().parents[3]


def examples() -> str:
    """Return README's first block of shell commands."""
    found = re.search(r"```bash\n(TOKEN=.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found
    return found[1]


def test_the_examples_of_the_readme_work(
    served: Served, api: httpx.Client, data: Path, tmp_path: Path
) -> None:
    """Copied as they stand, but for address, folder and the operation's id."""
    script = examples().replace("http://127.0.0.1:8000", served.address)
    script = script.replace(".handover/", f"{data}/").replace("operations/ID/", "operations/$ID/")
    opening = script.split("# Follow it")
    listing = f'api "{served.address}/v1/operations?client=ABC-LLC"'
    newest = f'ID=$({listing} | grep -o "[0-9a-f]\\{{32\\}}" | head -1)\n'
    whole = f"set -euo pipefail\n{opening[0]}{newest}# Follow it{opening[1]}"
    done = subprocess.run(
        ["bash", "-c", whole], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "HTTP/1.1 202" in done.stdout
    assert '"to":"succeeded"' in done.stdout.replace(" ", "")
    assert pypdf.PdfReader(tmp_path / "T-050-003-ABC-LLC.pdf").decrypt("Ada Lovelace")
    assert '"version":2' in done.stdout.replace(" ", "")
    assert api.get("/v1/clients/ABC-LLC").json()["state"] == "closed"


def test_the_demo_holds_and_leaves_the_record(tmp_path: Path) -> None:
    """SP-15, SP-28, RX-22: the main job end to end, each claim checked."""
    done = subprocess.run(
        [sys.executable, "-m", "service", "demo", "--out", str(tmp_path / "out")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"All \d\d claims hold", done.stdout)
    assert "✗" not in done.stdout
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["T-050-003-ABC-LLC.pdf"]


@pytest.mark.parametrize("holds", [True, False])
def test_a_claim_that_does_not_hold_is_told(holds: bool) -> None:
    claims = Claims(Console(file=io.StringIO()))
    claims.check("water is wet", holds)
    claims.refused("AWS refuses", lambda: None)
    expected = [] if holds else ["water is wet"]
    assert claims.broken == [*expected, "AWS refuses"]
