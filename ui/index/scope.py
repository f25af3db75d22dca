"""Filters of an address ▶ where in the index to look: along which way, between which ends, and how many that are.

The newest are wanted first, and lie at the end of the table: as a rule it is walked back from there. What a model, a
prompt version or an outcome leaves is known from the summaries, by the hour; where it is so rare that walking would go
through all of history, its hours are looked up instead. Go on to `lists.py`.
"""

from __future__ import annotations

from sqlite3 import Connection

from msgspec import Struct

from schemas.unit import unit_of
from ui.index.lists import HOUR_MS
from ui.index.rows import NOT_JUDGED, OF_CONVERSATION, OF_UNIT, OUTCOMES, key_of, talk_key

COUNTED = 10_000
"""Nothing is counted beyond this: a count of all that matches costs more than the page."""
ENOUGH = 20_000
"""Rows that may be walked through for a page, 20 ms; beyond, the hours are looked up."""
SUMMED = {"failed": "failed", "ok": "judged - failed", "unknown": "served - judged", "": "served"}
TESTS = {
    "failed": f"i.outcome = {OUTCOMES['failed']}",
    "ok": f"i.outcome = {OUTCOMES['ok']}",
    "unknown": f"i.outcome IN ({OUTCOMES['unknown']}, {NOT_JUDGED})",
}
"""By outcome: what summaries call it, and what a row must be. What no run has judged yet is as little known."""


NONE = -1
"""The number of no cluster."""
WALK = "interaction AS i NOT INDEXED"
"""From the newest back."""


class Asked(Struct, frozen=True, kw_only=True):
    """What the address asks for; empty fields ask for all."""

    q: str = ""
    outcome: str = ""
    cluster: str = ""
    model: str = ""
    prompt: str = ""
    user: str = ""
    conversation: str = ""
    before: int = 0
    """The number of the last row of the page before; 0 begins with the newest."""
    since: int = 0
    """Only what was asked from then on, in milliseconds; 0: all."""


class Scope(Struct, frozen=True, kw_only=True):
    """A way through the index to all that the filters leave, words aside."""

    source: str
    """Tables, `i` among them, and the one index that is gone along."""
    n: str
    """The number of an interaction, in the table that is walked."""
    tests: tuple[str, ...]
    """What an interaction `i` must be, whichever way led to it. All that is in them is numbers of ours."""
    nothing: bool
    """Whether the summaries know of none."""
    leads: bool
    """Whether the way leads to what is left alone: else all between the ends is walked."""
    total: int | None
    """How many are left; None where no summary knows."""
    first: int
    last: int
    """Between which numbers all of them lie."""

    @property
    def where(self) -> str:
        """The tests as one."""
        return " AND ".join(("TRUE", *self.tests))


class _Part(Struct, frozen=True):
    """What the summaries say of models, prompt versions, an outcome and a time."""

    dims: list[int] | None
    """None: all."""
    total: int
    first: int
    last: int


def scope_of(sql: Connection, asked: Asked, wanted: int) -> Scope:
    """Where to look for what an address asks for, `wanted` of them at a time."""
    part = _part(sql, asked)
    tests, source = _own(sql, asked)
    own = source != WALK
    if asked.outcome in TESTS:
        tests.append(TESTS[asked.outcome])
    if part.dims is not None:
        tests.append(f"i.dim IN ({', '.join(map(str, part.dims))})")
    if asked.since:
        tests.append(f"i.time >= {asked.since}")
    leads = own or asked.outcome == "failed"
    if not own and asked.outcome == "failed":
        source = "interaction AS i INDEXED BY by_outcome"
    if asked.q.strip():  # of words, all that is left is wanted, where that is little; else they are walked
        wanted = part.total if part.total <= COUNTED else 0
    if not own and (hours := _hours(sql, asked, part, wanted)):
        source, leads = "interaction AS i INDEXED BY by_hour", True
        tests.append(hours)
    return Scope(
        source=source, n="h.n" if source.startswith("home") else "i.n", tests=tuple(tests), nothing=not part.total,
        leads=leads, total=None if own or asked.since else part.total, first=part.first, last=part.last,
    )  # fmt: skip


def _own(sql: Connection, asked: Asked) -> tuple[list[str], str]:
    """Tests with an index of their own, and the way along the one that leaves least."""
    tests: list[str] = []
    source = WALK
    if asked.cluster:
        found = sql.execute("SELECT n FROM cluster WHERE id = ?", (asked.cluster,)).fetchone()
        number = found[0] if found else NONE
        tests.append(f"(SELECT cluster FROM home WHERE home.n = i.n) = {number}")  # noqa: S608 ours
        source = f"home AS h INDEXED BY by_cluster CROSS JOIN interaction AS i ON i.n = h.n AND h.cluster = {number}"
    for name, number, test, index in (
        (asked.user, key_of(unit_of(asked.user, "")), OF_UNIT, "by_unit"),
        (asked.conversation, talk_key(asked.conversation), OF_CONVERSATION, "by_conversation"),
    ):
        if name:
            tests.append(test.replace("?", str(number)))
            source = f"interaction AS i INDEXED BY {index}"
    return tests, source


def _part(sql: Connection, asked: Asked) -> _Part:
    dims: list[int] | None = None
    first, last = 0, sql.execute("SELECT coalesce(max(n), 0) FROM interaction").fetchone()[0]
    if asked.model or asked.prompt:
        known = sql.execute("SELECT n, model, prompt, first, last FROM dim WHERE first IS NOT NULL").fetchall()
        mine = [row for row in known if asked.model in {"", row[1]} and asked.prompt in {"", row[2]}]
        dims = [row[0] for row in mine]
        first, last = min((row[3] for row in mine), default=0), max((row[4] for row in mine), default=0)
    table = f"hour WHERE hour >= {asked.since // HOUR_MS}" if asked.since else "day WHERE TRUE"
    what = SUMMED.get(asked.outcome, "served")
    (total,) = sql.execute(f"SELECT coalesce(sum({what}), 0) FROM {table} AND {_dims(dims)}").fetchone()  # noqa: S608 ours
    return _Part(dims, total, first, last)


def _hours(sql: Connection, asked: Asked, part: _Part, wanted: int) -> str:
    """The test for the hours in which what is wanted came, where these hold less than would be walked through."""
    every = part.last - part.first + 1
    if asked.outcome == "failed":
        (every,) = sql.execute("SELECT coalesce(sum(failed), 0) FROM day").fetchone()
    walk = min(wanted * every / max(part.total, 1), every)
    if walk <= ENOUGH or not part.total:
        return ""
    what = SUMMED.get(asked.outcome, "served")
    hours = f"SELECT hour FROM hour WHERE {_dims(part.dims)} AND {what} > 0 AND hour >= {asked.since // HOUR_MS}"  # noqa: S608 ours
    (near,) = sql.execute(f"SELECT sum(served) FROM hour WHERE hour IN ({hours})").fetchone()  # noqa: S608 ours
    return f"i.time / {HOUR_MS} IN ({hours})" if near < walk else ""


def _dims(dims: list[int] | None) -> str:
    return "TRUE" if dims is None else f"dim IN ({', '.join(map(str, dims))})"
