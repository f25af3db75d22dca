"""`flywheel triage`: the live failure rates as a process of its own."""

from __future__ import annotations

import typer

from schemas.settings import Settings
from streams.triage import main


def triage(context: typer.Context) -> None:
    """Join feedback to interactions as they come, show live failure rates, and raise alerts, until Ctrl-C."""
    settings: Settings = context.obj
    main(settings)
