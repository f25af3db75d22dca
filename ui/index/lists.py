"""The questions that pages ask of the index. Each is one query on summaries or along an index, and bounded.

Go on to `../pages/overview.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from sqlite3 import Connection
from typing import Any, NamedTuple

from msgspec import Struct

from flows.cluster.catalogue.trends import wilson
from flows.svg import Bin
from schemas.kinds import says
from ui.index.rows import id_of, middle, text_of

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
LISTED = (
    "SELECT i.*, c.id AS cluster_id FROM interaction AS i LEFT JOIN home AS h ON h.n = i.n "
    "LEFT JOIN cluster AS c ON c.n = h.cluster"
)
OF_CLUSTER = "cluster = (SELECT n FROM cluster WHERE id = ?)"
"""The test of a home for one cluster, by its lasting id."""
THERE = "EXISTS (SELECT 1 FROM interaction AS about WHERE about.id = feedback.interaction)"
"""Of feedback: what it is about is there, and not forgotten. What came ahead of its interaction counts from then on."""
BINS = 24
"""Of a trend: enough to see a step, wide enough that each has an interval worth showing."""


class Rate(NamedTuple):
    """A share of some interactions, with its 95 % interval (Wilson)."""

    part: int
    whole: int
    value: float | None
    low: float | None
    high: float | None


class Hour(NamedTuple):
    """An hour of one model, prompt version and variant."""

    hour: int
    dim: int
    served: int
    judged: int
    failed: int


class Dim(Struct, frozen=True):
    """What answered: model, prompt version, variant."""

    n: int
    model: str
    prompt: str
    variant: str


class Group(Struct, frozen=True):
    """What one model, prompt version or variant did."""

    name: str
    served: int
    judged: int
    failed: int

    @property
    def rate(self) -> Rate:
        """Failures of all that it served."""
        return rate(self.failed, self.served)


def rate(part: int, whole: int) -> Rate:
    """A share with its interval."""
    low, high = wilson(part, whole)
    return Rate(part, whole, part / whole if whole else None, low, high)


def dims(sql: Connection) -> dict[int, Dim]:
    """Everything that ever answered, by its number."""
    return {row[0]: Dim(*row) for row in sql.execute("SELECT n, model, prompt, variant FROM dim ORDER BY n")}


def hours(sql: Connection) -> list[Hour]:
    """All traffic by hour, oldest first."""
    return [Hour(*row) for row in sql.execute("SELECT hour, dim, served, judged, failed FROM hour ORDER BY hour, dim")]


def cluster_hours(sql: Connection, cluster_id: str = "") -> list[tuple[str, int, int, int]]:
    """(cluster, hour, dim, failures) of one cluster, or of all."""
    found = sql.execute(
        "SELECT c.id, h.hour, h.dim, h.failed FROM cluster_hour AS h JOIN cluster AS c ON c.n = h.cluster "
        "WHERE ? IN ('', c.id) ORDER BY h.hour, h.dim",
        (cluster_id,),
    )
    return [tuple(row) for row in found]


def grouped(found: Iterable[Hour], known: dict[int, Dim], by: str) -> list[Group]:
    """Traffic by `model`, `prompt` or `variant`, in the order in which each came first."""
    sums: dict[str, list[int]] = {}
    for hour in found:
        each = sums.setdefault(getattr(known[hour.dim], by), [0, 0, 0])
        each[0] += hour.served
        each[1] += hour.judged
        each[2] += hour.failed
    return [Group(name, *each) for name, each in sums.items()]


class Span(Struct, frozen=True):
    """Traffic cut into pieces of about equal size."""

    first: int
    """Milliseconds."""
    last: int
    edges: tuple[tuple[int, int], ...]
    """Of each piece, its first hour and the hour after its last."""
    served: tuple[int, ...]
    """Interactions of each piece."""

    def place(self, milliseconds: float) -> float:
        """Where a moment lies, 0 to 1."""
        return (milliseconds - self.first) / max(self.last - self.first, 1)

    def bins(self, parts: dict[int, int]) -> list[Bin]:
        """Each piece's rate with its interval, from what happened in each hour."""
        starts = [first for first, _ in self.edges]
        counted = [0] * len(starts)
        for hour, part in parts.items():
            counted[max(bisect_right(starts, hour) - 1, 0)] += part
        found = []
        for (first, end), part, whole in zip(self.edges, counted, self.served, strict=True):
            low, high = wilson(part, whole)
            at = self.place((first + end) / 2 * HOUR_MS)
            found.append(Bin(min(max(at, 0.0), 1.0), part, whole, low or 0.0, high or 0.0))
        return found


