"""Bytes become events or a named refusal, and both ways of reading agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, get_args

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.testing.events import event_id, feedback, interaction
from schemas import codec
from schemas.codec import decode, encode, headers, type_of
from schemas.errors import EventError
from schemas.events import EVENT_TYPES, Kind
from schemas.rows import fields_of, read, row

INTERACTION = "llm.interaction.v1"
T = TypeVar("T")


def fields(**changes: Any) -> dict[str, Any]:
    """The fields of a good interaction, with changes; None removes one."""
    merged = {**msgspec.to_builtins(interaction(1)), **changes}
    return {name: value for name, value in merged.items() if value is not None}


def reason(value: bytes | None, type_name: str = INTERACTION) -> str:
    """Why both ways of reading refuse the bytes."""
    with pytest.raises(EventError) as slow:
        decode(value, type_name)
    with pytest.raises(EventError) as fast:
        row(value, type_name)
    assert (fast.value.reason, fast.value.detail) == (slow.value.reason, slow.value.detail)
    return f"{slow.value.reason}: {slow.value.detail}"


def test_an_event_survives_the_way_to_bytes_and_back() -> None:
    """Encoding and decoding change nothing."""
    for event in (
        interaction(1, cost_usd=0.5, finish_reasons=["stop"]),
        feedback(1, interaction(1), "correction", text="x"),
    ):
        name = "llm.interaction.v1" if event.id == interaction(1).id else "llm.feedback.v1"
        assert decode(encode(event), name).event == event


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "no"}, "id must be a UUID"),
        ({"id": event_id(1).upper().replace("0190", "A190")}, "id must be a UUID"),
        ({"id": None}, "missing required field `id`"),
        ({"time": "2026-01-05T09:00:00"}, "timezone"),
        ({"time": "0001-01-01T00:00:00+14:00"}, "between the years 1970 and 9998"),
        ({"request_model": 7}, "$.request_model"),
        ({"input_messages": []}, "length >= 1"),
        ({"input_messages": None}, "input_messages"),
        ({"input_messages": [{"content": "no role"}]}, "$.input_messages[0]"),
        ({"input_tokens": -1}, "$.input_tokens"),
        ({"input_tokens": 2**60}, "$.input_tokens"),
        ({"application": "x" * 257}, "$.application"),
    ],
)
def test_a_refusal_names_the_field(changes: dict[str, Any], said: str) -> None:
    """Whoever sent a bad event learns which field is wrong."""
    found = reason(json.dumps(fields(**changes)).encode())

    assert found.startswith("invalid_field")
    assert said in found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"null", "invalid_field"),
        (b"[]", "invalid_field"),
        (b"{", "invalid_json"),
        (encode(interaction(1)) * 2, "invalid_json"),
        (b"\xff", "invalid_utf8"),
        (b'{"id": NaN}', "invalid_json"),
        (encode(interaction(1)).replace(b"answer", b"\xc3\x28"), "invalid_utf8"),
        (encode(interaction(1))[:-1] + b',"x":"\xc3\x28"}', "invalid_utf8"),
        (encode(interaction(1))[:-1] + b',"x":"\\ud800"}', "invalid_json"),
        (encode(interaction(1))[:-1] + b',"x":1e999}', "invalid_"),
        (encode(interaction(1)).replace(b'"role":"user"', b'"role":"user","y":"\\ud800"'), "invalid_json"),
        (encode(interaction(1))[:-1] + b',"x":' + b"[" * 70 + b"]" * 70 + b"}", "too_deep"),
        (encode(interaction(1))[:-1] + b',"x":' + b"[" * 99_999 + b"]" * 99_999 + b"}", "too_deep"),
        (encode(interaction(1))[:-1] + b',"request_parameters":{"a":' + b"[" * 70 + b"]" * 70 + b"}}", "too_deep"),
    ],
)
def test_broken_bytes_have_a_countable_reason(value: bytes | None, expected: str) -> None:
    """Every kind of breakage has its name, and none gets through unread."""
    assert reason(value).startswith(expected)


def test_a_wrong_choice_is_told_the_right_ones() -> None:
    """Whoever guessed a name reads which there are, and in no other error."""
    value = json.dumps({**msgspec.to_builtins(feedback(1, interaction(1))), "kind": "thumbs"}).encode()

    assert reason(value, "llm.feedback.v1").endswith("at `$.kind`; it is one of " + ", ".join(get_args(Kind)))
    assert "one of" not in reason(json.dumps(fields(id=3)).encode())


def test_brackets_in_text_are_not_nesting() -> None:
    """A message full of brackets is an ordinary message."""
    text = '[{"' * 500 + "\\" * 7
    event = interaction(1, input_messages=[{"role": "user", "content": text}])

    assert decode(encode(event), INTERACTION).event == event
    assert row(encode(event), INTERACTION)[0] == event.id


def test_unknown_fields_are_kept() -> None:
    """What a type does not know is kept as it came, at any level, and nothing else is."""
    value = json.dumps({**fields(), "z": [1, {"a": None}], "b": "x"}).encode()

    assert json.loads(decode(value, INTERACTION).extra or "") == {"b": "x", "z": [1, {"a": None}]}
    named = dict(zip(fields_of(INTERACTION), row(value, INTERACTION), strict=True))
    assert named["extra"] == decode(value, INTERACTION).extra
    odd = json.dumps(fields(input_messages=[{"role": "user", "content": "x", "mood": "calm"}])).encode()
    assert b'"mood"' in bytes(dict(zip(fields_of(INTERACTION), row(odd, INTERACTION), strict=True))["input_messages"])


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "x", "type": "custom", "custom": {"name": "sh"}}]},
        {"role": "assistant", "tool_calls": [{**CALL, "id": None}, {**CALL, "index": 0}, {"function": None}, "odd"]},
        {"role": "assistant", "tool_calls": [{"function": {"name": None, "arguments": {"a": 1}}}]},
        {"role": "assistant", "tool_calls": {"0": CALL}, "name": None, "content": ["a", "b", {"type": "new"}]},
        {"role": "assistant", "content": {"type": "text", "text": "x"}, "refusal": None, "annotations": [], "audio": 7},
        {"role": "assistant", "content": 42, "name": {"first": "a"}, "tool_call_id": 7, "function_call": "f"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x"}]},
        {"role": "model", "parts": [{"text": "x"}, {"functionCall": {"name": "f", "args": {}}}, None]},
        {"parts": [{"text": "x"}]},
        {"message": {"role": "user", "content": "x"}},
        {"message.role": "user", "message.content": "x"},
        {"lc": 1, "type": "constructor", "id": ["langchain", "HumanMessage"], "kwargs": {"content": "x"}},
        {"type": "human", "data": {"content": "x"}},
    ],
    ids=str,
)
def test_no_form_of_a_message_is_a_reason_to_refuse(message: dict[str, Any]) -> None:
    """Whatever a dialect puts into a message is kept to the letter, by both ways of reading alike."""
    plain = {"role": "user", "content": "x"}
    value = json.dumps(fields(input_messages=[plain, message], output_messages=[message])).encode()

    jsonschema.validate(json.loads(value), codec.json_schemas()[INTERACTION])
    _agree(value, INTERACTION)
    assert not read([value], INTERACTION)[1], "the archiver's fast way reads it too"
    named = dict(zip(fields_of(INTERACTION), row(value, INTERACTION), strict=True))
    assert json.loads(bytes(named["input_messages"])) == [plain, message]


@pytest.mark.parametrize(
    "changes",
    [
        {"output_messages": None, "finish_reasons": None, "operation_name": None, "request_parameters": None},
        {"finish_reasons": [None, "stop"], "tool_definitions": None, "system_instructions": None},
        {"input_tokens": None, "cost_usd": None, "training_consent": None, "error_type": None},
    ],
)
def test_an_optional_field_may_be_null(changes: dict[str, Any]) -> None:
    """What is absent to one producer is null to another."""
    value = json.dumps({**msgspec.to_builtins(interaction(1)), **changes}).encode()

    jsonschema.validate(json.loads(value), codec.json_schemas()[INTERACTION])
    _agree(value, INTERACTION)
    assert decode(value, INTERACTION).event.id == interaction(1).id


@pytest.mark.parametrize(
    "parts",
    [
        [{"type": "text", "content": "Be kind."}],
        [{"type": "text", "text": "Be "}, "kind."],
        [{"text": "Be kind."}, {"type": "image", "source": {}}],
    ],
)
def test_instructions_in_parts_are_their_text(parts: list[Any]) -> None:
    """As OpenTelemetry has them: the column holds what they say, `extra` what came, both ways alike."""
    value = json.dumps(fields(system_instructions=parts)).encode()

    _agree(value, INTERACTION)
    named = dict(zip(fields_of(INTERACTION), row(value, INTERACTION), strict=True))
    assert named["system_instructions"] == "Be kind."
    assert json.loads(named["extra"]) == {"system_instructions": parts}


@pytest.mark.parametrize("depth", [61, 62, 63, 64, 65])
@pytest.mark.parametrize("field", ["input_messages", "request_parameters", "tool_definitions"])
def test_both_ways_count_depth_alike(field: str, depth: int) -> None:
    """A level is a level wherever it is counted from: beside, in a message, in parameters."""
    deep: Any = "x"
    for _ in range(depth):
        deep = [deep]
    nested = {
        "input_messages": [{"role": "user", "content": deep}],
        "request_parameters": {"a": deep},
        "tool_definitions": [{"a": deep}],
    }
    _agree(json.dumps(fields(**{field: nested[field]})).encode(), INTERACTION)


def test_an_unknown_type_is_refused() -> None:
    """A record of a type that nobody knows is a dead letter, not a guess."""
    for name in ("llm.dream.v1", "", "llm.interaction", "llm.interaction.v0", "x" * 10_000):
        assert reason(encode(interaction(1)), name).startswith("unknown_type")


def test_old_versions_are_lifted_and_new_ones_read_as_the_newest_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions live side by side on a topic; the one that was written is remembered."""
    newer = decode(encode(interaction(1)), "llm.interaction.v7")
    assert (newer.event, newer.version) == (interaction(1), 7)

    monkeypatch.setitem(codec.EVENT_TYPES, "llm.note.v2", codec.EVENT_TYPES["llm.erasure.v1"])
    monkeypatch.setitem(codec._DECODERS, "llm.note.v2", codec._DECODERS["llm.erasure.v1"])
    monkeypatch.setitem(codec._FIELDS, "llm.note.v2", codec._FIELDS["llm.erasure.v1"])
    monkeypatch.setitem(codec._NEWEST, "llm.note", "llm.note.v2")
    monkeypatch.setitem(codec.LIFTS, "llm.note.v1", lambda old: {**old, "subject": old["person"]})
    old = json.dumps({"id": event_id(1), "time": "2026-01-05T09:00:00Z", "person": "p"}).encode()
    lifted = decode(old, "llm.note.v1")

    assert (lifted.event.subject, lifted.version) == ("p", 1)


