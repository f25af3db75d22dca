"""The sentence of the overview, state by state, and what is seen of the neighbours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from schemas.events import Decision
from schemas.records import make_candidate
from ui.health import Health, after
from ui.wheel import Facts, sentence

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
OLD, NEW = make_candidate("bot-1", "http://a/v1"), make_candidate("bot-2", "http://b/v1")


def decision(n: int, action: str, candidate: Any = NEW, champion: Any = OLD) -> Decision:
    return Decision(
        id=f"00000000-0000-7000-8000-{n:012x}", time=NOW - timedelta(hours=9 - n), application="a",
        action=action, candidate=candidate, champion=champion, sequence=n,  # type: ignore[arg-type]
    )  # fmt: skip


PROMOTED = decision(0, "promoted", OLD)
TURNING = Facts(now=NOW, interactions=100, newest=NOW, turned=NOW, decisions=[PROMOTED])


@pytest.mark.parametrize(
    ("changed", "state", "title"),
    [
        ({}, "turning", "The wheel is turning"),
        ({"interactions": 0}, "empty", "Nothing has come yet"),
        ({"turned": None}, "still", "The wheel has not turned yet"),
        ({"turned": NOW - timedelta(hours=4)}, "still", "The wheel stands still"),
        ({"approvals": 1}, "waits", "The wheel waits for you"),
        ({"reviews": 1}, "waits", "The wheel waits for reviews"),
        ({"decisions": []}, "waits", "The wheel has no champion"),
        ({"decisions": [PROMOTED, decision(1, "held")]}, "turning", "The wheel is turning"),
        (
            {"decisions": [PROMOTED, decision(1, "held"), decision(2, "held")]},
            "still",
            "The wheel stands still: 2 candidates held",
        ),
        ({"decisions": [PROMOTED, decision(1, "rolled_back")]}, "still", "The wheel has turned back"),
    ],
)
def test_one_sentence_says_how_it_is(changed: dict[str, Any], state: str, title: str) -> None:
    """Turning, waiting, standing still or empty, each with why."""
    answer = sentence(msgspec.structs.replace(TURNING, **changed), Health())

    assert (answer.state, answer.title) == (state, title)
    assert answer.why


def test_a_stopped_archiver_comes_first() -> None:
    """Whatever else is true: nothing comes to rest."""
    seen = Health(asked=True, behind=7, still_since=NOW - timedelta(seconds=8))

    assert sentence(TURNING, seen).title == "The archiver has stopped"
    assert "7 events" in sentence(TURNING, seen).why


def test_two_looks_tell_a_stopped_archiver_from_a_busy_one() -> None:
    """Events that wait while the committed offset stays are a stop; one that moves is not."""
    first = after(Health(), Health(asked=True, behind=5, place=10), NOW)
    busy = after(first, Health(asked=True, behind=5, place=14), NOW)
    stopped = after(first, Health(asked=True, behind=9, place=10), NOW + timedelta(seconds=4))
    later = after(stopped, Health(asked=True, behind=9, place=10), NOW + timedelta(seconds=8))
    again = after(later, Health(asked=True, behind=2, place=17), NOW + timedelta(seconds=12))

    assert not first.archiver_stopped
    assert not busy.archiver_stopped
    assert stopped.archiver_stopped
    assert later.still_since == NOW + timedelta(seconds=4)
    assert not again.archiver_stopped
