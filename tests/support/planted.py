"""A person in every place of a home, in every spelling; and what of them stands in its bytes."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from kafka.record import MemoryRecords

from flows.testing.events import feedback, interaction
from schemas.events import Event

NAMES = (
    "zoë-möller", "zo\u00eb m\u00fcller", "vi\u0301ctor\u0303-nfd", "person zero", "王小明-测试",
    "naïve.user@corp.example", 'quo"te\\back/slash', "emoji-😀-user", "Ünïcödé_ñame", "plain-person-77",
)  # fmt: skip
OTHERS = 12


class Person:
    """Who is to be forgotten: a name of some script, words that nobody else says, and all that they did."""

    def __init__(self, seed: int) -> None:
        self.name = NAMES[seed]
        self.words = [
            f"zq{kind}{seed}word" for kind in ("asks", "says", "tells", "corrects", "lettr", "tools", "label")
        ]
        self.corrections: list[Event] = []
        """What they said of others' answers."""

    def spelled(self, n: int) -> str:
        """The name as the n-th event has it."""
        name = self.name
        return (name, unicodedata.normalize("NFD", name), unicodedata.normalize("NFC", name), f" {name}\n")[n % 4]

    def events(self) -> list[Event]:
        """What they and twelve others did."""
        asks, says, tells, corrects, _, tools, label = self.words
        others = [
            interaction(
                n, user_id=f"other-{n}", input_messages=[{"role": "user", "content": f"my parcel {n * 7919:x} is late"}]
            )
            for n in range(OTHERS)
        ]
        call = {"id": f"{tools}id", "function": {"name": "look", "arguments": json.dumps({tools: self.name})}}
        theirs = [
            interaction(
                100 + n, user_id=self.spelled(n), conversation_id=f"talk {n // 2}",
                input_messages=[
                    {"role": "user", "name": says, "content": f"{asks} {self.name} {asks}{n * 104729:x} please"}
                ],
                output_messages=[{"role": "assistant", "content": f"{says} {n}", "tool_calls": [call]}],
                tool_definitions=[{"type": "function", "function": {"name": "look", "description": tools}}],
            )
            for n in range(8)
        ]  # fmt: skip
        self.corrections += [
            feedback(n, other, "correction", text=f"{corrects} {n}", user_id=self.spelled(n))
            for n, other in enumerate(others[:4])
        ]
        said = [feedback(50 + n, event, user_id=self.spelled(n + 1)) for n, event in enumerate(theirs)]
        own = [
            feedback(70 + n, e, "correction", text=f"{tells} {n}", user_id=e.user_id) for n, e in enumerate(theirs[:3])
        ]
        by_others = [feedback(80, theirs[5], "label", label=label, text=f"{says} too", user_id="other-1")]
        thumbs = [feedback(90 + n, other, value=1) for n, other in enumerate(others[4:])]
        down = [feedback(120 + n, other) for n, other in enumerate(others[:4])]
        return [*others, *theirs, *self.corrections, *said, *own, *by_others, *thumbs, *down]

    def broken(self) -> list[bytes]:
        """Events of theirs that cannot be read."""
        word = self.words[4]
        values: list[bytes] = []
        for n in range(4):
            broken: dict[str, Any] = {"id": n, "user_id": self.spelled(n), "text": word}
            values += [json.dumps(broken).encode(), json.dumps(broken, ensure_ascii=False).encode()]
            values += [json.dumps({"body": json.dumps(broken)}).encode()]
        values.append(json.dumps({"user_id": self.name, "text": word}, ensure_ascii=False).encode()[:-1])
        values.append(f"{word},{self.name},thumb".encode())
        return values

    def needles(self) -> Iterator[bytes]:
        """Every way in which bytes could say the name, or a word."""
        for name in {self.name, *map(self.spelled, range(4))}:
            for form in ("NFC", "NFD"):
                spelled = unicodedata.normalize(form, name.strip())
                yield from (spelled.encode(), json.dumps(spelled)[1:-1].encode())
        yield from (word.encode() for word in self.words)


def found(person: Person, home: Path) -> dict[str, set[bytes]]:
    """File → what of the person stands in it: in its bytes, its unpacked rows, its unpacked records of Kafka."""
    hits: dict[str, set[bytes]] = {}
    wanted = set(person.needles())
    for path in sorted(home.rglob("*")):
        if not path.is_file():
            continue
        said = path.read_bytes()
        if path.suffix == ".parquet":
            said += _cells(path)
        elif path.suffix == ".log" and path.is_relative_to(home / "kafka" / "data"):
            said += b"\n".join(_records(said))
        if there := {needle for needle in wanted if needle in said}:
            hits[path.relative_to(home).as_posix()] = there
    return hits


def _cells(path: Path) -> bytes:
    table = pq.read_table(path, partitioning=None).to_pylist()
    cells = [cell for row in table for cell in row.values()]
    said = b"\n".join(c if isinstance(c, bytes) else repr(c).encode() for c in cells)
    return said + json.dumps(cells, default=str, ensure_ascii=False).encode()


def _records(segment: bytes) -> Iterable[bytes]:
    """Keys, values and headers of a segment, also of those that Kafka shows to nobody any more."""
    batches: Any = MemoryRecords(segment)
    while (batch := batches.next_batch()) is not None:
        for record in batch:
            yield from filter(None, (record.key, record.value, *(value for _, value in record.headers)))
