"""What a row of somebody else's becomes: events by the contract, or the named reason why none.

Go on to the formats, and to `importer.py`, which checks and sends.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from llm_flywheel.events import name as shortened
from llm_flywheel.ids import LONG, NAMESPACE, interaction_id
from schemas.settings import ArchiveSettings
from streams.importers.index import Index

INTERACTION, FEEDBACK = "llm.interaction.v1", "llm.feedback.v1"
Row = Mapping[str, Any]


class Made(NamedTuple):
    """An event, not yet checked against the contract."""

    type: str
    event: dict[str, Any]


class Left(NamedTuple):
    """A row that is no event."""

    reason: str
    """One of REASONS, or the codec's own: `invalid_field: …`."""


REASONS = {
    "not_llm": "it tells of something else than a call to a model",
    "no_messages": "it says neither what was asked nor what was answered",
    "no_time": "it has no time: --time says when it was",
    "no_target": "it is feedback on something that is not in the export",
    "no_scale": "its number has no scale: --scale NAME=MIN:MAX gives it one",
    "no_value": "it is feedback that says nothing",
    "no_request": "its request is not in the export: import the input file along with the output",
    "unknown_row": "it is no row of this format",
    "too_large": "it is longer than an event may be (archive.max_event_bytes)",
}
Outcome = Made | Left


class Options(Struct, frozen=True, kw_only=True):
    """What a person says about the export."""

    application: str
    time: str | None = None
    """RFC 3339: of rows that have none."""
    scales: Mapping[str, tuple[float, float]] = {}
    """Name of a score → what is worst and what is best on its scale."""
    columns: Mapping[str, str] = {}
    """Column → field, for `table`."""
    max_event_bytes: int = ArchiveSettings().max_event_bytes
    """What the archiver takes; the setting of this name."""


class Format(NamedTuple):
    """One kind of export."""

    read: Callable[[Row, Options, Index], Iterator[Outcome]]
    """A row's events; may keep in the index what later rows need, and look for what earlier ones kept."""
    rank: Callable[[Row], int] = lambda _: 0
    """The place of a file among the others, by its first row: what is looked for must come first."""


def own_id(source: str, *parts: object) -> str:
    """The id of an event that has none of its own: the same source gives the same one."""
    return str(uuid.uuid5(NAMESPACE, "\n".join([source, *(str(part) for part in parts)])))


def call_id(options: Options, source: str, id_: object, response_id: object = None) -> str:
    """The id of a call: that of all doors where the response has an id that is unique, else of the source's id."""
    if isinstance(response_id, str) and len(response_id.encode()) >= LONG:
        return interaction_id(options.application, response_id)
    return own_id(source, options.application, id_)


def event(type_: str, **fields: Any) -> Made:
    """An event of what is there."""
    return Made(type_, {name: value for name, value in fields.items() if value not in (None, "", [], {})})


def said(name: str, value: Any, options: Options, *, by: str | None = None, **fields: Any) -> Outcome:
    """Feedback out of a score: a thumb where it is a truth value, a rating where it has a scale, a label if a word.

    `by` is `judge` or `reviewer` where no user gave it.
    """
    source = f"{by}:{name}"[:256] if by else None
    if isinstance(value, str):
        if by and value.strip():
            return event(FEEDBACK, kind="label", label=value.strip()[:256], source=source, **fields)
        return (
            event(FEEDBACK, kind="label", label=f"{name}:{value.strip()}"[:256], **fields)
            if value.strip()
            else Left("no_value")
        )
    if value is None:
        return Left("no_value")
    score = float(value)
    if isinstance(value, bool) or (score in {0.0, 1.0} and name not in options.scales):
        return event(FEEDBACK, kind=by or "thumb", value=score, label=name if by else None, source=source, **fields)
    if name in options.scales:
        low, high = options.scales[name]
        share = min(1.0, max(0.0, (score - low) / (high - low)))
    elif by and 0 <= score <= 1:
        share = score
    else:
        return Left("no_scale")
    return event(
        FEEDBACK, kind=by or "rating", value=share, score=score, label=name if by else None, source=source, **fields
    )


def time_of(value: Any, fallback: str | None = None) -> str | None:
    """A time as RFC 3339 in UTC, so that times compare as texts; the fallback where it is none.

    It comes as seconds since the epoch (or parts of them), as a time with a zone, or as one in UTC without.
    """
    try:
        if isinstance(value, bool) or value in (None, ""):
            return fallback
        if isinstance(value, int | float):
            return datetime.fromtimestamp(_seconds(float(value)), UTC).isoformat()
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return (found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()
    except (ValueError, OverflowError, OSError):
        return fallback


def milliseconds(start: str | None, end: str | None) -> float | None:
    """From one time to a later one."""
    if start is None or end is None:
        return None
    took = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() * 1000
    return took if took >= 0 else None


def opened(value: Any) -> Any:
    """A value out of a text that is JSON; any other as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in {"{", "[", '"'}:
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return value


def mapping(value: Any) -> Mapping[str, Any]:
    """An object, also one written as JSON text; empty where it is none."""
    value = opened(value)
    return value if isinstance(value, Mapping) else {}


def objects(value: Any) -> list[dict[str, Any]] | None:
    """A list of objects, also one written as JSON text; None where it is none."""
    value = opened(value)
    return value if isinstance(value, list) and all(isinstance(each, dict) for each in value) else None


def messages(value: Any, role: str) -> list[dict[str, Any]]:
    """What was said, as messages: a list of them, one, what holds one, or plain text under `role`."""
    value = opened(value)
    if isinstance(value, str):
        return [{"role": role, "content": value}] if value.strip() else []
    if isinstance(value, list):
        flat = value[0] if len(value) == 1 and isinstance(value[0], list) else value
        return [each for one in flat for each in messages(one, role)]
    if not isinstance(value, Mapping):
        return []
    if any(value.get(sign) for sign in ("role", "kwargs", "parts")) or ("type" in value and "content" in value):
        return [dict(value)]
    for holder in HOLDERS:
        if found := messages(value.get(holder), role):
            return found
    return [{"role": role, "content": msgspec.json.encode(value).decode()}] if value else []


HOLDERS = ("messages", "message", "choices", "generations", "output", "input", "question", "answer", "content", "text")
"""Under which of its keys an object holds what was said, the surest first."""


def count(value: Any) -> int | None:
    """A count, or None."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def number(value: Any) -> float | None:
    """A number, also one written as text (decimals of a database), or None: NaN says that there is none."""
    try:
        found = float(value) if value not in (None, "") else math.nan
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def amount(value: Any) -> float | None:
    """What something took or cost, or None."""
    found = number(value)
    return None if found is None or found < 0 else found


def name(value: Any) -> str | None:
    """A name as the contract takes it; a longer one ends in a hash."""
    return shortened(value)


def _seconds(value: float) -> float:
    """Seconds since the epoch, from seconds, milliseconds, microseconds or nanoseconds."""
    for _ in range(3):
        value = value / 1000 if value > LATE else value
    return value


LATE = 1e11
"""Seconds until the year 5138: a larger number of them is one of milliseconds."""
