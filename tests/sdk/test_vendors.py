"""Real openai and anthropic clients of several versions against a local endpoint: every call captured once, and valid.

Each version is installed into a folder of its own, once a session; where no package index is at hand its tests skip.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest

import llm_flywheel
import llm_flywheel as fly
from schemas.codec import decode, json_schemas
from tests.support import llm
from tests.support.packages import install

CLIENTS = {
    "openai 1": ("openai", "openai==1.109.1"),
    "openai 2": ("openai", "openai==2.54.0"),
    "openai 3": ("openai", "openai==3.57.0"),
    "anthropic 0": ("anthropic", "anthropic==0.125.0"),
    "anthropic 2": ("anthropic", "anthropic==2.14.0"),
}
SDK = Path(llm_flywheel.__file__).parents[1]
SCHEMAS = json_schemas()
WHOLE = {"streamed body", "streamed parse"}
"""Calls whose body is read bit by bit, but is one piece of JSON."""
ANSWER = [{"role": "assistant", "content": llm.ANSWER}]


class Run(NamedTuple):
    """What a client's calls gave."""

    vendor: str
    got: dict[str, Any]
    """What the application got, by the name of the call."""
    stats: dict[str, int]
    events: list[dict[str, Any]]
    plain: dict[str, Any]
    """What the application got without the SDK."""
    stderr: str

    def about(self, name: str) -> dict[str, Any]:
        """The one interaction of a call."""
        [event] = [each for each in self.events if "kind" not in each and said(each) == name]
        return event


