"""Pages in a real Chromium: no barrier, no sideways scroll, no script of strangers, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flows.testing.events import event_id
from tests.support.browser import tabs
from tests.support.pages import needs_chromium

pytestmark = [needs_chromium, pytest.mark.integration]
PAGES = (
    "/", "/nowhere", "/failures", "/failures?view=map", "/conversations", "/conversations?like=refund", "/datasets",
    "/evaluations", "/evaluations/e1", "/ledger", "/ledger/0", "/ledger/canary",
    "/ledger/canary/history", "/usage", "/alerts", "/settings",
    "/review", "/review/queue", "/review/queue?kind=judged", f"/review/queue?item={event_id(0)}", "/review/agreement",
    f"/conversations/{event_id(0)}",
)  # fmt: skip
THEMES = ("light", "dark")


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    """Opens a page, and at the end says that nothing foreign was asked for and nothing was complained of."""
    complaints: list[str] = []

    def heard(page: Any) -> None:
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)

    with tabs(browser, address, watch=heard) as open_page:
        yield open_page
    assert [said for said in complaints if "404" not in said] == []


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_a_barrier(opened: Any, path: str, theme: str) -> None:
    """axe-core finds nothing, in either theme."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - only where there is a browser

    found = Axe().run(opened(path, theme, bypass_csp=True))

    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [420, 760, 1280])
@pytest.mark.parametrize("path", PAGES)
def test_no_page_scrolls_sideways(opened: Any, path: str, width: int) -> None:
    """From a phone to a desk."""
    assert opened(path, width=width).evaluate("() => document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("path", PAGES)
def test_every_page_reads_without_javascript(opened: Any, path: str) -> None:
    """Heading and rail are there, and its links are links."""
    page = opened(path, java_script_enabled=False)

    assert page.locator("h1").count() == 1
    assert page.locator(".rail a[href='/']").count() >= 1


def test_the_theme_is_kept(opened: Any) -> None:
    """Whoever chose dark finds it dark again."""
    page = opened("/")
    page.click("#theme")
    page.reload()

    assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"


def test_a_cold_page_is_small(opened: Any) -> None:
    """At most 200 kB in eight requests, and 70 kB where the files are known."""
    page = opened("/nowhere")
    sizes: list[int] = []
    page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    page.goto(page.url.replace("/nowhere", "/"))
    page.wait_for_load_state("networkidle")
    warm = sum(sizes)
    context = page.context.browser.new_context()
    cold = context.new_page()
    sizes.clear()
    cold.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    cold.goto(page.url)
    cold.wait_for_load_state("networkidle")
    context.close()

    assert warm <= 70_000
    assert sum(sizes) <= 200_000
    assert len(sizes) <= 8


def test_a_list_is_walked_by_keys(opened: Any) -> None:
    """`j` shows the next cluster beside the list, in the address too; back shows the one before."""
    page = opened("/failures?view=all")
    first, names = page.locator("#detail h2.big-name").inner_text(), page.locator(".item .name").all_inner_texts()
    page.keyboard.press("j")
    page.wait_for_function("() => document.querySelector('#detail h2.big-name').innerText !== '" + first + "'")
    second = page.locator("#detail h2.big-name").inner_text()

    assert [first, second] == names[:2]
    assert "/failures/c" in page.url


def test_g_and_a_letter_go_to_a_page(opened: Any) -> None:
    """And `?` lists the keys."""
    page = opened("/")
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 1
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("f")
    page.wait_for_url("**/failures")


def test_a_search_needs_no_mouse_and_no_javascript(opened: Any) -> None:
    """`/` and words and Enter with it; the same form without."""
    page = opened("/conversations")
    page.keyboard.press("/")
    page.keyboard.type("refund")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=refund**")
    plain = opened("/conversations", java_script_enabled=False)
    plain.fill("input[name=q]", "refund")
    plain.click("form[role=search] button")

    assert page.locator(".talk").count() == plain.locator(".talk").count() > 0
