"""Whatever the filters, a search finds what going through everything finds, by whichever way it is led there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from flows.testing.events import event_id, happened, interaction
from schemas.settings import Settings
from streams.lake import Lake
from ui.index import scope, search
from ui.index.fold import FILE, Folder
from ui.index.rows import text_of
from ui.index.scope import Asked, scope_of
from ui.index.search import find
from ui.index.store import reader

COUNT = 600
WORDS = ("refund", "refunds", "parcel", "Größe", "order_17")


def asks(n: int) -> str:
    return f"about {WORDS[n % 5]} number {n % 40}"


def model(n: int) -> str:
    """The first half of all traffic, the second, and one that is rare and everywhere."""
    return "rare" if n % 97 == 0 else "old" if n < COUNT // 2 else "new"


@pytest.fixture(scope="module")
def sql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    home = tmp_path_factory.mktemp("search")
    lake = Lake(home / "lake")
    happened(lake, *[
        interaction(n, conversation_id=f"c{n // 3}", user_id=f"u{n % 50}", request_model=model(n),
                    prompt_version=f"p{n % 2}", input_messages=[{"role": "user", "content": asks(n)}])
        for n in range(COUNT)
    ])  # fmt: skip
    folder = Folder(lake, Settings(home=str(home)))
    folder.fold()
    writer: Any = folder._sql
    writer.execute("UPDATE interaction SET outcome = CASE WHEN n % 6 = 0 THEN 2 WHEN n % 5 = 0 THEN 1 ELSE outcome END")
    writer.execute("INSERT INTO cluster (n, id) VALUES (1, 'c1')")
    writer.execute("INSERT INTO home SELECT n, 1, NULL FROM interaction WHERE n % 18 = 0")
    folder._summarise({day for (day,) in writer.execute("SELECT DISTINCT day FROM day")}, folder._last())
    folder.close()
    with reader(home / FILE) as found:
        yield found


FILTERS = [
    dict(zip(("q", "outcome", "model", "own"), each, strict=True))
    for each in itertools.product(
        ("", "refund", "number 17", "grosse", "größ", "order 17", "order_17", "nothing"),
        ("", "failed", "ok", "unknown"),
        ("", "old", "rare", "none such"),
        ("", "cluster", "user", "conversation"),
    )
]
OWN = {"cluster": "c1", "user": "u7", "conversation": "c12"}


def rows(sql: Connection, asked: dict[str, str]) -> list[str]:
    """By going through everything, with the words as FTS5 has them."""
    own = {asked["own"]: OWN[asked["own"]]} if asked["own"] else {}
    having = "SELECT rowid FROM words WHERE words MATCH ?"
    words = [n for (n,) in sql.execute(having, (search.match_of(asked["q"] or "about"),))]
    found = sql.execute("SELECT i.*, d.model FROM interaction AS i JOIN dim AS d ON d.n = i.dim ORDER BY i.n DESC")
    outcomes = {"": {0, 1, 2, 3}, "failed": {2}, "ok": {1}, "unknown": {0, 3}}[asked["outcome"]]
    fits = []
    for row in found.fetchall():
        n = int(text_of(row["id"]).replace("-", ""), 16) - int(event_id(0).replace("-", ""), 16)
        mine = {"cluster": row["n"] % 18 == 0, "user": f"u{n % 50}" == "u7", "conversation": f"c{n // 3}" == "c12"}
        if asked["q"] and row["n"] not in words:
            continue
        if row["outcome"] in outcomes and asked["model"] in {"", row["model"]} and all(mine[name] for name in own):
            fits.append(text_of(row["id"]))
    return fits


@pytest.mark.parametrize("enough", [1, 20_000], ids=["along the hours", "walking back"])
def test_every_way_leads_to_the_same(sql: Connection, monkeypatch: Any, enough: int) -> None:
    """512 sets of filters: the newest page, those after it, and how many there are, as by going through everything."""
    monkeypatch.setattr(scope, "ENOUGH", enough)
    for asked in FILTERS:
        own = {asked["own"]: OWN[asked["own"]]} if asked["own"] else {}
        fields = {name: asked[name] for name in ("q", "outcome", "model")} | own
        wanted, seen, before = rows(sql, asked), [], 0
        while True:
            page = find(sql, Asked(**fields, before=before))  # type: ignore[arg-type]
            seen += [row["id"] for row in page.rows]
            assert (page.total, page.more) == (len(wanted), False), asked
            if not (before := page.before):
                break
        assert seen == wanted, asked


def test_nothing_goes_through_all_of_history(sql: Connection) -> None:
    """Each way is along the one index that it names, and none scans one from end to end."""
    for asked in FILTERS:
        own = {asked["own"]: OWN[asked["own"]]} if asked["own"] else {}
        found = scope_of(sql, Asked(outcome=asked["outcome"], model=asked["model"], **own), 50)  # type: ignore[arg-type]
        if found.nothing:
            continue
        text = (
            f"SELECT i.n FROM {found.source} WHERE {found.where} AND {found.n} BETWEEN 1 AND 9 ORDER BY {found.n} DESC"
        )
        plan = [row["detail"] for row in sql.execute(f"EXPLAIN QUERY PLAN {text}")]
        assert not [step for step in plan if step.startswith("SCAN i")], (asked, plan)


def test_a_beginning_of_many_words_is_found_all_the_same(sql: Connection, monkeypatch: Any) -> None:
    """Beyond so many words FTS5 looks for the beginning itself."""
    few = find(sql, Asked(q="refu")).total
    monkeypatch.setattr(search, "TERMS", 1)

    assert find(sql, Asked(q="refu")).total == few == 2 * COUNT // 5


@pytest.mark.parametrize(
    ("typed", "there", "other"),
    [
        ("край", "край земли", "краина"),
        ("ガス", "ガス代", "カスタマー"),
        ("ελά", "ελάτε", "ελατο"),
        ("Éla", "élan", "eau"),
    ],
)
def test_a_beginning_is_spelled_as_the_index_spells_it(tmp_path: Path, typed: str, there: str, other: str) -> None:
    """A mark is no ornament in every script: the word that has it is found, its neighbour without it is not."""
    lake = Lake(tmp_path / "lake")
    happened(lake, *[interaction(n, input_messages=[{"role": "user", "content": text}])
                     for n, text in enumerate((there, other))])  # fmt: skip
    folder = Folder(lake, Settings(home=str(tmp_path)))
    folder.fold()
    folder.close()
    with reader(tmp_path / FILE) as found:
        assert [row["ask"] for row in find(found, Asked(q=typed)).rows] == [there]
