"""A file of events → Kafka: each line checked as the archiver will check it, then sent as it is.

A line is one JSON object: `{"type": "llm.feedback.v1", "data": {…}}` (CloudEvents' JSON form), or the event itself with
a `type` among its fields, or the event itself where the type is given for the whole file. Replaying a file twice is
safe: the same id twice is one event. Go on to `streams/producer.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from schemas.codec import decode
from schemas.errors import EventError, InputFileError
from schemas.events import EVENT_TYPES, event_type
from schemas.topics import TOPICS, Topic
from streams.files import BOM, check
from streams.producer import EventProducer

_LINE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BY_TYPE = {topic.event_type: topic for topic in TOPICS}
FAULTS = 20
"""Kinds of faults that are told apart: a file of another format has one, a damaged one a few."""
NAMED = 3
"""Lines of each kind that are named."""


class Line(msgspec.Struct, frozen=True):
    """One good line of a file."""

    topic: Topic
    key: str
    value: bytes
    headers: list[tuple[str, bytes]]


class Fault(msgspec.Struct):
    """Lines that are no events, all for the same reason."""

    error: str
    numbers: list[int] = []
    """The first NAMED of them, counted from 1."""
    count: int = 0


class Replayed(msgspec.Struct):
    """What became of a file."""

    sent: int = 0
    bad: int = 0
    faults: dict[str, Fault] = {}
    """By their error, in the order in which they were met; the first FAULTS kinds."""

    def refuse(self, number: int, error: str) -> None:
        """Count a line that is no event."""
        self.bad += 1
        if error not in self.faults and len(self.faults) >= FAULTS:
            return
        fault = self.faults.setdefault(error, Fault(error))
        fault.count += 1
        if len(fault.numbers) < NAMED:
            fault.numbers.append(number)


def replay(
    path: Path, producer: EventProducer, default_type: str | None, progress: Callable[[int], None] = lambda _: None
) -> Replayed:
    """Send every good line; `progress` is told the bytes read, line by line. Raises InputFileError, BrokerError."""
    if default_type is not None and default_type not in EVENT_TYPES:
        raise InputFileError(f"{default_type!r} is no event type; known are {', '.join(EVENT_TYPES)}")
    result = Replayed()
    try:
        with path.open("rb") as file:
            _check_head(path, file.peek(64)[:64])
            for number, whole in enumerate(file, start=1):
                progress(len(whole))
                line = whole.removeprefix(BOM) if number == 1 else whole
                if not line.strip():
                    continue
                try:
                    event = parse_line(line, default_type)
                    producer.send_bytes(event.topic, event.key, event.value, event.headers)
                except EventError as error:
                    result.refuse(number, str(error))
                else:
                    result.sent += 1
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror}") from error
    producer.flush()
    return result


def _check_head(path: Path, head: bytes) -> None:
    """Raise InputFileError for a file that has no event a line, rather than name each of its lines."""
    check(path, head)
    if head.removeprefix(BOM).lstrip().startswith(b"["):
        raise InputFileError(f"{path} holds a JSON array: write its events as JSON lines, one a line")


def parse_line(line: bytes, default_type: str | None = None) -> Line:
    """One line as what is sent. Raises EventError naming what is wrong."""
    try:
        fields = _LINE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EventError("invalid_json", f"not a JSON object: {error}") from error
    type_name = _type_of(fields.pop("type", None), default_type)
    value = bytes(fields["data"]) if "data" in fields else msgspec.json.encode(fields)
    event = decode(value, type_name).event
    topic = _BY_TYPE[event_type(event)]
    headers = {"ce_specversion": "1.0", "ce_id": event.id, "ce_type": type_name, "ce_source": "flywheel replay"}
    return Line(topic, getattr(event, topic.key), value, [(name, text.encode()) for name, text in headers.items()])


def _type_of(stated: msgspec.Raw | None, default: str | None) -> str:
    if stated is None:
        if default is None:
            raise EventError("unknown_type", "the line names no `type`, and none was given for the file")
        return default
    try:
        return msgspec.json.decode(stated, type=str)
    except msgspec.ValidationError as error:
        raise EventError("unknown_type", "`type` must be text such as llm.interaction.v1") from error
