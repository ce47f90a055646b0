"""A local AWS: ministack with IAM enforcement over HTTPS on loopback, for trials, demo and tests.

All of its state, certificate and log lie below one directory; started again there, it carries on.
"""

import http.client
import os
import ssl
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from engine.localaws_files import (
    LOOPBACK,
    LocalAwsError,
    certificate,
    last_port,
    listen,
    private_directory,
    take_lock,
)

__all__ = ["LocalAws", "LocalAwsError", "running_on"]

# A child saves its state within a second or two; a loaded machine is allowed more.
PATIENCE = 30.0
LOG_LIMIT = 1 << 20
SERVICES = ("s3", "iam", "sts")
"""What the product uses; the stand-in knows more."""
CHILD = Path(__file__).with_name("localaws_child.py")

_pipes: "weakref.WeakSet[FileIO]" = weakref.WeakSet()


def _forget_pipes() -> None:
    for pipe in _pipes:
        pipe.close()


# A forked child that kept a pipe's write end would keep the local AWS alive after its parent.
os.register_at_fork(after_in_child=_forget_pipes)


@dataclass
class LocalAws:
    """ministack with IAM enforcement over HTTPS on loopback, and its process.

    It ends with its parent, even when that is killed, and saves its state then.
    """

    directory: Path
    endpoint_url: str
    ca_bundle: Path
    region: str
    pid: int
    _process: "subprocess.Popen[bytes]" = field(repr=False)

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        port: int = 0,
        region: str = "eu-west-1",
        services: Sequence[str] = SERVICES,
    ) -> Self:
        """Start on the directory and return when it answers.

        Args:
            directory: made if need be (0700); one local AWS at a time may use it.
            port: on 127.0.0.1; 0 takes the directory's last one if it is free, else any.
            region: the region that ministack is in.
            services: names of the AWS services that answer; all others are refused.

        Raises:
            LocalAwsError: directory in use, port taken, or the process ended while starting.
        """
        directory = private_directory(directory.resolve())
        authority, chain, key = certificate(directory)
        with take_lock(directory, patience=PATIENCE) as lock, listen(directory, port) as listener:
            bound: int = listener.getsockname()[1]
            environment = _child_environment(directory, chain, key, bound, region, services)
            process = _spawn(directory, environment, listener.fileno(), lock.fileno())
        url = f"https://{LOOPBACK}:{bound}"
        started = cls(directory, url, authority, region, process.pid, process)
        try:
            _await_answer(bound, authority)
        except OSError as error:
            started.stop()
            raise LocalAwsError(
                f"the local AWS on {directory} did not start; its log {_log(directory)} ends: "
                f"{_log_end(directory)}"
            ) from error
        return started

    @property
    def running(self) -> bool:
        """Whether its process is alive."""
        return self._process.poll() is None

    def environment(self) -> dict[str, str]:
        """The variables with which any AWS tool talks to it, as its root user."""
        return _environment(self.endpoint_url, self.ca_bundle, self.region)

    def stop(self) -> None:
        """Ask it to save its state and end, and wait; stopping twice does nothing."""
        if self._process.stdin:
            self._process.stdin.close()
        if self.running:
            self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise LocalAwsError(
                f"the local AWS on {self.directory} did not end within {PATIENCE:.0f} s and was "
                f"killed: what IAM learned since its start is lost; see {_log(self.directory)}"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def running_on(directory: Path, *, region: str = "eu-west-1") -> dict[str, str] | None:
    """The variables of a local AWS that another process runs on the directory; None without one."""
    port, authority = last_port(directory), directory.resolve() / "tls" / "ca.pem"
    if port is None or not authority.exists():
        return None
    try:
        _await_answer(port, authority)
    except OSError:
        return None
    return _environment(f"https://{LOOPBACK}:{port}", authority, region)


def _environment(endpoint_url: str, ca_bundle: Path, region: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_CA_BUNDLE": str(ca_bundle),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": f"{LOOPBACK},localhost",
    }


def _child_environment(
    directory: Path, chain: Path, key: Path, port: int, region: str, services: Sequence[str]
) -> dict[str, str]:
    """ministack's settings, and nothing of ours: its process inherits no secret."""
    state, objects, scratch = (
        str(private_directory(directory / name)) for name in ("state", "s3", "tmp")
    )
    return {
        "PATH": os.defpath,
        "HOME": str(directory),
        "LANG": "C.UTF-8",
        "TMPDIR": scratch,
        "AUTH": "true",
        "BIND_HOST": LOOPBACK,
        "MINISTACK_HOST": LOOPBACK,
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": region,
        "SERVICES": ",".join(services),
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(chain),
        "MINISTACK_SSL_KEY": str(key),
        "PERSIST_STATE": "1",
        "STATE_DIR": state,
        "S3_PERSIST": "1",
        "S3_DATA_DIR": objects,
        # Listeners and a container sweep that have no place on a user's machine.
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "DOCKER_HOST": f"unix://{scratch}/no-docker",
        "LOG_LEVEL": "WARNING",
    }


def _spawn(
    directory: Path, environment: Mapping[str, str], listener: int, lock: int
) -> "subprocess.Popen[bytes]":
    with _open_log(_log(directory)) as output:
        process = subprocess.Popen(
            # -P: the script's folder, ours, must not shadow the standard library.
            [sys.executable, "-P", str(CHILD), str(listener)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            bufsize=0,
            cwd=directory,
            env=environment,
            pass_fds=(listener, lock),
            umask=0o077,
            # A terminal's Ctrl-C is the parent's to handle: it still needs its AWS to clean up.
            start_new_session=True,
        )
    _pipes.add(cast(FileIO, process.stdin))
    return process


def _open_log(log: Path) -> BinaryIO:
    fresh = not log.exists() or log.stat().st_size > LOG_LIMIT
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if fresh else os.O_APPEND)
    return os.fdopen(os.open(log, flags, 0o600), "wb")


def _await_answer(port: int, authority: Path) -> None:
    """One request: it waits in the socket's queue until ministack serves, or fails with it."""
    context = ssl.create_default_context(cafile=authority)
    connection = http.client.HTTPSConnection(LOOPBACK, port, timeout=PATIENCE, context=context)
    try:
        connection.request("GET", "/_ministack/health")
        connection.getresponse().read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


def _log(directory: Path) -> Path:
    return directory / "ministack.log"


def _log_end(directory: Path) -> str:
    lines = _log(directory).read_text(encoding="utf-8", errors="replace").splitlines()
    return " / ".join(lines[-3:]) or "(empty)"
