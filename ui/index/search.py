"""Words and meanings ▶ interactions, newest arrival first, a page at a time.

Words are those of the question and the beginning of the answer; what somebody types is taken apart here, so that no
character of it is a command of the search. Meaning is the angle between vectors: of what was typed, and of failures
that a cluster run has placed. Go on to `scope.py`, which says where to look.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from sqlite3 import Connection
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ui.index.lists import LISTED, listed
from ui.index.rows import id_of
from ui.index.scope import COUNTED, Asked, Scope, scope_of

PAGE = 50
WORDS = 12
"""Of a question that are looked for."""
NEAREST = 400
"""Texts that are near enough to be listed."""
JUDGED = 20_000
"""Words of judges that are looked at, the newest: not all of history."""
CHUNK = 500
"""Numbers that one question names."""
TERMS = 300
"""Words that a beginning may stand for: they are looked for one by one, for the list of all that have any of many words
is made anew for each question, in .2 s where a million have one."""
WALKED = 50_000
"""Interactions that have the words and are looked at, to count those that are all else that was asked for."""


class Found(Struct, frozen=True):
    """A page of interactions."""

    rows: list[dict[str, Any]]
    before: int
    """What the next page begins behind; 0: this is the last."""
    total: int
    """How many there are."""
    more: bool = False
    """Whether there may be more than `total`: nothing is counted to its end that costs more than the page."""


def words_of(text: str) -> list[str]:
    """The words that are looked for."""
    return re.findall(r"[^\W_]+", text)[:WORDS]


def match_of(text: str) -> str:
    """What FTS5 is asked: every word, the last one as a beginning; of the text only letters and digits are in it."""
    found = words_of(text)
    return " ".join([*(f'"{word}"' for word in found[:-1]), *(f'"{word}"*' for word in found[-1:])])


def find(sql: Connection, asked: Asked) -> Found:
    """The interactions that match, newest arrival first."""
    scope = scope_of(sql, asked, PAGE)
    said = _said(sql, asked, scope)
    rows = rows_of(sql, _newest(sql, asked, scope, said, PAGE + 1))
    total, more = _count(sql, scope, said)
    return Found([listed(row) for row in rows[:PAGE]], rows[PAGE - 1]["n"] if len(rows) > PAGE else 0, total, more)


def matching(sql: Connection, asked: Asked, scope: Scope, count: int) -> list[tuple[bytes, int]]:
    """(id, ingest day) of the newest `count` that match, from `asked.before` on."""
    said = _said(sql, asked, scope)
    if said and said.every is not None:
        return ids_of(sql, _newest(sql, asked, scope, said, count))
    return _walked(sql, asked, scope, said, count, "i.id, i.arrived")


def ids_of(sql: Connection, found: Sequence[int]) -> list[tuple[bytes, int]]:
    """(id, ingest day) of interactions by their numbers, the newest first."""
    rows: list[tuple[bytes, int]] = []
    for first in range(0, len(found), CHUNK):
        marks = ", ".join("?" * len(part := found[first : first + CHUNK]))
        rows += _tuples(sql, f"SELECT id, arrived FROM interaction WHERE n IN ({marks}) ORDER BY n DESC", part)  # noqa: S608 only marks
    return rows


def _tuples(sql: Connection, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The answer as tuples: of ten thousand, a `Row` each costs as much as finding them."""
    cursor = sql.cursor()
    cursor.row_factory = None
    return cursor.execute(text, values).fetchall()


class _Said(Struct, frozen=True):
    """What is asked for by words."""

    match: str
    """The question for a search over everything."""
    every: list[int] | None = None
    """All that match, the newest first, where a filter leaves so little that it was looked at instead."""


def _said(sql: Connection, asked: Asked, scope: Scope) -> _Said | None:
    """What the words ask for; None where there are none, or nothing is left to have them."""
    if scope.nothing or not asked.q.strip():
        return None
    if not (match := match_of(asked.q)):
        return _Said(match, [])
    if (few := _few(sql, scope)) is not None:
        return _Said(match, _among(sql, few, match))
    return _Said(_spelled(sql, asked.q))


