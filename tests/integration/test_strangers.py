"""In a real browser a foreign page gets nothing from door and web app, and a person sees the app as before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.browser import CHROMIUM, asked_by_a_stranger, dom, words_of
from tests.support.kafka import Ingest
from tests.support.open_door import open_door
from tests.support.pages import served
from tests.support.turned import turned

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser (Debian package `chromium`)"),
]
REBINDING = ("--host-resolver-rules=MAP evil.example 127.0.0.1",)


def test_a_foreign_page_gets_nothing_from_the_door(ingest: Ingest, tmp_path: Path) -> None:
    """Neither read nor written: not one event arrives."""
    with open_door(ingest.settings) as url:
        places = [f"{url}/ready", f"{url}/v1/champion/support-bot", f"{url}/v1/feedback", f"{url}/v1/events"]
        found = asked_by_a_stranger(places, tmp_path / "stranger")
        rebound = dom(f"{url}/ready".replace("127.0.0.1", "evil.example"), tmp_path / "rebound", switches=REBINDING)
    ingest.archive()

    assert set(found.values()) <= {"refused", "opaque"}
    assert {what for how, what in found.items() if not how.endswith("post")} == {"refused"}
    assert "ready" not in words_of(rebound).lower()
    assert ingest.stored("feedback") == ingest.stored("dead_letters") == []


def test_a_foreign_page_gets_nothing_from_the_web_app(tmp_path: Path) -> None:
    """No page, no answer, no decision; under another name of the address neither."""
    world = turned(tmp_path / "home")
    with served(world.lake, world.settings) as (url, _):
        found = asked_by_a_stranger([f"{url}/", f"{url}/failures", f"{url}/ledger"], tmp_path / "stranger")
        rebound = dom(url.replace("127.0.0.1", "evil.example"), tmp_path / "rebound", switches=REBINDING)
        person = dom(url, tmp_path / "person")

    assert set(found.values()) <= {"refused", "opaque"}
    assert {what for how, what in found.items() if not how.endswith("post")} == {"refused"}
    assert "wheel" not in words_of(rebound).lower()
    assert "wheel" in words_of(person).lower()
