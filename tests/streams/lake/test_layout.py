"""What a lake remembers of its tables: never more than still lies there."""

from __future__ import annotations

import shutil

import pytest
from deltalake import DeltaTable

from flows.testing.events import happened, interaction
from schemas.errors import TableMissing
from streams.lake import Lake
from streams.lake.maintain import tidy_log
from streams.lake.query import query, read


def test_another_writers_commits_are_seen(lake: Lake) -> None:
    """A lake that was asked before says the newest version, whoever wrote it."""
    seen = [lake.version("interactions")]
    for n in range(3):
        happened(Lake(lake.root), interaction(n))
        seen.append(lake.version("interactions"))

    assert seen[0] == -1
    assert seen == sorted(set(seen))
    assert seen[-1] == DeltaTable(lake.uri("interactions")).version()
    assert len(read(lake, "interactions")) == 3


def test_an_older_version_stays_what_it_was(lake: Lake) -> None:
    """Newer and older versions are asked in turn: each answers with its own rows."""
    versions = []
    for n in range(2):
        happened(lake, interaction(n))
        versions.append(lake.version("interactions"))

    for _ in range(2):
        for at, rows in zip(versions, (1, 2), strict=True):
            found = query(lake, "SELECT count(*) AS n FROM interactions", {"interactions": at})
            assert found["n"].to_pylist() == [rows]


def test_a_table_that_was_made_anew_is_another(lake: Lake) -> None:
    """A folder removed and written again has the same versions, and none of the old rows."""
    happened(lake, interaction(1), interaction(2))
    assert len(read(lake, "interactions")) == 2

    shutil.rmtree(lake.uri("interactions"))
    assert lake.version("interactions") == -1
    assert len(read(lake, "interactions")) == 0

    happened(Lake(lake.root), interaction(3))
    assert read(lake, "interactions")["id"].to_pylist() == [interaction(3).id]


def test_a_version_whose_log_is_gone_is_named(lake: Lake) -> None:
    """What maintenance took away is not answered from memory."""
    for n in range(60):
        happened(lake, interaction(n))
    assert len(read(lake, "interactions", 2)) > 0

    assert tidy_log(lake, "interactions", 0, []) > 0

    with pytest.raises(TableMissing, match="no longer kept"):
        read(lake, "interactions", 2)
