"""A person's words out of the names and terms of clusters and themes, unless enough others say them too.

Out of what others typed about clusters too: names, reasons and words of `cluster_decisions`.

With `cluster.least_people` no name is made of one person's words; this is for those that were made before, under a
lower setting, or by people who have been erased since.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from schemas.events import to_json
from schemas.normalise import words
from schemas.unit import unit_of
from streams.lake import Lake
from streams.lake.maintain import ERASED, File, discard, files, holding, read_files, rewrite
from streams.lake.query import stored_rows

NAMELESS = "(its name was somebody's words)"
SHORT = 3
"""Letters of a word that is nobody's own."""
HOMES = ("cluster_members", "pinned_members")
TYPED = ("name", "reason", "words")
"""What a person wrote of a cluster."""
Few = Callable[[str], bool]
"""Whether a term is a person's, and not said by enough others."""


def unname(
    lake: Lake, interactions: Collection[str], least: int, copies: Callable[[set[str]], object] = lambda _words: None
) -> None:
    """Take off names and terms that these interactions say, and fewer than `least` other people.

    The texts are those of the clusters that the interactions are in, as outcomes have them: before these go. `copies`
    is told the words first, where there are any, to take them out of copies of the names: afterwards nobody knows them.
    """
    theirs = (row for table in HOMES for row in stored_rows(lake, table, interaction_id=interactions))
    homes = {row["cluster_id"] for row in theirs} - {""}
    few = _few(lake, homes, set(interactions), least) if homes else None
    if few is None:
        return
    if own := _own(lake, homes, few):
        copies(own)
    named = list(holding(lake, "clusters", pc.field("cluster_id").isin(pa.array(sorted(homes), pa.string()))))
    _change(lake, "clusters", named, lambda rows: _clusters(rows, homes, few))
    _change(lake, "cluster_decisions", _about(lake, homes), lambda rows: _decisions(rows, homes, few))
    told = [file for file in files(lake.open("runs")) if _tells(read_files(lake, "runs", [file]), few)]
    _change(lake, "runs", told, lambda rows: _runs(rows, few))


def _few(lake: Lake, homes: Collection[str], interactions: Collection[str], least: int) -> Few | None:
    members = {row["interaction_id"] for table in HOMES for row in stored_rows(lake, table, cluster_id=homes)}
    theirs: set[frozenset[str]] = set()
    others: dict[frozenset[str], set[str]] = {}
    for row in stored_rows(lake, "outcomes", interaction_id=members.union(interactions)):
        text = frozenset(words(row["text"] or ""))
        if row["interaction_id"] in interactions:
            theirs.add(text)
        else:
            others.setdefault(text, set()).add(unit_of(row["user_id"], row["conversation_id"]))

    @functools.cache
    def few(term: str) -> bool:
        wanted = frozenset(words(term))
        if not wanted or not any(wanted <= text for text in theirs):
            return False
        return len({unit for text, units in others.items() if wanted <= text for unit in units}) < least

    return few if theirs else None


def _own(lake: Lake, homes: Collection[str], few: Few) -> set[str]:
    """The person's words in names and terms."""
    named = stored_rows(lake, "clusters", cluster_id=homes)
    themes = (name for row in stored_rows(lake, "runs") for name in _themes(row).values())
    parts = {part for name in (*(row["name"] for row in named), *themes) for part in _parts(name)}
    return {word for word in parts.union(*(row["terms"] or () for row in named)) if few(word)}


def _about(lake: Lake, homes: Collection[str]) -> list[File]:
    if not lake.exists("cluster_decisions"):
        return []
    every = files(lake.open("cluster_decisions"))
    return [file for file in every if _concerned(read_files(lake, "cluster_decisions", [file]).to_pylist(), homes)]


def _concerned(rows: list[dict[str, Any]], homes: Collection[str]) -> list[dict[str, Any]]:
    return [row for row in rows if {row["cluster_id"], *(row["other_ids"] or ())} & set(homes)]


def _decisions(rows: pa.Table, homes: Collection[str], few: Few) -> pa.Table:
    changed = rows.to_pylist()
    for row in _concerned(changed, homes):
        for column in TYPED:
            if row[column] is not None and (kept := _named(row[column], few)) != row[column]:
                row[column] = None if column == "words" else kept  # no failure is looked for by the words instead
    return pa.Table.from_pylist(changed, schema=rows.schema)


def _clusters(rows: pa.Table, homes: Collection[str], few: Few) -> pa.Table:
    changed = rows.to_pylist()
    for row in changed:
        if row["cluster_id"] in homes:
            row["terms"] = [term for term in row["terms"] or () if not few(term)]
            row["name"] = _named(row["name"], few)
    return pa.Table.from_pylist(changed, schema=rows.schema)


def _runs(rows: pa.Table, few: Few) -> pa.Table:
    changed = rows.to_pylist()
    for row in changed:
        if themes := _themes(row):
            summary = msgspec.json.decode(row["summary"])
            _cluster_of(row["stage"], summary)["themes"] = {id_: _named(name, few) for id_, name in themes.items()}
            row["summary"] = to_json(summary)
    return pa.Table.from_pylist(changed, schema=rows.schema)


def _tells(rows: pa.Table, few: Few) -> bool:
    return any(_named(name, few) != name for row in rows.to_pylist() for name in _themes(row).values())


def _themes(row: dict[str, Any]) -> dict[str, str]:
    """The names of themes that a run told."""
    return dict(_cluster_of(row["stage"], msgspec.json.decode(row["summary"] or "{}")).get("themes") or {})


def _cluster_of(stage: str, summary: dict[str, Any]) -> dict[str, Any]:
    """The part that a cluster run summed up: all of its own summary, and a part of the turn's that it was in."""
    if stage == "cluster":
        return summary
    found = summary.get("cluster") if stage == "turn" else None
    return found if isinstance(found, dict) else {}


def _named(name: str, few: Few) -> str:
    return NAMELESS if any(map(few, _parts(name))) else name


def _parts(name: str) -> list[str]:
    return [*name.split(" / "), *(word for word in name.split() if len(word) > SHORT)]


def _change(lake: Lake, name: str, group: list[File], change: Callable[[pa.Table], pa.Table]) -> None:
    if group:
        discard(lake, name, rewrite(lake, name, group, change, ERASED, data_change=True))
