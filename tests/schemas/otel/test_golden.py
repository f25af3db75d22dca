"""What six dialects of OpenTelemetry emit, in OTLP's JSON, and the events that are made of it, word for word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from schemas.codec import decode, json_schemas
from schemas.messages import read_messages
from schemas.otel import LogRecord, Outcome, of_log, of_span
from streams.doors import otlp

GOLDEN = Path(__file__).parent / "golden"
DIALECTS = sorted(path.name.removesuffix(".otlp.json") for path in GOLDEN.glob("*.otlp.json"))
SCHEMAS = json_schemas()


def outcomes(dialect: str) -> list[Outcome]:
    """What becomes of each span or log record of a recording."""
    body = (GOLDEN / f"{dialect}.otlp.json").read_bytes()
    signal: otlp.Signal = "logs" if b"resourceLogs" in body else "traces"
    return [
        of_log(each) if isinstance(each, LogRecord) else of_span(each) for each in otlp.read(body, signal, json=True)
    ]


def plain(outcome: Outcome) -> dict[str, Any]:
    """An outcome as the golden file has it."""
    events = [{"type": each.type, **json.loads(each.value)} for each in outcome.events]
    return {"skipped": outcome.skipped, "events": events}


def test_there_are_six_dialects() -> None:
    """OpenTelemetry's spans and its log records, Traceloop, pydantic-ai, OpenInference, LangChain."""
    assert DIALECTS == ["genai", "genai_logs", "langchain", "openinference", "pydantic_ai", "traceloop"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_golden_spans_become_golden_events(dialect: str) -> None:
    """Every span is the event that it was, or is left out for the reason that it was."""
    expected = json.loads((GOLDEN / f"{dialect}.events.json").read_text())

    assert [plain(each) for each in outcomes(dialect)] == expected


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_made_of_spans_is_an_event_by_the_contract(dialect: str) -> None:
    """By the codec and by the JSON Schema, its messages a chat that says something."""
    made = [each for outcome in outcomes(dialect) for each in outcome.events]

    assert len(made) >= 2
    for each in made:
        event = decode(each.value, each.type).event
        jsonschema.validate(json.loads(each.value), SCHEMAS[each.type])
        if each.type == "llm.interaction.v1":
            said = read_messages(msgspec.to_builtins(event)["input_messages"])
            assert any(message.get("content") or message.get("tool_calls") for message in said.chat)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_same_spans_are_the_same_events(dialect: str) -> None:
    """An exporter that sends again, sends what is there already: byte for byte."""
    assert outcomes(dialect) == outcomes(dialect)
