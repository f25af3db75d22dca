"""The index's file: opened for its one writer, opened for readers, thrown away where it is another version's.

Go on to `fold.py`, the writer.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ui.index import rows

SCHEMA = Path(__file__).with_name("schema.sql").read_text()
WAIT_S = 5.0
"""A reader waits at most so long for the writer to end a checkpoint."""
CACHE_KIB = 32 * 1024
PAGE_BYTES = 8192
"""Of the file: rows of 200 bytes leave half as much unused as in SQLite's own 4096, and 5 % of the file with it."""


def version_of(application: str) -> int:
    """Of this form of the index, for one application: a file of any other is made anew."""
    form = (SCHEMA + Path(rows.__file__).read_text() + application).encode()
    return int.from_bytes(hashlib.sha256(form).digest()[:4], "big") >> 1


def open_writer(path: Path, application: str) -> sqlite3.Connection:
    """The connection of the one writer; the file is made where it is missing or another version's."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = version_of(application)
    connection = _connected(path)
    if connection.execute("PRAGMA user_version").fetchone()[0] != wanted:
        connection.close()
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
        connection = _connected(path)
        connection.executescript(SCHEMA)
        connection.execute(f"PRAGMA user_version = {wanted}")
    return connection


@contextmanager
def reader(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that can only read, for the questions of one page; rows by name."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=WAIT_S)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA query_only = ON")
        yield connection
    finally:
        connection.close()


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
    connection.executescript(
        f"""
        PRAGMA page_size = {PAGE_BYTES}; PRAGMA journal_mode = WAL;
        PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;
        PRAGMA cache_size = -{CACHE_KIB}; PRAGMA temp_store = MEMORY;
        """
    )  # what was deleted is overwritten: an erased person's words lie in no free page
    connection.create_function("bucket", 1, rows.bucket, deterministic=True)
    connection.create_function("unhex", 1, bytes.fromhex, deterministic=True)  # SQLite has it from 3.41 on
    return connection
