"""Journeys of reviewers in a real Chromium: by keys alone, Kafka real, away or back, the app killed half-way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.cluster.stage import cluster
from schemas.settings import KafkaSettings, Settings
from streams.broker.broker import free_port
from streams.lake import Lake
from streams.lake.query import query
from tests.support.clusters import START, World
from tests.support.kafka import Ingest
from tests.support.pages import needs_chromium, served
from tests.support.reviewers import for_people
from tests.support.waiting import eventually

pytestmark = [needs_chromium, pytest.mark.integration]
ANSWERED = "() => document.querySelector('#saving').textContent === 'all saved'"


class Wheel:
    """A wheel that has turned, whose app tells a real Kafka of what people say."""

    def __init__(self, world: World, ingest: Ingest, home: Path) -> None:
        shutil.copytree(world.settings.home_path, home, ignore=shutil.ignore_patterns("ui"))
        self.ingest = ingest
        self.settings: Settings = msgspec.structs.replace(
            world.settings, home=str(home), kafka=ingest.settings.kafka, archive=ingest.settings.archive
        )
        self.lake = ingest.lake = Lake(self.settings.lake_root)

    def archive(self) -> None:
        """Let what is in Kafka come to rest."""
        self.ingest.archive(self.settings)

    def said(self) -> list[dict[str, Any]]:
        """What reviewers said, as it lies in the lake, doubles and all."""
        return [row for row in self.ingest.stored("feedback") if (row["source"] or "").startswith("reviewer:")]

    def standing(self) -> list[tuple[str, float]]:
        """(interaction, value) of each word of a reviewer that stands."""
        sql = "SELECT interaction_id, value FROM standing_feedback WHERE source LIKE 'reviewer:%' ORDER BY 1"
        known = self.lake.versions(["feedback", "interactions", "erasures"])
        found = query(self.lake, sql, known, after_erasure="accept").to_pylist()
        return [(row["interaction_id"], row["value"]) for row in found]


@pytest.fixture
def wheel(world: World, ingest: Ingest, tmp_path: Path) -> Wheel:
    """Kafka with empty topics beside a turned wheel of its own."""
    return Wheel(world, ingest, tmp_path / "wheel")


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """Opens a page that complains of nothing."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_page(address: str, **more: Any) -> Any:
        context = browser.new_context(**more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def rows_of(lake: Lake) -> list[dict[str, Any]]:
    """Outcomes as the newest run judged them."""
    return query(lake, "SELECT interaction_id, outcome FROM outcomes", lake.versions(["outcomes"])).to_pylist()


def answer(page: Any, *keys: str) -> list[str]:
    """Press keys, each when the next question is there; the items that were answered."""
    items = []
    for key in keys:
        item = page.locator("#question .ask").get_attribute("data-item")
        page.keyboard.press(key)
        page.wait_for_function(
            f"() => (document.querySelector('#question .ask') || {{dataset: {{}}}}).dataset.item !== '{item}'"
        )
        items.append(item)
    return items


def test_a_cluster_is_seen_and_five_are_reviewed_by_keys(wheel: Wheel, tab: Any) -> None:
    """From the inbox to the queue without a mouse; five keys are five events in Kafka; the next turn counts them."""
    with served(wheel.lake, wheel.settings, keep=True) as (address, state):
        page = tab(address + "/failures")
        page.locator(".detail a", has_text="Review").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("#question .ask")
        items = answer(page, "1", "1", "1", "1", "1")
        page.wait_for_function(ANSWERED)
        wheel.archive()
        eventually(lambda: not state.outbox.feedback())
    said = wheel.said()
    cluster(wheel.lake, wheel.settings, START + timedelta(days=3))
    outcomes = {row["interaction_id"]: row["outcome"] for row in rows_of(wheel.lake)}

    assert [(row["kind"], row["value"], row["label"]) for row in said] == [("reviewer", 1.0, "random")] * 5
    assert sorted(row["interaction_id"] for row in said) == sorted(items)
    assert len(set(items)) == 5
    assert {outcomes[item] for item in items} == {"ok"}  # they were failures by a thumb; a reviewer says otherwise


def test_a_whole_review_needs_no_mouse(wheel: Wheel, tab: Any) -> None:
    """Labels, a correction, "exclude", later, back: by keys; typing in the field answers nothing."""
    with served(wheel.lake, wheel.settings, keep=True) as (address, state):
        page = tab(address + "/review/queue")
        first = page.locator("#question .ask").get_attribute("data-item")
        for key in "qx":
            page.keyboard.press(key)
        page.keyboard.press("e")
        page.keyboard.type("123 is right, zl")
        page.keyboard.press("Control+Enter")
        page.wait_for_function(f"() => document.querySelector('#question .ask').dataset.item !== '{first}'")
        answer(page, "l", "3")
        page.wait_for_function(ANSWERED)
        events = [(event.kind, event.value, event.label, event.text) for event in state.outbox.feedback()]

    assert events == [
        ("reviewer", 0.0, "random", None), ("label", None, "off_topic", None), ("label", None, "exclude", None),
        ("correction", None, None, "123 is right, zl"), ("label", None, "cannot_tell", None),
    ]  # fmt: skip


def test_one_is_taken_back(wheel: Wheel, tab: Any) -> None:
    """[good, good, take back, take back, bad, bad]: the same two questions again; two answers stand in Kafka."""
    with served(wheel.lake, wheel.settings, keep=True) as (address, _):
        page = tab(address + "/review/queue")
        items = answer(page, "1", "1")
        back = answer(page, "z", "z")
        again = answer(page, "2", "2")
        page.wait_for_function(ANSWERED)
        wheel.archive()

    assert back[1] == items[1]
    assert again == items
    assert wheel.standing() == sorted((item, 0.0) for item in items)


def test_offline_and_back_nothing_is_lost_or_doubled(wheel: Wheel, tab: Any) -> None:
    """Three answers without a network, a reload, the network again: three events, each once."""
    with served(wheel.lake, wheel.settings, keep=True) as (address, _):
        page = tab(address + "/review/queue")
        page.wait_for_function("() => ahead.length >= 8")
        page.context.set_offline(True)
        items = answer(page, "1", "2", "1")
        assert page.locator("#saving").inner_text() == "3 being saved"
        page.context.set_offline(False)
        page.reload()
        page.wait_for_function(ANSWERED)
        wheel.archive()

    assert sorted(row["interaction_id"] for row in wheel.said()) == sorted(items)


def test_kafka_away_is_said_and_sent_later(wheel: Wheel, tab: Any) -> None:
    """The page goes on and says what is being saved; with Kafka back it says that all is."""
    away = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}", partitions=2)
    with served(wheel.lake, msgspec.structs.replace(wheel.settings, kafka=away), keep=True) as (address, _):
        page = tab(address + "/review/queue")
        items = answer(page, "1", "2")
        page.wait_for_function("() => document.querySelector('#saving').textContent === '2 being saved'")
    with served(wheel.lake, wheel.settings, keep=True) as (address, _):
        page = tab(address + "/review/queue")
        page.wait_for_function(ANSWERED)
        wheel.archive()

    assert sorted(row["interaction_id"] for row in wheel.said()) == sorted(items)


