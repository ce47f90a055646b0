"""What a local AWS keeps in its directory beside ministack's own state: lock, port, certificate."""

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import IO

import trustme

LOOPBACK = "127.0.0.1"


class LocalAwsError(Exception):
    """The local AWS cannot be started or has ended; the text says why and what to do."""


def private_directory(directory: Path) -> Path:
    """Make the directory if need be and close it to everybody else (0700)."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    return directory


def take_lock(directory: Path, *, patience: float) -> IO[str]:
    """Lock the directory for one local AWS; waits for one that is just saving its state.

    The lock belongs to the open file: handed to the child, it lasts as long as the child.

    Raises:
        LocalAwsError: another local AWS still uses the directory after `patience` seconds.
    """
    lock = (directory / "lock").open("a+", encoding="ascii")
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                lock.close()
                raise LocalAwsError(
                    f"another local AWS uses {directory}: stop it, or choose another directory"
                ) from None
            time.sleep(0.02)
        else:
            return lock


def listen(directory: Path, port: int) -> socket.socket:
    """Listen on loopback: on `port`, or with 0 on the port of last time if it is free, else any.

    Raises:
        LocalAwsError: the port asked for is taken.
    """
    memory = directory / "port"
    before = last_port(directory)
    for candidate in [port] if port else [*([before] if before else []), 0]:
        try:
            listener = _bind(candidate)
        except OSError as error:
            if port:
                raise LocalAwsError(
                    f"port {port} on {LOOPBACK} cannot be used ({error.strerror}): "
                    "free it, or choose another port for the local AWS"
                ) from error
            continue
        _write(memory, str(listener.getsockname()[1]).encode("ascii"), 0o600)
        return listener
    raise LocalAwsError(f"no free port on {LOOPBACK} for the local AWS")


def last_port(directory: Path) -> int | None:
    """The port that the directory's local AWS listens on, or listened on last; None for none."""
    try:
        return int((directory / "port").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it; without it small answers wait for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


def certificate(directory: Path) -> tuple[Path, Path, Path]:
    """The certificate authority's, the server's certificate and its key, made once a directory."""
    folder = private_directory(directory / "tls")
    authority, chain, key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    if not all(path.exists() for path in (authority, chain, key)):
        issuer = trustme.CA()
        issued = issuer.issue_cert(LOOPBACK, "localhost")
        _write(key, issued.private_key_pem.bytes(), 0o600)
        _write(chain, b"".join(pem.bytes() for pem in issued.cert_chain_pems), 0o644)
        # Last: its presence says that the set is whole.
        _write(authority, issuer.cert_pem.bytes(), 0o644)
    return authority, chain, key


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    path.chmod(mode)
