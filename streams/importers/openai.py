"""JSON lines in OpenAI's and Anthropic's forms: batches with their results, stored completions, plain chats.

A batch's output is joined with its input by `custom_id`; give both files, or the folder that holds them. Go on to
`importer.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from streams.importers.index import Index
from streams.importers.made import (
    INTERACTION,
    Format,
    Left,
    Options,
    Outcome,
    Row,
    call_id,
    count,
    event,
    messages,
    name,
    time_of,
)

SOURCE = "openai"
PARAMETERS = (
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "max_output_tokens", "seed", "stop", "n",
    "response_format", "frequency_penalty", "presence_penalty", "reasoning_effort",
)  # fmt: skip


def read(row: Row, options: Options, index: Index) -> Iterator[Outcome]:
    """The call that a line tells of; a line of a batch's input waits for its answer."""
    request = row.get("body") or row.get("params")
    if "custom_id" in row and isinstance(request, Mapping):
        index.keep("request", row["custom_id"], request)
    elif "custom_id" in row:
        yield _answered(row, options, index)
    elif "choices" in row or "output" in row or row.get("type") == "message":
        yield _call(row, row, options, row.get("id"))
    elif isinstance(row.get("messages"), list):
        yield _chat(row, options)
    else:
        yield Left("unknown_row")


def rank(row: Row) -> int:
    """Requests before their answers."""
    return 0 if row.get("body") or row.get("params") else 1


OPENAI = Format(read, rank)


def _answered(row: Row, options: Options, index: Index) -> Outcome:
    request = index.find("request", row["custom_id"])
    if request is None:
        return Left("no_request")
    response, result = row.get("response") or {}, row.get("result") or {}
    body = response.get("body") or result.get("message") or {}
    error = row.get("error") or body.get("error") or result.get("error")
    status = response.get("status_code")
    failed = bool(error) or (isinstance(status, int) and status >= 400) or result.get("type") in {"errored", "expired"}
    return _call(request, body, options, row["custom_id"], str(status or "error") if failed else None)


def _call(request: Row, response: Row, options: Options, id_: Any, error: str | None = None) -> Outcome:
    asked = messages(request.get("messages") or request.get("input") or request.get("prompt"), "user")
    if isinstance(request.get("system"), str):  # Anthropic's
        asked = [{"role": "system", "content": request["system"]}, *asked]
    answered = [] if error else _output(response)
    time = time_of(response.get("created") or response.get("created_at"), options.time)
    if not asked or not (answered or error):
        return Left("no_messages")
    if time is None:
        return Left("no_time")
    usage = response.get("usage") or {}
    choices = response.get("choices") or []
    metadata = response.get("metadata") or request.get("metadata") or {}
    response_id = response.get("id")
    made = call_id(options, SOURCE, id_ or response_id, response_id)
    return event(
        INTERACTION,
        id=made,
        time=time,
        application=options.application,
        conversation_id=name(metadata.get("conversation_id") or metadata.get("session_id")) or made,
        user_id=name(request.get("user") or metadata.get("user_id")),
        request_model=name(request.get("model") or response.get("model")) or "unknown",
        response_model=name(response.get("model")),
        response_id=name(response_id),
        input_messages=asked,
        output_messages=answered,
        system_instructions=request.get("instructions") if isinstance(request.get("instructions"), str) else None,
        tool_definitions=request.get("tools") if isinstance(request.get("tools"), list) else None,
        request_parameters={key: request[key] for key in PARAMETERS if request.get(key) is not None},
        finish_reasons=[each.get("finish_reason") for each in choices if each.get("finish_reason")]
        or [each for each in (response.get("stop_reason"),) if each],
        error_type=error,
        input_tokens=count(usage.get("prompt_tokens") or usage.get("input_tokens")),
        output_tokens=count(usage.get("completion_tokens") or usage.get("output_tokens")),
    )


def _output(response: Row) -> list[dict[str, Any]]:
    if response.get("type") == "message":
        return [{"role": "assistant", "content": response.get("content")}]
    if isinstance(response.get("output"), list):  # Responses API
        return [dict(each) for each in response["output"] if isinstance(each, Mapping)]
    return [
        dict(each["message"]) for each in response.get("choices") or [] if isinstance(each.get("message"), Mapping)
    ] or [
        {"role": "assistant", "content": each["text"]}
        for each in response.get("choices") or []
        if isinstance(each.get("text"), str)
    ]


def _chat(row: Row, options: Options) -> Outcome:
    """A conversation as it is fine-tuned on: its last message is the answer."""
    *asked, answer = row["messages"]
    if not asked or not isinstance(answer, Mapping) or answer.get("role") != "assistant":
        return Left("no_messages")
    time = time_of(row.get("created") or row.get("timestamp"), options.time)
    if time is None:
        return Left("no_time")
    made = call_id(options, SOURCE, row.get("id") or str(row["messages"]))
    return event(
        INTERACTION,
        id=made,
        time=time,
        application=options.application,
        conversation_id=name(row.get("conversation_id")) or made,
        user_id=name(row.get("user")),
        request_model=name(row.get("model")) or "unknown",
        input_messages=asked,
        output_messages=[answer],
        tool_definitions=row.get("tools") if isinstance(row.get("tools"), list) else None,
    )
