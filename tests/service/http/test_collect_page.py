"""The page of a one-time link in a real browser: the token goes from the address into a POST."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from pypdf import PdfReader

from service.settings import LocalSettings, Settings
from tests.pdf.chromium import Chromium, chromium
from tests.service.http.handworker import HandWorker
from tests.waiting import until

PATIENCE = 20.0
VISIBLE = "[...document.querySelectorAll('p,button')].filter(e => e.offsetParent).map(e => e.id)"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return LocalSettings(
        data_directory=tmp_path,
        passphrase=SecretStr("of the test"),
        base_url="http://handover.example",
    )


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    with chromium(tmp_path / "chromium") as running:
        yield running


class Tab:
    """One open page."""

    def __init__(self, browser: Chromium, url: str) -> None:
        self._browser = browser
        target = browser.call("Target.createTarget", url=url)["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def run(self, script: str) -> Any:
        """Evaluate a script in the page and return its value."""
        answer = self._browser.call(
            "Runtime.evaluate", self._session, expression=script, returnByValue=True
        )
        return answer["result"].get("value")

    def shows(self, *ids: str) -> bool:
        """Tell whether all these elements are to be seen."""
        return set(ids) <= set(self.run(VISIBLE) or ())


def test_the_receiver_sees_downloads_once_and_confirms(
    api: httpx.Client,
    address: str,
    worker: HandWorker,
    abc_llc: dict[str, Any],
    browser: Chromium,
    tmp_path: Path,
) -> None:
    worker.automatic = True
    api.post("/v1/clients", json=abc_llc)
    made = api.post("/v1/clients/ABC-LLC/record/links").json()
    token = made["address"].partition("#")[2]
    files = tmp_path / "files"
    files.mkdir()
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(files))
    tab = Tab(browser, f"{address}/collect#{token}")
    about = "document.getElementById('about').textContent"
    until(
        lambda: "T-050-003-" in (tab.run(about) or ""), lambda: "the page does not say what waits"
    )
    assert tab.shows("about", "until")
    assert token not in tab.run("location.href"), "the token stays in the address"
    tab.run("document.querySelector('#ready button').click()")
    until(lambda: tab.shows("confirm"), "the download does not lead on")
    until(lambda: list(files.glob("T-050-003-*.pdf")), "no file was saved")
    [file] = files.glob("*.pdf")
    assert PdfReader(file, password="Ada Lovelace").pages
    tab.run("document.getElementById('confirm').click()")
    until(lambda: tab.shows("thanks"), "the confirmation is not taken")
    [delivery] = api.get("/v1/clients/ABC-LLC/deliveries").json()["items"]
    assert delivery["confirmed_at"] is not None

    again = Tab(browser, f"{address}/collect#{token}")
    until(lambda: again.shows("invalid"), "a used link is not refused")
    assert not again.shows("about")
    assert json.dumps(delivery).count(token) == 0
