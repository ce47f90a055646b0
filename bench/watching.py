"""Memory of processes while something runs."""

import threading
from types import TracebackType
from typing import Self

import psutil

EVERY_SECONDS = 0.5


class Watch:
    """Samples the resident memory of named processes while the context lasts."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._peaks: dict[str, float] = dict.fromkeys(pids, 0.0)
        self._marks: dict[str, dict[str, float]] = {name: {} for name in pids}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        """Begin to sample."""
        self.mark("start")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""
        self._ended.set()
        self._thread.join()
        if error is None:
            self.mark("end")

    def mark(self, name: str) -> None:
        """Note the memory now under a name."""
        for process, found in self._processes.items():
            self._marks[process][name] = _megabytes(found)

    def memory(self) -> dict[str, dict[str, float]]:
        """Return the megabytes of each process at each mark, and the most it had."""
        return {name: {**marks, "peak": self._peaks[name]} for name, marks in self._marks.items()}

    def grown(self, times: float) -> list[str]:
        """Return the processes with more than so many times the memory at the end as half-way."""
        marks = self._marks.items()
        return [name for name, mark in marks if mark["end"] > times * mark["half"]]

    def _sample(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            for name, process in self._processes.items():
                self._peaks[name] = max(self._peaks[name], _megabytes(process))


def _megabytes(process: psutil.Process) -> float:
    return round(process.memory_info().rss / 1e6, 1)
