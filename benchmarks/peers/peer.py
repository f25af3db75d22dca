"""The shape of a sink that runs beside the archiver: `Peer`, and what is known of a run, `Job` and `Count`.

Go on to `benchmarks/peers/beside.py`, which runs them, or to a peer: `archiver.py`, `iceberg.py`, `spark.py`,
`quix_sink.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec
import pyarrow as pa

from schemas.table import TEXTS, TIME
from schemas.tables import INTERACTIONS

TYPES = {
    pa.string(): "STRING", TIME: "TIMESTAMP", TEXTS: "ARRAY<STRING>", pa.int64(): "BIGINT", pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
}  # fmt: skip


class Job(msgspec.Struct, frozen=True):
    """One run of one sink over one topic."""

    name: str
    """Of the run, and in Kafka of its group: a run that is killed and started again keeps it."""
    servers: str
    topic: str
    events: int
    """What the topic holds."""
    folder: Path
    """Its own, empty before the first start; what it lands and says lies there."""
    often: bool = False
    """Commit several times even where one commit would be the better case: a kill is to come between two."""


class Count(msgspec.Struct, frozen=True):
    """What a reader of the table sees when a run is over."""

    rows: int = 0
    ids: int = 0
    """Different ids in them."""
    blank: int = 0
    """Rows without an id: nothing of the event is in them."""
    untyped: int = 0
    """Rows with an id and without the number of input tokens, which each event has."""
    dead: int = 0
    """Events kept elsewhere, as bytes that can be read again."""


class Peer(Protocol):
    """One sink. All of its work is done by the program that `command` names, which is measured from outside."""

    name: str
    """As the table says it, with versions."""
    died: str
    """What its log says when it sinks no more while the process lives on; empty where it ends instead."""

    def missing(self) -> str | None:
        """What is not at hand, and the command that gets it; None where all is. Asked first; starts nothing."""

    def prepare(self, job: Job) -> None:
        """Make what a person would have made once: table, topics, configuration. Not counted; once per job."""

    def command(self, job: Job) -> list[str]:
        """What to run, a second time after a kill. It may end by itself, or sink on until SIGTERM."""

    def group(self, job: Job) -> str | None:
        """Its consumer group, by which the harness sees that it has started; None where it ends by itself."""

    def landed(self, job: Job) -> int:
        """Rows that a reader sees now. Asked several times a second; counts by metadata alone."""

    def size(self, job: Job) -> int:
        """Bytes of the files with these rows."""

    def count(self, job: Job) -> Count:
        """The rows read and counted, once, after the run."""


def fields() -> str:
    """The event's own fields in Spark's DDL, nested ones as text, as in the archiver's table."""
    names = INTERACTIONS.schema.names
    own = [INTERACTIONS.schema.field(name) for name in names[: names.index("extra")]]
    return ", ".join(f"{field.name} {TYPES[field.type]}" for field in own)