APP = """
import sys
import uvicorn
from schemas.settings import KafkaSettings, Settings
from streams.lake import Lake
from ui.app import make_app
settings = Settings(home=sys.argv[1], kafka=KafkaSettings(bootstrap_servers=sys.argv[2], partitions=2))
uvicorn.run(make_app(Lake(settings.lake_root), settings), host="127.0.0.1", port=int(sys.argv[3]), log_level="error")
"""


def start(settings: Settings, port: int) -> subprocess.Popen[bytes]:
    """The app as a process of its own."""
    given = [settings.home, settings.kafka.bootstrap_servers, str(port)]
    return subprocess.Popen([sys.executable, "-c", APP, *given], start_new_session=True)


def test_a_kill_in_mid_queue_loses_and_doubles_nothing(wheel: Wheel, tab: Any) -> None:
    """[five answers, kill -9, at least two more without an app, a new app]: each is an event, once."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    app = start(wheel.settings, port)
    try:
        eventually(lambda: _answers(address))
        page = tab(address + "/review/queue")
        page.wait_for_function("() => ahead.length >= 8")
        items = answer(page, *"12121")
        os.kill(app.pid, signal.SIGKILL)
        app.wait()
        page.wait_for_timeout(200)
        here = page.evaluate("() => ahead.length")
        items += answer(page, *"1212"[: here - 1])
        app = start(wheel.settings, port)
        page.wait_for_function(ANSWERED, timeout=60_000)
        wheel.archive()
    finally:
        app.kill()
        app.wait()
    once = {row["id"]: row["interaction_id"] for row in wheel.said()}

    assert len(items) == len(set(items)) >= 7
    assert sorted(once.values()) == sorted(items)  # what was sent again after the kill has the same id
    assert [item for item, _ in wheel.standing()] == sorted(items)


def _answers(address: str) -> bool:
    import urllib.request  # noqa: PLC0415 - here alone

    try:
        with urllib.request.urlopen(address + "/healthz", timeout=2) as found:
            return b"ready" in found.read()
    except OSError:
        return False


def test_two_people_overlap_and_their_agreement_is_told(wheel: Wheel, tab: Any) -> None:
    """Each alone is asked different things; where two are asked both are, and the page of agreement says how far."""
    settings = for_people(wheel.settings, Path(wheel.settings.home))
    with served(wheel.lake, settings, keep=True) as (address, state):
        ana, ben = (
            tab(f"{address}/review/queue?q=refund&overlap=1", extra_http_headers={"x-forwarded-user": name})
            for name in ("ana", "ben")
        )
        told = {name: answer(page, *keys) for name, page, keys in (("ana", ana, "1221"), ("ben", ben, "1222"))}
        for page in (ana, ben):
            page.wait_for_function(ANSWERED)
        wheel.archive()
        eventually(lambda: not state.outbox.feedback())
        ana.goto(address + "/review/agreement")
        row = ana.locator("table tr", has_text="ben").first.inner_text().split()
        differing = ana.locator(".apart").count()
        ana.locator(".apart input[name=reason]").first.fill("It is the right answer.")
        ana.locator(".apart button", has_text="It is good").first.click()
        ana.wait_for_url("**/review/agreement")
        after = ana.locator(".apart").count()

    assert told["ana"] == told["ben"]
    assert row[:4] == ["ana", "ben", "4", "0.50"]
    assert (differing, after) == (1, 0)


def test_without_javascript_a_review_is_a_form(wheel: Wheel, tab: Any) -> None:
    """Answer, the next question, take back, and the first is asked again."""
    with served(wheel.lake, wheel.settings, keep=True) as (address, state):
        page = tab(address + "/review/queue", java_script_enabled=False)
        first = page.locator(".ask").get_attribute("data-item")
        page.fill("#correction", "So it is.")
        page.click("button[value=bad]")
        second = page.locator(".ask").get_attribute("data-item")
        page.click("#last button")
        third = page.locator(".ask").get_attribute("data-item")
        events = state.outbox.feedback()

    assert second != first == third
    assert [event.kind for event in events if not event.retracts] == ["reviewer", "correction"]
    assert sum(event.retracts is not None for event in events) == 2


def test_every_key_of_a_robot_is_an_event(wheel: Wheel, tab: Any) -> None:
    """As fast as it presses, each item once, until there is nothing more to ask but one."""
    with served(wheel.lake, wheel.settings, keep=True) as (address, state):
        page = tab(address + "/review/queue")
        items = []
        while len(items) < 159:
            page.wait_for_selector("#question .ask")
            items += answer(page, "1")
        page.wait_for_function(ANSWERED)
        told = state.outbox.feedback()

    assert len(items) == len(set(items)) == 159
    assert sorted(event.interaction_id for event in told) == sorted(items)