def test_headers_say_what_the_event_is() -> None:
    """CloudEvents headers carry the type back; without them the topic's type counts."""
    written = headers(interaction(1), "/app")

    assert type_of(written, "x") == INTERACTION
    assert type_of([], "x") == type_of(None, "x") == "x"
    assert dict(written)["ce_time"] == b"2026-01-05T09:00:01Z"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(set(EVENT_TYPES) - {"llm.alert.v1"})),
    changes=st.dictionaries(
        st.sampled_from(sorted({f for name in EVENT_TYPES for f in EVENT_TYPES[name].__struct_fields__} | {"new"})),
        json_values,
        max_size=4,
    ),
)
def test_both_ways_of_reading_agree(name: str, changes: dict[str, Any]) -> None:
    """The archiver's fast way accepts exactly what the codec accepts, with the same values."""
    base = {
        "llm.interaction.v1": msgspec.to_builtins(interaction(1)),
        "llm.feedback.v1": msgspec.to_builtins(feedback(1, interaction(1))),
    }.get(name, {"id": event_id(1), "time": "2026-01-05T09:00:00Z", "subject": "s", "application": "a"})
    _agree(json.dumps({**base, **changes}).encode("utf-8", "surrogatepass"), name)


@settings(max_examples=200, deadline=None)
@given(
    changes=st.lists(
        st.dictionaries(
            st.sampled_from(["id", "time", "input_messages", "output_messages", "request_parameters", "new"]),
            json_values
            | st.sampled_from([[{"role": "user", "content": "x"}], "1969-12-31T23:59:59Z", [{"role": 1}], {}]),
            max_size=2,
        ),
        max_size=12,
    )
)
def test_an_event_is_read_alike_in_any_company(changes: list[dict[str, Any]]) -> None:
    """Events are checked many at once; a bad one beside it changes nothing for a good one, nor the other way round."""
    values = [
        json.dumps(fields(**{"id": event_id(n), **change})).encode("utf-8", "surrogatepass")
        for n, change in enumerate(changes)
    ]

    columns, unsure = read(values, INTERACTION)

    assert unsure == [place for place, value in enumerate(values) if read([value], INTERACTION)[1]]
    sound = [row(value, INTERACTION) for place, value in enumerate(values) if place not in unsure]
    assert list(zip(*columns, strict=True)) == sound


