"""Spark as the engine: for a lake whose sorts and joins no longer fit one machine.

Needs the extra `spark`, and this program in the Python of Spark's workers. Which files a table has as of a version
delta-rs says, here; Spark reads plain Parquet, so that no jar of Delta's is needed and every Spark will do. Writing
stays with delta-rs (`append.py`).

Addresses: `sc://host:15002` (Spark Connect), `spark://host:7077`, `local[2]` for a look. Go on to `engine.py`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from schemas.errors import SettingsError
from schemas.tables import TABLES
from streams.lake.layout import Lake
from streams.lake.rows import BATCH, Rows, Work

ALWAYS = {"spark.sql.session.timeZone": "UTC", "spark.sql.execution.arrow.maxRecordsPerBatch": str(BATCH)}
LOCAL = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.log.level": "ERROR",
    "spark.pyspark.python": sys.executable,  # else the workers take the first python3 of PATH
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
"""What a Spark inside this process is told beside: it is nobody else's, and few files are its tables."""
PARAMETER = re.compile(r"\$([a-z_]\w*)")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def session(url: str) -> Iterator[Spark]:
    """A session with the Spark at an address; the first one of a process connects, which takes some seconds.

    Raises SettingsError where pyspark is not installed.
    """
    yield Spark(_connected(url).newSession())


class Spark:
    """Spark as a session: views that only this question sees."""

    def __init__(self, spark: Any) -> None:
        self._spark = spark
        for name, value in ALWAYS.items():
            spark.conf.set(name, value)
        spark.udf.register("nfc", _nfc())

    def put(self, name: str, rows: pa.Table) -> None:
        """Rows of the caller's under a name."""
        frame = self._spark.createDataFrame(rows) if len(rows) else self._nothing(rows.schema)
        frame.createOrReplaceTempView(name)

    def files(self, name: str, lake: Lake, table: str, files: ds.Dataset) -> None:
        """Files of a table under a name, with all columns of its schema."""
        root = root_of(lake, table)
        missing = [field for field in TABLES[table].schema if field.name not in files.schema.names]
        schema = pa.schema([*files.schema, *missing])
        if not files.files:
            self._nothing(schema).createOrReplaceTempView(name)
            return
        reader = self._spark.read.schema(_spark_schema(schema)).option("basePath", root)
        frame = reader.parquet(*(f"{root}/{path}" for path in files.files))  # it puts what a folder's name says last
        frame.select(*(f"`{column}`" for column in schema.names)).createOrReplaceTempView(name)

    def view(self, name: str, sql: str) -> None:
        """What a SELECT gives, under a name."""
        self._spark.sql(sql).createOrReplaceTempView(name)

    def ask(self, sql: str, parameters: Mapping[str, Any]) -> Rows:
        """The answer to a SELECT, in its order."""
        moments = {name for name, value in parameters.items() if isinstance(value, datetime)}

        def spelled(found: re.Match[str]) -> str:
            name = found[1]
            return f"timestamp_micros(:{name})" if name in moments else f":{name}"

        values = {name: _value(value) for name, value in parameters.items()}
        return Answer(self._spark.sql(PARAMETER.sub(spelled, sql), args=values or None))

    def _nothing(self, schema: pa.Schema) -> Any:
        return self._spark.createDataFrame([], _spark_schema(schema))


def root_of(lake: Lake, table: str) -> str:
    """Where a table lies, as Spark wants to be told: with a scheme, and nothing in it escaped, which it does itself."""
    uri = lake.uri(table)
    return uri if "://" in lake.root else f"file://{Path(uri).resolve()}"


class Answer(Rows):
    """Rows that Spark has: they come a batch at a time, and one part of them is in memory."""

    def __init__(self, frame: Any, schema: pa.Schema | None = None) -> None:
        from pyspark.sql.pandas.types import to_arrow_schema  # noqa: PLC0415 an extra

        self._frame = frame
        self._schema = schema or to_arrow_schema(frame.schema, timezone="UTC")
        super().__init__(self._stream)

    def map(self, work: Work) -> Rows:
        """What a work makes of the rows: in Spark's workers."""

        def done(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            yield from work(batches)

        return Answer(self._frame.mapInArrow(done, _spark_schema(work.schema)), work.schema)

    def table(self) -> pa.Table:
        """All of them."""
        return _plain(self._frame.toArrow(), self._schema)

    def _stream(self, size: int) -> pa.RecordBatchReader:
        """Batches as they come; at most `size` rows each."""
        rows = self._frame.mapInArrow(_packer(), "batch BINARY").toLocalIterator()
        batches = (
            part
            for row in rows
            for batch in _plain(pa.ipc.open_stream(bytes(row[0])).read_all(), self._schema).to_batches()
            for part in _parts(batch, size)
        )
        return pa.RecordBatchReader.from_batches(self._schema, batches)


def _nfc() -> Any:
    """A text in normal form C: Spark has no function for it that its optimiser may move about, as `reflect` shows."""
    from pyspark.sql.functions import arrow_udf  # noqa: PLC0415 an extra

    def nfc(texts: pa.Array) -> pa.Array:
        from pyarrow import compute  # noqa: PLC0415 runs elsewhere

        return compute.utf8_normalize(texts, form="NFC")

    return arrow_udf(nfc, "string")


def _packer() -> Any:
    """Batches of anything as batches of one value: the bytes of a batch. Not at the top, so that it is sent as code."""

    def packed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as arrow  # noqa: PLC0415 runs elsewhere

        for batch in batches:
            sink = arrow.BufferOutputStream()
            with arrow.ipc.new_stream(sink, batch.schema) as stream:
                stream.write_batch(batch)
            yield arrow.RecordBatch.from_arrays(
                [arrow.array([sink.getvalue().to_pybytes()], arrow.binary())], ["batch"]
            )

    return packed


def _parts(batch: pa.RecordBatch, size: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, batch.num_rows, size):
        yield batch.slice(start, size)


def _plain(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The same values in the types that both engines answer in."""
    return table.cast(pa.schema([field.with_nullable(True) for field in schema]))


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        since = value - EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return value


def _spark_schema(schema: pa.Schema) -> Any:
    from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415 an extra

    return from_arrow_schema(pa.schema([field.with_nullable(True) for field in schema]))


def _connected(url: str) -> Any:
    """The process's Spark; made by the first question."""
    try:
        from pyspark.sql import SparkSession  # noqa: PLC0415 an extra
    except ImportError as error:
        raise SettingsError(
            f"the engine {url!r} is a Spark, and pyspark is not installed: pip install 'llm-flywheel[spark]', or leave "
            "FLYWHEEL_ENGINE empty for the engine that is built in"
        ) from error
    if url.startswith("sc://"):
        return SparkSession.builder.remote(url).getOrCreate()
    builder = SparkSession.builder.master(url).appName("llm-flywheel")
    if url.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        for name, value in LOCAL.items():
            builder = builder.config(name, value)
    return builder.getOrCreate()
