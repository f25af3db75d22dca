"""What one row of an import needs of another: kept on disk, so that memory does not grow with the export."""

from __future__ import annotations

import sqlite3
import tempfile
from types import TracebackType
from typing import Any, Self

import msgspec


class Index:
    """Keys → JSON values, in a temporary file that goes with the process."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="flywheel-import-")
        self._rows = sqlite3.connect(f"{self._folder.name}/index", isolation_level=None)
        self._rows.execute("PRAGMA journal_mode = OFF")
        self._rows.execute("PRAGMA synchronous = OFF")
        self._rows.execute("CREATE TABLE kept (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        self._rows.execute("BEGIN")

    def keep(self, kind: str, key: object, value: Any) -> None:
        """Keep a value; the last one of a key stays."""
        row = (f"{kind}\n{key}", msgspec.json.encode(value))
        self._rows.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", row)

    def find(self, kind: str, key: object) -> Any:
        """The value of a key, or None."""
        found = self._rows.execute("SELECT value FROM kept WHERE key = ?", (f"{kind}\n{key}",)).fetchone()
        return msgspec.json.decode(found[0]) if found else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._rows.close()
        self._folder.cleanup()
