"""`flywheel archive`: Kafka to lake, as a process of its own."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from flows.commands.shared import settings_of
from streams.archive import run
from streams.logs import to_stderr


def archive(
    context: typer.Context,
    until_idle: Annotated[
        float | None, typer.Option(help="End once nothing has come for so many seconds; otherwise run until Ctrl-C.")
    ] = None,
    accept_loss: Annotated[
        bool, typer.Option(help="Go on where Kafka's retention removed events, recording each loss as a dead letter.")
    ] = False,
) -> None:
    """Archive events from Kafka into the lake, exactly once. Start it several times to share the partitions."""
    settings = settings_of(context)
    if accept_loss:
        settings = msgspec.structs.replace(
            settings, archive=msgspec.structs.replace(settings.archive, accept_loss=True)
        )
    to_stderr("archive")
    run.archive(settings, until_idle_s=until_idle)
