"""IAM is eventually consistent: what was just made is not known everywhere for some seconds.

AWS: IAM user guide, "Troubleshoot IAM", "Changes that I make are not always immediately visible".
"""

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from botocore.exceptions import ClientError

from engine.aws.failures import code_of

Answer = TypeVar("Answer")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 3.0
# IAM's words where a user or a key is not there; a group or a policy that is missing stays missing.
_NOT_THERE = re.compile(r"\b(user with name|access key with id)\b", re.IGNORECASE)


class Settling:
    """What this process has made lately, and how long IAM may take to know it.

    Args:
        patience: seconds after which what IAM says is taken for the truth.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._made: dict[str, float] = {}
        self._lock = threading.Lock()

    def made(self, name: str) -> None:
        """Note that a user or a key was made just now."""
        now = time.monotonic()
        with self._lock:
            self._made = {it: at for it, at in self._made.items() if now - at < self.patience}
            self._made[name] = now

    def is_new(self, name: str) -> bool:
        """Tell whether it was made so lately that IAM's "not there" proves nothing."""
        with self._lock:
            return time.monotonic() - self._made.get(name, float("-inf")) < self.patience

    def forget(self, name: str) -> None:
        """Note that it was deleted, seen by IAM."""
        with self._lock:
            self._made.pop(name, None)

    def known(self, call: Callable[[], Answer]) -> Answer:
        """Call, and again while IAM does not know the user or key that the call is about.

        Raises what the call raises; a user that is not there, once patience is at its end.
        """
        for last in self.looks():
            try:
                return call()
            except ClientError as error:
                if last or not is_not_there(error):
                    raise
        raise AssertionError("unreachable: the last look returns or raises")

    def looks(self) -> Iterator[bool]:
        """Yield False, after growing pauses with jitter, until patience ends, then True once."""
        deadline, pause = time.monotonic() + self.patience, FIRST_PAUSE
        while time.monotonic() + pause < deadline:
            yield False
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # jitter, no secret
            pause = min(pause * 2, LONGEST_PAUSE)
        yield True


def is_not_there(error: ClientError) -> bool:
    """Tell whether IAM says that the user or the key of the call is not there."""
    said = error.response.get("Error", {}).get("Message", "")
    return code_of(error) == "NoSuchEntity" and bool(_NOT_THERE.search(said))