@pytest.mark.parametrize(
    "pair",
    [
        (event_id(1)[:-1], event_id(2)[-1] + event_id(2)),
        (event_id(1).upper(), event_id(2)),
        (event_id(1).replace("-", "_"), event_id(2)),
        (event_id(1)[1:] + "٣", event_id(2)),
        (event_id(1)[:13] + event_id(1)[14:] + "-", event_id(2)),
    ],
)
def test_two_ids_that_are_whole_only_when_joined_are_refused(pair: tuple[str, str]) -> None:
    """Ids are looked at as one text; each must be a UUID by itself."""
    values = [json.dumps(fields(id=each)).encode() for each in pair]

    unsure = read(values, INTERACTION)[1]

    for place, value in enumerate(values):
        assert (place in unsure) == (_tried(partial(decode, value, INTERACTION))[0] is None)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_bytes_never_crash_a_reader(data: st.DataObject) -> None:
    """Whatever happens to the bytes of an event, it is read or refused with a reason, both ways alike."""
    value = bytearray(encode(interaction(1)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    _agree(bytes(value), INTERACTION)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_never_crash_a_reader(value: bytes) -> None:
    """Noise is refused with a reason."""
    _agree(value, INTERACTION)


def _agree(value: bytes, name: str) -> None:
    decoded, refused = _tried(lambda: decode(value, name))
    found, also_refused = _tried(lambda: row(value, name))
    assert also_refused == refused
    if decoded is None or found is None:
        return
    named = dict(zip(fields_of(name), found, strict=True))
    assert (named.pop("extra"), named.pop("event_version")) == (decoded.extra, decoded.version)
    for field, kept in named.items():
        if isinstance(kept, msgspec.Raw):
            assert bytes(kept) == bytes(decoded.raw.get(field, b""))
        else:
            assert kept == getattr(decoded.event, field)


def _tried(read: Callable[[], T]) -> tuple[T | None, str | None]:
    try:
        return read(), None
    except EventError as error:
        return None, error.reason
