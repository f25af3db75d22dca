"""Two versions of a hundred thousand rows: what came and went, by id, within two seconds."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.versions import Version
from schemas.errors import FilesMissing
from schemas.settings import Settings
from ui.rows_of import SHOWN, difference, page

ROWS = 100_000
MOST_S = 2.0


def version(settings: Settings, name: str, first: int) -> Version:
    """A version of ROWS rows, numbered from `first` on."""
    one = Version("support-bot", "all", name, "training", f"all/{name}", "", datetime(2026, 1, 1, tzinfo=UTC), {}, {})
    folder = one.folder(settings) / "data"
    folder.mkdir(parents=True)
    ids = [f"{n:032x}" for n in range(first, first + ROWS)]
    texts = [f"a question about order {n}, and all that belongs to it" for n in range(ROWS)]
    pq.write_table(pa.table({"row_id": ids, "prompt": texts}), folder / "sft-train-00000-of-00001.parquet")
    return one


def test_a_difference_of_large_versions_is_quick(tmp_path: Path) -> None:
    """A tenth is new, a tenth is gone: counted, some of either shown, in two seconds of CPU."""
    settings = Settings(home=str(tmp_path))
    before, after = version(settings, "v1", 0), version(settings, "v2", ROWS // 10)
    costs = []
    for _ in range(3):  # of a busy machine the quickest
        began = time.process_time()
        found = difference(after, before, settings)
        costs.append(time.process_time() - began)

    assert (found.added, found.removed, found.kept) == (ROWS // 10, ROWS // 10, ROWS - ROWS // 10)
    assert len(found.added_rows) == len(found.removed_rows) == SHOWN
    assert found.removed_rows[0]["row_id"] == f"{0:032x}"
    assert min(costs) <= MOST_S


def test_a_version_whose_files_are_missing_differs_in_nothing_that_anybody_knows(tmp_path: Path) -> None:
    """Not in all of its rows, as an empty one would."""
    settings = Settings(home=str(tmp_path))
    before = version(settings, "v1", 0)
    lost = msgspec.structs.replace(before, path="all/v2", rows={"sft/train": ROWS})

    with pytest.raises(FilesMissing):
        difference(lost, before, settings)
    with pytest.raises(FilesMissing):
        page(lost, settings, "sft", 0, SHOWN)
    assert page(msgspec.structs.replace(lost, status="withdrawn"), settings, "sft", 0, SHOWN) == ([], 0)
