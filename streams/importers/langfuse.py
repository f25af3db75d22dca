"""Langfuse's exports (JSON, JSON lines, CSV or Parquet): generations become interactions, scores feedback.

Observations carry user and session themselves since 2026; older exports have them in `traces`, which are then read
first. A score on a trace is about the trace's last generation. Go on to `importer.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from streams.importers.index import Index
from streams.importers.made import (
    FEEDBACK,
    INTERACTION,
    Format,
    Left,
    Options,
    Outcome,
    Row,
    amount,
    count,
    event,
    mapping,
    messages,
    milliseconds,
    name,
    number,
    objects,
    opened,
    own_id,
    said,
    time_of,
)

SOURCE = "langfuse"
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")


def read(row: Row, options: Options, index: Index) -> Iterator[Outcome]:
    """Events of a trace, an observation or a score."""
    row = {_HUMP.sub(r"_\1", key).lower(): value for key, value in row.items()}
    if _is_score(row):
        yield from _score(row, options, index)
    elif "type" in row:
        yield _generation(row, options, index)
    elif "id" in row:
        index.keep("trace", row["id"], [row.get("session_id"), row.get("user_id")])
        yield Left("not_llm")
    else:
        yield Left("unknown_row")


def rank(row: Row) -> int:
    """Traces, then observations, then scores."""
    row = {_HUMP.sub(r"_\1", key).lower(): value for key, value in row.items()}
    return 2 if _is_score(row) else 1 if "type" in row else 0


LANGFUSE = Format(read, rank)


def _is_score(row: Row) -> bool:
    return "data_type" in row and "name" in row and ("value" in row or "string_value" in row)


def _generation(row: Row, options: Options, index: Index) -> Outcome:
    if row["type"] != "GENERATION" or not row.get("id"):
        return Left("not_llm")
    asked, answered = messages(row.get("input"), "user"), messages(row.get("output"), "assistant")
    start = time_of(row.get("start_time"), options.time)
    if not asked or (not answered and row.get("level") != "ERROR"):
        return Left("no_messages")
    if start is None:
        return Left("no_time")
    session, user = index.find("trace", row.get("trace_id")) or [None, None]
    id_ = own_id(SOURCE, options.application, row["id"])
    conversation = name(row.get("session_id") or session or row.get("trace_id") or row["id"])
    index.keep("observation", row["id"], [id_, conversation])
    latest = index.find("last", row.get("trace_id"))
    if latest is None or latest[2] <= start:
        index.keep("last", row.get("trace_id"), [id_, conversation, start])
    usage = opened(row.get("usage_details")) or opened(row.get("usage")) or {}
    prompt = row.get("prompt_name")
    return event(
        INTERACTION,
        id=id_,
        time=start,
        application=options.application,
        conversation_id=conversation,
        user_id=name(row.get("user_id") or user),
        request_model=name(row.get("provided_model_name") or row.get("model")) or "unknown",
        prompt_version=f"langfuse:{prompt}@{row.get('prompt_version')}"[:256] if prompt else None,
        input_messages=asked,
        output_messages=answered,
        tool_definitions=objects(row.get("tool_definitions")),
        request_parameters=mapping(row.get("model_parameters")),
        error_type="error" if row.get("level") == "ERROR" else None,
        input_tokens=count(_get(usage, "input")),
        output_tokens=count(_get(usage, "output")),
        duration_ms=milliseconds(start, time_of(row.get("end_time"))),
        time_to_first_chunk_ms=milliseconds(start, time_of(row.get("completion_start_time"))),
        cost_usd=amount(row.get("total_cost")),
        trace_id=row.get("trace_id") if re.fullmatch("[0-9a-f]{32}", str(row.get("trace_id"))) else None,
    )


def _score(row: Row, options: Options, index: Index) -> Iterator[Outcome]:
    target = index.find("observation", row["observation_id"]) if row.get("observation_id") else None
    target = target or index.find("last", row.get("trace_id"))
    if target is None:
        yield Left("no_target")
        return
    time = time_of(row.get("timestamp") or row.get("created_at"), options.time)
    if time is None:
        yield Left("no_time")
        return
    head: dict[str, Any] = {
        "time": time,
        "application": options.application,
        "conversation_id": target[1],
        "interaction_id": target[0],
        "user_id": name(row.get("author_user_id") or row.get("user_id")) if row.get("source") == "ANNOTATION" else None,
    }
    by = {"EVAL": "judge", "ANNOTATION": "reviewer"}.get(str(row.get("source")))
    key = (options.application, row.get("id") or f"{target[0]} {row['name']} {time}")
    yield _spoken(row, options, by, {"id": own_id(SOURCE, "score", *key), **head})
    if row.get("comment"):
        yield event(FEEDBACK, id=own_id(SOURCE, "comment", *key), kind="comment", text=str(row["comment"]), **head)


def _spoken(row: Row, options: Options, by: str | None, fields: dict[str, Any]) -> Outcome:
    label = str(row["name"])
    kind = str(row.get("data_type"))
    if kind == "TEXT":
        text = row.get("string_value") or row.get("value")
        return event(FEEDBACK, kind="comment", text=str(text), **fields) if text else Left("no_value")
    if kind == "CATEGORICAL":
        return said(label, str(row.get("string_value") or row.get("value") or ""), options, by=by, **fields)
    value = number(row.get("value"))
    if kind == "BOOLEAN" and value is not None:
        return said(label, value > 0, options, by=by, **fields)
    if value in {0.0, 1.0} and not by and label not in options.scales:
        return Left("no_scale")  # 1 of what? a number is no truth value here
    return said(label, value, options, by=by, **fields)


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else dict(value).get(key) if isinstance(value, list) else None
