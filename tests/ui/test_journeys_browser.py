"""Journeys of whoever decides, in a real Chromium: approve, find a forged row, follow a row of a dataset to Kafka."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from flows.testing.events import event_id
from streams.lake import Lake
from streams.lake.append import append, to_rows
from streams.lake.query import rows as stored
from tests.support.clusters import World
from tests.support.pages import needs_chromium, served

pytestmark = [needs_chromium, pytest.mark.integration]


@pytest.fixture
def lake(world: World, tmp_path: Path) -> Lake:
    """The world's lake, to decide in."""
    shutil.copytree(world.settings.home_path, tmp_path / "home", ignore=shutil.ignore_patterns("ui"))
    return Lake(replace(world.settings, home=str(tmp_path / "home")).lake_root)


@pytest.fixture
def page(world: World, lake: Lake, tmp_path: Path, browser: Any) -> Iterator[Any]:
    """The app over that lake, on its overview."""
    with served(lake, replace(world.settings, home=str(tmp_path / "home"))) as (address, _):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        found = context.new_page()
        found.set_default_timeout(20_000)
        found.goto(address + "/")
        yield found
        context.close()


def go(page: Any, key: str, path: str) -> None:
    """To a page of the rail, by keys."""
    page.keyboard.press("g")
    page.keyboard.press(key)
    page.wait_for_url(f"**{path}")


def test_an_approval_is_a_ledger_row_and_the_champion_of_the_overview(page: Any) -> None:
    """By keys alone: the candidate that waits, why, approve; the ledger has it, and the overview says so."""
    before = page.locator(".rail footer").inner_text()
    go(page, "e", "/evaluations")
    page.locator("a[href='/evaluations/e1']").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/evaluations/e1")
    page.locator("form.decide input[name=reason]").focus()
    page.keyboard.type("it answers better <b>by far</b>")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.value") == "promote"
    page.keyboard.press("Enter")
    page.wait_for_selector("form.decide", state="detached")
    page.keyboard.press("Escape")
    go(page, "l", "/ledger")
    ledger = page.locator("main").inner_text()
    go(page, "o", "/")
    after = page.locator(".rail footer").inner_text()

    assert "old serves" in before
    assert "new serves" in after
    assert "verified now" in ledger
    assert "promoted" in ledger
    assert "new serves since" in page.locator("main").inner_text()


def test_a_tampered_ledger_names_the_row(page: Any, lake: Lake) -> None:
    """Somebody writes a row that does not follow: whoever opens the ledger reads which."""
    rows = stored(lake, "ledger")
    forged = {**rows[0], "id": event_id(77), "sequence": len(rows), "hash": "0" * 64}
    append(lake, "ledger", to_rows("ledger", [forged]), {})
    go(page, "l", "/ledger")
    text = page.locator("main").inner_text()

    assert "the chain is broken" in text
    assert f"row {len(rows)}" in text


def test_a_row_of_a_dataset_leads_to_its_offset_in_three_clicks(page: Any) -> None:
    """From the list of datasets: a version, its rows, one row. Topic, partition and offset stand there."""
    go(page, "d", "/datasets")
    clicks = 0
    for pattern in (r"/datasets/all/[0-9a-f]+$", r"/datasets/all/[0-9a-f]+/rows", r"/rows/[0-9a-f]+$"):
        hrefs = page.eval_on_selector_all("main a[href]", "all => all.map(one => one.getAttribute('href'))")
        href = next(each for each in hrefs if re.search(pattern, each))
        page.locator(f"main a[href='{href}']").first.click()
        page.wait_for_url(f"**{href}")
        clicks += 1

    assert clicks == 3
    assert re.search(r"llm\.interactions, partition 0, offset \d+", page.locator("main").inner_text())
