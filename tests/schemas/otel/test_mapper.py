"""Spans of every size and shape: what is lost is seen, what is whole is kept, and nothing that a span holds raises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llm_flywheel import interaction_id
from schemas.codec import decode
from schemas.errors import EventError
from schemas.otel import LogRecord, Mapped, Outcome, Span, SpanEvent, of_log, of_span

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
RESPONSE = "chatcmpl-CzT4kQmR8wLx2VbN6yPd1HsJ9aEua"
EVALUATION = "gen_ai.evaluation.result"


def question(text: str) -> str:
    """Input messages as the conventions have them."""
    return json.dumps([{"role": "user", "parts": [{"type": "text", "content": text}]}])


def span(events: tuple[SpanEvent, ...] = (), dropped: int = 0, **attributes: Any) -> Span:
    """A call to a model; `attributes` have `__` for a dot."""
    given_ = {name.replace("__", "."): value for name, value in attributes.items()}
    base = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "leaf-1", "gen_ai.input.messages": question("Hm?")}
    return Span(
        TRACE, SPAN, "", 10**18, 10**18 + 5 * 10**8, {**base, **given_}, events, dropped_attributes=dropped,
        resource={"service.name": "garden-shop"},
    )  # fmt: skip


def evaluation(**attributes: Any) -> SpanEvent:
    """An evaluation; `attributes` are named without their prefix."""
    named = {f"gen_ai.evaluation.{name.replace('__', '.')}": value for name, value in attributes.items()}
    return SpanEvent(EVALUATION, 10**18 + 9, named)


def first(outcome: Outcome) -> dict[str, Any]:
    """The first event, once the contract has taken it."""
    decode(outcome.events[0].value, outcome.events[0].type)
    return dict(json.loads(outcome.events[0].value))


def test_a_long_span_is_whole() -> None:
    """100 kB in one span are normal."""
    event = first(of_span(span(gen_ai__input__messages=question("leaf " * 20_000))))

    assert len(event["input_messages"][0]["parts"][0]["content"]) == 100_000
    assert "training_consent" not in event


def test_a_span_too_long_for_an_event_is_one_without_its_texts() -> None:
    """It counts, says that it was cut, and is never trained on."""
    event = first(of_span(span(gen_ai__input__messages=question("leaf " * 500_000))))

    assert event["cut"] is True
    assert event["training_consent"] is False
    assert len(json.dumps(event)) < 2000


@pytest.mark.parametrize(
    "said", [["leaf " * 300_000], [["leaf " * 300_000]], [{"role": 7, "parts": ["leaf " * 300_000]}]]
)
def test_a_span_too_long_for_an_event_is_cut_in_whatever_form_it_is(said: list[Any]) -> None:
    """Instructions in parts, as the conventions have them; messages that are texts, or nobody's."""
    instructions = json.dumps([{"type": "text", "content": "Be kind. " * 1000}])
    event = first(of_span(span(gen_ai__input__messages=json.dumps(said), gen_ai__system_instructions=instructions)))

    assert event["cut"] is True
    assert event["system_instructions"].startswith('[{"type": "text", "content": "Be kind. ')
    assert len(json.dumps(event)) < 3000


@pytest.mark.parametrize("attribute", ["gen_ai.input.messages", "gen_ai.output.messages"])
def test_a_cut_attribute_is_seen(attribute: str) -> None:
    """Where the instrumentation cut a text (a length limit), it is no JSON any more: kept, marked, never trained on."""
    whole = question("a question that is longer than somebody thought")
    event = first(of_span(span(**{attribute: whole[:60]})))

    assert event["otel_cut"] == [attribute]
    assert event["training_consent"] is False
    assert whole[:60] in json.dumps(event["input_messages"] + event.get("output_messages", [])).replace('\\"', '"')


def test_messages_nested_beyond_the_contract_are_kept_as_text() -> None:
    """Sixty-four levels are taken; a deeper one would make the whole event a dead letter."""
    deep = '[{"role": "user", "parts": ' + "[" * 500 + "]" * 500 + "}]"
    event = first(of_span(span(gen_ai__input__messages=deep)))

    assert event["input_messages"] == [{"role": "user", "content": deep}]
    assert event["training_consent"] is False


