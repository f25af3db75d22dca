"""Whoever reads the tables without us sees the same rows: DuckDB, pyarrow, Polars, Spark."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from streams.lake import Lake
from streams.lake.maintain import compact, delete_rows
from streams.lake.query import read
from tests.support.lake import land_range, offsets_by_reader

SPARK_READS = {
    "BOOLEAN": {"NONE"},
    "INT32": {"NONE", "INT", "DATE"},
    "INT64": {"NONE", "INT", "TIMESTAMP"},
    "DOUBLE": {"NONE"},
    "BYTE_ARRAY": {"NONE", "STRING"},
}
"""Parquet physical type → logical types of it that every Spark since 3.0 reads, and older Delta readers do."""


@pytest.fixture
def busy(lake: Lake) -> Lake:
    """A table that has been appended to, compacted, erased from, and checkpointed."""
    for n in range(55):
        land_range(lake, n * 2, n * 2 + 2, day=n // 20, user=f"user-{n % 3}")
    compact(lake, "interactions", 2**20)
    delete_rows(lake, "interactions", pc.field("user_id") == "user-1")
    land_range(lake, 110, 112, day=3)
    return lake


def test_every_reader_sees_the_same_rows(busy: Lake) -> None:
    """Before and after compaction, erasure and checkpoints, by the Delta log and by the bare files."""
    expected = [offset for n in range(56) if n % 3 != 1 or n == 55 for offset in (2 * n, 2 * n + 1)]

    for reader, offsets in offsets_by_reader(busy).items():
        assert offsets == expected, reader


def test_a_plain_spark_reader_finds_nothing_that_it_does_not_know(busy: Lake) -> None:
    """The oldest reader protocol, no table features, and only Parquet types that Spark reads."""
    protocol = busy.open("interactions").protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
    assert not protocol.reader_features

    codecs = []
    for uri in busy.open("interactions").file_uris():
        file = pq.ParquetFile(uri)
        for n in range(len(file.schema)):
            column = file.schema.column(n)
            logical = json.loads(column.logical_type.to_json())
            assert logical["Type"].upper() in SPARK_READS[column.physical_type], column
            assert logical.get("timeUnit", "microseconds") == "microseconds", column
            assert logical.get("isSigned", True), column
        assert "ingest_date" not in file.schema.names  # a partition's value lies in the log and the path alone
        (codec,) = {file.metadata.row_group(0).column(n).compression for n in range(len(file.schema))}
        codecs.append(codec)
    assert sorted(codecs) == ["SNAPPY", "ZSTD", "ZSTD", "ZSTD"]  # what came last, and three days that were compacted


@pytest.mark.timeout(900)
def test_spark_itself_reads_the_same(busy: Lake) -> None:
    """A real Spark with Delta, in the environment that SPARK_PYTHON names (`pip install delta-spark`)."""
    if not (python := os.environ.get("SPARK_PYTHON")):
        pytest.skip("SPARK_PYTHON names no Python with pyspark and delta-spark")
    stored = read(busy, "interactions")
    counts = {
        "user_id = 'user-0'": 38,
        "extra IS NULL": stored.num_rows,
        "kafka_offset >= 100": sum(offset >= 100 for offset in stored["kafka_offset"].to_pylist()),
        "ingest_date = '2026-01-06'": Counter(map(str, stored["ingest_date"].to_pylist()))["2026-01-06"],
        "time >= timestamp'2026-01-05 09:00:00Z'": stored.num_rows,
    }
    script = Path(__file__).with_name("spark_reader.py")
    done = subprocess.run(
        [python, script, busy.uri("interactions"), *counts], capture_output=True, text=True, check=True, timeout=800
    )

    found = json.loads(done.stdout.splitlines()[-1])
    assert found["offsets"] == sorted(stored["kafka_offset"].to_pylist())
    assert found["counts"] == counts
    assert found["version_3"] == 6
    assert (found["first"]["id"], found["first"]["time"]) == ("id-0", "2026-01-05T09:00:00.000Z")
