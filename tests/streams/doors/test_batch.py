"""What was posted, event by event: the good ones as they came, the bad ones named; whatever the bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.testing.events import event_id, feedback, interaction
from schemas.codec import decode, encode
from schemas.errors import EventError
from schemas.topics import FEEDBACK, INTERACTIONS
from streams.doors.batch import MAX_EVENTS, BadBatch, TooMany, check, check_feedback, cloud_events
from streams.doors.tokens import ALL, ANYBODY, Grant

ARRAY, LINES = "application/cloudevents-batch+json", "application/x-ndjson"
SHOP = Grant(name="shop", application="shop")
MAX = 2**20


def cloud(data: bytes, type_name: str = "llm.interaction.v1", **more: Any) -> bytes:
    """An event in a CloudEvent, its bytes as they are."""
    head = json.dumps({"specversion": "1.0", "source": "/shop", "type": type_name, **more})
    return head[:-1].encode() + b', "data": ' + data + b"}"


def test_a_record_has_the_bytes_that_came() -> None:
    """Spaces and order of fields too; under the conversation's key, with CloudEvents' headers."""
    value = b'{ "b": 1, ' + encode(interaction(1))[1:]
    (record,) = check(cloud_events(cloud(value), ARRAY), ANYBODY, MAX).records

    assert (record.topic, record.key, record.value) == (INTERACTIONS, "conversation-1", value)
    assert dict(record.headers) == {
        "ce_specversion": b"1.0", "ce_source": b"/shop", "ce_type": b"llm.interaction.v1",
        "content-type": b"application/json", "ce_id": interaction(1).id.encode(),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("event", "reason", "sent"),
    [
        (b"7", "invalid_json", 0),
        (b"{}", "invalid_json", 0),
        (cloud(b"{}", "llm.wish.v1"), "unknown_type", 0),
        (cloud(b"[]"), "invalid_field", 1),
        (cloud(b"{}"), "invalid_field", 1),
        (cloud(b"[" * 900 + b"]" * 900), "invalid_field", 1),
        (cloud(b'{"x": ' + b"[" * 70 + b"]" * 70 + b", " + encode(interaction(1))[1:]), "too_deep", 1),
        (cloud(b'{"x": "' + b"y" * MAX + b'"}'), "too_large", 0),
    ],
)
def test_a_bad_event_is_named(event: bytes, reason: str, sent: int) -> None:
    """If it is known what it was meant to be it is sent on, to be a dead letter; else its sender alone can know."""
    checked = check([event], ANYBODY, MAX)

    assert checked.rejected[0].reason.startswith(reason)
    assert (len(checked.rejected), len(checked.records)) == (1, sent)


def test_a_batch_has_a_bound() -> None:
    """So has the answer, which names each bad one."""
    with pytest.raises(TooMany):
        cloud_events(b"[" + b"1," * MAX_EVENTS + b"1]", ARRAY)
    assert len(cloud_events(b"1\n" * MAX_EVENTS, LINES)) == MAX_EVENTS


def test_only_a_request_of_which_nothing_may_be_sent_is_forbidden() -> None:
    """One event among others is rejected by itself."""
    mine, other = (cloud(encode(interaction(1, application=name))) for name in ("shop", "other"))

    assert check([other, other], SHOP, MAX).forbidden
    mixed = check([other, mine], SHOP, MAX)
    assert (mixed.forbidden, len(mixed.records), mixed.rejected[0].index) == (False, 1, 0)
    assert not check([], SHOP, MAX).forbidden


def test_feedback_in_short_is_filled_in() -> None:
    """What is given stays; an id of one's own makes sending again safe."""
    body = json.dumps([
        {"response_id": "chatcmpl-CzT4kQmR8wLx2VbN6yPd1H", "kind": "thumb", "value": 1, "user_id": None},
        {"id": event_id(5), "interaction_id": event_id(1), "conversation_id": "c", "kind": "copy"},
        {"response_id": "chatcmpl-7", "created": 1767603600.5, "kind": "copy"},
    ]).encode()  # fmt: skip

    checked, ids = check_feedback(body, SHOP, MAX, lambda: "2026-01-06T09:00:00Z", lambda: event_id(9))

    assert not checked.rejected
    assert ids == [event_id(9), event_id(5), event_id(9)]
    assert [record.topic.name for record in checked.records] == [FEEDBACK.name] * 3
    said = [decode(record.value, "llm.feedback.v1").event for record in checked.records]
    assert [each.application for each in said] == ["shop"] * 3
    assert [record.key for record in checked.records][1] == "c"


@pytest.mark.parametrize("body", [b"", b"7", b"[7]", b'["x"]', b"{", b"[" * 2000, b'{"a":' * 400 + b"1" + b"}" * 400])
def test_what_is_no_feedback_is_refused_as_a_whole(body: bytes) -> None:
    """With a sentence."""
    with pytest.raises(BadBatch, match=r"JSON|feedback"):
        check_feedback(body, SHOP, MAX)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(sorted({*json.loads(encode(feedback(1, interaction(1)))), "source", "response_id", "created"}))


@given(
    st.binary(max_size=99) | JSON.map(lambda value: json.dumps(value).encode()), st.sampled_from([ARRAY, LINES, "x"])
)
def test_no_bytes_break_the_door(body: bytes, kind: str) -> None:
    """Each is a batch with every event accepted or named, or no batch."""
    try:
        events = cloud_events(body, kind)
    except BadBatch:
        return
    checked = check(events, SHOP, MAX)
    assert {each.index for each in checked.rejected} <= set(range(len(events)))


@given(st.dictionaries(FIELDS, JSON), st.sampled_from([SHOP, ANYBODY, Grant(name="a", application="", may=ALL)]))
def test_whatever_a_field_of_feedback_holds(said: dict[str, Any], grant: Grant) -> None:
    """What the door says of an event is what the archiver will find."""
    checked, (_,) = check_feedback(json.dumps(said).encode(), grant, MAX)

    for record in checked.records:
        try:
            decode(record.value, "llm.feedback.v1")
            good = True
        except EventError:
            good = False
        assert good == (not checked.rejected)
