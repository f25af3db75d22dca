"""Rows into a table: one Delta commit, all or nothing, with the `txn` versions that make it exactly once.

`Writer` is the archiver's: its versions are committed Kafka offsets. `publish` is the flows': its `txn` names the run.
Go on to `maintain.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction

from schemas.errors import CommitConflict, LakeError, SchemaMismatch
from schemas.tables import TABLES
from streams.lake.files import FRESH, indexed, write
from streams.lake.layout import Lake, files_of

PUBLISH_TRIES = 10
"""Concurrent publishers of one table are few; each retry reloads the table and looks for its own run first."""
NUMBER = "number"
"""The `app_id` under which a table counts its commits."""
NUMBER_TRIES = 50
"""As many as a ledger's: a lost race is a run that somebody else has finished in the same milliseconds."""
CREATE_PAUSES_S = (0.0, 0.05, 0.2, 0.5, 1.0)
"""Before each try to have a table that several processes make at once."""
REBASE_TRIES = 30
"""Tries of one commit beside writers of other partitions; each costs one listing of the log, not a new file."""
PROPERTIES = {
    # A reader replays at most 50 commits; a checkpoint of a healthy table takes 10 ms.
    "delta.checkpointInterval": "50",
    # Versions that datasets were built from must stay readable: the maintain flow alone decides what may go.
    "delta.enableExpiredLogCleanup": "false",
}


Handle = DeltaTable
"""A table as of one version; what a commit is checked against."""


class Span(msgspec.Struct, frozen=True):
    """What a commit says of one Kafka partition."""

    expected: int | None
    """The committed offset that the table must show before: the first one covered; None before the first commit."""
    next: int
    """The committed offset that it shows after: one beyond the last one covered."""


def committed_id(topic: str, topic_id: str, partition: int) -> str:
    """The name under which a table keeps the committed offset of one Kafka partition: the next one to archive."""
    return f"archive:{topic}:{topic_id}:{partition}"


def start_id(topic: str, topic_id: str, partition: int) -> str:
    """The name under which it keeps the first offset that was ever archived: the audit counts from there."""
    return f"start:{topic}:{topic_id}:{partition}"


def create(lake: Lake, name: str) -> DeltaTable:
    """The table's handle; made empty where it does not exist yet, grown where this version knows more columns.

    Growing rewrites no file. Raises SchemaMismatch, with the differences, where a column's type has changed, and
    LakeError where others make or change the table for seconds.
    """
    schema = pa.schema([field.with_nullable(True) for field in TABLES[name].schema])
    for pause in CREATE_PAUSES_S:
        time.sleep(pause)
        # Another makes or grows it: its folder is there and its first commit is not yet, or its commit was first.
        with suppress(TableNotFoundError, CommitFailedError):
            return _grown(_found_or_made(lake, name, schema), name, schema)
    raise LakeError(f"table {name!r} under {lake.root} is being made or changed by others: try again")


def _found_or_made(lake: Lake, name: str, schema: pa.Schema) -> DeltaTable:
    try:
        return lake.handle(name)
    except TableNotFoundError:
        return DeltaTable.create(
            lake.uri(name),
            schema,
            mode="ignore",
            partition_by=list(TABLES[name].partition_by),
            configuration={**PROPERTIES, "delta.dataSkippingStatsColumns": ",".join(indexed(name))},
            storage_options=lake.storage_options or None,
        )


def append(lake: Lake, name: str, rows: pa.Table, txns: Mapping[str, int], handle: DeltaTable | None = None) -> None:
    """Commit rows and `txns` (`app_id` → version) in one transaction; the table is made or grown where it has to be.

    `handle` must be the very handle at which the caller checked that its versions are still what it expects: a second
    writer of the same `app_id` is then refused. Raises CommitConflict; reload the handle and look at its versions.
    """
    handle = create(lake, name) if handle is None else handle
    _commit(handle, name, write(lake, name, rows, {app: str(version) for app, version in txns.items()}), txns)


class Writer:
    """The archiver's way into one table: each batch, and the offsets that it covers, in one transaction.

    It asks the table once for its committed offsets, as of the handle, and then knows them from its own commits:
    delta-rs reads the log anew for each, 1 to 3 ms a Kafka partition.
    """

    def __init__(self, lake: Lake, name: str) -> None:
        """Make or grow the table where it has to be. Raises what `create` raises."""
        self.handle = create(lake, name)
        self._lake, self._name = lake, name
        self._committed: dict[str, int | None] = {}

    def committed(self, app: str) -> int | None:
        """The offset that the handle shows as committed; None before its first commit."""
        if app not in self._committed:
            self._committed[app] = self.handle.transaction_version(app)
        return self._committed[app]

    def land(self, rows: pa.Table, spans: Mapping[str, Span]) -> None:
        """Commit a batch.

        1. The handle's committed offsets are compared with what the batch expects.
        2. Files are written; a kill from here on leaves orphans for vacuum, nothing else.
        3. Files and offsets are committed on that same handle: delta-rs refuses if anybody moved one of them since.

        Rows may be empty: a batch of nothing but bad events still moves the offsets. Raises CommitConflict where the
        committed ones are not the expected ones; any other error leaves the outcome open: make a new writer and
        compare them.
        """
        for app, span in spans.items():
            if (committed := self.committed(app)) != span.expected:
                raise CommitConflict(
                    f"{self._name}: {app} is at {committed}, not at {span.expected}: another archiver wrote it"
                )
        note = {app: f"{span.expected or 0}-{span.next}" for app, span in spans.items()}
        actions = write(self._lake, self._name, rows, note, FRESH)
        moved = {app: span.next for app, span in spans.items()}
        before = self.handle.version()
        _commit(self.handle, self._name, actions, moved)
        self.handle.update_incremental()
        # One version further it is our own commit, its offsets are known; else others may have moved theirs, or ours.
        self._committed = {**self._committed, **moved} if self.handle.version() == before + 1 else {}


