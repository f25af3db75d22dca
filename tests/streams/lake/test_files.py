"""How rows lie in a file: what is asked for alone lies apart, and no row group is much in memory."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from schemas.tables import TABLES
from streams.lake import Lake
from streams.lake.append import publish, to_rows
from streams.lake.files import to_parquet
from streams.lake.layout import dataset_of
from streams.lake.maintain import compact, read_files
from streams.lake.maintain import files as files_of
from streams.lake.parts import within

KINDS = [("failed", 0), ("failed", 2), ("ok", 0), ("ok", 1), ("unknown", 0), ("unknown", None)]


def outcome(number: int, kind: str, revision: int | None) -> dict[str, Any]:
    return {
        "run_id": "r", "application": "a", "interaction_id": f"i{number:05}", "time": datetime(2026, 1, 5, tzinfo=UTC),
        "conversation_id": "c", "request_model": "m", "outcome": kind, "revision": revision,
    }  # fmt: skip


def mixed(count: int, seed: int) -> pa.Table:
    """Outcomes of every kind, shuffled."""
    chance = random.Random(seed)
    return to_rows("outcomes", [outcome(n, *chance.choice(KINDS)) for n in range(count)])


def groups(file: pq.ParquetFile) -> list[pa.Table]:
    return [file.read_row_group(n) for n in range(file.num_row_groups)]


def test_outcomes_of_one_kind_lie_in_row_groups_of_their_own() -> None:
    """Each once, those of a kind in the order in which they came; and the footer says which group holds what."""
    rows = mixed(500, 1)
    file = pq.ParquetFile(to_parquet("outcomes", rows, {}))

    found = groups(file)
    assert [(group["outcome"][0].as_py(), group["revision"][0].as_py()) for group in found] == KINDS
    for group, (kind, revision) in zip(found, KINDS, strict=True):
        wanted = pc.equal(rows["outcome"], kind)
        same = pc.is_null(rows["revision"]) if revision is None else pc.equal(rows["revision"], revision)
        theirs = rows.filter(pc.and_(wanted, pc.fill_null(same, False)))
        assert group["interaction_id"].to_pylist() == theirs["interaction_id"].to_pylist()
    assert [file.metadata.row_group(n).column(9).statistics.min for n in range(len(KINDS))] == [k for k, _ in KINDS]


def test_who_wants_failures_reads_no_others(lake: Lake) -> None:
    """Of a table as runs write it, and of one whose files were joined: the row groups that are not skipped."""
    for number in range(3):
        publish(lake, "outcomes", mixed(200, number), f"r{number}")
    which = (pc.field("outcome") == "failed") | (pc.field("revision") > 0) | pc.field("revision").is_null()

    for _ in range(2):
        version = lake.version("outcomes")
        stored = dataset_of(lake.open("outcomes")).to_table()
        wanted = within(lake, "outcomes", version, which).dataset
        assert Counter(wanted.to_table()["interaction_id"].to_pylist()) == Counter(
            stored.filter(which)["interaction_id"].to_pylist()
        )
        files = dataset_of(lake.open("outcomes")).get_fragments()
        kinds = {kind for file in files for group in file.split_by_row_group(which) for kind in kinds_of(group)}
        assert kinds == set(KINDS) - {("ok", 0), ("unknown", 0)}
        compact(lake, "outcomes", 2**20)
    assert len(files_of(lake.open("outcomes"))) == 1


def kinds_of(group: ds.Fragment) -> set[tuple[str, int | None]]:
    rows = group.to_table()
    return set(zip(rows["outcome"].to_pylist(), rows["revision"].to_pylist(), strict=True))


def test_a_row_group_holds_few_vectors(lake: Lake) -> None:
    """4,000 of 256 numbers, in any file that is written; the rows are the same."""
    schema = TABLES["embeddings"].schema
    vector = [0.5] * 256
    rows = pa.Table.from_pylist(
        [{"embedder": "e", "text_hash": f"{n:05}", "vector": vector} for n in range(9_000)], schema=schema
    )
    publish(lake, "embeddings", rows, "one")

    (uri,) = lake.open("embeddings").file_uris()
    assert [group.num_rows for group in groups(pq.ParquetFile(uri))] == [3906, 3906, 1188]
    assert read_files(lake, "embeddings", files_of(lake.open("embeddings"))).cast(schema).equals(rows)


def test_rows_without_lists_fill_a_row_group() -> None:
    """As many as before: small row groups make files grow."""
    schema = TABLES["runs"].schema
    rows = pa.Table.from_pylist(
        [{"run_id": f"{n}"} for n in range(120_000)], schema=pa.schema([field.with_nullable(True) for field in schema])
    )
    file = pq.ParquetFile(to_parquet("runs", rows, {}))

    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [100_000, 20_000]
