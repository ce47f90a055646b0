"""The local AWS as a process: private, on loopback, ends with its parent, carries on."""

import http.client
import json
import os
import select
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import localaws
from engine.localaws import LocalAws, LocalAwsError
from tests.localaws import client_of

REPOSITORY = Path(__file__).resolve().parents[2]
PARENT = """
import json, os, pathlib, sys, time
from engine.localaws import LocalAws
from tests.localaws import client_of
local = LocalAws.start(pathlib.Path(sys.argv[1]))
client_of(local, "iam").create_user(UserName="survivor")
fork = os.fork()
if fork:
    print(json.dumps([local.pid, fork]), flush=True)
time.sleep(600)
"""


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalAws]:
    with LocalAws.start(tmp_path / "aws") as started:
        yield started


def listening_addresses(pid: int) -> set[str]:
    """`address:port` in hexadecimal of each TCP socket on which the process listens."""
    inodes = {link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir()}
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return {line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in inodes}


def test_listens_on_one_loopback_port_only(local: LocalAws) -> None:
    port = int(local.endpoint_url.rpartition(":")[2])
    assert listening_addresses(local.pid) == {f"0100007F:{port:04X}"}


def test_speaks_tls_only(local: LocalAws) -> None:
    """RX-02: a plain http request gets no answer."""
    port = int(local.endpoint_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        plain.sendall(b"GET /_ministack/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            answer = plain.recv(100)
        except ConnectionResetError:
            answer = b""
    assert b"HTTP/" not in answer


def test_controls_that_ask_for_no_credentials_are_shut(local: LocalAws) -> None:
    client_of(local, "iam").create_user(UserName="kept")
    trust = ssl.create_default_context(cafile=local.ca_bundle)
    port = int(local.endpoint_url.rpartition(":")[2])
    for path in ("/_ministack/reset", "/_localstack/init"):
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trust, timeout=60)
        connection.request("POST", path)
        assert connection.getresponse().status == 404
        connection.close()
    assert client_of(local, "iam").get_user(UserName="kept")


def test_directory_is_private(local: LocalAws) -> None:
    folders = [local.directory, *(path for path in local.directory.iterdir() if path.is_dir())]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    assert stat.S_IMODE((local.directory / "tls" / "server.key").stat().st_mode) == 0o600


def test_process_inherits_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDOVER_SECRET", "not for ministack")
    with LocalAws.start(tmp_path) as local:
        assert b"not for ministack" not in Path(f"/proc/{local.pid}/environ").read_bytes()


def test_restart_carries_on(tmp_path: Path) -> None:
    with LocalAws.start(tmp_path) as first:
        iam = client_of(first, "iam")
        iam.create_user(UserName="U")
        key = iam.create_access_key(UserName="U")["AccessKey"]
        s3 = client_of(first, "s3")
        s3.create_bucket(
            Bucket="kept", CreateBucketConfiguration={"LocationConstraint": first.region}
        )
        s3.put_object(Bucket="kept", Key="a/b.jpg", Body=b"image")
    with LocalAws.start(tmp_path) as second:
        assert second.endpoint_url == first.endpoint_url
        body = client_of(second, "s3").get_object(Bucket="kept", Key="a/b.jpg")["Body"].read()
        identity = client_of(
            second, "sts", key=key["AccessKeyId"], secret=key["SecretAccessKey"]
        ).get_caller_identity()
    assert body == b"image"
    assert identity["Arn"].endswith(":user/U")


def test_stop_is_prompt_with_idle_clients_and_idempotent(tmp_path: Path) -> None:
    local = LocalAws.start(tmp_path)
    idle = client_of(local, "iam")
    idle.list_users()
    local.stop()
    local.stop()
    assert not local.running
    assert not Path(f"/proc/{local.pid}").exists()


def test_ends_and_saves_when_its_parent_is_killed(tmp_path: Path) -> None:
    """Also when the parent has forked a child that lives on."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
    )
    assert parent.stdout
    pid, fork = json.loads(parent.stdout.readline())
    try:
        ended = os.pidfd_open(pid)
        parent.kill()
        parent.wait()
        assert select.select([ended], [], [], 20)[0], "the local AWS outlived its parent"
        os.close(ended)
        with LocalAws.start(tmp_path) as again:
            users = client_of(again, "iam").list_users()["Users"]
        assert [user["UserName"] for user in users] == ["survivor"]
    finally:
        os.kill(fork, signal.SIGKILL)
        parent.stdout.close()


def test_one_at_a_time_on_a_directory(local: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localaws, "PATIENCE", 0.1)
    with pytest.raises(LocalAwsError, match=r"another local AWS uses .*choose another directory"):
        LocalAws.start(local.directory)


def test_a_taken_port_is_named(local: LocalAws, tmp_path: Path) -> None:
    port = int(local.endpoint_url.rpartition(":")[2])
    with pytest.raises(LocalAwsError, match=rf"port {port} .*choose another port"):
        LocalAws.start(tmp_path / "other", port=port)


def test_a_failed_start_tells_the_logs_end(tmp_path: Path) -> None:
    with LocalAws.start(tmp_path):
        pass
    (tmp_path / "tls" / "server.key").write_bytes(b"no key")
    with pytest.raises(LocalAwsError, match=r"did not start.*SSLError"):
        LocalAws.start(tmp_path)
