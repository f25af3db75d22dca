"""Two answers for the gate, and items by hand, in a real Chromium: of strangers, by keys, narrow, without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from flows.curate.golden import Book, Written, acts
from flows.evaluate.reviewing import standing_of
from flows.evaluate.stage import evaluate
from flows.testing.bench import Bench
from flows.testing.endpoint import Endpoint
from schemas.serving import UiSettings
from schemas.settings import EvaluateSettings
from streams.lake import Lake
from tests.support.browser import tabs
from tests.support.disagreements import sampled
from tests.support.pages import needs_chromium, served
from tests.support.payloads import PAYLOADS

pytestmark = [needs_chromium, pytest.mark.integration]
VIEWS = ("pairs", "golden", "item", "evaluation")
WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("main *")]
  .filter((one) => one.getBoundingClientRect().right > innerWidth && !one.closest(".scroll") && !one.children.length)
  .map((one) => one.outerHTML.slice(0, 160))"""


class Hostile:
    """A sample of which the two models say different things, all of them payloads; and an item by hand."""

    def __init__(self, home: Path, endpoint: Endpoint) -> None:
        endpoint.reply = self._reply
        quick = EvaluateSettings(connections=4, timeout_s=2.0, tries=3, backoff_s=0.01, retry_after_max_s=0.2)
        bench = sampled(Bench(Lake(home / "lake"), home, quick, endpoint))
        self.lake, self.settings = bench.lake, replace(bench.settings, ui=UiSettings())
        self.evaluation = evaluate(bench.lake, bench.settings, bench.as_of).evaluation_id
        dirty = Written("\n".join(PAYLOADS), "\n".join(PAYLOADS), " ".join(PAYLOADS), PAYLOADS[7])
        Book(self.lake, self.settings, PAYLOADS[0], bench.as_of).add(dirty, PAYLOADS[1])
        (item,) = {one.item_id for one in acts(self.lake, "support-bot")}
        self.paths = {
            "pairs": f"/review/queue?kind=pairs&evaluation={self.evaluation}", "golden": "/golden",
            "item": f"/golden/{item}", "evaluation": f"/evaluations/{self.evaluation}",
        }  # fmt: skip

    def _reply(self, asked: dict[str, Any]) -> str:
        number = int(asked["messages"][-1]["content"].split()[-1])
        return f"{Bench.answer(asked)} {PAYLOADS[number % len(PAYLOADS)]}"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    with Endpoint() as endpoint, ThreadPoolExecutor(1) as beside:  # the browser's event loop runs in this thread
        yield beside.submit(Hostile, tmp_path_factory.mktemp("pairs"), endpoint).result()


@pytest.fixture(scope="module")
def address(hostile: Hostile) -> Iterator[str]:
    with served(hostile.lake, hostile.settings) as (url, _):
        yield url


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    """Opens a page; at the end nothing of a stranger has run, and nothing foreign was asked for."""

    def left(page: Any) -> None:
        assert page.evaluate("() => window.hit") is None

    with tabs(browser, address, leave=left) as open_page:
        yield open_page


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_no_page_has_a_barrier(opened: Any, hostile: Hostile, view: str, theme: str) -> None:
    """axe-core finds nothing, in either theme, whatever strangers wrote."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - only where there is a browser

    found = Axe().run(opened(hostile.paths[view], theme, bypass_csp=True))

    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("view", VIEWS)
def test_a_phone_and_a_reader_without_scripts_have_it_too(opened: Any, hostile: Hostile, view: str) -> None:
    """420 pixels and nothing scrolls sideways; without JavaScript the heading and the words are there."""
    narrow = opened(hostile.paths[view], width=420)
    plain = opened(hostile.paths[view], java_script_enabled=False)

    assert narrow.evaluate(WIDE) == []
    assert plain.locator("h1").count() == 1


def test_pairs_are_reviewed_by_keys_alone(opened: Any, hostile: Hostile) -> None:
    """[1, 2, b, n, s], then the last taken back: four are reviewed, and their words stayed words."""
    page = opened(hostile.paths["pairs"])
    before = standing_of(hostile.lake, hostile.settings, hostile.evaluation).reviewed
    for key in "12bns":
        item = page.locator("#question .ask").get_attribute("data-item")
        page.keyboard.press(key)
        page.wait_for_function(
            f"() => !['{item}', undefined].includes(document.querySelector('#question .ask')?.dataset.item)"
        )
    page.keyboard.press("z")
    page.wait_for_function("() => !unsent().length && !sending")
    stood = standing_of(hostile.lake, hostile.settings, hostile.evaluation)

    assert page.evaluate("() => window.hit") is None
    assert stood.reviewed - before == 4
