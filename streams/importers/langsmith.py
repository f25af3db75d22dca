"""LangSmith's runs (bulk export in Parquet, or `list_runs` as JSON lines) and the feedback on them.

Only runs of type `llm` are calls. Feedback on a chain's run is about the last call in its trace. A run's `session_id`
is LangSmith's project, not a conversation: that stands in its metadata. Go on to `importer.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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

SOURCE = "langsmith"
CONVERSATION = ("session_id", "thread_id", "conversation_id")
BY = {"model": "judge", "auto_eval": "judge", "annotation_queue": "reviewer", "app": "reviewer"}
"""Kind of feedback source → whose verdict it is; what came through the API is the user's."""


def read(row: Row, options: Options, index: Index) -> Iterator[Outcome]:
    """Events of a run, or of feedback on one."""
    if "run_id" in row and "key" in row:
        yield from _feedback(row, options, index)
    elif "run_type" in row:
        yield _run(row, options, index)
    else:
        yield Left("unknown_row")


def rank(row: Row) -> int:
    """Runs before feedback on them."""
    return 0 if "run_type" in row else 1


LANGSMITH = Format(read, rank)


def _run(row: Row, options: Options, index: Index) -> Outcome:
    trace = str(row.get("trace_id") or row.get("id"))
    if row["run_type"] != "llm":
        index.keep("trace of", row.get("id"), trace)
        return Left("not_llm")
    inputs, outputs = opened(row.get("inputs")) or {}, opened(row.get("outputs")) or {}
    asked = messages(_asked(inputs), "user")
    answered = _answered(outputs)
    start = time_of(row.get("start_time"), options.time)
    if not asked or not (answered or row.get("error")):
        return Left("no_messages")
    if start is None:
        return Left("no_time")
    extra = opened(row.get("extra")) or {}
    metadata, parameters = mapping(extra.get("metadata")), mapping(extra.get("invocation_params"))
    id_ = own_id(SOURCE, options.application, row["id"])
    conversation = name(next((metadata[key] for key in CONVERSATION if metadata.get(key)), trace))
    index.keep("run", row["id"], [id_, conversation])
    latest = index.find("last", trace)
    if latest is None or latest[2] <= start:
        index.keep("last", trace, [id_, conversation, start])
    return event(
        INTERACTION,
        id=id_,
        time=start,
        application=options.application,
        conversation_id=conversation,
        user_id=name(metadata.get("user_id")),
        provider_name=name(metadata.get("ls_provider")),
        request_model=name(parameters.get("model") or parameters.get("model_name") or metadata.get("ls_model_name"))
        or "unknown",
        prompt_version=_prompt(metadata),
        input_messages=asked,
        output_messages=[] if row.get("error") else answered,
        tool_definitions=objects(parameters.get("tools")),
        request_parameters={key: value for key, value in parameters.items() if isinstance(value, int | float)},
        error_type="error" if row.get("error") else None,
        input_tokens=count(row.get("prompt_tokens")),
        output_tokens=count(row.get("completion_tokens")),
        duration_ms=milliseconds(start, time_of(row.get("end_time"))),
        time_to_first_chunk_ms=milliseconds(start, time_of(row.get("first_token_time"))),
        cost_usd=amount(row.get("total_cost")),
    )


def _asked(inputs: Any) -> Any:
    return (inputs.get("messages") or inputs.get("prompts") or inputs) if isinstance(inputs, Mapping) else inputs


def _answered(outputs: Any) -> list[dict[str, Any]]:
    """A choice's message, a generation's, or whatever else came out."""
    if not isinstance(outputs, Mapping):
        return messages(outputs, "assistant")
    generations = outputs.get("generations")
    while isinstance(generations, list) and generations and isinstance(generations[0], list):
        generations = generations[0]
    found = [
        said
        for each in (generations or outputs.get("choices") or [])
        if isinstance(each, Mapping)
        for said in messages(each.get("message") or each.get("text"), "assistant")
    ]
    return found or messages(outputs, "assistant")


def _feedback(row: Row, options: Options, index: Index) -> Iterator[Outcome]:
    trace = index.find("trace of", row["run_id"]) or row.get("trace_id") or row["run_id"]
    target = index.find("run", row["run_id"]) or index.find("last", trace)
    if target is None:
        yield Left("no_target")
        return
    time = time_of(row.get("created_at"), options.time)
    if time is None:
        yield Left("no_time")
        return
    head: dict[str, Any] = {
        "time": time, "application": options.application, "conversation_id": target[1], "interaction_id": target[0],
    }  # fmt: skip
    source = opened(row.get("feedback_source")) or {}
    by = BY.get(str(source.get("type") if isinstance(source, Mapping) else source))
    key = (options.application, row.get("id") or f"{row['run_id']} {row['key']} {time}")
    value = row.get("score") if row.get("score") is not None else row.get("value")
    comment, correction = row.get("comment"), _corrected(opened(row.get("correction")))
    if value is not None:
        given = value if isinstance(value, bool | str) else number(value)
        yield said(str(row["key"]), given, options, by=by, id=own_id(SOURCE, "feedback", *key), **head)
    if comment:
        yield event(FEEDBACK, id=own_id(SOURCE, "comment", *key), kind="comment", text=str(comment), **head)
    if correction:
        yield event(FEEDBACK, id=own_id(SOURCE, "correction", *key), kind="correction", text=correction, **head)
    if value is None and not comment and not correction:
        yield Left("no_value")


def _corrected(value: Any) -> str:
    """The answer as it should have been: text, or the one text in an object of outputs."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        texts = [each for each in value.values() if isinstance(each, str) and each.strip()]
        if len(texts) == 1:
            return texts[0]
    return ""


def _prompt(metadata: Mapping[str, Any]) -> str | None:
    hub, commit = metadata.get("lc_hub_repo"), metadata.get("lc_hub_commit_hash")
    return f"{hub}@{str(commit)[:12]}" if hub and commit else None
