"""Commits of the lake ▶ the index. Each commit is read once; what is new is added to the counts, and no more touched.

1. Erasures first: whoever asked to be forgotten is taken out, and does not come in again.
2. Raw rows that came, in the order of their commits; the first of an id counts, as in the lake's views.
3. Days that a commit rewrote are read anew, and rows that are gone there go here.
4. What cluster runs concluded since: outcomes, homes, vectors.
5. Summaries: rows that came are added; days with others, fewer, or another outcome are counted anew.

One transaction each time: a kill leaves the index as it was. Go on to `../state.py`, which keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flows.run import runs
from schemas.settings import Settings
from schemas.unit import unit_of
from streams.lake import Lake
from streams.lake.append import Handle
from streams.lake.changes import Changes, batches, changes, paths_of
from streams.lake.query import query
from ui.index import rows
from ui.index.store import open_writer

FILE = Path("ui") / "index.sqlite"
"""Below the home."""
SQL = {path.stem: path.read_text() for path in Path(__file__).parent.glob("*.sql")}
RAW = ("interactions", "feedback")
DAY_MS = 86_400_000
COLUMNS = (
    "id", "time", "arrived", "conversation", "unit", "dim", "outcome", "error", "duration", "tokens_in", "tokens_out",
    "cost", "ask", "reply",
)  # fmt: skip
DIM = COLUMNS.index("dim")
NEW = "n > :after"
OF_DAY = "time / 3600000 BETWEEN :hours - 1 AND :hours + 24 AND time >= :first AND time < :last"
"""Which interactions are counted; of a day as the index `by_hour` finds them."""
PUT = f"INSERT OR IGNORE INTO interaction ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 names are ours


class Folder:
    """The one writer of an index."""

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self._lake, self._application = lake, settings.application
        self._keep_out = settings.archive.after_erasure == "refuse"
        self._sql = open_writer(settings.home_path / FILE, settings.application)
        self._handles: dict[str, Handle] = {}
        self._dims: dict[tuple[str, str, str], int] = {}
        self._deleted = True  # perhaps, by a process that was killed
        self._left_out: list[tuple[bytes | None]] = []
        self._know_dims()

    def close(self) -> None:
        """Let go of the file."""
        self._sql.close()

    def fold(self) -> dict[str, int]:
        """Take in what came since the last time; table → its version now. Cheap where nothing came."""
        # runs first: what one of them has read is among the rows that are taken in, else what it says of them were lost
        now = {name: handle.version() for name in ("runs", *RAW, "erasures") if (handle := self._handle(name))}
        if now == self.known():
            self._overwrite()
            return now
        first, self._left_out = not self.known(), []
        self._sql.execute("BEGIN IMMEDIATE")
        try:
            days, last = self._forget("erasures" in now), self._last()
            days |= self._rows("interactions", first) | self._rows("feedback", first)
            self._sql.executemany(SQL["leave_out"], self._left_out)
            days |= self._concluded(now["runs"]) if now.get("runs", -1) != self._since("runs") else set()
            self._summarise(days, None if first else last)
            self._sql.executemany("INSERT OR REPLACE INTO upto VALUES (?, ?)", now.items())
            self._sql.execute("COMMIT")
        except BaseException:
            self._sql.execute("ROLLBACK")
            self._know_dims()
            raise
        self._overwrite()
        return now

    def known(self) -> dict[str, int]:
        """Table → the version that is in the index."""
        return dict(self._sql.execute("SELECT name, version FROM upto WHERE name NOT LIKE '%:%'"))

    def _overwrite(self) -> None:
        """What was deleted goes from the log's old pages too; tried again later where somebody still reads these."""
        if self._deleted:
            (busy, *_) = self._sql.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._deleted = bool(busy)

    def _handle(self, name: str) -> Handle | None:
        """The table as it is now; None where there is none yet."""
        if name in self._handles:
            self._handles[name].update_incremental()
        elif self._lake.exists(name):
            self._handles[name] = self._lake.open(name)
        return self._handles.get(name)

    def _since(self, name: str) -> int:
        found = self._sql.execute("SELECT version FROM upto WHERE name = ?", (name,)).fetchone()
        return int(found[0]) if found else -1

    def _forget(self, asked: bool) -> set[int]:
        """Take out whoever asked for it since; the days that they had a part in."""
        handle = self._handles.get("erasures")
        if not asked or handle is None or handle.version() == self._since("erasures"):
            return set()
        found = changes(self._lake, "erasures", handle, self._since("erasures"))
        paths = [*found.files, *paths_of(handle, found.days)]
        days: set[int] = set()
        for batch in batches("erasures", handle, paths, ("subject", "application", "time")):
            for row in batch.to_pylist():
                if row["application"] in {None, self._application}:
                    until = 2**62 if self._keep_out else rows.milliseconds(row["time"])
                    days |= self._forget_one(rows.key_of(unit_of(row["subject"], "")), until)
        return days

    def _forget_one(self, unit: int, until: int) -> set[int]:
        self._deleted = True
        self._sql.execute(
            "INSERT INTO forgotten VALUES (?, ?) ON CONFLICT (unit) DO UPDATE SET until = max(until, excluded.until)",
            (unit, until),
        )
        mine = f"SELECT id FROM interaction WHERE {rows.OF_UNIT} AND time <= ?"  # noqa: S608 ours
        self._sql.execute(
            f"DELETE FROM feedback WHERE (unit = ? AND time <= ?) OR interaction IN ({mine})",  # noqa: S608 ours
            (unit, until, unit, unit, until),
        )
        return self._delete(f"{rows.OF_UNIT} AND time <= ?", (unit, unit, until))

    def _delete(self, which: str, values: Iterable[Any]) -> set[int]:
        """Take interactions out, with their words and vectors; the days that they were in."""
        at = tuple(values)
        found = self._sql.execute(
            f"SELECT n, time, h.text, ask, reply FROM interaction LEFT JOIN home AS h USING (n) WHERE {which}",  # noqa: S608 ours
            at,
        ).fetchall()
        if not found:
            return set()
        self._deleted = True
        self._sql.executemany(
            "INSERT INTO words (words, rowid, ask, reply) VALUES ('delete', ?, ?, ?)",
            [(n, ask, reply) for n, _, _, ask, reply in found],
        )
        for table in ("interaction", "home"):
            self._sql.executemany(f"DELETE FROM {table} WHERE n = ?", [(n,) for n, *_ in found])  # noqa: S608 ours
        texts = {text for _, _, text, _, _ in found if text is not None}
        self._sql.executemany("DELETE FROM vector WHERE n = ?", [(n,) for n in texts])
        self._sql.executemany("UPDATE home SET text = NULL WHERE text = ?", [(n,) for n in texts])
        self._sql.execute(
            "INSERT INTO words (words) VALUES ('optimize')"
        )  # else a word stays until segments are joined
        return {time // DAY_MS for _, time, *_ in found}

    def _rows(self, name: str, first: bool) -> set[int]:
        """Raw rows that came; the days from which some went."""
        handle = self._handles.get(name)
        if handle is None or handle.version() == self._since(name):
            return set()
        found = changes(self._lake, name, handle, self._since(name))
        put = self._put_interactions if name == "interactions" else self._put_feedback
        columns = rows.INTERACTION if name == "interactions" else rows.FEEDBACK
        later = self._without_indexes() if first and name == "interactions" else ()
        for batch in batches(name, handle, found.files, columns):
            put(batch, first)
        for text in later:
            self._sql.execute(text)
        days = self._read_anew(name, handle, found, columns, put) if found.days or found.whole else set()
        if first and name == "interactions":
            self._sql.execute("INSERT INTO words (words) VALUES ('rebuild')")
        return days

    def _without_indexes(self) -> list[str]:
        """Drop what finds interactions but by their id; what makes it again, which of many at once is half the work."""
        found = self._sql.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'interaction' AND sql IS NOT NULL"
        ).fetchall()
        for name, _ in found:
            self._sql.execute(f"DROP INDEX {name}")
        return [text for _, text in found]

    def _read_anew(self, name: str, handle: Handle, found: Changes, columns: tuple[str, ...], put: Any) -> set[int]:
        """Days that a commit rewrote: rows that are no longer there go, and others are there already or come.

        All days, where it is not known any more which.
        """
        days: set[int] = set()
        there: set[bytes | None] = set()
        for batch in batches(name, handle, paths_of(handle, found.days), columns):
            there |= {rows.id_of(each) for each in batch["id"].to_pylist()}
            put(batch, False)
        table = "interaction" if name == "interactions" else "feedback"
        anew = {(day - rows.EPOCH).days for day in found.days}
        if found.whole:
            anew = {day for (day,) in self._sql.execute(f"SELECT DISTINCT arrived FROM {table}")}  # noqa: S608 ours
        for day in sorted(anew):
            held = [id_ for (id_,) in self._sql.execute(f"SELECT id FROM {table} WHERE arrived = ?", (day,))]  # noqa: S608 ours
            for gone in (id_ for id_ in held if id_ not in there):
                if table == "interaction":
                    days |= self._delete("id = ?", (gone,))
                else:
                    self._deleted = True
                    self._sql.execute("DELETE FROM feedback WHERE id = ?", (gone,))
        return days

    def _put_interactions(self, batch: Any, first: bool) -> None:
        forgotten = dict(self._sql.execute("SELECT unit, until FROM forgotten"))
        values = []
        for row in rows.interactions(batch, self._application):
            if row[1] > forgotten.get(row[4], -(2**62)):
                values.append((*row[:DIM], self._dim(row[DIM]), *row[DIM + 1 :]))
            else:
                self._left_out.append(row[:1])
        last = self._last()
        self._sql.executemany(PUT, values)
        self._sql.execute(SQL["widen"], {"after": last})
        if not first:
            self._sql.execute(
                "INSERT INTO words (rowid, ask, reply) SELECT n, ask, reply FROM interaction WHERE n > ?", (last,)
            )

    def _put_feedback(self, batch: Any, _first: bool) -> None:
        forgotten = dict(self._sql.execute("SELECT unit, until FROM forgotten"))
        values = [
            value for value in rows.feedback(batch, self._application) if value[2] > forgotten.get(value[4], -(2**62))
        ]
        self._sql.executemany(SQL["put_feedback"], values)
        self._sql.execute(SQL["standing"], {"ids": _json_ids([value[0] for value in values])})

    def _last(self) -> int:
        """The newest interaction's number."""
        return int(self._sql.execute("SELECT coalesce(max(n), 0) FROM interaction").fetchone()[0])

    def _know_dims(self) -> None:
        found = self._sql.execute("SELECT n, model, prompt, variant FROM dim")
        self._dims = {(model, prompt, variant): n for n, model, prompt, variant in found}

    def _dim(self, of: tuple[str, str, str]) -> int:
        if of not in self._dims:
            cursor = self._sql.execute("INSERT INTO dim (model, prompt, variant) VALUES (?, ?, ?)", of)
            self._dims[of] = cursor.lastrowid or 0
        return self._dims[of]

    def _concluded(self, version: int) -> set[int]:
        """What cluster runs concluded since the last time; `version` is that of their table."""
        history = runs(self._lake, "cluster", self._application, version)
        since = self._since("of:cluster")
        fresh = [run for run in history if (run.sequence or 0) > since]
        if not fresh:
            return set()
        asked = {"application": self._application, "runs": [run.run_id for run in fresh]}
        days = self._outcomes(asked) | self._homes(asked)
        self._vectors()
        newest = max(run.sequence or 0 for run in fresh)
        self._sql.execute("INSERT OR REPLACE INTO upto VALUES ('of:cluster', ?)", (newest,))
        return days

    def _outcomes(self, asked: dict[str, Any]) -> set[int]:
        found = query(self._lake, SQL["new_outcomes"], self._lake.versions(["outcomes"]), asked)
        self._sql.execute("CREATE TEMP TABLE judged (id BLOB PRIMARY KEY, outcome INTEGER) WITHOUT ROWID")
        ids, outcomes = (found[name].to_pylist() for name in ("interaction_id", "outcome"))
        self._sql.executemany(
            "INSERT OR REPLACE INTO judged VALUES (?, ?)",
            sorted((rows.id_of(id_), rows.OUTCOMES[said]) for id_, said in zip(ids, outcomes, strict=True)),
        )
        days = {day for (day,) in self._sql.execute(SQL["changed_days"])}
        self._sql.execute(SQL["take_outcomes"])
        self._sql.execute("DROP TABLE judged")
        return days

    def _homes(self, asked: dict[str, Any]) -> set[int]:
        found = query(self._lake, SQL["new_homes"], self._lake.versions(["cluster_members"]), asked).to_pylist()
        self._sql.executemany(
            "INSERT OR IGNORE INTO cluster (id) VALUES (?)", sorted({(row["cluster_id"],) for row in found})
        )
        self._sql.executemany(
            "INSERT OR IGNORE INTO vector (hash, embedder, value) VALUES (?, '', x'')",
            sorted({(row["text_hash"],) for row in found if row["text_hash"]}),
        )
        self._sql.executemany(
            SQL["take_home"],
            [(row["cluster_id"], row["text_hash"], rows.id_of(row["interaction_id"])) for row in found],
        )
        ids = [rows.id_of(row["interaction_id"]) for row in found]
        return {day for (day,) in self._sql.execute(SQL["days_of"], {"ids": _json_ids(ids)})}

    def _vectors(self) -> None:
        """The vectors of texts that have a home, in half precision: what is near stays near."""
        wanted = [hash_ for (hash_,) in self._sql.execute("SELECT hash FROM vector WHERE embedder = ''")]
        if not wanted:
            return
        found = query(
            self._lake, SQL["new_vectors"], self._lake.versions(["embeddings"]), {"hashes": wanted}
        ).to_pylist()
        self._sql.executemany(
            "UPDATE vector SET embedder = ?, value = ? WHERE hash = ?",
            [(row["embedder"], np.asarray(row["vector"], np.float16).tobytes(), row["text_hash"]) for row in found],
        )

    def _summarise(self, days: set[int], last: int | None) -> None:
        """Add what came after the last, and count the days anew; all days, where nothing was counted before (None)."""
        if last is None:
            days = {day for (day,) in self._sql.execute(SQL["all_days"])}
        else:
            self._count(NEW, {"after": last})
        for day in sorted(days):
            of = {"day": day, "first": day * DAY_MS, "last": (day + 1) * DAY_MS, "hours": day * 24}
            for text in _statements(SQL["empty_day"]):
                self._sql.execute(text, of)
            self._count(OF_DAY, of)

    def _count(self, which: str, of: dict[str, int]) -> None:
        for text in _statements(SQL["count"]):
            self._sql.execute(text.replace("$which", which), of)


def _statements(text: str) -> Iterator[str]:
    return (part for part in text.split(";\n") if part.strip())


def _json_ids(ids: Iterable[bytes | None]) -> str:
    """Ids as one JSON list of hexadecimals, for `json_each`."""
    return "[" + ",".join(f'"{id_.hex()}"' for id_ in ids if id_) + "]"
