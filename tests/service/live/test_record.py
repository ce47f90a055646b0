"""The record on the running service: changed over HTTP, saved and checked on the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from pdf import attachments
from service.demo.process import Served
from tests.service.live.conftest import WAIT, NewClient, key_client
from tests.service.live.test_main_job import key_of


def handover(*words: object) -> Any:
    """Run a command beside the service and return its JSON."""
    command = [sys.executable, "-m", "service", *map(str, words), "--json"]
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_new_version_hands_over_the_same_key(
    data: Path, served: Served, api: httpx.Client, new_client: NewClient, tmp_path: Path
) -> None:
    """SP-15, SP-28, RX-07: another signer opens version 2; the key in it is the one that works."""
    opened = api.post("/v1/clients", json=new_client(), headers=WAIT)
    slug, area = opened.json()["slug"], opened.json()["area"]
    address = f"/v1/clients/{slug}"
    first = key_of(api.get(f"{address}/record.pdf").content)
    signer = {"contract": {"signer": {"full_name": "Grace Peña Ortiz"}}}
    changed = api.patch(address, json=signer, headers={"If-Match": opened.headers["ETag"]})
    assert changed.status_code == 200, changed.text

    saved = handover("record", "save", slug, "--out", tmp_path, "--data", data)
    assert saved["version"] == 2
    attached = attachments(Path(saved["file"]).read_bytes(), "Grace Peña Ortiz")
    for part in first:
        assert part in attached["credentials.csv"].decode()
    assert served.aws_endpoint in attached["commands.txt"].decode()
    listing = {"Bucket": area["bucket"], "Prefix": area["prefix"]}
    assert key_client(served, "s3", *first).list_objects_v2(**listing)["KeyCount"] == 1

    options = ("--signer", "Grace Peña Ortiz", "--data", data)
    assert handover("record", "check", saved["file"], *options)["ok"]
    api.delete(address, params={"reason": "done"}, headers=WAIT)
    shown = handover("record", "show", saved["number"], "--data", data)
    assert [(r["version"], r["downloads"]) for r in shown] == [(2, 1), (1, 1)]
    assert handover("record", "check", saved["file"], *options)["ok"]
    assert api.get("/v1/audit/verify").json()["ok"]
