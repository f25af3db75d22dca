"""The arithmetic of triage: joins in any order, counts that are never doubled, alarms that do not chatter."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Feedback, Interaction
from schemas.settings import TriageSettings
from streams.triage.rates import (
    MAX_SIGNALS,
    Alarm,
    Change,
    Counts,
    Group,
    Seen,
    alert_of,
    hidden,
    observe,
    watch,
    window_start,
)

START = "2026-01-05T09:00:00Z"
GROUP = Group("support-bot", "bot-1", "v2", "canary")
RULE = TriageSettings(alert_rate=0.5, alert_clear_rate=0.4, alert_min=10)


def uid(n: int) -> str:
    return f"019b0000-0000-7000-8000-{n:012d}"


def interaction(n: int = 0, **fields: Any) -> Interaction:
    values = {
        "id": uid(n), "time": START, "application": "support-bot", "conversation_id": "c", "request_model": "bot-1",
        "prompt_version": "v2", "variant": "canary", "input_messages": [{"role": "user", "content": "hello"}],
    }  # fmt: skip
    return msgspec.convert({**values, **fields}, Interaction)


def feedback(n: int, kind: str = "thumb", **fields: Any) -> Feedback:
    values: dict[str, Any] = {
        "id": uid(1000 + n), "time": START, "application": "support-bot", "conversation_id": "c",
        "interaction_id": uid(0), "kind": kind,
    }  # fmt: skip
    if kind == "thumb":
        values["value"] = 0.0
    return msgspec.convert({**values, **fields}, Feedback)


def fold(events: list[Interaction | Feedback]) -> tuple[Seen, Counts]:
    seen, total = Seen(0), Counts()
    for event in events:
        seen, change = observe(seen, event)
        total = total.plus(change) if change else total
    return seen, total


STORY: list[Interaction | Feedback] = [
    interaction(),
    feedback(1, value=1.0),
    feedback(2, value=0.0, supersedes=uid(1001)),
    feedback(3, retracts=uid(1002), value=None),
    feedback(4, "rating", value=0.9),
]


def test_the_order_of_events_does_not_matter() -> None:
    """Every order of an interaction and its feedback ends in the same state and the same counts."""
    ends = {msgspec.json.encode(fold(list(order))[1]) for order in itertools.permutations(STORY)}

    assert ends == {msgspec.json.encode(Counts(interactions=1, judged=1, failed=0))}


@settings(max_examples=50)
@given(st.lists(st.sampled_from(STORY), max_size=15))
def test_an_event_that_comes_twice_counts_once(events: list[Interaction | Feedback]) -> None:
    """Whatever is repeated, one interaction is counted at most once, and failed at most once."""
    _, total = fold(events)
    _, once = fold([event for n, event in enumerate(events) if event not in events[:n]])

    assert total == once
    assert 0 <= total.failed <= total.judged <= total.interactions <= 1


def test_feedback_waits_for_its_interaction() -> None:
    """Feedback that comes first moves no count until the interaction says which group it is about."""
    waiting, change = observe(Seen(3), feedback(1))

    assert change is None
    assert observe(waiting, interaction())[1] == Change(GROUP, 1767603600.0, uid(0), hidden("conversation:c"), 1, 1, 1)


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        ([interaction()], "unknown"),
        ([interaction(error_type="timeout")], "failed"),
        ([interaction(), feedback(1, "copy")], "ok"),
        ([interaction(), feedback(1, "comment", text="hm")], "unknown"),
        ([interaction(), feedback(1, "label", label="billing")], "unknown"),
        ([interaction(), feedback(1, "copy"), feedback(2, "escalate")], "failed"),
        ([interaction(), feedback(1, "correction", text="better")], "failed"),
        ([interaction(), feedback(1, "judge", value=0.2)], "failed"),
        ([interaction(), feedback(1), feedback(2, retracts=uid(1001), value=None)], "unknown"),
    ],
)
def test_what_feedback_says_live(events: list[Interaction | Feedback], outcome: str) -> None:
    """Any bad signal that still stands makes an interaction failed; comments and labels say nothing live."""
    assert fold(events)[0].outcome() == outcome


def test_a_flooded_interaction_stays_small() -> None:
    """Feedback beyond the limit is not kept."""
    seen, _ = fold([interaction(), *(feedback(n, value=1.0) for n in range(MAX_SIGNALS + 50))])

    assert len(seen.signals) == MAX_SIGNALS


def test_nothing_judged_is_no_rate() -> None:
    """A rate of nothing is None, never zero."""
    assert Counts(interactions=5).rate is None


def test_windows_begin_at_multiples_of_their_width() -> None:
    """A moment belongs to the window that starts at or before it."""
    assert [window_start(t, 300.0) for t in (0.0, 299.9, 300.0, 1767603601.5)] == [0, 0, 300, 1767603600]


def watched(*looks: tuple[int, int, int]) -> list[tuple[int, bool]]:
    """The transitions of an alarm over (window, judged, failed) looks."""
    alarm, said = Alarm(), []
    for window, judged, failed in looks:
        after = watch(alarm, window, Counts(judged, judged, failed), RULE)
        if after != alarm:
            said.append((after.window, after.raised))
        alarm = after
    return said


def test_a_rate_that_hovers_does_not_chatter() -> None:
    """Between the two limits nothing is said; one alert when raised, one when it is over."""
    looks = [(0, 10, 5), (0, 20, 9), (300, 20, 11), (300, 22, 9), (600, 20, 8), (900, 20, 7)]

    assert watched(*looks) == [(0, True), (900, False)]


def test_a_window_alerts_at_most_once() -> None:
    """After an all-clear the same window stays silent; the next one may speak."""
    looks = [(0, 10, 5), (0, 20, 5), (0, 30, 25), (300, 10, 10)]

    assert watched(*looks) == [(0, True), (0, False), (300, True)]


def test_too_few_judged_say_nothing() -> None:
    """Nine failures of nine are not yet an alert when ten are asked for."""
    assert watched((0, 9, 9)) == []


def test_a_late_window_does_not_undo_a_newer_one() -> None:
    """Stragglers of an old window neither raise nor clear."""
    assert watched((600, 10, 9), (0, 10, 0), (300, 10, 9)) == [(600, True)]


def test_the_same_alarm_is_the_same_event() -> None:
    """An alert worked out twice has one id, so listeners that saw it once see no second."""
    counts = Counts(20, 20, 12)
    first, again = (alert_of(GROUP, Alarm(raised=True, window=300), counts, RULE) for _ in range(2))
    other = alert_of(GROUP, Alarm(raised=True, window=600), counts, RULE)

    assert first == again
    assert first.id != other.id
    assert first.message == "bot-1, prompt v2, canary: 12 of 20 judged interactions failed (60%), at or above 50%"
