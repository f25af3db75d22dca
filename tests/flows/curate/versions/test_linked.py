"""Versions that share files: an erasure finds all of them, and what it removes is in none that lives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.curate.folder.disk import application_folder, check
from flows.curate.folder.folder import write
from flows.curate.folder.shards import Sizes
from flows.curate.versions.withdraw import clear, withdrawals
from flows.testing.events import START
from flows.testing.world import AS_OF
from flows.versions import Version
from schemas.records import Example
from schemas.settings import Settings
from tests.support.examples import FACTS, example

SMALL = Sizes(least=3_000, more=1_500, most=9_000)
ROWS = [example(n, f"question {n}") for n in range(120)]
FORGOTTEN = {"unit-3": START + timedelta(days=1)}
"""Whose row lies in the first file."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path))


def version(settings: Settings, rows: Sequence[Example], kind: str = "training") -> Version:
    """A version of the rows, on disk."""
    root = application_folder(settings.datasets_path, settings.application)
    folder = write(root, f"all-{kind}", {("sft", "train"): rows}, FACTS, sizes=SMALL)
    return Version(
        application=settings.application,
        dataset="all",
        version=folder.version,
        kind=kind,
        path=folder.path.relative_to(settings.datasets_path).as_posix(),
        sha256=folder.sha256,
        created=AS_OF,
        rows=folder.rows,
        manifest=folder.manifest,
    )


def places(settings: Settings, one: Version) -> set[int]:
    return {path.stat().st_ino for path in one.files(settings)}


def units(root: Path) -> set[str]:
    """Whose rows lie anywhere below, hidden folders included."""
    return {unit for path in root.rglob("*.parquet") for unit in pq.read_table(path)["unit"].to_pylist()}


def test_every_version_that_shares_a_persons_file_goes_and_no_other(settings: Settings) -> None:
    """Two hold the file with the row; a third, of the same later files, has none of it and stays whole."""
    one, other, without = (version(settings, rows) for rows in (ROWS[:95], ROWS, [*ROWS[:3], *ROWS[4:]]))
    assert places(settings, one) & places(settings, other)
    assert places(settings, other) & places(settings, without)

    marks = withdrawals([one, other, without], settings, FORGOTTEN, (), AS_OF)
    gone = clear([*marks, without], settings)

    assert {mark.version for mark in marks} == {one.version, other.version}
    assert gone == 2
    assert check(without.folder(settings))
    assert units(settings.datasets_path) == {row.unit for row in ROWS} - {"unit-3"}


def test_a_frozen_set_without_a_persons_rows_lends_no_file_for_what_it_held(settings: Settings) -> None:
    """What replaces it says nothing of shards: a later build with the whole rows is what it would be without it."""
    frozen = version(settings, ROWS, "frozen")
    mark, replaced = withdrawals([frozen], settings, FORGOTTEN, (), AS_OF)
    clear([mark, replaced], settings)

    assert frozen.manifest["shards"].keys() == {path.name for path in replaced.files(settings)}
    assert "shards" not in check(replaced.folder(settings))
    again = version(settings, ROWS)
    assert not places(settings, again) & places(settings, replaced)
    assert again.rows == {"sft/train": 120}
