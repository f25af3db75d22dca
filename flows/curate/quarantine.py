"""Rows in quarantine as people see them: what the newest build held, and a reviewer's word that frees a row.

A clearance is a row of its own beside what was held; the next build reads it as it reads everything else. Go back to
`contributors.py`, which says what is held and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from flows.curate.contributors import ESTABLISHED, STRANGER
from flows.curate.examples import Dropped
from flows.curate.split import pseudonym
from flows.run import Run, latest
from schemas.errors import UsageError
from schemas.settings import Settings
from streams.lake import Lake
from streams.lake.append import publish, to_rows
from streams.lake.query import query, rows

FOLDER = Path(__file__).parent
LISTED = 10_000
"""Rows that a build lists, of those that it held; its summary counts all. More than anybody looks through."""


class Waiting(msgspec.Struct, frozen=True):
    """A row that waits for somebody to vouch for it."""

    id: str
    """What is cleared: the interaction; of a stranger's correction, its feedback event."""
    interaction_id: str
    feedback_id: str | None
    origin: str
    reason: str
    contributor: str
    """Whose it is, as a keyed hash: the same hash, the same person."""


def newcomers(lake: Lake, run: Run, settings: Settings) -> frozenset[str]:
    """The pseudonyms of whom nobody knew `curate.new_hours` before the build; nobody while too few are known."""
    since = run.as_of - timedelta(hours=settings.curate.new_hours)
    parameters = {"application": run.application, "since": since, "established": ESTABLISHED}
    found = query(lake, (FOLDER / "newcomers.sql").read_text(), run.versions, parameters)
    return frozenset(pseudonym(unit, settings.curate.salt.reveal()) for unit in found["unit"].to_pylist())


def strangers(lake: Lake, run: Run, settings: Settings) -> Iterator[Dropped]:
    """Corrections of answers that somebody else was given."""
    after, parameters = settings.archive.after_erasure, {"application": run.application}
    found = query(lake, (FOLDER / "strangers.sql").read_text(), run.versions, parameters, after_erasure=after)
    for row in found.to_pylist():
        who = pseudonym(row["unit"], settings.curate.salt.reveal())
        yield Dropped(row["interaction_id"], STRANGER, "", row["feedback_id"], "correction", who)


def record(lake: Lake, run: Run, held: Sequence[Dropped]) -> None:
    """Publish what a build held as rows of its run: LISTED of them, evenly spread over all."""
    step = -(-len(held) // LISTED) or 1
    values = [
        {
            "run_id": run.run_id,
            "application": run.application,
            **{
                name: getattr(row, name)
                for name in ("interaction_id", "feedback_id", "origin", "reason", "contributor")
            },
        }
        for row in held[::step]
    ]
    publish(lake, "quarantine", to_rows("quarantine", values), run.run_id)


def waiting(lake: Lake, application: str) -> list[Waiting]:
    """What the newest build held and nobody has cleared since, those of one contributor together."""
    run = latest(lake, "curate", application)
    if run is None:
        return []
    free = {row["id"] for row in rows(lake, "cleared", application=application)}
    listed = [_waiting(row) for row in rows(lake, "quarantine", run_id=run.run_id)]
    return sorted((one for one in listed if one.id not in free), key=lambda one: (one.reason, one.contributor, one.id))


def clear(lake: Lake, application: str, ids: Iterable[str], by: str, now: datetime) -> list[str]:
    """Vouch for rows in quarantine, by their ids or the beginnings of those; the next build teaches them.

    Returns the whole ids. Raises UsageError for one that means no row, or several.
    """
    known = sorted({one.id for one in waiting(lake, application)})
    found = [_one(known, wanted) for wanted in ids]
    for id_ in found:
        row = {"id": id_, "application": application, "time": now, "cleared_by": by}
        publish(lake, "cleared", to_rows("cleared", [row]), id_)
    return found


def _one(known: Sequence[str], wanted: str) -> str:
    matching = [id_ for id_ in known if wanted and id_.startswith(wanted)]
    if len(matching) != 1:
        raise UsageError(
            f"{wanted!r} is the id of {len(matching) or 'no'} rows in quarantine: `flywheel dataset quarantine` "
            "shows them"
        )
    return matching[0]


def _waiting(row: dict[str, Any]) -> Waiting:
    names = ("interaction_id", "feedback_id", "origin", "reason", "contributor")
    cleared_by = "feedback_id" if row["reason"] == STRANGER else "interaction_id"
    return Waiting(row[cleared_by], *(row[name] for name in names))
