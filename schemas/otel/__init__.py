"""OpenTelemetry → events, pure: one span or log record in, the events that it tells of out, or the reason why none.

Attributes come as plain values, so that the same mapper serves the HTTP door, the bridge from a Collector's topic and
imports of stored spans. Bad data is a value: nothing here raises for what a span holds.

span            what comes in, and what goes out
mapper          which spans are interactions; span and log record → events
genai           the GenAI conventions, as OpenTelemetry's, Traceloop's and pydantic-ai's instrumentations write them
openinference   OpenInference's attributes, LangChain's among them
evaluation      `gen_ai.evaluation.result` → feedback
values          JSON texts, names and numbers out of attributes

docs/otel.md says for people which attribute becomes what. Start with `mapper.py`.
"""

from schemas.otel.mapper import of_log, of_span
from schemas.otel.span import LogRecord, Mapped, Outcome, Span, SpanEvent

__all__ = ["LogRecord", "Mapped", "Outcome", "Span", "SpanEvent", "of_log", "of_span"]
