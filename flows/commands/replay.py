"""`flywheel replay`: a file of events to Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from schemas.errors import InputFileError
from schemas.settings import Settings
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
    settings: Settings = context.obj
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    Admin(settings.kafka).ensure_topics()
    with EventProducer(settings.kafka) as producer, Progress(console=console) as progress:
        task = progress.add_task(f"Sending {path.name}", total=path.stat().st_size)
        result = files.replay(path, producer, type_name, lambda size: progress.advance(task, size))
    for bad in result.shown:
        console.print(f"line {bad.number}: {bad.error}", markup=False)
    console.print(f"{result.sent} events sent, {result.bad} bad lines")
    if result.bad:
        raise InputFileError(
            f"{path}: {result.bad} lines are not events (the first {len(result.shown)} are named above). "
            "The others were sent; mend these and replay the file again: the same id twice is one event."
        )
