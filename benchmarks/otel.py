"""What it costs to turn OpenTelemetry's spans into events: from the bytes of a request to checked records.

    python benchmarks/otel.py [--spans 20000]

Requests of 200 spans each, as an exporter sends them (protobuf): decoded, mapped, checked against the contract, made
into records for Kafka, as the HTTP door does. Two dialects: the GenAI conventions (messages are one JSON text) and
OpenInference (a message is spread over attributes); in each, of ten spans eight are calls, with several turns, tools
and their results, one is an agent's and one a tool's. CPU time, the best of five rounds; ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.otel import Mapped, Span, of_span
from streams.doors import otlp
from streams.doors.batch import check_mapped
from streams.doors.tokens import ANYBODY

REQUEST, ROUNDS, MAX_EVENT = 200, 5, 2**20
Attributes = dict[str, Any]
TURNS = (
    ("system", "You answer questions about plants, briefly and without guessing."),
    ("user", "Does the fern on my window sill like the afternoon sun, or is it better off in a darker corner?"),
    ("assistant", "It prefers shade: direct sun in the afternoon burns its leaves."),
    ("user", "And how often should I water it in winter, when the heating is on all day?"),
)
ANSWER = "About once a week; spray its leaves in between, since dry air harms it more than dry soil."
TOOL = {"name": "price_of", "parameters": {"type": "object", "properties": {"plant": {"type": "string"}}}}


def genai(n: int) -> Attributes:
    """One span by the GenAI conventions."""
    if n % 10 > 7:
        return {
            "gen_ai.operation.name": "invoke_agent" if n % 10 == 8 else "execute_tool",
            "gen_ai.agent.name": "seller",
        }
    messages: list[Any] = [{"role": role, "parts": [{"type": "text", "content": text}]} for role, text in TURNS]
    found: Attributes = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "leaf-1",
        "gen_ai.request.temperature": 0.2, "gen_ai.request.max_tokens": 200, "server.port": 443,
        "gen_ai.response.model": "leaf-1-2026", "gen_ai.response.id": f"chatcmpl-CzT4kQmR8wLx2VbN6yPd1H{n:08d}",
        "gen_ai.response.finish_reasons": ["stop"], "gen_ai.usage.input_tokens": 91, "gen_ai.usage.output_tokens": 24,
        "gen_ai.conversation.id": f"visit-{n // 4}", "user.id": f"gardener-{n % 97}",
    }  # fmt: skip
    if n % 10 > 5:
        call = {"type": "tool_call", "id": "call_1", "name": "price_of", "arguments": {"plant": "fern"}}
        messages += [
            {"role": "assistant", "parts": [call]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "12 euros"}]},
        ]
        found["gen_ai.tool.definitions"] = json.dumps([{"type": "function", **TOOL}])
    answer = [{"role": "assistant", "parts": [{"type": "text", "content": ANSWER}], "finish_reason": "stop"}]
    return found | {"gen_ai.input.messages": json.dumps(messages), "gen_ai.output.messages": json.dumps(answer)}


def openinference(n: int) -> Attributes:
    """One span of OpenInference's."""
    if n % 10 > 7:
        return {"openinference.span.kind": "AGENT" if n % 10 == 8 else "TOOL", "input.value": TURNS[1][1]}
    messages: list[Attributes] = [{"role": role, "content": text} for role, text in TURNS]
    found: Attributes = {
        "openinference.span.kind": "LLM", "llm.system": "openai", "llm.model_name": "leaf-1-2026",
        "llm.invocation_parameters": json.dumps({"model": "leaf-1", "temperature": 0.2, "max_tokens": 200}),
        "llm.token_count.prompt": 91, "llm.token_count.completion": 24, "llm.token_count.total": 115,
        "input.mime_type": "application/json", "output.mime_type": "application/json", "llm.finish_reason": "stop",
        "session.id": f"visit-{n // 4}", "user.id": f"gardener-{n % 97}",
    }  # fmt: skip
    if n % 10 > 5:
        call = "tool_calls.0.tool_call"
        messages += [
            {"role": "assistant", f"{call}.id": "call_1", f"{call}.function.name": "price_of",
             f"{call}.function.arguments": '{"plant": "fern"}'},
            {"role": "tool", "tool_call_id": "call_1", "content": "12 euros"},
        ]  # fmt: skip
        found["llm.tools.0.tool.json_schema"] = json.dumps({"type": "function", "function": TOOL})
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ANSWER}}
    answer = {"id": f"chatcmpl-CzT4kQmR8wLx2VbN6yPd1H{n:08d}", "created": 1_767_603_600, "choices": [choice]}
    found |= {"input.value": json.dumps({"model": "leaf-1", "messages": messages}), "output.value": json.dumps(answer)}
    for place, message in enumerate(messages):
        found |= {f"llm.input_messages.{place}.message.{field}": value for field, value in message.items()}
    prefix = "llm.output_messages.0.message"
    return found | {f"{prefix}.role": "assistant", f"{prefix}.content": ANSWER}


def requests(dialect: Callable[[int], Attributes], spans: int) -> list[bytes]:
    """All spans of a dialect, as an exporter sends them."""
    bodies = []
    for first in range(0, spans, REQUEST):
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = "garden-shop"
        for n in range(first, min(first + REQUEST, spans)):
            span = group.scope_spans.add().spans.add(
                trace_id=n.to_bytes(16), span_id=n.to_bytes(8), start_time_unix_nano=1_767_603_600_000_000_000,
                end_time_unix_nano=1_767_603_601_000_000_000, name="chat",
            )  # fmt: skip
            for name, value in dialect(n).items():
                _set(span.attributes.add(key=name).value, value)
        bodies.append(request.SerializeToString())
    return bodies


def _set(message: Any, value: Any) -> None:
    if isinstance(value, str):
        message.string_value = value
    elif isinstance(value, int):
        message.int_value = value
    elif isinstance(value, float):
        message.double_value = value
    else:
        for each in value:
            _set(message.array_value.values.add(), each)


def carried(bodies: list[bytes]) -> int:
    """Bytes → records, as the door does; how many records."""
    records = 0
    for body in bodies:
        events: list[Mapped] = []
        for each in otlp.read(body, "traces", json=False):
            assert isinstance(each, Span)
            events += of_span(each).events
        checked = check_mapped(events, ANYBODY, MAX_EVENT)
        assert not checked.rejected
        records += len(checked.records)
    return records


def speed(dialect: Callable[[int], Attributes], spans: int) -> int:
    """Spans per CPU-second."""
    bodies = requests(dialect, spans)
    size = sum(map(len, bodies)) / spans
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        records = carried(bodies)
        best = min(best, time.process_time() - began)
    name, each = dialect.__name__, spans / best
    print(f"{name:14} {size:6.0f} bytes a span, {records} events of {spans} spans, {each:.0f} spans/CPU-s")
    return round(spans / best)


def main() -> None:
    """Both dialects, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=20_000)
    spans = parser.parse_args().spans
    found = {f"spans_per_cpu_second_{dialect.__name__}": speed(dialect, spans) for dialect in (genai, openinference)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
