"""Who said what of the same answers ▶ how far people agree, and judges with them; and where they differ.

Only what was asked blind and in random order counts: reviews that carry the label `random`, and those that the gate
asked for. Go on to `pages/agreement.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from sqlite3 import Connection
from typing import Any

from msgspec import Struct

from flows.agreement import Agreement, of_many, of_two
from flows.opinions import Opinions
from schemas.kinds import ADJUDICATED, EVEN, RANDOM
from ui.answers import REVIEWER
from ui.index.lists import THERE, by_ids
from ui.index.rows import text_of

NEWEST = 10_000
"""Reviews that are looked at: nothing reads all of history."""
PEOPLE, SHOWN, CHUNK = 12, 20, 500
Words = Mapping[str, Mapping[str, bool]]
"""Item → who → whether they said that it is good."""


class Pair(Struct, frozen=True):
    """Two who judged the same."""

    first: str
    second: str
    found: Agreement


class Differing(Struct, frozen=True):
    """An answer of which people, or a judge and people, say different things."""

    item: str
    ask: str
    reply: str
    words: tuple[tuple[str, bool], ...]


class Agreeing(Struct, frozen=True):
    """All that the page shows."""

    everybody: Agreement
    people: list[Pair]
    judges: list[Pair]
    differing: list[Differing]


def agreeing(sql: Connection, pairs: Opinions) -> Agreeing:
    """What the index has of reviews and judges, with what people said of the pairs that the gate asked about."""
    people = _people(sql)
    judges = _judges(sql, list(people))
    compared = {str(key): _sides(words) for key, words in pairs.items()}
    everything: dict[str, Mapping[str, bool]] = {**{text_of(item): words for item, words in people.items()}, **compared}
    whole = of_many((sum(words.values()), len(words)) for words in everything.values())
    return Agreeing(whole, _by_pair(everything), _by_judge(people, judges), _differing(sql, people, judges))


def words_of(sql: Connection, item: bytes) -> dict[str, bool]:
    """Who said what of one answer: people in random order, and judges."""
    found = _heard(sql, [item], "f.kind IN ('reviewer', 'judge') AND (f.kind = 'judge' OR f.label = ?)", RANDOM)
    return {source.removeprefix(REVIEWER): good for _, source, good in found}


def _people(sql: Connection) -> dict[bytes, dict[str, bool]]:
    found: dict[bytes, dict[str, bool]] = {}
    for item, source, value in sql.execute(
        "SELECT interaction, source, value FROM feedback WHERE source LIKE 'reviewer:%' AND kind = 'reviewer' "  # noqa: S608 ours
        f"AND label = ? AND stands AND value <> ? AND {THERE} ORDER BY time DESC, n DESC LIMIT ?",
        (RANDOM, EVEN, NEWEST),
    ):
        found.setdefault(item, {})[source.removeprefix(REVIEWER)] = value > EVEN
    return found


def _judges(sql: Connection, items: list[bytes]) -> dict[bytes, dict[str, bool]]:
    found: dict[bytes, dict[str, bool]] = {}
    for first in range(0, len(items), CHUNK):
        for item, source, good in _heard(sql, items[first : first + CHUNK], "f.kind = 'judge'"):
            found.setdefault(item, {})[source] = good
    return found


def _heard(sql: Connection, items: list[bytes], which: str, *more: Any) -> Iterable[tuple[bytes, str, bool]]:
    rows = sql.execute(
        "SELECT f.interaction, f.source, f.value FROM feedback AS f "  # noqa: S608 `which` is ours
        f"WHERE f.interaction IN ({', '.join('?' * len(items))}) AND f.stands AND f.value <> ? AND {which} "
        "ORDER BY f.time, f.n",
        (*items, EVEN, *more),
    )
    return [(item, source, value > EVEN) for item, source, value in rows]


def _sides(words: Mapping[str, float | None]) -> dict[str, bool]:
    return {name: value > EVEN for name, value in words.items() if value is not None and value != EVEN}


def _by_pair(everything: Words) -> list[Pair]:
    """Each two of the most diligent, where they judged the same."""
    counts: dict[str, int] = {}
    for words in everything.values():
        for name in words:
            counts[name] = counts.get(name, 0) + 1
    names = sorted(sorted(counts, key=lambda name: (-counts[name], name))[:PEOPLE])
    found = []
    for first, second in combinations(names, 2):
        both = [(words[first], words[second]) for words in everything.values() if first in words and second in words]
        if both:
            found.append(Pair(first, second, of_two(both)))
    return found


def _by_judge(people: Mapping[bytes, Mapping[str, bool]], judges: Mapping[bytes, Mapping[str, bool]]) -> list[Pair]:
    """Each judge against what most people said; where as many said the one as the other, nobody did."""
    told: dict[str, list[tuple[bool, bool]]] = {}
    for item, words in judges.items():
        for judge, good in words.items():
            if (most := _most(people[item])) is not None:
                told.setdefault(judge, []).append((good, most))
    return [Pair(judge, "people", of_two(pairs)) for judge, pairs in sorted(told.items())]


def _most(words: Mapping[str, bool]) -> bool | None:
    good = sum(words.values())
    return None if 2 * good == len(words) else 2 * good > len(words)


def _differing(
    sql: Connection, people: Mapping[bytes, Mapping[str, bool]], judges: Mapping[bytes, Mapping[str, bool]]
) -> list[Differing]:
    """The newest answers of which not all say the same, and which nobody has adjudicated."""
    told = {item: {**judges.get(item, {}), **words} for item, words in people.items()}
    apart = [item for item, words in told.items() if len(set(words.values())) > 1]
    wanted: list[str] = []
    for first in range(0, len(apart), CHUNK):
        settled = _settled(sql, part := apart[first : first + CHUNK])
        wanted += [text_of(item) for item in part if item not in settled]
        if len(wanted) >= SHOWN:
            break
    wanted = wanted[:SHOWN]
    words = {text_of(item): words for item, words in told.items()}
    return [
        Differing(row["id"], row["ask"], row["reply"], tuple(sorted(words[row["id"]].items())))
        for row in by_ids(sql, wanted)
    ]


def _settled(sql: Connection, items: Sequence[bytes]) -> set[bytes]:
    """Of some interactions, those that somebody has adjudicated."""
    rows = sql.execute(
        f"SELECT interaction FROM feedback WHERE interaction IN ({', '.join('?' * len(items))}) "  # noqa: S608 only marks
        "AND +source LIKE 'reviewer:%' AND label = ? AND stands",
        (*items, ADJUDICATED),
    )
    return {item for (item,) in rows}
