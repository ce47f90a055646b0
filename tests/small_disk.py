"""A real small disk: a file system in memory that is full when it is full."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHUNK = 4096


@dataclass(frozen=True)
class SmallDisk:
    """A mounted file system of its own."""

    folder: Path

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"

    def fill(self, *, leave: int = 0) -> None:
        """Take all room but for `leave` bytes."""
        with self._filler.open("ab", buffering=0) as filler:
            try:
                while True:
                    filler.write(b"x" * CHUNK)
            except OSError:
                filler.truncate(max(0, filler.tell() - leave))

    def free(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a file system in memory of this size on the folder; unmounted at the end."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(folder)]
    answer = subprocess.run(mount, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise RuntimeError(
            f"A small disk could not be mounted: {answer.stderr.strip()}. These tests need the "
            "right to mount; run them as root, or in `unshare --map-root-user --mount`."
        )
    try:
        yield SmallDisk(folder)
    finally:
        # Lazily: a process that still holds a file open must not keep it mounted.
        subprocess.run(["umount", "-l", str(folder)], check=True)
