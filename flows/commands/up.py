"""`flywheel up` and `flywheel serve`: the processes, started and kept running until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated

import typer

from flows.commands.shared import settings_of
from flows.context import child_environment, prefect_environment
from flows.stack import Stack
from flows.terminal import Terminal
from streams.processes.supervise import sigterm_interrupts


def up(
    context: typer.Context,
    prefect: Annotated[
        bool, typer.Option("--prefect/--no-prefect", help="With the Prefect server and the served flows, or without.")
    ] = True,
) -> None:
    """Start everything and keep it running: broker, archiver, triage, door, web app, Prefect, the scheduled flows."""
    settings = settings_of(context)
    terminal = Terminal()
    stack = Stack(settings, prefect=prefect, say=terminal.say)
    with sigterm_interrupts(), contextlib.suppress(KeyboardInterrupt), stack:
        terminal.table(("what", "where"), _where(stack), whole=("where",), title="flywheel is up")
        terminal.say("Ctrl-C stops everything.")
        stack.wait()
    terminal.say("Everything is stopped.")


def serve(context: typer.Context) -> None:
    """Serve the flows alone, for a Prefect server that runs elsewhere (PREFECT_API_URL)."""
    settings = settings_of(context)
    environment = child_environment(settings) | prefect_environment(settings)
    os.execve(sys.executable, [sys.executable, "-m", "flows.serve"], environment)  # noqa: S606 our own module


def _where(stack: Stack) -> list[tuple[str, str]]:
    """Where to look."""
    settings, addresses = stack.settings, stack.addresses
    ui = [("Prefect UI: runs, schedules, artifacts", stack.prefect_page)] if addresses.prefect else []
    return [
        ("web app: the wheel, failures, evaluations", addresses.ui),
        *ui,
        ("live failure rates", addresses.triage),
        ("HTTP door: events, OpenTelemetry", addresses.door),
        ("Kafka", addresses.kafka),
        ("lake", settings.lake_root),
        ("datasets", str(settings.datasets_path)),
        ("logs", str(settings.home_path / "run")),
    ]
