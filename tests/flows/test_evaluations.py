"""Finished evaluations as others read them."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from flows import ledger
from flows.evaluations import evaluation_of, scores_of
from flows.promote.stage import promote
from schemas.errors import UsageError
from schemas.records import Score
from schemas.tables import TABLES
from streams.lake import Lake
from streams.lake.append import create
from streams.lake.query import read
from tests.support.promotion import APP, BETTER, NEW, NOW, OLD, SEAL, SETTINGS, Told, eval_set, evaluated, visible


def older(lake: Lake, row: dict[str, Any]) -> None:
    """A table of evaluations as it was before sets had names: with a verdict that was always empty, and reasons."""
    gone = [("verdict", pa.string()), ("reasons", pa.list_(pa.string()))]
    kept = [field for field in TABLES["evaluations"].schema if field.name != "eval_set"]
    old = {**row, "verdict": "", "reasons": None}
    write_deltalake(lake.uri("evaluations"), pa.Table.from_pylist([old], pa.schema([*kept, *gone])))


def test_a_table_of_an_older_version_reads_and_takes_new_rows(lake: Lake, tmp_path: Any) -> None:
    """[old table, new evaluation]: both are found, and the old one still decides."""
    other = Lake(tmp_path / "other")
    evaluated(other, "e1", BETTER)
    older(lake, read(other, "evaluations").to_pylist()[0])
    ledger.bootstrap(lake, APP, OLD, "what we have", time=NOW, seal=SEAL)
    ledger.register(lake, APP, NEW, time=NOW, seal=SEAL)
    eval_set(lake, "set-1")
    visible(lake, "e1", "evaluate")

    evaluated(lake, "e2", BETTER)

    assert [evaluation_of(lake, APP, name).evaluation_id for name in ("e1", "e2")] == ["e1", "e2"]
    assert evaluation_of(lake, APP, "e1").eval_set == ""
    assert promote(lake, SETTINGS, NOW, "e1", Told()).action == "promoted"
    assert create(lake, "evaluations").to_pyarrow_table().num_rows == 2


def test_an_evaluation_is_had_once_it_is_finished(lake: Lake) -> None:
    """Rows of a run that was killed, and another application's, are none."""
    evaluated(lake, "e1", BETTER, finished=False)
    evaluated(lake, "e2", BETTER)

    with pytest.raises(UsageError, match="no finished evaluation 'e1'"):
        evaluation_of(lake, APP, "e1")
    with pytest.raises(UsageError, match="other: no finished evaluation 'e2'"):
        evaluation_of(lake, "other", "e2")


def test_scores_are_values_again(lake: Lake) -> None:
    """Every score of the evaluation and of no other, as it was."""
    evaluated(lake, "e1", BETTER[:2])
    evaluated(lake, "e2", BETTER)

    found = scores_of(lake, "e1")

    assert found == [
        msgspec.structs.replace(Score("", "champion", "exact", None), item_id=f"i{n}", role=role, score=score)
        for n, pair in enumerate(BETTER[:2])
        for role, score in zip(("champion", "candidate"), pair, strict=True)
    ]
