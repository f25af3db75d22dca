"""A person out of the books of this home's own Prefect server: its database, and the logs of processes.

What flows write there names nobody but clusters by their words; yet a person may start a run with somebody's name, an
error may quote one, and a cluster may be called by the words of one person (`cluster.least_people`). An artifact, a log
line or an event that does is a copy for people to look at, and goes. Then the database is written anew: what was
deleted, now or earlier over Prefect's API, is in no free page and in no log of changes either.

Safe beside a running server, once that has written down what it was told (`Orchestrator.settle`), and a second time. A
server that somebody else runs, or a database elsewhere (PREFECT_API_URL, PREFECT_API_DATABASE_CONNECTION_URL), is its
owner's to clean.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from schemas.errors import FlywheelError
from schemas.unit import spelled
from streams.lake.spellings import Names

BOOKS = Path("prefect")
"""Below the home: all that its own server keeps."""
DATABASE = BOOKS / "prefect.db"
"""Below the home."""
LOGS = ("run/*.log*", "run/served/*/*.log*", "training/*/*.log*")
"""Below the home: what processes say, servers that a kill has left without an end and trainings too."""
ERRORS = BOOKS / "storage"
"""Below the home: one file for each run that ended in an error, with its words."""
COPIES = ("log", "artifact", "artifact_collection", "events", "event_resources", "flow_run_input")
"""Tables whose rows only tell of something: one that names somebody goes."""
STATES = ("flow_run_state", "task_run_state")
"""A run's states make up its history: these stay, without their words."""
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
"""State types of a run that is over; another is somebody's work, and stays."""
WORDY = ("VARCHAR", "TEXT", "JSON")
BUSY_S = 60.0
"""How long a lock of the server's is waited for, as the server waits for ours."""
TRIES = 30
"""For a moment in which no reader holds the log of changes open: the server's questions take milliseconds."""
PAUSE_S = 1.0
FORGOTTEN = b"*"


def forget(home: Path, people: Iterable[str], words: Iterable[str] = ()) -> int:
    """Take out what names one of these people or says one of these words; how many rows, files and log lines that were.

    Words go from what only tells; names also from the words of states and, with the run, from the parameters of one
    that is over. Raises FlywheelError where the database stays locked.
    """
    names = sorted({*people})
    if not (said := Names([*names, *words])):
        return 0
    logs = sorted(path for pattern in LOGS for path in home.glob(pattern) if path.is_file() and not path.is_symlink())
    gone = sum(_blanked(path, said) for path in logs)
    gone += sum(_removed(path, said) for path in sorted((home / ERRORS).glob("*")))
    if not (home / DATABASE).exists():
        return gone
    try:
        with closing(sqlite3.connect(home / DATABASE, timeout=BUSY_S, isolation_level=None)) as books:
            gone += _taken_out(books, said, names)
            _written_anew(books)
    except sqlite3.Error as error:
        raise FlywheelError(f"{home / DATABASE} still says who is to be forgotten: {error}; try again") from error
    return gone


def _taken_out(books: sqlite3.Connection, said: Names, names: list[str]) -> int:
    """Rows that went or were emptied, in one transaction."""
    people, whole = Names(names), {spelled(name) for name in names}
    books.create_function("says", 1, lambda text: isinstance(text, str) and said.stand_in(text.encode()))
    books.create_function("of_them", 1, lambda text: isinstance(text, str) and people.stand_in(text.encode()))
    books.create_function("has_them", 1, lambda text: isinstance(text, str) and bool(whole & _strings(text)))
    books.execute("PRAGMA foreign_keys = ON")
    books.execute("PRAGMA secure_delete = ON")
    there = {name for (name,) in books.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    books.execute("BEGIN IMMEDIATE")
    gone = 0
    for table in there.intersection(COPIES):
        where = " OR ".join(f'says("{column}")' for column in _texts(books, table))
        gone += books.execute(f'DELETE FROM "{table}" WHERE {where}').rowcount  # noqa: S608 names are the database's
    for table in there.intersection(STATES):
        for column in {"message", "data"}.intersection(_texts(books, table)):
            order = f'UPDATE "{table}" SET "{column}" = NULL WHERE of_them("{column}")'  # noqa: S608 names are ours
            gone += books.execute(order).rowcount
    if "flow_run" in there:
        over = ", ".join(f"'{state}'" for state in ENDED)
        order = f"DELETE FROM flow_run WHERE state_type IN ({over}) AND has_them(parameters)"  # noqa: S608 as above
        gone += books.execute(order).rowcount
    books.execute("COMMIT")
    return gone


def _texts(books: sqlite3.Connection, table: str) -> list[str]:
    """The columns that may hold words: the others are ids and times."""
    found = books.execute(f'PRAGMA table_info("{table}")').fetchall()
    return [name for _, name, kind, *_ in found if kind.upper().startswith(WORDY)]


def _written_anew(books: sqlite3.Connection) -> None:
    """Rebuild the file from what is in it, and empty the log of changes."""
    books.execute("VACUUM")
    for _ in range(TRIES):
        (busy, *_) = books.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return
        time.sleep(PAUSE_S)
    raise sqlite3.OperationalError("somebody reads its log of changes all the time")


def _strings(text: str) -> set[str]:
    """Every string within a JSON text, as names are spelled; empty where it is none."""
    try:
        return set(_within(json.loads(text)))
    except (ValueError, RecursionError):
        return set()


def _within(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield spelled(value)
    elif isinstance(value, dict):
        for each in (*value, *value.values()):
            yield from _within(each)
    elif isinstance(value, list):
        for each in value:
            yield from _within(each)


def _blanked(path: Path, said: Names) -> int:
    """Overwrite the lines of a log that say it, in place: a running process goes on appending to it."""
    gone = 0
    with path.open("r+b") as log:
        while line := log.readline():
            if said.stand_in(line):
                at = log.tell()
                log.seek(at - len(line))
                log.write(FORGOTTEN * len(line.rstrip(b"\n")))
                log.seek(at)
                gone += 1
    return gone


def _removed(path: Path, said: Names) -> int:
    """Remove a small file that says it."""
    if not (path.is_file() and said.stand_in(path.read_bytes())):
        return 0
    path.unlink(missing_ok=True)
    return 1
