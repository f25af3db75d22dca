"""Records as rows of their table, and back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.acts import ClusterDecision, GoldenAct, Ignored
from schemas.records import Cluster, ClusterEvent, Evaluation, EventDetails, Member, PinnedMember, Score
from schemas.tables import TABLES
from schemas.trend import Closure, ClusterStatus
from streams.lake import Lake
from streams.lake.append import publish
from streams.lake.query import read
from streams.lake.rows import from_row, to_table

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
RATES = st.none() | st.floats(0, 1)
CLUSTERS = st.builds(
    Cluster,
    cluster_id=st.text(),
    name=st.text(),
    description=st.none() | st.text(),
    terms=st.lists(st.text()).map(tuple),
    size=st.integers(0, 10),
    size_total=st.integers(0, 10),
    rate=RATES,
    rate_low=RATES,
    rate_high=RATES,
    status=st.sampled_from(get_args(ClusterStatus)),
    first_seen=st.none() | st.just(NOW),
    trend=st.lists(st.tuples(st.just(NOW), st.integers(0, 9), st.integers(0, 9))).map(tuple),
    ignored=st.sampled_from([None, Ignored(decision="d", since="2026-01-05T09:00:00Z", before=((1, 2),), looks=3)]),
    segments=st.dictionaries(
        st.text(), st.dictionaries(st.text(), st.tuples(st.integers(0, 9), st.integers(0, 9), RATES, RATES))
    ),
)


@given(CLUSTERS)
def test_what_goes_into_a_table_comes_out_again(cluster: Cluster) -> None:
    """Texts, lists, times, nested values: a record read back is the record that was written."""
    table = to_table("clusters", [cluster], run_id="r", application="a")

    assert from_row(Cluster, table.to_pylist()[0]) == cluster
    assert table["run_id"].to_pylist() == ["r"]


def test_nested_values_are_canonical_text() -> None:
    """A JSON column holds keys in order and nothing that was not said: the same record gives the same bytes."""
    told = ClusterEvent(cluster_id="c", event="resolved", details=EventDetails(size=0, rate=None, window_start="then"))
    born = ClusterEvent(cluster_id="c", event="born")

    rows = to_table("cluster_events", [told, born]).to_pylist()

    assert [row["details"] for row in rows] == ['{"rate":null,"size":0,"window_start":"then"}', "{}"]


def test_a_row_of_an_older_table_reads() -> None:
    """A column that was not written yet, or is null, reads as the field's default."""
    row = {
        "cluster_id": "c", "name": "n", "size": 1, "size_total": 2, "status": "new", "closure": None, "moves": None,
        "some_other": "column",
    }  # fmt: skip

    found = from_row(Cluster, row)

    assert (found.closure, found.segments, found.rate, found.terms) == ((), {}, None, ())


def test_a_value_that_a_record_cannot_hold_is_refused() -> None:
    """What is no status is told, not carried on."""
    row = {"cluster_id": "c", "name": "n", "size": 1, "size_total": 2, "status": "confused"}

    with pytest.raises(msgspec.ValidationError, match="confused"):
        from_row(Cluster, row)


@pytest.mark.parametrize(
    ("table", "record"),
    [
        ("clusters", Cluster),
        ("cluster_members", Member),
        ("pinned_members", PinnedMember),
        ("cluster_events", ClusterEvent),
        ("cluster_decisions", ClusterDecision),
        ("golden", GoldenAct),
        ("scores", Score),
        ("evaluations", Evaluation),
    ],
)
def test_every_column_has_a_field(table: str, record: type[msgspec.Struct]) -> None:
    """A record's fields are its table's columns, but for those that all rows of a run share."""
    fields = {field.name for field in msgspec.structs.fields(record)}

    shared = {"run_id", "application", "evaluation_id", "policy", "feedback_id"}  # the last: of reviews alone
    assert fields - shared == set(TABLES[table].schema.names) - shared


def test_a_field_that_is_no_column_is_refused() -> None:
    """A record cannot lose a field on its way to the lake."""
    closure = Closure(
        time="then", model="m", action="promoted", before=(1, 2), after=(0, 2), difference=None, low=None, high=None,
        verdict="unclear",
    )  # fmt: skip

    with pytest.raises(KeyError):
        to_table("clusters", [closure])


def test_a_record_keeps_its_shape_through_the_lake(tmp_path: Path) -> None:
    """[record, table on disk, record]: closure and trend are values again."""
    lake = Lake(tmp_path / "lake")
    closure = Closure(
        time="2026-01-05T09:00:00+00:00", model="m", action="promoted", before=(1, 2), after=(0, 2), difference=-0.5,
        low=-0.9, high=0.1, verdict="unclear",
    )  # fmt: skip
    cluster = Cluster(
        cluster_id="c", name="n", size=1, size_total=2, rate=0.5, rate_low=0.1, rate_high=0.9, status="steady",
        trend=((NOW, 1, 2),), closure=(closure,), first_seen=NOW,
    )  # fmt: skip
    publish(lake, "clusters", to_table("clusters", [cluster], run_id="r", application="a"), "r")

    assert [from_row(Cluster, row) for row in read(lake, "clusters").to_pylist()] == [cluster]
