"""LiteLLM's callback without LiteLLM: what its proxy logs becomes events, and what it refused becomes none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import llm_flywheel as fly
from llm_flywheel.litellm import Follower, capture
from schemas.codec import decode
from tests.support.door import Door

RESPONSE = "chatcmpl-CzT4kQmR8wLx2VbN6yPd1HsJ9aEua"
SAID = [{"role": "user", "content": "Is the fig ripe?"}]


def payload(**more: Any) -> dict[str, Any]:
    """A `standard_logging_object` of a call that was answered, as far as it is read; `more` replaces fields."""
    answer = {"role": "assistant", "content": "Not yet.", "tool_calls": None, "function_call": None}
    return {
        "id": RESPONSE, "litellm_call_id": "7ba067ec-5c7a-41fb-8119-d775dcd63ca0", "trace_id": "visit-9",
        "session_id": "", "call_type": "acompletion", "stream": None, "status": "success",
        "custom_llm_provider": "openai", "startTime": 1767603600.25, "endTime": 1767603601.0,
        "completionStartTime": 1767603601.0, "model": "openai/leaf-1", "model_group": "champion",
        "model_id": "candidate-1", "response_cost": 0.0004, "end_user": "gardener-4", "messages": SAID,
        "metadata": {"requester_metadata": {"prompt_version": "v12", "variant": "b", "headers": {"cookie": "secret"}}},
        "model_parameters": {"temperature": 0.3, "stream": False, "user": "gardener-4"},
        "error_information": {"error_code": "", "error_class": "", "llm_provider": "", "traceback": ""},
        "response": {
            "id": RESPONSE, "created": 1767603600, "model": "champion", "object": "chat.completion",
            "choices": [{"finish_reason": "stop", "index": 0, "message": answer}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 5},
        },
        **more,
    }  # fmt: skip


def sent(door: Door, made: dict[str, Any]) -> list[dict[str, Any]]:
    """What arrives at the door for a payload."""
    door.events.clear()
    capture(made)
    assert fly.flush()
    return door.events


@pytest.mark.usefixtures("sdk")
def test_a_call_becomes_an_interaction(door: Door) -> None:
    """With the id that every other door gives it, the conversation of the session, and no header of the request."""
    (event,) = sent(door, payload())

    assert event["id"] == fly.interaction_id("app", RESPONSE)
    expected = {
        "conversation_id": "visit-9", "user_id": "gardener-4", "request_model": "champion", "response_model": "leaf-1",
        "provider_name": "openai", "prompt_version": "v12", "variant": "b", "input_messages": SAID,
        "request_parameters": {"temperature": 0.3}, "duration_ms": 750.0, "cost_usd": 0.0004, "input_tokens": 11,
        "output_tokens": 5, "finish_reasons": ["stop"], "litellm_model_id": "candidate-1",
        "time": "2026-01-05T09:00:00.250000+00:00",
    }  # fmt: skip
    assert {name: event.get(name) for name in expected} == expected
    assert event["output_messages"][0]["content"] == "Not yet."
    assert "secret" not in json.dumps(event)
    assert decode(json.dumps(event).encode(), "llm.interaction.v1")


@pytest.mark.usefixtures("sdk")
def test_a_streamed_call_has_a_first_chunk(door: Door) -> None:
    """Only where it was streamed: else LiteLLM says the end of the call."""
    (event,) = sent(door, payload(stream=True, completionStartTime=1767603600.5))

    assert event["time_to_first_chunk_ms"] == 250


@pytest.mark.usefixtures("sdk")
def test_a_failed_call_is_an_interaction_without_an_answer(door: Door) -> None:
    """With its error, and without the traceback, which has paths in it."""
    error = {"error_code": "400", "error_class": "BadRequestError", "llm_provider": "openai", "traceback": "/srv/x.py"}
    (event,) = sent(door, payload(status="failure", error_information=error, response={}))

    assert event["error_type"] == "BadRequestError"
    assert "output_messages" not in event
    assert "/srv" not in json.dumps(event)


@pytest.mark.usefixtures("sdk")
@pytest.mark.parametrize(
    "more",
    [
        {"status": "failure", "error_information": {"error_class": "ProxyException", "llm_provider": ""}},
        {"status": "failure", "error_information": None},
        {"call_type": "aembedding"},
        {"call_type": "aimage_generation"},
        {"messages": None},
        {"messages": []},
    ],
)
def test_what_never_reached_a_chat_model_is_no_interaction(door: Door, more: dict[str, Any]) -> None:
    """A key that the proxy refused, an embedding, a call without messages."""
    assert sent(door, payload(**more)) == []


@pytest.mark.usefixtures("sdk")
def test_messages_that_are_not_logged_are_never_trained_on(door: Door) -> None:
    """LiteLLM puts a word of its own in their place."""
    (event,) = sent(door, payload(messages=[{"role": "user", "content": "redacted-by-litellm"}]))

    assert event["training_consent"] is False


@pytest.mark.usefixtures("sdk")
def test_guardrails_that_decided_are_verdicts(door: Door) -> None:
    """One each; a guardrail that did not answer has measured nothing."""
    ran = [
        {"guardrail_name": "pii", "guardrail_status": "success"},
        {"guardrail_name": "toxicity", "guardrail_status": "guardrail_intervened"},
        {"guardrail_name": "slow", "guardrail_status": "guardrail_failed_to_respond"},
    ]
    interaction, *verdicts = sent(door, payload(guardrail_information=ran))

    assert [(each["source"], each["value"]) for each in verdicts] == [("guardrail:pii", 1), ("guardrail:toxicity", 0)]
    assert {each["interaction_id"] for each in verdicts} == {interaction["id"]}


def test_nothing_moves_while_nobody_was_promoted(begin: Callable[..., None], door: Door) -> None:
    """The alias stays what the proxy's configuration says."""
    begin()
    champion = fly.Champion("app", "leaf-0", url=door.url)
    try:
        assert champion.wait(30)
        assert not Follower(champion).follow(router=object())
    finally:
        champion.close()


def test_the_champions_prompt_comes_before_requests_to_its_alias(begin: Callable[..., None], door: Door) -> None:
    """Of the champion that the alias stands for; a request to another model stays as it is."""

    class Moved(Follower):
        """Its router is LiteLLM's, which is not installed here (tests/integration/test_litellm_proxy.py has it)."""

        def _move(self, router: Any, champion: dict[str, Any]) -> None: ...

    begin()
    few = [{"role": "user", "content": "2 and 2?"}, {"role": "assistant", "content": "4"}]
    champion = fly.Champion("app", {"model": "m", "id": "c", "prompt_messages": few}, url=door.url)
    try:
        follower = Moved(champion)
        data = {"model": "champion", "messages": [{"role": "user", "content": "3 and 3?"}]}
        follower.prompted(data)
        assert len(data["messages"]) == 1
        assert follower.follow(router=object())
        other = {"model": "gpt", "messages": data["messages"]}
        for each in (data, other, {"model": "champion"}, None):
            follower.prompted(each)
    finally:
        champion.close()
    assert data["messages"] == [*few, {"role": "user", "content": "3 and 3?"}]
    assert len(other["messages"]) == 1
