"""Any flat rows, such as a CSV of questions and answers, with a map from their columns: `--map question=input`.

Go on to `importer.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.errors import UsageError
from streams.importers.index import Index
from streams.importers.made import (
    FEEDBACK,
    INTERACTION,
    Format,
    Left,
    Options,
    Outcome,
    Row,
    event,
    messages,
    name,
    number,
    own_id,
    said,
    time_of,
)

SOURCE = "table"
SPOKEN = ("thumb", "rating", "label", "comment", "correction")
FIELDS = ("id", "time", "conversation_id", "user_id", "request_model", "prompt_version", "variant", "system", "input",
          "output", *SPOKEN)  # fmt: skip
"""What a column may be mapped to."""
TRUE, FALSE = {"1", "true", "yes", "up", "good", "👍"}, {"0", "-1", "false", "no", "down", "bad", "👎"}


def check(columns: dict[str, str]) -> dict[str, str]:
    """The map, if it can be used. Raises UsageError."""
    if unknown := sorted(set(columns.values()) - set(FIELDS)):
        raise UsageError(f"--map: {', '.join(unknown)} is no field; fields are {', '.join(FIELDS)}")
    if missing := sorted({"input", "output"} - set(columns.values())):
        raise UsageError(f"--map names no column for {' and '.join(missing)}: --map question=input --map answer=output")
    return columns


def read(row: Row, options: Options, _: Index) -> Iterator[Outcome]:
    """The interaction of a row, and the feedback that stands beside it."""
    if not options.columns.keys() <= row.keys():
        yield Left("unknown_row")
        return
    columns = ((field, row[column]) for column, field in options.columns.items())
    got: dict[str, Any] = {field: value for field, value in columns if value == value}  # noqa: PLR0124 not NaN
    asked, answered = messages(got.get("input"), "user"), messages(got.get("output"), "assistant")
    time = time_of(got.get("time"), options.time)
    if not asked or not answered:
        yield Left("no_messages")
        return
    if time is None:
        yield Left("no_time")
        return
    if got.get("system"):
        asked = [{"role": "system", "content": str(got["system"])}, *asked]
    key = got.get("id") or str([got.get(field) for field in FIELDS])
    id_ = own_id(SOURCE, options.application, key)
    conversation = name(got.get("conversation_id")) or id_
    head: dict[str, Any] = {
        "time": time, "application": options.application, "conversation_id": conversation,
        "user_id": name(got.get("user_id")),
    }  # fmt: skip
    yield event(
        INTERACTION,
        id=id_,
        request_model=name(got.get("request_model")) or "unknown",
        prompt_version=name(got.get("prompt_version")),
        variant=name(got.get("variant")),
        input_messages=asked,
        output_messages=answered,
        **head,
    )
    for kind in SPOKEN:
        if got.get(kind) not in (None, ""):
            about = {"id": own_id(SOURCE, kind, options.application, key), "interaction_id": id_, **head}
            yield _spoken(kind, got[kind], options, about)


TABLE = Format(read)


def _spoken(kind: str, value: Any, options: Options, about: dict[str, Any]) -> Outcome:
    if kind == "thumb":
        plain = str(value).strip().lower().removesuffix(".0")
        return said("thumb", plain in TRUE, options, **about) if plain in TRUE | FALSE else Left("no_value")
    if kind == "rating":
        return said("rating", number(value), options, **about) if "rating" in options.scales else Left("no_scale")
    if kind == "label":
        return event(FEEDBACK, kind="label", label=str(value)[:256], **about)
    return event(FEEDBACK, kind=kind, text=str(value), **about)
