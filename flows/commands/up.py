"""`flywheel up` and `flywheel serve`: the processes, started and kept running until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.context import child_environment, prefect_environment
from flows.stack import Stack
from schemas.settings import Settings
from streams.processes.supervise import sigterm_interrupts


def up(
    context: typer.Context,
    prefect: Annotated[
        bool, typer.Option("--prefect/--no-prefect", help="With the Prefect server and the served flows, or without.")
    ] = True,
) -> None:
    """Start everything and keep it running: broker, archiver, triage, Prefect with its UI, the scheduled flows."""
    settings: Settings = context.obj
    console = Console()
    stack = Stack(settings, prefect=prefect, say=lambda line: console.print(line, highlight=False))
    with sigterm_interrupts(), contextlib.suppress(KeyboardInterrupt), stack:
        console.print(_where(stack))
        console.print("Ctrl-C stops everything.")
        stack.wait()
    console.print("Everything is stopped.")


def serve(context: typer.Context) -> None:
    """Serve the flows alone, for a Prefect server that runs elsewhere (PREFECT_API_URL)."""
    settings: Settings = context.obj
    environment = child_environment(settings) | prefect_environment(settings)
    os.execve(sys.executable, [sys.executable, "-m", "flows.serve"], environment)  # noqa: S606 our own module


def _where(stack: Stack) -> Table:
    """Where to look."""
    settings, addresses = stack.settings, stack.addresses
    table = Table("what", "where", title="flywheel is up")
    if addresses.prefect:
        table.add_row("Prefect UI: runs, schedules, artifacts", stack.prefect_page)
    table.add_row("live failure rates", addresses.triage)
    table.add_row("Kafka", addresses.kafka)
    table.add_row("lake", settings.lake_root)
    table.add_row("datasets", str(settings.datasets_path))
    table.add_row("logs", str(settings.home_path / "run"))
    return table
