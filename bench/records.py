"""How long a record takes, rendered and protected, and whether memory stays flat over many."""

import resource
import sys

from bench.timing import Times, measure
from pdf import SPECIMEN_SECRET, SignerName, issue, specimen

SIGNER = SignerName(first_name="Ada", last_name="Lovelace")
MANY = 1_000


def pdf_times(runs: int) -> Times:
    """Time rendering and protecting a record, after one to warm the fonts."""
    _issue(0)
    return measure(_issue, range(runs))


def pdf_memory_mb(records: int = MANY) -> float:
    """Return how many megabytes the process grows by over so many records (aim: flat)."""
    _issue(0)
    before = _peak_mb()
    for number in range(records):
        _issue(number)
    return round(_peak_mb() - before, 1)


def _issue(number: int) -> bytes:
    record = specimen(number=f"T-050-003-2026-{number:04d}", draft=False)
    return issue(record, SPECIMEN_SECRET, SIGNER)


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, kibibytes elsewhere.
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    for figure, value in pdf_times(100).as_dict().items():
        print(f"{figure:20} {value}")
    print(f"{'grows over 1,000, MB':20} {pdf_memory_mb()}")
