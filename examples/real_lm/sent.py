"""What was sent, by its id: a step that is played again after a kill sends the same events, and counts them once.

An id is written down before its event is sent. Go on to `demo.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from examples.support_bot.traffic import Line
from schemas import topics
from schemas.events import Event
from streams.producer import EventProducer

GARBAGE = " garbage "
"""In the name of a value that is no event; no id has a blank."""


class Sent:
    """The ids of all events that this demo has sent, in a file of a line each."""

    def __init__(self, path: Path) -> None:
        self._ids = set(path.read_text(encoding="utf-8").split("\n")) - {""} if path.exists() else set[str]()
        self._file = path.open("a", encoding="utf-8")

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, name: str) -> bool:
        return name in self._ids

    def unlike(self, at_rest: Collection[str], dead: int) -> str:
        """What is not as it was sent, in words, by the ids at rest and the number of dead letters; empty: nothing."""
        garbage = {name for name in self._ids if GARBAGE in name}
        events, there = self._ids - garbage, set(at_rest)
        found = []
        if lost := len(events - there):
            found.append(f"{lost} events that were sent are not at rest")
        if strange := len(there - events):
            found.append(f"{strange} at rest were never sent")
        if dead != len(garbage):
            found.append(f"{dead} dead letters of {len(garbage)} values that are no events")
        return ", ".join(found)

    def add(self, names: Sequence[str]) -> None:
        """Write ids down; those that are there already are one."""
        new = [name for name in names if name not in self._ids]
        self._file.write("".join(f"{name}\n" for name in new))
        self._file.flush()
        self._ids.update(new)

    def line(self, producer: EventProducer, turn: str) -> Line:
        """The way to Kafka of one turn's traffic."""
        raw = 0

        def send(event: Event) -> None:
            self.add([str(event.id)])
            producer.send(event)

        def send_raw(topic: str, value: bytes) -> None:
            nonlocal raw
            raw += 1
            if (name := f"{turn}{GARBAGE}{raw}") not in self:
                producer.send_bytes(topics.BY_NAME[topic], None, value, ())
                producer.flush()
                self.add([name])

        return Line(send, send_raw)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()