def test_dropped_attributes_are_seen() -> None:
    """A span that had more attributes than it may is marked and never trained on, whatever consent it carries."""
    event = first(of_span(span(dropped=3, flywheel__training_consent=True)))

    assert event["otel_dropped_attributes"] == 3
    assert event["training_consent"] is False


@pytest.mark.parametrize("nothing", [None, "", "[]", "{}", "null", 7, []])
def test_a_span_without_content_is_no_event(nothing: Any) -> None:
    """Content is off by default: such a span says so, and is not an interaction that nobody can read."""
    assert of_span(span(gen_ai__input__messages=nothing)) == Outcome((), "no_content")


def test_who_calls_a_model_is_not_counted_beside_the_call() -> None:
    """Agents, tools and chains hold calls; the calls are counted."""
    for operation in ("invoke_agent", "execute_tool", "create_agent", "embeddings", None):
        assert of_span(span(gen_ai__operation__name=operation)).skipped == "not_llm"
    for kind in ("AGENT", "TOOL", "CHAIN", "EMBEDDING", "GUARDRAIL"):
        assert of_span(span(openinference__span__kind=kind)).skipped == "not_llm"


def test_the_id_is_the_responses_or_the_spans() -> None:
    """By the rule for all doors: of a response id that is unique; else of the span, in its application."""
    assert first(of_span(span(gen_ai__response__id=RESPONSE)))["id"] == interaction_id("garden-shop", RESPONSE)
    assert first(of_span(span(), application="other"))["application"] == "other"
    short = [first(of_span(span(gen_ai__response__id=each)))["id"] for each in ("chatcmpl-1", "chatcmpl-2")]
    assert short[0] == short[1] == first(of_span(span()))["id"]
    assert first(of_span(span(), application="other"))["id"] != short[0]


def test_ids_of_spans_are_those_of_the_contract() -> None:
    """By the test vectors, which other languages can run too."""
    vectors = json.loads((Path(__file__).resolve().parents[3] / "schemas/json/interaction_ids.json").read_text())

    for each in vectors["spans"]:
        made = span()._replace(trace_id=each["trace_id"], span_id=each["span_id"])
        assert first(of_span(made, each["application"]))["id"] == each["id"]


def test_what_a_baggage_processor_adds_is_heard() -> None:
    """Conversation, person, prompt version, variant and consent."""
    event = first(of_span(span(
        gen_ai__conversation__id="c-1", user__id="u-1", flywheel__prompt_version="v2", flywheel__variant="b",
        flywheel__training_consent="false",
    )))  # fmt: skip

    assert [event[each] for each in ("conversation_id", "user_id", "prompt_version", "variant")] == [
        "c-1", "u-1", "v2", "b",
    ]  # fmt: skip
    assert event["training_consent"] is False
    assert first(of_span(span(flywheel__training_consent="no")))["training_consent"] is False


def test_an_evaluation_within_a_call_is_about_the_call() -> None:
    """As a span event it follows its interaction."""
    verdict = evaluation(name="tone", score__value=0.25, explanation="curt")
    outcome = of_span(span((verdict,), gen_ai__response__id=RESPONSE))
    said = json.loads(outcome.events[1].value)

    decode(outcome.events[1].value, outcome.events[1].type)
    assert said["interaction_id"] == first(outcome)["id"]
    assert (said["kind"], said["source"], said["value"], said["text"]) == ("judge", "judge:tone", 0.25, "curt")


