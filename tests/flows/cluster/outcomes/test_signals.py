"""What each kind of feedback says, and under whose name."""

from __future__ import annotations

from typing import Any

import pytest

from flows.cluster.outcomes.signals import BAD, MAX_NAME, OK, SIGNALS, key_of, voice_of, voices_of, voices_of_rules
from schemas.kinds import KINDS

BASE = {"kind": "thumb", "source": "user", "value": 0.0, "label": None, "over_cap": False}
"""A row of `signals.sql`: a thumb down."""


def heard(*said: dict[str, Any], off: tuple[str, ...] = (), found: Any = ()) -> list[tuple[str, int, str]]:
    """(source, what it says, reason) of every voice."""
    told = [voice_of({**BASE, **row}, ("wrong", "unsafe"), off) for row in said]
    voices = [*voices_of_rules(found, off), *(voice for voice in told if voice is not None)]
    return [(voice.source, voice.says, voice.reason) for voice in voices]


def test_every_kind_of_feedback_can_say_something() -> None:
    """No kind of the contract is left out, and none is there that nobody can send, but for our own rules."""
    assert set(SIGNALS) == {*KINDS, "found"}


@pytest.mark.parametrize(
    ("row", "says", "reason"),
    [
        ({"value": 0.0}, BAD, "thumb_down"),
        ({"value": 1.0}, OK, "thumb_up"),
        ({"kind": "rating", "value": 0.25}, BAD, "low_rating"),
        ({"kind": "rating", "value": 0.75}, OK, "high_rating"),
        ({"kind": "correction", "value": None}, BAD, "correction"),
        ({"kind": "copy", "value": None}, OK, "copy"),
        ({"kind": "abandon", "value": None}, BAD, "abandon"),
        ({"kind": "label", "value": None, "label": "UnSafe"}, BAD, "label:UnSafe"),
        ({"kind": "judge", "source": "judge:strict", "value": 0.4}, BAD, "judge:strict"),
        ({"kind": "judge", "source": "judge:strict", "value": 0.6}, OK, "judge:strict:pass"),
        ({"kind": "guardrail", "source": "guardrail:x", "label": "pii"}, BAD, "guardrail:pii"),
        ({"kind": "reviewer", "source": "user", "value": 1.0}, OK, "reviewer:user:pass"),
    ],
)
def test_a_voice_says_bad_or_ok_and_why(row: dict[str, Any], says: int, reason: str) -> None:
    """Two-sided kinds by their value, one-sided kinds by speaking; the reason tells the two sides apart."""
    assert [(says_, why) for _, says_, why in heard(row)] == [(says, reason)]


@pytest.mark.parametrize(
    "row",
    [
        {"value": None},
        {"kind": "rating", "value": 0.5},
        {"kind": "judge", "source": "judge:a", "value": 0.5},
        {"kind": "comment", "value": None},
        {"kind": "label", "value": None, "label": "funny"},
        {"kind": "label", "value": None, "label": None},
        {"over_cap": True},
    ],
)
def test_what_says_neither_is_no_voice(row: dict[str, Any]) -> None:
    """Three stars of five, a comment, a label that means nothing, a vote too many."""
    assert heard(row) == []


def test_verdicts_are_trusted_by_name_and_people_as_one() -> None:
    """Each judge, guardrail, rule and reviewer has a reliability of its own; thumbs share one. Sources are sorted."""
    said = [
        {"kind": kind, "source": f"{kind}:{name}"}
        for kind in KINDS
        if KINDS[kind].voice == "verdict"
        for name in ("b", "a")
    ]
    told = [voice_of({**BASE, **row}, (), ()) for row in (*said, {"source": "ann"}, {"source": "bob"})]
    key = key_of(voice for voice in told if voice is not None)
    made = voices_of([key])

    assert made.sources == tuple(sorted({*(f"{row['kind']}:{row['source']}" for row in said), "thumb"}))
    assert [made.sources[n] for n in made.source[-2:]] == ["thumb", "thumb"]
    assert key == key_of(voice for voice in reversed(told) if voice is not None)


def test_a_kind_or_one_source_of_it_can_be_switched_off() -> None:
    """What is off is not heard, and everything else is."""
    said: list[dict[str, Any]] = [{"kind": "judge", "source": name} for name in ("a", "b")]
    said += [{"kind": "retry"}, {}]
    found = ["timeout:30", "refusal"]

    everything = heard(*said, found=found)
    assert [voice[0] for voice in everything] == [
        "found:timeout",
        "found:refusal",
        "judge:a",
        "judge:b",
        "retry",
        "thumb",
    ]
    assert heard(*said, found=found, off=("judge:a",)) == [v for v in everything if v[0] != "judge:a"]
    assert heard(*said, found=found, off=("judge", "found")) == [v for v in everything if v[0] in {"retry", "thumb"}]
    assert [v[0] for v in heard(*said, found=found, off=("found:refusal", "retry", "thumb", "judge"))] == [
        "found:timeout"
    ]


def test_what_a_stranger_calls_it_is_cut() -> None:
    """Labels and sources come from outside: a megabyte of one is no reason and no source's name."""
    ((source, _, reason),) = heard({"kind": "guardrail", "source": "s" * 10**6, "label": "l" * 10**6})

    assert (source, reason) == (f"guardrail:{'s' * MAX_NAME}", f"guardrail:{'l' * MAX_NAME}")
