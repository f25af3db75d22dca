"""The interactions that a run has to look at, and what is known of them: never more than what is new asks for.

An interaction is looked at where it, or feedback on it, has come since the last run; where somebody who spoke of it has
judged more or fewer interactions of its day than before, so that the cap leaves out others; and where its outcome is
gone, since an erasure took what was concluded from it. Go on to `judging.py`.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from schemas.prompts import Examples
from schemas.tables import TABLES, TIME
from streams.lake import Lake
from streams.lake.parts import Part, holding, since, within
from streams.lake.query import ask, query
from streams.lake.rows import Rows

_SQL = {path.stem: path.read_text() for path in Path(__file__).parent.glob("*.sql")}
RAW = ("interactions", "feedback", "erasures")
IDS = pa.schema([("id", pa.string())])
OTHERS = pa.schema([("interaction_id", pa.string()), ("unit", pa.string()), ("asked", TIME)])
"""Who spoke of which interaction, and its day: `elsewhere` of `signals.sql`."""
DAYS = 100
"""Days that are looked for one by one."""
TOGETHER = 200_000
"""Interactions that are looked at together where all are, at least: what is known of one is some kilobyte meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a run reads, and as of when."""

    lake: Lake
    application: str
    versions: Mapping[str, int]
    """Of the raw tables."""
    after_erasure: Literal["accept", "refuse"]
    cap: int
    """`cluster.feedback_cap`."""
    shots: Examples = ()
    """Examples of known prompts: what an interaction's messages begin with, and nobody said."""

    def ask(
        self,
        sql: str,
        parts: Mapping[str, Part] | None = None,
        tables: Mapping[str, pa.Table] | None = None,
        also: tuple[str, ...] = (),
        **parameters: Any,
    ) -> pa.Table:
        """One of the queries beside this file, over the raw tables and `also` derived ones."""
        return query(
            self.lake,
            _SQL[sql],
            {**{name: self.versions[name] for name in RAW}, **self.lake.versions(also)},
            parameters | ({"application": self.application} if "$application" in _SQL[sql] else {}),
            after_erasure=self.after_erasure,
            tables=tables,
            parts=parts,
        )

    @contextmanager
    def stream(self, sql: str, ids: pa.Array, *, whole: bool) -> Iterator[Rows]:
        """A query on some interactions (on all, where they are `whole`), whose answer need not fit into memory."""
        none = {"interactions": Part(TABLES["interactions"].schema.empty_table())}
        with ask(
            self.lake,
            _SQL[sql],
            {name: self.versions[name] for name in RAW},
            {"application": self.application},
            after_erasure=self.after_erasure,
            parts=none if not len(ids) else None if whole else {"interactions": self.those("interactions", "id", ids)},
        ) as answer:
            yield answer

    @contextmanager
    def corrections(self, ids: pa.Array) -> Iterator[Rows]:
        """What people wrote in place of some answers, beside these."""
        with ask(
            self.lake,
            _SQL["corrections"],
            {name: self.versions[name] for name in RAW},
            {"application": self.application},
            after_erasure=self.after_erasure,
            parts={"feedback": _feedback_on(self, ids), "interactions": self.those("interactions", "id", ids)},
        ) as answer:
            yield answer

    def reviews(self, ids: pa.Array) -> pa.Table:
        """What reviewers say of some interactions."""
        parts = {"feedback": _feedback_on(self, ids), "interactions": self.those("interactions", "id", ids)}
        return self.ask("reviews_on", parts)

    def those(self, name: str, column: str, ids: pa.Array) -> Part:
        """The rows of a raw table with one of some values."""
        return holding(self.lake, name, self.versions[name], column, ids)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a run looks at."""

    ids: pa.Array
    """Interactions, sorted."""
    fresh: pa.Array
    """Those of them that our own rules have to look at."""
    signals: pa.Table
    """The rows of `signals.sql` on them."""
    before: pa.Table
    """Their outcomes so far, sorted by interaction."""
    whole: bool = False
    """Whether that is all there is."""

    @property
    def known(self) -> pa.Array:
        """The others, of which it is known what our own rules found."""
        return self.ids.filter(pc.invert(pc.is_in(self.ids, self.fresh)))


def everything(source: Source, *, judged_before: bool) -> Iterator[Changes]:
    """All interactions: the first run, and the first of another version of the code or of other settings.

    Of many some whole days at a time: what one unit said is capped within a day, and looks no further.
    """
    days, none = source.ask("days"), OTHERS.empty_table()
    whole = sum(days["interactions"].to_pylist()) <= TOGETHER
    for ids in [_sorted(source.ask("asked_ids")["id"])] if whole else _by_days(source, days):
        yield Changes(
            ids=ids,
            fresh=ids,
            signals=source.ask("signals", tables={"elsewhere": none}, cap=source.cap)
            if whole
            else _signals(source, ids, none),
            before=_before(source, ids if judged_before else ids[:0]),
            whole=whole,
        )


def _by_days(source: Source, days: pa.Table) -> Iterator[pa.Array]:
    """The interactions of whole days, sorted, at least TOGETHER of them but for the last."""
    first, count = None, 0
    for number, day in enumerate(days.to_pylist(), 1):
        first, count = first or day["day"], count + day["interactions"]
        if count >= TOGETHER or number == len(days):
            yield _between(source, first, day["day"] + timedelta(days=1))
            first, count = None, 0


def _between(source: Source, since: date, until: date) -> pa.Array:
    """The interactions of the days from one to before another, sorted; each is of the day that its first copy is of."""
    first, last = (datetime.combine(day, datetime.min.time(), UTC) for day in (since, until))
    part = within(source.lake, "interactions", source.versions["interactions"], _during(first, last))
    some = array_of(source.ask("asked_between", {"interactions": part}, first=first, last=last)["id"])
    part = source.those("interactions", "id", some)
    return _sorted(source.ask("asked_between", {"interactions": part}, first=first, last=last)["id"])


def at(source: Source, ids: pa.Array) -> Changes:
    """Interactions that were judged before, and of which nothing has changed."""
    return Changes(ids=ids, fresh=ids[:0], signals=_signals(source, ids), before=_before(source, ids))


def changes(source: Source, seen: Mapping[str, int], *, lost: bool) -> Changes:
    """What has changed since raw tables were at `seen`. `lost`: outcomes are gone, so look which."""
    asked, said = (since(source.lake, n, source.versions[n], seen.get(n, -1)) for n in ("interactions", "feedback"))
    new = source.ask("new_interactions", {"interactions": asked})["id"]
    feedback = source.ask("new_feedback", {"feedback": said})["id"]
    about = source.ask("about", {"feedback": source.those("feedback", "id", array_of(feedback))})["id"]
    gone = source.ask("lost", also=("outcomes",))["id"] if lost else IDS.empty_table()["id"]
    first = _sorted(pa.chunked_array([*new.chunks, *about.chunks, *gone.chunks], pa.string()))
    ids = _with_days(source, first)
    before = _before(source, ids)
    known = before["interaction_id"].filter(pc.invert(pc.is_in(before["interaction_id"], array_of(new))))
    return Changes(
        ids=ids,
        fresh=ids.filter(pc.invert(pc.is_in(ids, array_of(known)))),
        signals=_signals(source, ids),
        before=before,
    )


def _signals(source: Source, ids: pa.Array, elsewhere: pa.Table | None = None) -> pa.Table:
    """`signals.sql` on some interactions; `elsewhere`: what is in `outcomes`, where nothing is said."""
    parts = {"feedback": _feedback_on(source, ids), "interactions": source.those("interactions", "id", ids)}
    if elsewhere is None:
        judged = _judged_on(source, source.ask("speaking", parts))
        elsewhere = judged.filter(pc.invert(pc.is_in(judged["interaction_id"], ids)))
    return source.ask("signals", parts, {"elsewhere": elsewhere}, cap=source.cap)


def _with_days(source: Source, ids: pa.Array) -> pa.Array:
    """These, and all that was judged on the same day by whoever speaks of these and has come to the cap on it."""
    parts = {"feedback": _feedback_on(source, ids), "interactions": source.those("interactions", "id", ids)}
    now = source.ask("speaking", parts)
    then = source.ask("spoke", tables={"before": _before(source, ids)}).cast(OTHERS)
    others = _judged_on(source, pa.concat_tables([now, then]))
    crowded = source.ask("crowded", tables={"now": now, "others": others}, cap=source.cap)
    return _sorted(pa.chunked_array([ids, *crowded["id"].chunks], pa.string()))


def _feedback_on(source: Source, ids: pa.Array) -> Part:
    """All feedback whose first copy may be about these interactions."""
    found = source.ask("feedback_on", {"feedback": source.those("feedback", "interaction_id", ids)})["id"]
    return source.those("feedback", "id", array_of(found))


def _judged_on(source: Source, pairs: pa.Table) -> pa.Table:
    """What the units of some rows judged on their days, as far as it is in `outcomes`: rows of the same kind."""
    if not len(pairs):
        return OTHERS.empty_table()
    part = within(source.lake, "outcomes", source.lake.version("outcomes"), _on_days(pc.unique(pairs["asked"])))
    return source.ask("judged_on", {"outcomes": part}, {"pairs": pairs}, also=("outcomes",)).cast(OTHERS)


def _on_days(days: pa.Array) -> pc.Expression:
    """Whether an outcome's time is on one of some days; of many days, between the first and the last."""
    starts = sorted(days.to_pylist())
    spans = [(day, day) for day in starts] if len(starts) <= DAYS else [(starts[0], starts[-1])]
    return functools.reduce(operator.or_, [_during(first, last + timedelta(days=1)) for first, last in spans])


def _during(first: datetime, last: datetime) -> pc.Expression:
    """Whether a row's time is from the first to before the last."""
    return (pc.field("time") >= pa.scalar(first, TIME)) & (pc.field("time") < pa.scalar(last, TIME))


def _before(source: Source, ids: pa.Array) -> pa.Table:
    """The newest outcomes of some interactions."""
    version = source.lake.version("outcomes")
    part = holding(source.lake, "outcomes", version, "interaction_id", ids)
    return source.ask("before", {"outcomes": part}, also=("outcomes",))


def array_of(column: pa.ChunkedArray) -> pa.Array:
    """A column of texts as one array."""
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.string())


def _sorted(column: pa.ChunkedArray) -> pa.Array:
    found = pc.unique(column)
    return found.take(pc.array_sort_indices(found))
