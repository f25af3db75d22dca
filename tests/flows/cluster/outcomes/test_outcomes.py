"""Feedback into outcomes: what the events say together, whatever their order."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.cluster.stage import judged_of


def outcome(world: Any, row: Any) -> dict[str, Any]:
    judged = judged_of(world.lake, world.settings)
    return {o.interaction_id: msgspec.structs.asdict(o) for o in judged.outcomes}[row.id]


@pytest.mark.parametrize(
    ("kind", "value", "fields", "name", "reason"),
    [
        ("thumb", 0.0, {}, "failed", "thumb_down"),
        ("thumb", 1.0, {}, "ok", "thumb_up"),
        ("rating", 0.25, {}, "failed", "low_rating"),
        ("correction", None, {"text": "It should say so."}, "failed", "correction"),
        ("escalate", None, {}, "failed", "escalate"),
        ("retry", None, {}, "failed", "retry"),
        ("copy", None, {}, "ok", "copy"),
        ("label", None, {"label": "wrong"}, "failed", "label:wrong"),
        ("judge", 0.0, {"source": "judge:strict"}, "failed", "judge:strict"),
        ("guardrail", 0.0, {"source": "guardrail:pii", "label": "pii"}, "failed", "guardrail:pii"),
    ],
)
def test_one_signal_is_heard(
    world: Any, make: Any, kind: str, value: float | None, fields: dict[str, Any], name: str, reason: str
) -> None:
    """A single signal decides in its direction and leaves its name as the reason."""
    row = make.asked(1)
    world.happened(row, make.said(row, kind, value, **fields))

    found = outcome(world, row)

    assert (found["outcome"], found["reasons"], found["signals"]) == (name, (reason,), 1)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"error_type": "500", "output_messages": []}, "error:500"),
        ({"error_type": "ReadTimeout", "output_messages": []}, "timeout"),
        ({"output_messages": [{"role": "assistant", "content": "  "}]}, "empty_answer"),
        ({"output_messages": [{"role": "assistant", "content": "I'm sorry, but I can't help."}]}, "refusal"),
        ({"output_messages": [{"role": "assistant", "content": None, "refusal": "That is not for me."}]}, "refusal"),
        ({"output_messages": [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}]}, "refusal"),
        ({"finish_reasons": ["refusal"], "output_messages": []}, "refusal"),
        ({"output_messages": [{"role": "assistant", "parts": [{"text": "hm", "thought": True}]}]}, "empty_answer"),
        ({"output_messages": [{"role": "assistant", "content": [{"type": "text", "text": None}]}]}, "empty_answer"),
        ({"output_messages": None}, "empty_answer"),
        ({"finish_reasons": ["length"]}, "truncated"),
        ({"finish_reasons": ["MAX_TOKENS"]}, "truncated"),
        ({"finish_reasons": [None, "SAFETY"]}, "content_filter"),
        ({"finish_reasons": ["content_filter"]}, "content_filter"),
        ({"request_parameters": {"response_format": {"type": "json_object"}}}, "invalid_json"),
    ],
)
def test_our_own_rules_find_failures(world: Any, make: Any, fields: dict[str, Any], reason: str) -> None:
    """What the interaction itself shows needs nobody's feedback."""
    row = make.asked(1, **fields)
    world.happened(row)

    assert outcome(world, row)["reasons"] == (reason,)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": [{"type": "output_text", "text": "Yes.", "annotations": []}]},
        {"role": "model", "parts": [{"text": "Yes."}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "sh"}}]},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {"role": "assistant", "audio": {"id": "a"}},
        {"role": "assistant", "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA"}}]},
    ],
    ids=str,
)
def test_what_says_something_is_not_called_empty(world: Any, make: Any, message: dict[str, Any]) -> None:
    """An answer in another dialect, a call, a picture: nobody is told that there was nothing."""
    row = make.asked(1, output_messages=[message])
    world.happened(row)

    assert outcome(world, row)["reasons"] == ()


@pytest.mark.parametrize("down", [1, 5, 50, 83, 95, 99])
def test_a_thumb_counts_whatever_all_others_say(world: Any, make: Any, down: int) -> None:
    """Of a hundred people with nobody else to ask, each one is heard: thumbs up are ok, thumbs down failed."""
    rows = [make.asked(i) for i in range(100)]
    world.happened(*rows, *[make.said(row, value=float(i >= down)) for i, row in enumerate(rows)])

    outcomes = [outcome.outcome for outcome in judged_of(world.lake, world.settings).outcomes]

    assert outcomes == ["failed"] * down + ["ok"] * (100 - down)


