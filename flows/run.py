"""Runs: what one execution of a stage reads, and the id that this gives it.

The same tables at the same versions, the same settings and the same code are the same run, whoever starts it and how
often: its id is their hash, and every table takes a run's rows once. Each `flow.py` begins with `begin` and ends with
`finish`.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from schemas.events import to_json
from schemas.records import content_hash
from streams.lake import Lake
from streams.lake.append import publish_next
from streams.lake.query import rows
from streams.lake.rows import from_row, to_table

_log = logging.getLogger(__name__)
T = TypeVar("T")
ASIDE = {("flows", "testing"), ("flows", "support_bot")}
"""Folders that decide nothing; the second is in the wheel only, and the wheel's runs are the checkout's."""
LOCK = ".under-way"
"""Below the home: see `under_way`."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a stage over fixed table versions."""

    run_id: str
    stage: str
    application: str
    as_of: datetime
    """The logical time of the run (its scheduled start): windows end here, never at the wall clock."""
    versions: dict[str, int]
    settings_hash: str
    code_version: str


class Finished(Run, frozen=True, kw_only=True):
    """A run that came to its end: a row of `runs`."""

    summary: str = "{}"
    """What the stage said of it, as JSON: a year of runs is listed without reading what each of them said."""
    sequence: int | None = None
    """In which order the runs of the lake were finished, from 1; None before there were numbers."""

    def told(self, kind: type[T]) -> T:
        """The summary as a value of the stage's own. Raises msgspec.ValidationError where it is none of that kind."""
        return msgspec.json.decode(self.summary, type=kind)


def begin(
    lake: Lake,
    stage: str,
    application: str,
    as_of: datetime,
    tables: Iterable[str],
    settings: Any,
    **inputs: str,
) -> Run:
    """Fix what a run reads. `settings` is the part of the settings that changes its result; `inputs` any other ids."""
    as_of = plain(as_of)
    run = Run(
        run_id="",
        stage=stage,
        application=application,
        as_of=as_of,
        versions=lake.versions(tables),
        settings_hash=content_hash([settings, dict(sorted(inputs.items()))]),
        code_version=code_version(),
    )
    what = {name: value for name, value in msgspec.structs.asdict(run).items() if name != "run_id"}
    what["as_of"] = as_of.isoformat()
    return msgspec.structs.replace(run, run_id=content_hash(what)[:32])


def finished(lake: Lake, run: Run, kind: type[T]) -> T | None:
    """The summary of a run that was finished before, or None: a second start of a finished run has nothing to do."""
    found = rows(lake, "runs", run_id=run.run_id)
    return from_row(Finished, found[0]).told(kind) if found else None


def finish(lake: Lake, run: Run, summary: Mapping[str, Any] | msgspec.Struct) -> None:
    """Write the run's row, last of all: it makes the run's rows in other tables visible."""
    text = to_json(summary)
    publish_next(lake, "runs", lambda number: to_table("runs", [run], summary=text, sequence=number), run.run_id)


def runs(lake: Lake, stage: str, application: str) -> list[Finished]:
    """The finished runs of a stage, oldest first: by their logical time, then in the order in which they finished."""
    found = (from_row(Finished, row) for row in rows(lake, "runs", stage=stage, application=application))
    return sorted(found, key=_order)


def _order(run: Finished) -> tuple[Any, ...]:
    """Runs from before there was a sequence come first of their instant, by the table versions that they read."""
    return run.as_of, run.sequence or 0, [] if run.sequence else sorted(run.versions.items()), run.run_id


def latest(lake: Lake, stage: str, application: str) -> Finished | None:
    """The newest finished run of a stage, or None."""
    return next(reversed(runs(lake, stage, application)), None)


@contextmanager
def under_way(home: Path, *, alone: bool = False) -> Iterator[None]:
    """Held by a run that makes something lasting of what people said, beside others.

    `alone`: held by an erasure, which waits until no run is under way. A run that began before it would publish
    afterwards what it read before.
    """
    home.mkdir(parents=True, exist_ok=True)
    hold, others = (fcntl.LOCK_EX, "every run under way") if alone else (fcntl.LOCK_SH, "an erasure")
    with (home / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, hold | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.warning("waiting until %s is over", others)
            fcntl.flock(lock, hold)
        yield


def moment(as_of: str | None, scheduled: datetime) -> datetime:
    """The logical time of a flow's run, in UTC: `as_of` (ISO 8601) where it is given, else its scheduled start."""
    return plain(datetime.fromisoformat(as_of) if as_of else scheduled)


def plain(moment: datetime) -> datetime:
    """A moment as Python's own datetime in UTC: Prefect's scheduled times are a subclass that no encoder knows."""
    utc = moment.astimezone(UTC)
    return datetime.combine(utc.date(), utc.time(), UTC)


def counted(summary: Any) -> str:
    """A summary's counts and shares in a line: for logs, which quote nobody."""
    values = msgspec.to_builtins(summary).items()
    return ", ".join(f"{name} {value:g}" for name, value in values if isinstance(value, int | float))


def title(stage: str, parameters: Mapping[str, Any], scheduled: datetime | None) -> str:
    """What a Prefect run is called: the stage, what it is about, and the instant that it is as of."""
    about = [str(parameters[name]) for name in ("application", "candidate_id", "evaluation_id") if parameters.get(name)]
    instant = str(parameters["as_of"]) if parameters.get("as_of") else scheduled and scheduled.isoformat()
    when = [instant[:16].replace("T", " ")] if instant else []
    return " ".join([stage, *about, *when])


@functools.cache
def code_version() -> str:
    """A hash of this program's own source: another code, another run. Doubles and demo take no part in one."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for room in ("schemas", "streams", "flows"):
        for path in sorted(p for p in (root / room).rglob("*") if p.suffix in {".py", ".sql"}):
            if path.relative_to(root).parts[:2] in ASIDE:
                continue
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
