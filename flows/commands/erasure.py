"""`flywheel erasure`: what came over Kafka unsigned and waits: list it, stop it, or confirm it at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
import typer

from flows import erasures
from flows.commands.shared import AsJson, identity, print_json, settings_of
from flows.context import lake_of
from flows.terminal import Terminal

app = typer.Typer(help="Erasures that came over Kafka and wait: list them, stop or confirm one.", no_args_is_help=True)
Ids = Annotated[list[str], typer.Argument(help="Ids, as `list` prints them.")]


@app.command("list")
def list_waiting(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="Show the oldest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the erasures that no trusted key signed: who is to be forgotten, who asked, and when it will be done."""
    settings = settings_of(context)
    found = erasures.waiting(lake_of(settings))
    if as_json:
        print_json([msgspec.to_builtins(one) for one in found])
        return
    grace = timedelta(hours=settings.archive.erasure_grace_h)
    cells = [
        (
            one.id, one.subject, one.application or "all", one.requested_by or "", one.reason or "",
            f"{one.arrived + grace:%Y-%m-%d %H:%M}",
        )
        for one in found[:limit]
    ]  # fmt: skip
    terminal = Terminal()
    terminal.table(("erasure", "of whom", "in", "asked by", "reason", "done at (UTC)"), cells, whole=("erasure",))
    shown = f", the oldest {limit} shown" if len(found) > limit else ""
    terminal.say(f"{len(found)} erasures wait{shown}; what is not stopped is done by `flywheel maintain`")


@app.command("stop")
def stop(
    context: typer.Context,
    ids: Ids,
    reason: Annotated[str, typer.Option(help="Why it is not to be done: it is recorded.")],
) -> None:
    """Never carry these out."""
    settings = settings_of(context)
    count = erasures.stop(lake_of(settings), ids, identity(), reason, datetime.now(UTC))
    Terminal().say(f"{count} erasures will not be carried out")


@app.command("confirm")
def confirm(context: typer.Context, ids: Ids) -> None:
    """Carry these out without waiting: they are signed, sent, and done by the next `flywheel maintain`."""
    settings = settings_of(context)
    Terminal().say(f"{erasures.confirm(lake_of(settings), settings, ids)} erasures are confirmed")
