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
from streams.replay import Fault, Replayed


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
    for fault in result.faults.values():
        terminal.say(f"{_lines(fault)}: {one_line(fault.error)}")
    terminal.say(f"{result.sent} events sent, {result.bad} bad lines")
    if result.bad:
        raise InputFileError(f"{path}: {result.bad} lines are not events. {_next(result)}")


def _lines(fault: Fault) -> str:
    named = ", ".join(map(str, fault.numbers))
    more = fault.count - len(fault.numbers)
    return f"line{'s' if fault.count > 1 else ''} {named}" + (f" and {more} more" if more else "")


def _next(result: Replayed) -> str:
    if any(error.startswith("unknown_type: the line names no") for error in result.faults):
        return "Say what a line without a type is: --type llm.interaction.v1, or --type llm.feedback.v1."
    if not result.sent:
        return "None is: docs/contracts.md shows what a line looks like."
    return "The others were sent; mend these and replay the file again: the same id twice is one event."