def _newest(sql: Connection, asked: Asked, scope: Scope, said: _Said | None, count: int) -> list[int]:
    if said and said.every is not None:
        return [n for n in said.every if n <= _last(asked, scope)][:count]
    return [n for (n,) in _walked(sql, asked, scope, said, count, "i.n")]


def _walked(
    sql: Connection, asked: Asked, scope: Scope, said: _Said | None, count: int, columns: str
) -> list[tuple[Any, ...]]:
    """Columns of the newest `count` that match, in one walk."""
    if scope.nothing:
        return []
    between = (scope.first, _last(asked, scope), count)
    if said is None:
        text = (
            f"SELECT {columns} FROM {scope.source} WHERE {scope.where} "  # noqa: S608 ours
            f"AND {scope.n} BETWEEN ? AND ? ORDER BY {scope.n} DESC LIMIT ?"
        )
        return _tuples(sql, text, between)
    text = (
        f"SELECT {columns} FROM words CROSS JOIN interaction AS i NOT INDEXED ON i.n = words.rowid "  # noqa: S608 ours
        f"WHERE words MATCH ? AND words.rowid BETWEEN ? AND ? AND {scope.where} ORDER BY words.rowid DESC LIMIT ?"
    )
    return _tuples(sql, text, (said.match, *between))


def _last(asked: Asked, scope: Scope) -> int:
    """The highest number that may match."""
    return min(scope.last, (asked.before or 2**62) - 1)


def judged(sql: Connection, asked: Asked, scope: Scope) -> list[int]:
    """Those that match of the newest JUDGED of which a judge has spoken, by their numbers, the newest first."""
    if scope.nothing:
        return []
    newest = (
        "SELECT interaction FROM feedback INDEXED BY by_judge WHERE kind = 'judge' AND stands ORDER BY n DESC LIMIT ?"
    )
    text = f"SELECT i.n FROM interaction AS i WHERE i.id IN ({newest}) AND {scope.where} ORDER BY i.n DESC"  # noqa: S608 ours
    found = [n for (n,) in sql.execute(text, (JUDGED,))]
    return _among(sql, found, match_of(asked.q)) if asked.q.strip() else found


def rows_of(sql: Connection, found: Sequence[int]) -> list[sqlite3.Row]:
    """Rows of the index, as listed, in the order of their numbers."""
    rows = {
        row["n"]: row
        for first in range(0, len(found), CHUNK)
        for part in [found[first : first + CHUNK]]
        for row in sql.execute(f"{LISTED} WHERE i.n IN ({', '.join('?' * len(part))})", part)
    }
    return [rows[n] for n in found]


def _count(sql: Connection, scope: Scope, said: _Said | None) -> tuple[int, bool]:
    """How many match, and whether there may be more."""
    if scope.nothing:
        return 0, False
    if said is None:
        if scope.total is not None:
            return scope.total, False
        text = f"SELECT count(*) FROM (SELECT 1 FROM {scope.source} WHERE {scope.where} LIMIT ?)"  # noqa: S608 ours
        (found,) = sql.execute(text, (COUNTED + 1,)).fetchone()
        return min(found, COUNTED), found > COUNTED
    if said.every is not None:
        return len(said.every), False
    walk = "SELECT rowid AS n FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC LIMIT ?"
    if scope.tests:
        text = f"SELECT sum({scope.where}), count(*) FROM ({walk}) AS w CROSS JOIN interaction AS i ON i.n = w.n"  # noqa: S608 ours
        found, seen = sql.execute(text, (said.match, scope.first, scope.last, WALKED)).fetchone()
        return int(found or 0), seen == WALKED
    (found,) = sql.execute(
        f"SELECT count(*) FROM ({walk})",  # noqa: S608 ours
        (said.match, scope.first, scope.last, COUNTED + 1),
    ).fetchone()
    return min(found, COUNTED), found > COUNTED


