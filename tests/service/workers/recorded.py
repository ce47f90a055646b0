"""``python -m tests.service.workers.recorded``: the service, noting when it is at work in AWS.

Each call that changes an area is noted with its begin and end in the file that RECORD_FILE names.
"""

import functools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.cli import main
from stacks.areas import Areas
from tests.service.unhurried import unhurried

NOTED = ("open", "close", "key_off")


def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the call, noting when it began and ended; of one that was killed only the begin."""

    @functools.wraps(call)
    def wrapper(areas: Areas, area: Any, *arguments: Any, **options: Any) -> Any:
        token = os.urandom(8).hex()
        note(token, "begin", area.slug, name)
        try:
            return call(areas, area, *arguments, **options)
        finally:
            note(token, "end", area.slug, name)

    return wrapper


def note(token: str, what: str, slug: str, name: str) -> None:
    """Append one line, in one write, so that processes do not mix theirs."""
    line = {"token": token, "what": what, "slug": slug, "call": name, "pid": os.getpid()}
    text = json.dumps({**line, "at": time.monotonic()}) + "\n"
    with Path(os.environ["RECORD_FILE"]).open("a") as file:
        file.write(text)


if __name__ == "__main__":
    unhurried()
    for name in NOTED:
        setattr(Areas, name, noted(name, getattr(Areas, name)))
    main()
