"""The seed of what tests leave to chance: the same on each run, so that what fails can be repeated.

`SEED=123 make test` takes another one. Each version of the program has its own, so that in time
more is tried; `make chaos` begins with a fresh one each time.
"""

import os
import zlib

from service.version import version


def first_seed() -> int:
    """Return the seed that SEED asks for, or the one of this version; print it with the test."""
    asked = os.environ.get("SEED")
    return int(asked) if asked else zlib.crc32(version().encode())