def _spelled(sql: Connection, text: str) -> str:
    """The same as `match_of`, for a search over everything: the words that the last one begins, where these are few."""
    *whole, begun = words_of(text)
    with _aside(sql) as small:  # which letters lose what, the tokenizer alone knows: é does, й and が do not
        small.execute("INSERT INTO words (rowid, ask, reply) VALUES (1, ?, '')", (begun,))
        spelled = [term for (term,) in small.execute("SELECT term FROM vocabulary")]
    if len(spelled) != 1:
        return match_of(text)
    (lowest,) = spelled
    every = "SELECT term FROM vocabulary WHERE term >= ? AND term < ? LIMIT ?"
    terms = [term for (term,) in sql.execute(every, (lowest, lowest + chr(0x10FFFF), TERMS + 1))]
    if not 0 < len(terms) <= TERMS:
        return match_of(text)
    any_of = " OR ".join(f'"{term}"' for term in terms)
    return " AND ".join([*(f'"{word}"' for word in whole), f"({any_of})"])


def _few(sql: Connection, scope: Scope) -> list[int] | None:
    """All that a filter leaves, where that is little: their words are looked at, instead of all that have the words."""
    if not scope.leads or (scope.total or 0) > COUNTED:
        return None
    text = f"SELECT i.n FROM {scope.source} WHERE {scope.where} ORDER BY {scope.n} DESC LIMIT ?"  # noqa: S608 ours
    found = [n for (n,) in sql.execute(text, (COUNTED + 1,))]
    return found if len(found) <= COUNTED else None


def _among(sql: Connection, few: Sequence[int], match: str) -> list[int]:
    """Which of some interactions have words, the newest first: asked of a search over these alone."""
    if not match:
        return []
    with _aside(sql) as small:
        for first in range(0, len(few), CHUNK):
            part = few[first : first + CHUNK]
            marks = ", ".join("?" * len(part))
            told: Iterable[Any] = sql.execute(f"SELECT n, ask, reply FROM interaction WHERE n IN ({marks})", part)  # noqa: S608 only marks
            small.executemany("INSERT INTO words (rowid, ask, reply) VALUES (?, ?, ?)", map(tuple, told))
        return [
            n for (n,) in small.execute("SELECT rowid FROM words WHERE words MATCH ? ORDER BY rowid DESC", (match,))
        ]


@contextmanager
def _aside(sql: Connection) -> Iterator[Connection]:
    """An empty index of words, with its vocabulary, made as that of `sql` is: in memory, for one question."""
    with closing(sqlite3.connect(":memory:")) as small:
        (made,) = sql.execute("SELECT sql FROM sqlite_master WHERE name = 'words'").fetchone()
        small.execute(made.replace("content = 'interaction', content_rowid = 'n'", "content = ''"))
        small.execute("CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, 'row')")
        yield small


def near(sql: Connection, vector: NDArray[np.float32], embedder: str, count: int = NEAREST) -> list[tuple[int, float]]:
    """The texts whose meaning is nearest, with their likeness (cosine): the number of each in the index."""
    found = sql.execute("SELECT n, value FROM vector WHERE embedder = ?", (embedder,)).fetchall()
    if not found:
        return []
    matrix = np.frombuffer(b"".join(value for _, value in found), np.float16).reshape(len(found), -1)
    likeness = matrix.astype(np.float32) @ vector
    best = np.argsort(-likeness, kind="stable")[:count]
    return [(int(found[int(i)][0]), float(likeness[i])) for i in best if likeness[i] > 0]


def like(sql: Connection, texts: list[tuple[int, float]]) -> list[dict[str, Any]]:
    """The newest interaction of each text, the nearest first, with its likeness."""
    rows = []
    for text, likeness in texts[:PAGE]:
        row = sql.execute(f"{LISTED} WHERE h.text = ? ORDER BY h.n DESC LIMIT 1", (text,)).fetchone()
        if row is not None:
            rows.append(listed(row) | {"likeness": likeness})
    return rows


def ask_of(sql: Connection, interaction: str) -> str | None:
    """What was asked in an interaction; None where there is no such."""
    found = sql.execute("SELECT ask FROM interaction WHERE id = ?", (id_of(interaction),)).fetchone()
    return None if found is None else str(found[0])
