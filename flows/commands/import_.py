"""`flywheel import`: what another tool kept of an application, to Kafka or to a file of events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer

from flows.commands.shared import settings_of
from flows.terminal import Terminal, progress
from flows.visible import one_line
from schemas.errors import UsageError
from schemas.settings import Settings
from streams.admin import Admin
from streams.importers import table
from streams.importers.importer import FORMATS, Imported, Send, import_history
from streams.importers.made import REASONS, Options, time_of
from streams.importers.rows import files_of
from streams.producer import EventProducer
from streams.replay import Line


def import_command(
    context: typer.Context,
    format_: Annotated[str, typer.Argument(metavar="FORMAT", help=f"One of {', '.join(FORMATS)}.")],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file, or a folder of them.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing; say what would become of each row.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the events to this file, for `flywheel replay`, instead of to Kafka.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option("--map", help="table: COLUMN=FIELD, e.g. question=input. Several times.")
    ] = None,
    scale: Annotated[
        list[str] | None, typer.Option(help="NAME=WORST:BEST of a score, e.g. quality=1:5. Several times.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="When it was, for rows without a time: 2026-01-31T12:00:00Z.")
    ] = None,
) -> None:
    """Import history from Langfuse, LangSmith, OpenAI-style JSON lines, spans, chat data sets or a table.

    Rows that are no events are counted by reason and skipped. Importing twice changes nothing.
    """
    settings = settings_of(context)
    columns = dict(_pair("--map", each) for each in column or [])
    options = Options(
        application=settings.application,
        columns=table.check(columns) if format_ == "table" else columns,
        scales=dict(_scale(each) for each in scale or []),
        time=_moment(time),
        max_event_bytes=settings.archive.max_event_bytes,
    )
    terminal = Terminal(stderr=True)
    size = sum(file.stat().st_size for file in files_of(path))
    with _sink(settings, dry_run=dry_run, out=out) as send, progress(terminal) as bar:
        task = bar.add_task(f"Reading {one_line(path.name)}", total=size)
        result = import_history(format_, path, options, send, lambda done: bar.advance(task, done))
    _tell(terminal, result, "would be sent" if dry_run else f"written to {out}" if out else "sent")


@contextmanager
def _sink(settings: Settings, *, dry_run: bool, out: Path | None) -> Iterator[Send]:
    """Where events go."""
    if dry_run:
        yield lambda _: None
    elif out:
        with out.open("xb") as file:
            yield lambda line: _write(file, line)
    else:
        Admin(settings.kafka).ensure_topics()
        with EventProducer(settings.kafka) as producer:
            yield lambda line: producer.send_bytes(line.topic, line.key, line.value, line.headers)


def _write(file: BinaryIO, line: Line) -> None:
    """One line that `flywheel replay` reads."""
    file.write(b'{"type":' + msgspec.json.encode(line.topic.event_type) + b',"data":' + line.value + b"}\n")


def _tell(terminal: Terminal, result: Imported, done: str) -> None:
    rows = [
        (reason, str(count), "; ".join(map(one_line, result.named[reason])), REASONS.get(reason, ""))
        for reason, count in result.left.most_common()
    ]
    if rows:
        terminal.table(("left out", "rows", "first of them", "because"), rows, whole=("left out",))
    terminal.say(f"{result.interactions} interactions and {result.feedback} feedback events {done}")


def _pair(option: str, text: str) -> tuple[str, str]:
    left, found, right = text.rpartition("=")
    if not found or not left or not right:
        raise UsageError(f"{option} takes NAME=VALUE, got {text[:100]!r}")
    return left, right


def _scale(text: str) -> tuple[str, tuple[float, float]]:
    name, bounds = _pair("--scale", text)
    low, _, high = bounds.partition(":")
    try:
        worst, best = float(low), float(high)
    except ValueError:
        worst = best = 0.0
    if worst == best:
        raise UsageError(f"--scale takes NAME=WORST:BEST, two different numbers, got {text[:100]!r}")
    return name, (worst, best)


def _moment(text: str | None) -> str | None:
    if text is not None and time_of(text) is None:
        raise UsageError(f"--time takes a time such as 2026-01-31T12:00:00Z, got {text[:100]!r}")
    return time_of(text)
