"""What was posted → what is sent to Kafka: each event checked as the archiver will check it, the bad ones named.

A record goes on with the bytes that came. So does an event that breaks the contract, if its sender may send its kind:
the archiver keeps it as a dead letter, and its sender is told why. Pure. Go on to `streams/doors/outbox.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from llm_flywheel.events import now
from llm_flywheel.ids import interaction_id, new_id
from schemas.codec import TYPE_HEADER, check_depth, decode, known_type
from schemas.errors import EventError
from schemas.otel import Mapped
from schemas.topics import TOPICS, Topic
from streams.doors.tokens import FEEDBACK, Grant

SOURCE = "/llm-flywheel/door"
MAX_EVENTS = 10_000
"""In one request: a sender halves a longer one."""
MAX_REASON = 300
_TOPICS = {topic.event_type: topic for topic in TOPICS}
_Raws = dict[str, msgspec.Raw]
_raws = msgspec.json.Decoder(_Raws).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_any = msgspec.json.Decoder().decode
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


class BadBatch(Exception):
    """The body as a whole is not what its content type says."""


class TooMany(BadBatch):
    """More than MAX_EVENTS in one request."""


class Outgoing(NamedTuple):
    """One record for Kafka."""

    topic: Topic
    key: str | None
    value: bytes
    headers: list[tuple[str, bytes]]


class Rejected(msgspec.Struct, frozen=True):
    """One event that is not taken."""

    index: int
    """Its place in the request, from 0."""
    reason: str
    forbidden: bool = False
    """The token is the reason: somebody may have to mend a setting."""


class Checked(NamedTuple):
    """What becomes of one request."""

    records: list[Outgoing]
    """To be sent: the good ones, and those that will be dead letters."""
    rejected: list[Rejected]
    events: int
    """How many there were."""

    @property
    def forbidden(self) -> bool:
        """Whether the token may send none of all this."""
        return bool(self.rejected) and sum(each.forbidden for each in self.rejected) == self.events


def cloud_events(body: bytes, content_type: str) -> list[bytes]:
    """The events of a body, each a CloudEvent in JSON. Raises BadBatch."""
    if content_type == "application/x-ndjson":
        lines = [line for line in body.split(b"\n") if line.strip()]
    elif body.lstrip()[:1] == b"[":
        try:
            lines = [bytes(each) for each in _list(body)]
        except _UNREADABLE as error:
            raise BadBatch(f"no JSON array: {error}") from error
    else:
        lines = [body]
    return _bounded(lines)


def check(events: Sequence[bytes], grant: Grant, max_bytes: int) -> Checked:
    """CloudEvents as records."""
    return _checked((_unwrapped(each) for each in events), grant, max_bytes, len(events))


def check_mapped(events: Sequence[Mapped], grant: Grant, max_bytes: int) -> Checked:
    """What OpenTelemetry told as records."""
    return _checked((_Event(each.type, each.value, None) for each in events), grant, max_bytes, len(events))


def check_feedback(
    body: bytes, grant: Grant, max_bytes: int, clock: Callable[[], str] = now, ids: Callable[[], str] = new_id
) -> tuple[Checked, list[str]]:
    """Feedback in short, one object or a list of them, as records; and the ids that it was given. Raises BadBatch.

    What is left out is filled in: `id`, `time`, the token's `application`, and the interaction by `response_id`.
    """
    try:
        check_depth(body)
        said = _any(body)
    except (EventError, *_UNREADABLE) as error:
        raise BadBatch(f"no JSON: {error}") from error
    said = _bounded(said if isinstance(said, list) else [said])
    if not all(isinstance(each, dict) for each in said):
        raise BadBatch("feedback is an object, or a list of objects")
    full = [_filled(each, grant, clock, ids) for each in said]
    events = [_Event(FEEDBACK, msgspec.json.encode(each), None) for each in full]
    return _checked(events, grant, max_bytes, len(events)), [str(each["id"]) for each in full]


class _Event(NamedTuple):
    type: str
    value: bytes
    source: str | None


def _bounded(events: list[Any]) -> list[Any]:
    if len(events) > MAX_EVENTS:
        raise TooMany(f"{len(events)} events in one request: {MAX_EVENTS} at most")
    return events


def _unwrapped(line: bytes) -> _Event | str:
    """The event in a CloudEvent, or why there is none."""
    try:
        envelope = _raws(line)
        type_name, source = _text(envelope, "type"), _text(envelope, "source")
    except _UNREADABLE as error:
        return f"invalid_json: no CloudEvent: {error}"
    if type_name is None or "data" not in envelope:
        return "invalid_json: no CloudEvent: it needs `type` and `data`"
    return _Event(type_name, bytes(envelope["data"]), source)


def _text(envelope: _Raws, field: str) -> str | None:
    value = _any(envelope[field]) if field in envelope else None
    return value[:1024] if isinstance(value, str) else None


def _checked(events: Iterable[_Event | str], grant: Grant, max_bytes: int, count: int) -> Checked:
    records: list[Outgoing] = []
    rejected: list[Rejected] = []
    for index, event in enumerate(events):
        if isinstance(event, str):
            rejected.append(Rejected(index, event[:MAX_REASON]))
            continue
        record, refused = _record(index, event, grant, max_bytes)
        records += [record] if record else []
        rejected += [refused] if refused else []
    return Checked(records, rejected, count)


def _record(index: int, event: _Event, grant: Grant, max_bytes: int) -> tuple[Outgoing | None, Rejected | None]:
    if len(event.value) > max_bytes:
        return None, Rejected(index, f"too_large: {len(event.value)} bytes; {max_bytes} are taken")
    try:
        known = known_type(event.type)[0]
        fields = _fields(event.value, _TOPICS[known].key)
    except EventError as error:
        return None, Rejected(index, str(error)[:MAX_REASON])
    except _UNREADABLE as error:
        return None, Rejected(index, f"invalid_json: {error}"[:MAX_REASON])
    if forbidden := grant.refusal(known, fields):
        return None, Rejected(index, forbidden, forbidden=True)
    topic = _TOPICS[known]
    key, event_id = fields.get(topic.key), fields.get("id")
    headers = {"ce_specversion": "1.0", "ce_source": event.source or SOURCE, TYPE_HEADER: event.type,
               "content-type": "application/json"}  # fmt: skip
    if isinstance(event_id, str):
        headers["ce_id"] = event_id[:64]
    pairs = [(name, text.encode("utf-8", "replace")) for name, text in headers.items()]
    record = Outgoing(topic, key if isinstance(key, str) else None, event.value, pairs)
    try:
        decode(event.value, event.type)
    except EventError as error:
        return record, Rejected(index, str(error)[:MAX_REASON])
    return record, None


def _fields(value: bytes, key: str) -> dict[str, Any]:
    """The fields that decide where an event goes, and whether its sender may send it; none where it is no object."""
    try:
        found = _raws(value)
    except msgspec.ValidationError:
        return {}
    return {name: _any(found[name]) for name in ("application", "source", "id", key) if name in found}


def _filled(said: dict[str, Any], grant: Grant, clock: Callable[[], str], ids: Callable[[], str]) -> dict[str, Any]:
    event = {
        name: value for name, value in said.items() if name not in {"response_id", "created"} and value is not None
    }
    event.setdefault("id", ids())
    event.setdefault("time", clock())
    if grant.application:
        event.setdefault("application", grant.application)
    if "interaction_id" not in event and isinstance(said.get("response_id"), str):
        created = said.get("created")
        try:
            event["interaction_id"] = interaction_id(
                str(event.get("application", "")),
                said["response_id"],
                created if isinstance(created, int | float) else None,
            )
        except (ValueError, OverflowError) as error:
            event["interaction_id"] = str(error)  # named by the check that follows
    event.setdefault("conversation_id", event.get("interaction_id"))
    return event
