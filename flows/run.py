"""Runs: what one execution of a stage reads, and the id that this gives it.

The same tables at the same versions, the same settings and the same code are the same run, whoever starts it and how
often: its id is their hash, and every table takes a run's rows once. Each `flow.py` begins with `begin` and ends with
`finish`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pyarrow as pa

from flows.extend import fingerprint
from schemas.errors import LakeError, UsageError
from schemas.events import to_json
from schemas.records import content_hash
from streams.lake import Lake
from streams.lake.append import publish_next
from streams.lake.changes import changes
from streams.lake.lease import held
from streams.lake.query import rows
from streams.lake.rows import from_row, to_table
from streams.logs import about

T = TypeVar("T")
ASIDE = {("flows", "testing"), ("flows", "support_bot")}
"""Folders that decide nothing; the second is in the wheel only, and the wheel's runs are the checkout's."""


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


def finish(lake: Lake, run: Run, summary: Mapping[str, Any] | msgspec.Struct, previous: str | None = None) -> None:
    """Write the run's row, last of all: it makes the run's rows in other tables visible.

    `previous`: the run that this one goes on from (empty: none). Raises UsageError where another run of the stage was
    finished since: what both conclude cannot be put together.
    """
    text = to_json(summary)

    def row(number: int) -> pa.Table:
        newest = latest(lake, run.stage, run.application) if previous is not None else None
        if previous is not None and (newest.run_id if newest else "") not in {previous, run.run_id}:
            raise UsageError(f"another {run.stage} run of {run.application!r} was finished meanwhile: start it again")
        return as_finished(run, number, text)

    publish_next(lake, "runs", row, run.run_id)


def as_finished(run: Run, number: int, summary: str = "{}") -> pa.Table:
    """The row that makes a run finished; also for queries that shall see what a run has written so far."""
    return to_table("runs", [run], summary=summary, sequence=number)


def runs(lake: Lake, stage: str, application: str, version: int | None = None) -> list[Finished]:
    """The finished runs of a stage, oldest first: by their logical time, then in the order in which they finished.

    By now, or as a version of `runs` has them.
    """
    found = (from_row(Finished, row) for row in rows(lake, "runs", version, stage=stage, application=application))
    return sorted(found, key=_order)


def _order(run: Finished) -> tuple[Any, ...]:
    """Runs from before there was a sequence come first of their instant, by the table versions that they read."""
    return run.as_of, run.sequence or 0, [] if run.sequence else sorted(run.versions.items()), run.run_id


def latest(lake: Lake, stage: str, application: str) -> Finished | None:
    """The newest finished run of a stage, or None."""
    return next(reversed(runs(lake, stage, application)), None)


def has_news(lake: Lake, last: Run, names: Iterable[str]) -> bool:
    """Whether anything has come to these tables, or left them, since a run read them; joined files are no news."""
    there = (name for name in names if lake.exists(name))
    return any(changes(lake, name, lake.open(name), last.versions.get(name, -1)) for name in there)


@contextmanager
def named(run: Run) -> Iterator[None]:
    """Meanwhile the lines of the log carry the run's id, under the name of its stage."""
    with about(**{run.stage: run.run_id}):
        yield


@contextmanager
def under_way(lake: Lake, *, alone: bool = False) -> Iterator[None]:
    """Held by a run that makes something lasting of what people said, beside others, on whatever machine they are.

    `alone`: held by an erasure, which waits until no run is under way. A run that began before it would publish
    afterwards what it read before.
    """
    with held(lake, "alone" if alone else "many"):
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


def same_code(expected: str, *references: str) -> None:
    """Raise LakeError unless the code here is the one that is expected: `code_with` of whoever sent work here."""
    if (here := code_with(*references)) != expected:
        raise LakeError(
            f"this machine has the program with code {here}, and its work was sent by one with code {expected}: "
            "install the same version of llm-flywheel, and of extensions, where Spark's workers are"
        )


def code_with(*references: str) -> str:
    """`code_version`, and which code the extensions have that are named so: what a work computes with."""
    return " ".join(filter(None, [code_version(), fingerprint(*references)]))


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
