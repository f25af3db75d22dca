"""A person out of the raw tables: which stored rows an erasure takes, and their removal.

For one person (`flywheel erase`) or for all whose wish has arrived as an event (the maintain flow): one SQL file says
which rows are theirs. Go on to `retire.py`, which removes rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from schemas.tables import TIME
from schemas.topics import FEEDBACK, INTERACTIONS
from schemas.unit import unit_of
from streams.lake.layout import Lake
from streams.lake.query import query
from streams.lake.retire import blank_dead_letters, erase

SQL = Path(__file__).with_name("forgotten_rows.sql")
FOR_EVER = datetime(9999, 12, 31, tzinfo=UTC)
"""Beyond every event's time: nothing that a person did is left."""


def rows_of(lake: Lake, subject: str, application: str = "") -> list[dict[str, Any]]:
    """The stored rows of one person, whenever they happened; an empty `application` means all.

    Each row: `name` (its table), `id`, `application`, `kafka_topic_id`, `kafka_partition`, `kafka_offset`.
    """
    wish = {"application": application or None, "unit": unit_of(subject, ""), "until": FOR_EVER}
    schema = pa.schema([("application", pa.string()), ("unit", pa.string()), ("until", TIME)])
    versions = {**lake.versions(("interactions", "feedback")), "erasures": -1, "dead_letters": -1}
    wishes = {"forgotten": pa.Table.from_pylist([wish], schema=schema)}
    return list(query(lake, SQL.read_text(), versions, after_erasure="accept", tables=wishes).to_pylist())


def wished_rows(lake: Lake, after_erasure: Literal["accept", "refuse"]) -> list[dict[str, Any]]:
    """The stored rows of everybody who asked to be forgotten, as `rows_of` gives them.

    With them the feedback that came since on interactions that were erased before.
    """
    versions = lake.versions(("interactions", "feedback", "erasures", "dead_letters"))
    return list(query(lake, SQL.read_text(), versions, after_erasure=after_erasure).to_pylist())


def forget(lake: Lake, rows: Iterable[Mapping[str, Any]], subjects: Mapping[str, str], now: datetime) -> dict[str, int]:
    """Remove rows, and empty the dead letters that name a subject; table → how many there were.

    `subjects` are names by how notes have them (`streams.keyring.mark_of`). Feedback goes first: it is found by its
    interaction.
    """
    theirs = list(rows)
    done = {
        topic.table: erase(lake, topic, [row for row in theirs if row["name"] == topic.table], now)
        for topic in (FEEDBACK, INTERACTIONS)
    }
    return {**done, "dead_letters": blank_dead_letters(lake, subjects)}
