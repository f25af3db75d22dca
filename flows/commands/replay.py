"""`flywheel replay`: a file of events to Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.shared import settings_of
from flows.terminal import Terminal, progress
from flows.visible import one_line
from schemas.errors import InputFileError
from streams import replay as files
from streams.admin import Admin
from streams.producer import EventProducer


def replay(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="One event a line.", exists=True, dir_okay=False)],
    type_name: Annotated[
        str | None, typer.Option("--type", help="Event type of lines that name none, e.g. llm.interaction.v1.")
    ] = None,
) -> None:
    """Send a file of events to Kafka. Bad lines are named and skipped; sending a file twice changes nothing."""
    settings = settings_of(context)
    terminal = Terminal(stderr=True)
    Admin(settings.kafka).ensure_topics()
    with EventProducer(settings.kafka) as producer, progress(terminal) as bar:
        task = bar.add_task(f"Sending {one_line(path.name)}", total=path.stat().st_size)
        result = files.replay(path, producer, type_name, lambda size: bar.advance(task, size))
    for bad in result.shown:
        terminal.say(f"line {bad.number}: {one_line(bad.error)}")
    terminal.say(f"{result.sent} events sent, {result.bad} bad lines")
    if result.bad:
        raise InputFileError(
            f"{path}: {result.bad} lines are not events (the first {len(result.shown)} are named above). "
            "The others were sent; mend these and replay the file again: the same id twice is one event."
        )