def publish(lake: Lake, name: str, rows: pa.Table | Iterable[pa.Table], run_id: str) -> bool:
    """Commit a run's rows once: True where they were written, False where this run had written them before.

    Of several tables each goes into files of its own, and they come into memory one after the other. Safe to repeat
    after a kill at any moment, and beside other runs that publish to the same table.
    """
    txn = {f"run:{run_id}": 1}
    actions: list[AddAction] | None = None
    for last in (*([False] * (PUBLISH_TRIES - 1)), True):
        handle = create(lake, name)
        if handle.transaction_version(f"run:{run_id}") is not None:
            return False
        if actions is None:
            tables, names = [rows] if isinstance(rows, pa.Table) else rows, TABLES[name].schema.names
            actions = [one for table in tables for one in write(lake, name, table.select(names), {"run": run_id})]
        try:
            _commit(handle, name, actions, txn)
        except CommitConflict:
            if last:
                raise
        else:
            return True
    return False


def publish_next(lake: Lake, name: str, rows: Callable[[int], pa.Table], run_id: str) -> bool:
    """Commit a run's rows once, as `publish` does, numbered: `rows` is given 1 more than the last one was.

    1. Where the table shows the run's transaction, it was there before.
    2. The number is a `txn` version of the table, read from the handle that the commit is made on.
    3. Of two at one moment, one is refused and takes the next number.
    """
    txn = f"run:{run_id}"
    for _ in range(NUMBER_TRIES):
        handle = create(lake, name)
        if handle.transaction_version(txn) is not None:
            return False
        number = (handle.transaction_version(NUMBER) or 0) + 1
        try:
            append(lake, name, rows(number), {txn: 1, NUMBER: number}, handle)
        except CommitConflict:
            continue
        return True
    raise CommitConflict(f"{name}: {NUMBER_TRIES} other runs were finished first; try again")


def dead_offsets(handle: Handle, topic: str, topic_id: str, partition: int, first: int) -> frozenset[int]:
    """The offsets of one Kafka partition, from `first` on, that `handle` (of `dead_letters`) knows as dead letters."""
    place = (
        (pc.field("kafka_topic") == topic)
        & (pc.field("kafka_topic_id") == topic_id)
        & (pc.field("kafka_partition") == partition)
        & (pc.field("kafka_offset") >= first)
    )
    letters = files_of(handle).to_table(columns=["kafka_offset", "offsets"], filter=place).to_pylist()
    return frozenset(
        offset for row in letters for offset in range(row["kafka_offset"], row["kafka_offset"] + (row["offsets"] or 1))
    )


def to_rows(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Plain values as the table's Arrow rows; a missing column is null."""
    return pa.Table.from_pylist(rows, schema=TABLES[name].schema)


def _commit(handle: DeltaTable, name: str, actions: list[AddAction], txns: Mapping[str, int]) -> None:
    transactions = [Transaction(app_id=app, version=version) for app, version in sorted(txns.items())]
    try:
        handle.create_write_transaction(
            list(actions),
            mode="append",
            schema=handle.schema(),
            partition_by=list(TABLES[name].partition_by),
            commit_properties=CommitProperties(app_transactions=transactions, max_commit_retries=REBASE_TRIES),
        )
    except CommitFailedError as error:
        raise CommitConflict(f"{name}: another writer committed the same `txn` first ({error})") from error
    except DeltaError as error:
        raise LakeError(f"{name}: the commit failed: {error}") from error


def _grown(handle: DeltaTable, name: str, wanted: pa.Schema) -> DeltaTable:
    """The handle, its table grown by the columns that it lacks."""
    ours = {field.name: field for field in Schema.from_arrow(wanted).fields}
    stored = {field.name: field for field in handle.schema().fields}
    both = [(column, stored[column].type, ours[column].type) for column in ours if column in stored]
    if changed := [f"{column}: stored {old}, now {new}" for column, old, new in both if old != new]:
        raise SchemaMismatch(
            f"table {name!r} cannot be grown into this version's schema; columns whose type changed: "
            f"{'; '.join(changed)}. Add a new column instead of changing one, or use the version that wrote the table."
        )
    if missing := [field for column, field in ours.items() if column not in stored]:
        handle.alter.add_columns(missing)
        handle.update_incremental()
    return handle