def span_of(served: dict[int, int], pieces: int = BINS) -> Span:
    """Traffic by hour as pieces of about equal traffic; a stretch in which little came ends a piece."""
    busy = sorted(hour for hour, count in served.items() if count)
    if not busy:
        return Span(0, 1, (), ())
    wanted, gap = sum(served.values()) / pieces, max((busy[-1] - busy[0]) / 12, 2)
    edges: list[tuple[int, int]] = []
    counts: list[int] = []
    begun, held, before = busy[0], 0, busy[0]
    for hour in busy:
        if held and (held >= wanted or hour - before > gap):
            edges.append((begun, before + 1))
            counts.append(held)
            begun, held = hour, 0
        held, before = held + served[hour], hour
    edges.append((begun, before + 1))
    return Span(busy[0] * HOUR_MS, (busy[-1] + 1) * HOUR_MS, tuple(edges), (*counts, held))


def newest(sql: Connection, now: int) -> int | None:
    """When the newest interaction was asked, in milliseconds; of those that came from a clock that is ahead, none."""
    hours = "SELECT DISTINCT hour FROM hour WHERE hour <= ? ORDER BY hour DESC LIMIT 2"  # of the last, all may be ahead
    for (hour,) in sql.execute(hours, (now // HOUR_MS,)).fetchall():
        newest_in = "SELECT max(time) FROM interaction WHERE time / 3600000 = ? AND time <= ?"
        if (found := sql.execute(newest_in, (hour, now)).fetchone()[0]) is not None:
            return int(found)
    return None


def by_ids(sql: Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Interactions by their ids, those that are there, in the order asked for."""
    found = (sql.execute(f"{LISTED} WHERE i.id = ?", (id_of(each),)).fetchone() for each in ids)
    return [listed(row) for row in found if row is not None]


def listed(row: Any) -> dict[str, Any]:
    """A row of the index as pages list it."""
    return {**{name: row[name] for name in row.keys()}, "id": text_of(row["id"])}  # noqa: SIM118 a Row is no dict


class Used(Struct, frozen=True):
    """What one model and prompt version used on one day."""

    day: int
    model: str
    prompt: str
    served: int
    failed: int
    errors: int
    tokens_in: int
    tokens_out: int
    measured: int
    """Interactions that said how many tokens."""
    cost: float
    priced: int
    """Interactions that said what they cost."""
    p50: float | None
    p95: float | None


def usage(sql: Connection, first: int, last: int) -> list[Used]:
    """Tokens, cost and latency by day, model and prompt version, newest day first; days since 1970."""
    buckets: dict[tuple[int, str, str], dict[int, int]] = {}
    for day, model, prompt, bucket, served in sql.execute(
        "SELECT l.day, d.model, d.prompt, l.bucket, sum(l.served) FROM latency AS l JOIN dim AS d ON d.n = l.dim "
        "WHERE l.day BETWEEN ? AND ? GROUP BY 1, 2, 3, 4",
        (first, last),
    ):
        buckets.setdefault((day, model, prompt), {})[bucket] = served
    rows = sql.execute(
        "SELECT day, model, prompt, sum(served), sum(failed), sum(errors), coalesce(sum(tokens_in), 0), "
        "coalesce(sum(tokens_out), 0), sum(measured), coalesce(sum(cost), 0) / 1e9, sum(priced) "
        "FROM day JOIN dim AS d ON d.n = day.dim WHERE day BETWEEN ? AND ? GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2, 3",
        (first, last),
    )
    return [
        Used(*row, *(percentile(buckets.get(tuple(row[:3]), {}), q) for q in (0.5, 0.95)))
        for row in (tuple(each) for each in rows)
    ]


def percentile(buckets: dict[int, int], q: float) -> float | None:
    """A percentile of what lies in buckets, to within a bucket's width."""
    wanted, held = q * sum(buckets.values()), 0
    for bucket in sorted(buckets):
        held += buckets[bucket]
        if held >= wanted:
            return middle(bucket)
    return None


class Voice(Struct, frozen=True):
    """What was said of failures, and how often."""

    text: str
    count: int


NEWEST = 2_000
"""Failures of a cluster whose reasons are counted: enough for shares within two points, and a bounded question."""
SAYS = {
    "correction": "corrected",
    "comment": "commented",
    "retry": "asked again",
    "regenerate": "asked for another answer",
}
"""Kinds of feedback as people read them; others by their own name."""


def summed(found: Iterable[Hour], what: str) -> dict[int, int]:
    """One column of traffic by hour."""
    sums: dict[int, int] = {}
    for hour in found:
        sums[hour.hour] = sums.get(hour.hour, 0) + getattr(hour, what)
    return sums


def said(kind: str, value: float | None, label: str | None) -> str:
    """A voice in words: `thumb down`, `corrected`, `label: rude`."""
    if kind == "thumb":
        return "thumb up" if value else "thumb down"
    name = SAYS.get(kind, kind.replace("_", " "))
    if kind in {"rating", "reviewer", "judge", "rule", "guardrail"} and value is not None:
        return f"{name} {'good' if value > 0.5 else 'bad'}" if kind != "rating" else f"{name} {value:.2f}"
    return f"{name}: {label}" if label else name


def reasons_of(sql: Connection, cluster_id: str) -> list[Voice]:
    """What was said of the newest failures of a cluster, the most frequent first."""
    counted: dict[str, int] = {}
    mine = f"SELECT i.id FROM home AS h JOIN interaction AS i USING (n) WHERE h.{OF_CLUSTER} ORDER BY h.n DESC LIMIT ?"  # noqa: S608 ours
    for kind, bad, label, number in sql.execute(
        f"SELECT f.kind, f.value < 0.5, f.label, count(*) FROM ({mine}) AS mine "  # noqa: S608 ours
        "JOIN feedback AS f ON f.interaction = mine.id WHERE f.stands AND (f.value IS NULL OR f.value < 0.5) "
        "GROUP BY 1, 2, 3",
        (cluster_id, NEWEST),
    ):
        name = said(kind, None if bad is None else 0.0, label)
        counted[name] = counted.get(name, 0) + number
    return [Voice(name, number) for name, number in sorted(counted.items(), key=lambda each: (-each[1], each[0]))[:8]]


def newest_of(sql: Connection, cluster_id: str, count: int) -> list[dict[str, Any]]:
    """The newest failures of a cluster with what was said of each; the same question only once."""
    found = sql.execute(
        f"{LISTED} WHERE h.{OF_CLUSTER} ORDER BY h.n DESC LIMIT ?",
        (cluster_id, count * 4),
    ).fetchall()
    rows: dict[str, dict[str, Any]] = {}
    for row in found:
        rows.setdefault(row["ask"], listed(row) | {"said": voices_of(sql, row["id"])[:3]})
    return list(rows.values())[:count]


def voices_of(sql: Connection, interaction: bytes) -> list[dict[str, Any]]:
    """All feedback on an interaction that stands, oldest first."""
    found = sql.execute(
        "SELECT id, time, kind, source, value, label, text, stands FROM feedback WHERE interaction = ? AND stands "
        "ORDER BY time, n",
        (interaction,),
    )
    return [
        {**{name: row[name] for name in row.keys()}, "bad": _bad(row),  # noqa: SIM118 a Row
         "said": said(row["kind"], row["value"], row["label"])}
        for row in found
    ]  # fmt: skip


def people(sql: Connection, since: int) -> list[tuple[str, int]]:
    """Reviewers and how many answers they gave since a moment, who gave most first."""
    found = sql.execute(
        "SELECT source, count(DISTINCT interaction) FROM feedback WHERE source LIKE 'reviewer:%' AND time >= ? "  # noqa: S608 ours
        f"AND stands AND {THERE} GROUP BY source ORDER BY 2 DESC, 1",
        (since,),
    )
    return [(source.partition(":")[2], number) for source, number in found]


def _bad(row: Any) -> bool | None:
    """Whether a voice speaks against an answer; None where it speaks for neither."""
    good = says(row["kind"], row["value"], row["label"])
    return None if good is None else not good