def test_many_voters_do_not_decide_of_what_others_spoke(world: Any, make: Any) -> None:
    """Thumbs down without end on other interactions leave a thumb up, and the odds of it, as they were."""
    row = make.asked(0)
    world.happened(row, make.said(row, value=1.0))
    before = outcome(world, row)
    crowd = [make.asked(i) for i in range(1, 400)]
    world.happened(*crowd, *[make.said(other) for other in crowd])

    assert outcome(world, row) == before


def test_a_comment_alone_says_nothing(world: Any, make: Any) -> None:
    """Words are kept, not judged: an interaction with only a comment is unknown."""
    row = make.asked(1)
    world.happened(row, make.said(row, "comment", None, text="hm"))

    assert outcome(world, row)["outcome"] == "unknown"


def test_the_newest_voice_of_a_person_counts_once(world: Any, make: Any) -> None:
    """Ten clicks of one person are one voice, and the last one is meant."""
    row = make.asked(1)
    clicks = [make.said(row, value=float(i == 9), time=row.time.replace(microsecond=i)) for i in range(10)]
    world.happened(row, *clicks)

    found = outcome(world, row)

    assert (found["outcome"], found["signals"]) == ("ok", 1)


def test_superseded_and_retracted_feedback_is_silent(world: Any, make: Any) -> None:
    """What its own source replaced or took back counts no more; a stranger cannot take it back."""
    replaced, retracted, stranger = (make.asked(i) for i in range(3))
    down = [make.said(row) for row in (replaced, retracted, stranger)]
    world.happened(replaced, retracted, stranger, *down)
    world.happened(
        make.said(replaced, value=1.0, supersedes=down[0].id),
        make.said(retracted, retracts=down[1].id),
        make.said(stranger, retracts=down[2].id, user_id="somebody-else"),
    )

    assert outcome(world, replaced)["outcome"] == "ok"
    assert outcome(world, retracted)["outcome"] == "unknown"
    assert outcome(world, stranger)["outcome"] == "failed"


def test_an_erased_person_is_not_judged(world: Any, make: Any) -> None:
    """Interactions of a person who asked to be forgotten are not read."""
    from schemas.events import Erasure  # noqa: PLC0415 one test's need

    gone, stays = make.asked(1, user_id="gone"), make.asked(2)
    world.happened(gone, stays, Erasure(id=make.event_id(77), time=gone.time, subject="gone"))

    assert [o.interaction_id for o in judged_of(world.lake, world.settings).outcomes] == [stays.id]


def test_signals_can_be_switched_off(tmp_path: Path, make: Any) -> None:
    """A signal that is switched off is not heard."""
    world = make.World(tmp_path, signals_off=("retry", "found:refusal"))
    row = make.asked(1, output_messages=[{"role": "assistant", "content": "I cannot help with that."}])
    world.happened(row, make.said(row, "retry", None))

    assert outcome(world, row)["outcome"] == "unknown"


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_order_copies_and_delays_change_nothing(tmp_path_factory: pytest.TempPathFactory, make: Any, seed: int) -> None:
    """The same set of events gives the same outcomes: shuffled, in several commits, some of them twice."""
    chance = random.Random(seed)
    asked = [make.asked(i, user_id=f"user-{chance.randrange(4)}") for i in range(12)]
    said: list[Any] = []
    for _ in range(40):
        about = chance.choice(asked)
        kind = chance.choice(["thumb", "retry", "copy", "judge", "correction"])
        extra: dict[str, Any] = {"text": "so"} if kind == "correction" else {}
        if said and chance.random() < 0.3:
            earlier = chance.choice(said)
            about = next(row for row in asked if row.id == earlier.interaction_id)
            extra |= {chance.choice(["supersedes", "retracts"]): earlier.id}
        value = float(chance.random() < 0.5) if kind in {"thumb", "judge"} else None
        said.append(make.said(about, kind, value, **extra))
    orderly, messy = (make.World(tmp_path_factory.mktemp("world")) for _ in range(2))
    orderly.happened(*asked, *said)
    events = [*asked, *said, *chance.choices(asked, k=5), *chance.choices(said, k=10)]
    chance.shuffle(events)
    for start in range(0, len(events), 17):
        messy.happened(*events[start : start + 17])

    one, other = (judged_of(world.lake, world.settings) for world in (orderly, messy))

    assert one.outcomes == other.outcomes
    assert one.reliability.sources == other.reliability.sources


def test_an_attacker_is_held_to_the_cap(tmp_path: Path, make: Any) -> None:
    """K accounts decide at most k times `feedback_cap` interactions of a day, however much they send."""
    world = make.World(tmp_path, feedback_cap=5)
    rows = [make.asked(i) for i in range(200)]
    attack = [make.said(row, user_id=f"attacker-{k}") for row in rows for k in range(3)]
    world.happened(*rows, *attack)

    judged = judged_of(world.lake, world.settings)

    assert sum(o.outcome == "failed" for o in judged.outcomes) <= 3 * 5
    assert judged.over_cap == 3 * 195
