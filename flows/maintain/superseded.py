"""What later runs have said anew goes: outcomes and voices that no reader sees, and most lists of clusters.

Versions that somebody may still want to read again keep the files that they need, as after a compaction. Where few
rows of the files in question are superseded, these stay until there are more: of outcomes a night reads the ids and
revisions of what has come since such rows last went. Go on to `stage.py`.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from flows.run import under_way
from streams.lake import Lake, checked
from streams.lake.maintain import SUPERSEDED, delete_rows, holding, rewrite_together
from streams.lake.parts import holding as those
from streams.lake.parts import since
from streams.lake.query import query, read

_SQL = {path.stem: path.read_text() for path in Path(__file__).parent.glob("*.sql")}
WORTH = 10
"""Rows that are rewritten to be rid of one: a superseded row then costs ten at most, and a tenth of a file is idle."""

NIGHTS = 2
"""How far back a night looks, of those in which rows went or none were there to go."""


def remove_superseded(lake: Lake, before: datetime) -> dict[str, int]:
    """Remove what nobody reads any more; table → rows that went.

    Of lists of clusters from before that time each day's last one stays. Erasures wait meanwhile; runs do not.
    """
    with under_way(lake):
        return {
            "outcomes": _outcomes(lake) if lake.exists("outcomes") else 0,
            "voices": _of_runs(lake, "voices", "old_voices"),
            "clusters": _of_runs(lake, "clusters", "old_lists", before=before),
        }


def _outcomes(lake: Lake) -> int:
    """Of each interaction the newest outcome stays, as the first: one commit, so that no reader sees two or none.

    What has come since the night before the last in which any went is looked at: a run that was under way then is over.
    """
    seen, version = checked.load(lake).settled.get("outcomes", []), lake.version("outcomes")
    part = since(lake, "outcomes", version, seen[0] if len(seen) == NIGHTS else -1)
    again = query(lake, _SQL["judged_again"], {"outcomes": version}, parts={"outcomes": part})["id"]
    ids = pa.concat_arrays(again.chunks) if again.num_chunks else pa.array([], pa.string())
    newest = query(
        lake,
        _SQL["newest_revisions"],
        {"outcomes": version},
        parts={"outcomes": those(lake, "outcomes", version, "interaction_id", ids)},
    )
    gone = sum(int(count) for count in newest["older"].to_pylist())
    if gone:
        found = holding(lake, "outcomes", pc.field("interaction_id").isin(ids), ("interaction_id", ids.to_pylist()))
        if gone * WORTH < sum(file.rows for file in found):
            return 0
        runs = pc.unique(read(lake, "runs")["run_id"])

        def newest_only(rows: pa.Table) -> pa.Table:
            return _newest_only(rows, newest, runs)

        if not rewrite_together(lake, "outcomes", list(found), newest_only, SUPERSEDED):
            return 0  # somebody else has rewritten one of the files: tomorrow
    memory = checked.load(lake)
    memory.settled["outcomes"] = [*seen, version][-NIGHTS:]
    checked.save(lake, memory)
    return gone


def _newest_only(rows: pa.Table, newest: pa.Table, runs: pa.Array) -> pa.Table:
    """The rows without those that have a newer one of a finished run, which takes the place of the first."""
    keys = pc.binary_join_element_wise(newest["application"], newest["interaction_id"], "\0")
    mine = pc.binary_join_element_wise(rows["application"], rows["interaction_id"], "\0")
    number = pc.index_in(mine, value_set=keys)
    highest = pc.take(newest["revision"], number)
    finished = pc.is_in(rows["run_id"], value_set=runs)
    revision = pc.fill_null(rows["revision"], -1)
    older = pc.fill_null(pc.and_(finished, pc.less(revision, highest)), False)
    holds = pc.fill_null(pc.and_(finished, pc.equal(revision, highest)), False)
    at = rows.schema.get_field_index("revision")
    first = pc.if_else(holds, pa.scalar(0, pa.int32()), rows["revision"])
    return rows.set_column(at, rows.schema.field(at), first).filter(pc.invert(older))


def _of_runs(lake: Lake, name: str, sql: str, **parameters: datetime) -> int:
    """Remove a table's rows of the finished runs that a query names."""
    if not lake.exists(name):
        return 0
    runs = query(lake, _SQL[sql], {name: lake.version(name)}, parameters)["run_id"]
    which = pc.field("run_id").isin(runs.combine_chunks())
    affected = holding(lake, name, which) if len(runs) else {}
    if affected:
        delete_rows(lake, name, which, affected, at_once=False)
    return sum(affected.values())
