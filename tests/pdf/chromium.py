"""Chromium with its own PDF viewer, driven through the DevTools protocol over a pipe.

Messages are JSON, each ended by a zero byte; the browser reads them from descriptor 3 and answers
on 4 (https://chromedevtools.github.io/devtools-protocol/).
"""

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless=new",
    # The one page that it opens is ours; as root, in containers, there is no sandbox to be had.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    # It talks to nobody but this machine: no other host has an address.
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
)
PATIENCE = 30.0
# In the viewer's own page: its dialog asks, says that a password is wrong, or is gone.
DIALOG = "document.querySelector('pdf-viewer')?.shadowRoot?.querySelector('viewer-password-dialog')"
STATE = f"""(() => {{
    const viewer = document.querySelector('pdf-viewer');
    const dialog = {DIALOG};
    const input = dialog?.shadowRoot?.querySelector('#password');
    if (input) return input.invalid ? 'wrong' : input.value ? 'waiting' : 'asks';
    const bar = viewer?.shadowRoot?.querySelector('viewer-toolbar');
    return bar?.docLength ? `pages ${{bar.docLength}}` : 'waiting';
}})()"""
ENTER = f"""(async (password) => {{
    const inside = {DIALOG}.shadowRoot;
    const input = inside.querySelector('#password');
    input.invalid = false;
    input.value = password;
    await input.updateComplete;
    inside.querySelector('#submit').click();
}})"""


class Chromium:
    """A running browser."""

    def __init__(self, outgoing: int, incoming: int) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self._received = b""
        self._number = 0

    def open(self, pdf: Path) -> "Viewer":
        """Open a PDF and wait for its viewer."""
        page = self.call("Target.createTarget", url=pdf.as_uri())["targetId"]
        frame = _until(lambda: self._viewer_of(page), f"no viewer opened for {pdf.name}")
        session = self.call("Target.attachToTarget", targetId=frame, flatten=True)["sessionId"]
        return Viewer(self, page, session)

    def call(self, method: str, session: str = "", **parameters: Any) -> Any:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._outgoing, json.dumps(message).encode() + b"\0")
        answer = _until(lambda: self._answer(self._number), f"{method} was not answered")
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _answer(self, number: int) -> Any:
        """Return the answer with this number; what else arrives is of no interest."""
        while b"\0" in self._received or select.select([self._incoming], [], [], 0.1)[0]:
            if b"\0" not in self._received:
                self._received += os.read(self._incoming, 1 << 16)
                continue
            message, _, self._received = self._received.partition(b"\0")
            answer = json.loads(message)
            if answer.get("id") == number:
                return answer
        return None

    def _viewer_of(self, page: str) -> str | None:
        targets = self.call("Target.getTargets", filter=[{}])["targetInfos"]
        found = (
            target["targetId"]
            for target in targets
            if target["url"].startswith("chrome-extension://")
            and target["url"].endswith("/index.html")
            and target.get("parentId", target.get("parentFrameId", page)) == page
        )
        return next(found, None)


class Viewer:
    """The viewer of one PDF."""

    def __init__(self, browser: Chromium, page: str, session: str) -> None:
        self._browser = browser
        self._page = page
        self._session = session
        _until(lambda: self.state() != "waiting", "the viewer shows nothing")

    def state(self) -> str:
        """What it shows: `asks` for a password, `wrong`, `pages N`, or `waiting` for the next."""
        return str(self._evaluate(STATE))

    def enter(self, password: str) -> str:
        """Enter a password as a reader would; return the state that it leads to."""
        self._evaluate(f"{ENTER}({json.dumps(password)})")
        _until(lambda: self.state() not in ("waiting", "asks"), "the viewer took no password")
        return self.state()

    def close(self) -> None:
        """Close its page."""
        self._browser.call("Target.closeTarget", targetId=self._page)

    def _evaluate(self, script: str) -> Any:
        answer = self._browser.call(
            "Runtime.evaluate",
            self._session,
            expression=script,
            awaitPromise=True,
            returnByValue=True,
        )
        return answer["result"].get("value")


@contextmanager
def chromium(folder: Path) -> Iterator[Chromium]:
    """Start the browser with a profile of its own in the folder, and end it."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    assert program, f"none of {', '.join(PROGRAMS)} is installed (Debian: chromium)"
    reads, outgoing = os.pipe()
    incoming, writes = os.pipe()
    command = (program, *OPTIONS, f"--user-data-dir={folder}", "about:blank")
    process = subprocess.Popen(
        ["bash", "-c", f'exec "$@" 3<&{reads} 4>&{writes}', "bash", *command],
        pass_fds=(reads, writes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(reads)
    os.close(writes)
    try:
        yield Chromium(outgoing, incoming)
    finally:
        # The end of the pipe is its signal to end, too.
        os.close(outgoing)
        os.close(incoming)
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _until(look: Callable[[], T], complaint: str) -> T:
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < end, complaint
        time.sleep(0.05)
    return found
