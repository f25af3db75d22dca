"""`flywheel triage`: the live failure rates as a process of its own."""

from __future__ import annotations

import typer

from flows import rollback_watch
from flows.commands.shared import settings_of


def triage(context: typer.Context) -> None:
    """Show live failure rates, raise alerts, and take back a champion that is worse than the one before."""
    rollback_watch.main(settings_of(context))
