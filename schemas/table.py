"""What a table of the lake is, and the types and columns that many have. Go on to `tables.py`."""

from __future__ import annotations

import msgspec
import pyarrow as pa

TIME = pa.timestamp("us", tz="UTC")
TEXTS = pa.list_(pa.string())
JSON = pa.string()
"""JSON text: nested values whose shape the lake must not fix (inferred structs corrupt tool calls)."""

RUN_ID = pa.field("run_id", pa.string(), nullable=False)
"""Hash of what a run read and how: table versions, settings, code version. The same run twice is one run."""
APPLICATION = pa.field("application", pa.string(), nullable=False)
INTERACTION_ID = pa.field("interaction_id", pa.string(), nullable=False)


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One Delta table of the lake."""

    name: str
    schema: pa.Schema
    identity: tuple[str, ...]
    """The columns that name a row: equal values are one row to every reader."""
    partition_by: tuple[str, ...] = ()
    low_cardinality: tuple[str, ...] = ()
    """Columns worth a Parquet dictionary; on others it costs time and saves nothing."""
    apart: tuple[str, ...] = ()
    """Columns of which each set of values has row groups of its own: who wants one of them need not read the others."""
    raw: bool = False

    @property
    def of_run(self) -> bool:
        """Whether its rows belong to runs: visible once their run is finished."""
        return "run_id" in self.schema.names and self.identity != ("run_id",)
