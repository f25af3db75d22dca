"""An export → events: read in bounded memory, checked as the archiver checks them, sent or written, counted by reason.

Importing twice is once: ids are made of the source's own. Nothing is sent of a dry run. Go on to `made.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from schemas.codec import decode
from schemas.errors import EventError, UsageError
from schemas.topics import TOPICS
from streams.importers.chats import CHATS
from streams.importers.index import Index
from streams.importers.langfuse import LANGFUSE
from streams.importers.langsmith import LANGSMITH
from streams.importers.made import FEEDBACK, Format, Left, Made, Options, Outcome
from streams.importers.openai import OPENAI
from streams.importers.rows import Place, files_of, rows_of
from streams.importers.spans import SPANS
from streams.importers.table import TABLE
from streams.replay import Line

FORMATS: dict[str, Format] = {
    "langfuse": LANGFUSE,
    "langsmith": LANGSMITH,
    "openai": OPENAI,
    "spans": SPANS,
    "chats": CHATS,
    "table": TABLE,
}
SOURCE = "flywheel import"
NAMED = 3
"""Places of each reason that are named."""
_BY_TYPE = {topic.event_type: topic for topic in TOPICS}
Send = Callable[[Line], None]


class Imported(Struct):
    """What became of an export."""

    interactions: int = 0
    feedback: int = 0
    left: Counter[str] = msgspec.field(default_factory=Counter)
    """Reason → rows (or events of a row) that are not imported."""
    named: dict[str, list[str]] = {}
    """Reason → the first places, `file:line`."""

    def leave(self, reason: str, place: Place) -> None:
        """Count what is not imported."""
        short, _, detail = reason.partition(": ")
        self.left[short] += 1
        where = self.named.setdefault(short, [])
        if len(where) < NAMED:
            where.append(f"{place.file.name}:{place.number}{f' ({detail[:200]})' if detail else ''}")


def import_history(
    format_: str, path: Path, options: Options, send: Send, progress: Callable[[int], None] = lambda _: None
) -> Imported:
    """Hand every event of an export to `send`, interactions and feedback in the order of the files.

    Raises UsageError for an unknown format, InputFileError where a file cannot be read at all, and what `send` raises;
    its EventErrors are counted.
    """
    if format_ not in FORMATS:
        raise UsageError(f"{format_!r} is no format; formats are {', '.join(FORMATS)}")
    chosen, result = FORMATS[format_], Imported()
    with Index() as index:
        for file in _ordered(files_of(path), chosen):
            for place in rows_of(file, progress):
                for outcome in _outcomes(chosen, place, options, index):
                    _take(outcome, place, options.max_event_bytes, send, result)
    return result


def _ordered(files: Iterable[Path], chosen: Format) -> list[Path]:
    """What others refer to first; then by name."""
    return sorted(files, key=lambda file: (_rank(file, chosen), file))


def _rank(file: Path, chosen: Format) -> int:
    first = next((place.row for place in rows_of(file) if place.row is not None), None)
    return chosen.rank(first) if first is not None else 0


def _outcomes(chosen: Format, place: Place, options: Options, index: Index) -> Iterator[Outcome]:
    """What a row becomes. Somebody else's row may hold anything anywhere: what a reader trips over is left out."""
    if place.row is None:
        yield Left(place.error)
        return
    try:
        yield from chosen.read(place.row, options, index)
    except (AttributeError, TypeError, ValueError, KeyError, IndexError, RecursionError, OverflowError) as error:
        yield Left(f"unknown_row: {type(error).__name__}")


def _take(outcome: Outcome, place: Place, most: int, send: Send, result: Imported) -> None:
    if isinstance(outcome, Left):
        result.leave(outcome.reason, place)
        return
    try:
        send(_line(outcome, most))
    except EventError as error:
        result.leave(str(error), place)
        return
    if outcome.type == FEEDBACK:
        result.feedback += 1
    else:
        result.interactions += 1


def _line(made: Made, most: int) -> Line:
    """The event as it is sent. Raises EventError where the archiver would refuse it."""
    try:
        value = msgspec.json.encode(made.event)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise EventError("invalid_field", f"it cannot be written as JSON: {error}") from error
    if len(value) > most:
        raise EventError("too_large", f"{len(value)} bytes; archive.max_event_bytes is {most}")
    event = decode(value, made.type).event
    topic = _BY_TYPE[made.type]
    headers = {"ce_specversion": "1.0", "ce_id": event.id, "ce_type": made.type, "ce_source": SOURCE}
    return Line(topic, getattr(event, topic.key), value, [(name, text.encode()) for name, text in headers.items()])