def said(event: dict[str, Any]) -> str:
    """The name that a call says."""
    content = event["input_messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[-1]["text"])


@pytest.fixture(scope="session", params=CLIENTS)
def calls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All calls of one client, captured, and once more without the SDK."""
    vendor, requirement = CLIENTS[request.param]
    home = tmp_path_factory.mktemp("client")
    packages = install(home / "packages", requirement)
    program = Path(__file__).with_name("vendor_calls.py")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{packages}{os.pathsep}{SDK}", "HOME": str(home)}

    def run(spool: str) -> subprocess.CompletedProcess[str]:
        with llm.serving() as endpoint:
            return subprocess.run(
                [sys.executable, str(program), vendor, endpoint.url, spool, str(home / "state")],
                capture_output=True, text=True, timeout=120, check=False, env=environment,
            )  # fmt: skip

    done, bare = run(str(home / "spool")), run("off")
    assert done.returncode == 0, done.stderr
    assert bare.returncode == 0, bare.stderr
    result = json.loads(done.stdout)
    assert result["versions"] == [requirement.replace("==", " ")]
    lines = [line for path in sorted((home / "spool").iterdir()) for line in path.read_bytes().splitlines()]
    events = []
    for line in lines:
        envelope = json.loads(line)
        decode(json.dumps(envelope["data"]).encode(), envelope["type"])
        jsonschema.validate(envelope["data"], SCHEMAS[envelope["type"]])
        events.append(envelope["data"])
    return Run(vendor, result["got"], result["stats"], events, json.loads(bare.stdout)["got"], done.stderr)


def test_the_application_gets_what_it_gets_without_us(calls: Run) -> None:
    """Values, types and errors are the client's own, to the last one; nothing is printed or warned of in between."""
    assert calls.got == calls.plain
    assert "Traceback" not in calls.stderr
    assert "never awaited" not in calls.stderr
    assert "errors" not in calls.stats


def test_every_call_is_captured_once(calls: Run) -> None:
    """By name: none is missing, none is twice, and what is no chat is left alone."""
    names = [said(each) for each in calls.events if "kind" not in each]
    expected = set(calls.got) | {"wrapped", "wrapped copy", "wrapped once", "instrumented", "closed early"}
    if calls.vendor == "openai":
        expected |= {"left alone", "never read", "aclosed early", "aleft alone", "acancelled slow"}
        expected |= {f"gather {n}" for n in range(10)}
        expected -= {"not chat", "gather", "background", "acancelled"}
        expected -= {"response result", "response tool please"}
        results = [each for each in names if each in {"response result", "response tool please"}]
        assert sorted(results) == ["response result", "response tool please"]
        names = [each for each in names if each not in results]

    assert sorted(names) == sorted(expected)
    assert "not wrapped" not in names


def test_a_whole_answer_is_captured_whole(calls: Run) -> None:
    """Text, model, id, tokens, reasons: the same from the client's object, a stream, a helper, a raw body."""
    names = ["create", "stream", "helper", "raw", "streamed body", "acreate", "astream", "ahelper", "wrapped copy"]
    if calls.vendor == "openai":
        names += ["raw stream", "streamed lines", "streamed parse", "raw post", "astreamed lines", "stream usage"]
        names += ["response", "response stream", "response helper", "aresponse", "busy again"]
    for name in names:
        event = calls.about(name)
        assert event["output_messages"] == ANSWER, name
        assert event["finish_reasons"] == ["stop"], name
        assert (event["request_model"], event["response_model"]) == ("m1", "m1-2026"), name
        assert event["id"] == fly.interaction_id("app", event["response_id"]), name
        assert "error_type" not in event, name
        assert event["duration_ms"] > 0, name
        streamed = any(word in name for word in ("stream", "helper", "lines")) and name not in WHOLE
        assert ("time_to_first_chunk_ms" in event) == streamed, name
    assert (calls.about("create")["input_tokens"], calls.about("create")["output_tokens"]) == (11, 5)


def test_what_was_asked_is_captured(calls: Run) -> None:
    """System prompt, parameters, user, provider."""
    event = calls.about("create")

    assert event["user_id"] == "u-9"
    assert event["provider_name"] == calls.vendor
    if calls.vendor == "openai":
        assert event["request_parameters"] == {"temperature": 0.5, "seed": 7, "user": "u-9"}
        assert calls.about("extra")["request_parameters"] == {"top_k": 3}
        assert len(calls.about("two")["output_messages"]) == 2
        assert calls.about("response")["system_instructions"] == "Be kind."
    else:
        assert event["system_instructions"] == "Be kind."
        assert calls.about("tool please")["system_instructions"] == "Be brief."
        assert event["request_parameters"]["max_tokens"] == 99


def test_tools_are_captured_in_one_form(calls: Run) -> None:
    """Calls, their arguments and their results are OpenAI's messages, whichever protocol they came in."""
    names = ["tool please", "stream tool please", "helper tool please", "response tool please"]
    for name in [name for name in names if name in calls.got]:
        event = calls.about(name)
        [call] = event["output_messages"][0]["tool_calls"]
        arguments = call["function"]["arguments"]
        assert call["function"]["name"] == "weather"
        assert (json.loads(arguments) if isinstance(arguments, str) else arguments) == {"city": "Paris"}
        assert event["finish_reasons"] == ["tool_calls"]
        assert event["tool_definitions"]
    result = calls.about("tool result")["input_messages"]
    assert [message["role"] for message in result] == ["user", "assistant", "tool"]
    assert result[1]["tool_calls"][0]["id"] == result[2]["tool_call_id"]
    if calls.vendor == "openai":
        items = calls.about("response result")["input_messages"]
        assert [message["role"] for message in items] == ["user", "assistant", "tool"]
        assert items[1]["tool_calls"][0]["id"] == items[2]["tool_call_id"] == "call_1"


def test_failures_are_captured_with_their_names(calls: Run) -> None:
    """Errors before, in and instead of a stream; what had come by then is kept."""
    expected = {"boom": "BadRequestError", "aboom": "BadRequestError", "slow": "timeout", "cut stream": "incomplete"}
    expected["closed early"] = "abandoned"
    expected["explode"] = "overloaded" if calls.vendor == "openai" else "overloaded_error"
    if calls.vendor == "openai":
        expected |= {
            "boom stream": "BadRequestError", "busy": "RateLimitError", "refused": "APIConnectionError",
            "acancelled slow": "CancelledError", "left alone": "abandoned", "never read": "abandoned",
            "aclosed early": "abandoned", "aleft alone": "abandoned", "streamed unread": "abandoned",
            "response boom": "BadRequestError", "response cut": "incomplete",
        }  # fmt: skip
    for name, error in expected.items():
        assert calls.about(name)["error_type"] == error, name
    assert calls.about("explode")["output_messages"] == [{"role": "assistant", "content": "It left "}]
    assert calls.about("cut stream")["output_messages"] == ANSWER


def test_feedback_finds_its_call(calls: Run) -> None:
    """`thumb` after an awaited call is about that call, in its conversation."""
    for thumb in [each for each in calls.events if "kind" in each]:
        event = calls.about("acreate")
        assert thumb["interaction_id"] == event["id"]
        assert thumb["conversation_id"] == event["conversation_id"] == "async-talk"
        assert thumb["user_id"] == event["user_id"] == "u-1"


def test_a_client_that_is_not_known_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """No error, no patch, a word in the log."""
    thing = object()

    assert fly.wrap(thing) is thing
    assert fly.instrument("no_such_vendor_of_models") == []
    assert "stays as it is" in caplog.text
    assert "not installed" in caplog.text
