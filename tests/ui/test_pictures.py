"""States of the app in a real Chromium: `PICTURES=FOLDER pytest -n0 tests/ui/test_pictures.py` keeps their pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.testing.events import event_id
from streams.lake import Lake
from tests.support.browser import tabs
from tests.support.pages import needs_chromium, served
from tests.support.reigns import promoted, traffic

pytestmark = [needs_chromium, pytest.mark.integration]
STATES = {
    "overview-light": "/",
    "failures-dark": "/failures",
    "failures-phone-dark": "/failures",
    "map-light": "/failures?view=map",
    "conversation-light": f"/conversations/{event_id(0)}",
    "review-light": "/review/queue",
    "agreement-light": "/review/agreement",
    "datasets-dark": "/datasets",
    "evaluation-light": "/evaluations/e1",
    "ledger-light": "/ledger",
    "usage-dark": "/usage",
}
WATCH = {"watch-light": "/ledger/canary/history", "watch-dark": "/ledger/canary/history"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where pictures go: to be looked at, if somebody asks for it."""
    return Path(os.environ.get("PICTURES", tmp_path))


@pytest.fixture(scope="module")
def reigns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the app answers over a promotion that is watched."""
    settings = promoted(tmp_path_factory.mktemp("reigns"))
    lake = Lake(settings.lake_root)
    traffic(lake, True, 7)
    with served(lake, settings) as (url, _):
        yield url


@pytest.mark.parametrize("name", STATES)
def test_a_state_is_drawn(browser: Any, address: str, folder: Path, name: str) -> None:
    """With a picture on which there is something."""
    drawn(browser, address, STATES[name], folder / f"{name}.png")


@pytest.mark.parametrize("name", WATCH)
def test_the_watch_is_drawn_without_a_barrier(browser: Any, reigns: str, folder: Path, name: str) -> None:
    """In both themes; axe-core finds nothing."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - only where there is a browser

    drawn(browser, reigns, WATCH[name], folder / f"{name}.png")
    with tabs(browser, reigns) as open_page:
        found = Axe().run(open_page(WATCH[name], name.rpartition("-")[2], bypass_csp=True))
        assert found.violations_count == 0, found.generate_report()


def test_the_watch_comes_after_its_page(browser: Any, reigns: str) -> None:
    """The page itself waits for nothing."""
    with tabs(browser, reigns) as open_page:
        page = open_page("/ledger/canary")
        page.wait_for_selector("#watched svg", timeout=60_000)


def drawn(browser: Any, address: str, path: str, file: Path) -> None:
    theme, width = file.stem.rpartition("-")[2], 420 if "phone" in file.stem else 1280
    with tabs(browser, address) as open_page:
        page = open_page(path, theme, width)
        page.evaluate("() => document.fonts.ready.then(() => true)")
        page.screenshot(path=file)
    assert file.stat().st_size > 10_000
