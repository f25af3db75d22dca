"""Who serves: from the door, and from memory while nobody answers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import llm_flywheel as fly
from llm_flywheel.decisions import _newest_first, decided
from tests.support.door import Door, serving
from tests.support.waiting import eventually


def decision(sequence: int, model: str, application: str = "app") -> dict[str, Any]:
    """What matters of a decision."""
    return {
        "application": application,
        "sequence": sequence,
        "champion": {"model": model, "prompt_version": f"p{sequence}"},
    }


@pytest.fixture
def follow(door: Door, tmp_path: Path) -> Iterator[Any]:
    """A champion of the application `app` at the door, followed quickly; ended after the test."""
    made: list[fly.Champion] = []

    def make(**options: Any) -> fly.Champion:
        given = {"url": door.url, "state_dir": tmp_path, "poll_s": 0.05, "default": "m0", **options}
        made.append(fly.Champion("app", **given))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_promotion_is_seen(door: Door, follow: Any) -> None:
    """The default until somebody is promoted, then whoever serves; the same answer costs a 304."""
    seen: list[str] = []
    champion = follow(on_change=lambda new: seen.append(new["model"]))
    assert champion.wait(5)
    assert champion.model == "m0"

    for n in range(1, 4):
        door.champion = decision(n, f"m{n}")
        eventually(lambda n=n: champion.model == f"m{n}", 5)

    assert (champion.prompt_version, champion.sequence, seen) == ("p3", 3, ["m1", "m2", "m3"])
    eventually(lambda: door.unchanged > 2)


def test_an_older_decision_changes_nothing(door: Door, follow: Any) -> None:
    """Highest sequence wins, in whatever order they come."""
    door.champion = decision(5, "m5")
    champion = follow()
    eventually(lambda: champion.model == "m5", 5)
    door.champion = decision(4, "m4")
    calls = door.calls
    eventually(lambda: door.calls > calls + 2, 5)

    assert champion.model == "m5"


def test_the_last_known_champion_serves_while_nobody_answers(door: Door, follow: Any) -> None:
    """It is kept on disk: an application that starts during an outage serves what served before, not the default."""
    door.champion = decision(1, "m1")
    champion = follow()
    eventually(lambda: champion.model == "m1", 5)
    champion.close()
    door.status = 503

    again = follow()
    assert again.model == "m1"
    assert not again.wait(0.2)

    door.status, door.champion = 200, decision(0, "anew")
    eventually(lambda: again.model == "anew", 5)  # a new ledger begins at 0: what is on disk does not outrank it


def test_nothing_raises_where_nobody_is(tmp_path: Path) -> None:
    """No door, no broker, no such scheme, no settings at all: the default serves."""
    with serving() as closed:
        pass
    for url in (closed.url, "pigeon://x", "file:///nowhere", "http://"):
        champion = fly.Champion("app", {"model": "m", "endpoint": "e"}, url=url, state_dir=tmp_path)
        assert champion.current == {"model": "m", "endpoint": "e"}
        champion.close()
    assert fly.Champion(default="m").model == "m"
    assert fly.Champion().model == ""


def test_a_listener_that_fails_stops_nobody(door: Door, follow: Any) -> None:
    """`on_change` is the application's code: its error is logged, and the next promotion is seen."""
    champion = follow(on_change=lambda new: new["missing"])
    for n in (1, 2):
        door.champion = decision(n, f"m{n}")
        eventually(lambda n=n: champion.model == f"m{n}", 5)


def test_a_forked_child_follows_too(door: Door, follow: Any) -> None:
    """A prefork server's champion is made in the parent; its workers see promotions."""
    door.champion = decision(1, "m1")
    champion = follow()
    eventually(lambda: champion.model == "m1", 5)
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        assert champion.model == "m1"
        os.write(write, b"." if eventually(lambda: champion.model == "m2", 10) else b"x")
        os._exit(0)
    door.champion = decision(2, "m2")

    assert os.read(read, 1) == b"."
    os.waitpid(pid, 0)


def test_of_a_compacted_topic_only_the_newest_counts() -> None:
    """Nobody serves history: what lies there is read to its end first; then each promotion as it comes."""

    def value(sequence: int, model: str, application: str = "app") -> bytes:
        return json.dumps(decision(sequence, model, application)).encode()

    stream = [
        value(3, "m3"), value(1, "m1"), None, b"{", b"[]", value(9, "other", "another"), True,
        value(2, "m2"), value(4, "m4"), value(4, "twice"),
    ]  # fmt: skip

    got = [each and (each.sequence, each.champion["model"]) for each in _newest_first(iter(stream), "app")]

    assert got == [(3, "m3"), (4, "m4")]
    assert [*_newest_first(iter([True]), "app")] == [None]
    assert decided(b'{"application": "app", "champion": null}', "app") is None