@pytest.mark.parametrize(
    ("attributes", "kind", "value"),
    [
        ({"name": "user_thumb", "score__value": 1}, "thumb", 1.0),
        ({"name": "user_thumb", "score__label": "down"}, "thumb", 0.0),
        ({"name": "user_rating", "score__value": 4, "score__max": 5}, "rating", 0.8),
        ({"name": "user_comment", "explanation": "too long"}, "comment", None),
        ({"name": "user_label", "score__label": "off_topic"}, "label", None),
        ({"name": "safe", "score__label": "pass"}, "judge", 1.0),
        ({"name": "odd", "score__value": 7}, None, None),
        ({"name": "user_comment"}, None, None),
        ({"name": "judge", "score__value": True}, None, None),
        ({}, None, None),
    ],
)
def test_evaluations_become_feedback(attributes: dict[str, Any], kind: str | None, value: float | None) -> None:
    """By their name a user's word or a judge's; what has no number from 0 to 1 and no word for one is none."""
    record = LogRecord(EVALUATION, 10**18, evaluation(**attributes).attributes, None, TRACE, SPAN)
    outcome = of_log(record, "garden-shop")

    if kind is None:
        assert outcome == Outcome((), "no_value")
    else:
        assert (first(outcome)["kind"], first(outcome).get("value")) == (kind, value)


def test_an_evaluation_of_nothing_is_told_apart() -> None:
    """It names no response that is unique, and stands in no span."""
    attributes = evaluation(name="safe", score__value=1).attributes | {"gen_ai.response.id": "chatcmpl-1"}

    assert of_log(LogRecord(EVALUATION, 10**18, attributes), "garden-shop").skipped == "no_target"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from([
    "gen_ai.operation.name", "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.response.finish_reasons",
    "gen_ai.system_instructions", "gen_ai.tool.definitions", "gen_ai.response.id", "gen_ai.request.model",
    "gen_ai.usage.input_tokens", "gen_ai.conversation.id", "openinference.span.kind", "llm.invocation_parameters",
    "llm.input_messages.0.message.role", "llm.input_messages.0.message.content", "llm.output_messages.1.message.role",
    "llm.input_messages.0.message.contents.0.message_content.text", "llm.tools.0.tool.json_schema", "input.value",
    "llm.input_messages.0.message.tool_calls.0.tool_call.function.name", "llm.input_messages.999999999.message.role",
    "output.value", "llm.finish_reason", "flywheel.training_consent", "flywheel.interaction_id", "error.type",
    "gen_ai.evaluation.name", "gen_ai.evaluation.score.value", "gen_ai.evaluation.score.max",
    "gen_ai.evaluation.score.label", "gen_ai.evaluation.explanation", "session.id", "user.id", "flywheel.variant",
])  # fmt: skip
ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=12)


def reason(made: Mapped) -> str:
    """Why the contract does not take an event; empty where it does."""
    try:
        decode(made.value, made.type)
    except EventError as error:
        return error.reason
    return ""


@settings(deadline=None)
@given(
    ATTRIBUTES,
    ATTRIBUTES,
    st.sampled_from([{}, {"openinference.span.kind": "LLM"}, {"gen_ai.operation.name": "chat"}]),
    st.sampled_from(["error", "ok"]),
    st.sampled_from([{}, {"gen_ai.request.stop_sequences": "x" * 1_100_000}]),
    st.sampled_from([0, 2**63, 10**400]),
)
@example({}, {"gen_ai.evaluation.score.value": 10**400, "gen_ai.evaluation.score.max": 0.5}, {}, "ok", {}, 0)
def test_nothing_that_a_span_holds_raises(
    attributes: dict[str, Any],
    others: dict[str, Any],
    call: dict[str, Any],
    status: Any,
    long: dict[str, Any],
    time_ns: int,
) -> None:
    """Whatever the attributes: events of which each is taken or named by the contract, or a reason."""
    event = SpanEvent(EVALUATION, time_ns, others)
    first_token = SpanEvent("First Token Stream Event", time_ns, {})
    held = {**attributes, **call, **long}
    made = Span(TRACE, SPAN, "", 10**18, time_ns, held, (event, first_token), status, 1, others)
    record = LogRecord("gen_ai.client.inference.operation.details", 2**64, held)

    for outcome in (of_span(made), of_log(record), of_log(LogRecord(EVALUATION, 0, attributes))):
        assert outcome.events or outcome.skipped
        for each in outcome.events:
            assert reason(each) in {"", "invalid_field", "too_deep"}
