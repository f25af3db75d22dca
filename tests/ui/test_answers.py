"""An answer is feedback events: each kind by the contract, under ids that make it one however often it is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from flows.evaluate.reviews import About
from flows.testing.events import event_id
from schemas.codec import decode, encode
from schemas.events import Feedback
from ui.answers import Answer, events_of, ids_of, retractions
from ui.questions import fresh_id

NOW = datetime(2026, 1, 7, tzinfo=UTC)
ABOUT = About(event_id(1), "support-bot", "conversation-1")


def told(**fields: Any) -> list[Feedback]:
    return events_of(Answer(**{"id": event_id(9), "verdict": "bad", **fields}), ABOUT, "ana", NOW)


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({"verdict": "good"}, [("reviewer", 1.0, None, None)]),
        ({"random": True}, [("reviewer", 0.0, "random", None)]),
        ({"verdict": "cannot_tell", "random": True}, [("label", None, "cannot_tell", None)]),
        ({"labels": ("tone", "off_topic")}, [("reviewer", 0.0, None, None), ("label", None, "off_topic", None),
                                             ("label", None, "tone", None)]),
        ({"correction": " So. ", "exclude": True}, [("reviewer", 0.0, None, None), ("label", None, "exclude", None),
                                                    ("correction", None, None, "So.")]),
        ({"correction": "  "}, [("reviewer", 0.0, None, None)]),
        ({"labels": ("made up",)}, [("reviewer", 0.0, None, None)]),
        ({"reason": "ana: good, ben: bad"}, [("reviewer", 0.0, "adjudicated", "ana: good, ben: bad")]),
    ],
)  # fmt: skip
def test_each_part_of_an_answer_is_an_event_of_its_kind(fields: Any, kinds: Any) -> None:
    """Verdict first; what was not said, or is no label of ours, is no event; all pass the contract."""
    events = told(**fields)

    assert [(event.kind, event.value, event.label, event.text) for event in events] == kinds
    assert {event.source for event in events} == {"reviewer:ana"}
    assert {decode(encode(event), "llm.feedback.v1").event.id for event in events} <= set(ids_of(event_id(9)))


def test_the_same_answer_is_the_same_events() -> None:
    """Sent twice it is said once, and another answer has no id in common with it."""
    one, other = told(exclude=True, correction="So."), told(id=event_id(10), exclude=True, correction="So.")

    assert told(exclude=True, correction="So.") == one
    assert not {event.id for event in one} & {event.id for event in other}


def test_every_part_is_taken_back_by_its_speaker() -> None:
    """A retraction for each, of the same source on the same interaction, always under the same id."""
    events = told(exclude=True)
    back = retractions([(event.id, event.kind) for event in events], ABOUT, "ana", NOW)

    assert [event.retracts for event in back] == [event.id for event in events]
    assert {event.speaker for event in back} == {event.speaker for event in events}
    assert back == retractions([(event.id, event.kind) for event in events], ABOUT, "ana", NOW)


def test_an_id_that_is_none_is_refused() -> None:
    """Whatever a page sends."""
    with pytest.raises(msgspec.ValidationError, match="id"):
        told(id="../../etc/passwd")


def test_fresh_ids_are_uuids_that_grow() -> None:
    """Version 7, as the contract recommends."""
    first, second = fresh_id(), fresh_id()

    assert first != second
    assert (first[14], first[19] in "89ab") == ("7", True)
    assert first[:8] <= second[:8]
