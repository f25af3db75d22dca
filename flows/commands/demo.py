"""`flywheel demo`: three turns of the wheel, offline, with simulated customers. Lives in `examples/support_bot`.

The wheel has that folder as `flows.support_bot`; a checkout has it where examples are looked for.
"""

from __future__ import annotations

import importlib
import importlib.util
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from flows.commands.shared import settings_of
from flows.terminal import Terminal
from schemas.errors import UsageError

PLACES = ("flows.support_bot", "examples.support_bot")
"""In the wheel, and in a checkout."""


def demo(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(help='Labelled utterances, {"text", "label"} a line; default: those written for the demo.'),
    ] = None,
    turns: Annotated[int, typer.Option(min=1, max=20, help="How often the wheel turns.")] = 4,
    interactions: Annotated[int, typer.Option(min=50, max=100_000, help="Requests in the first turn.")] = 2200,
    server: Annotated[
        str,
        typer.Option(help="MODEL@URL that serves first, behind any OpenAI-compatible server; default: a small bot."),
    ] = "",
    report: Annotated[Path | None, typer.Option(help="Write the figures of all turns to this JSON file.")] = None,
    plant_regression: Annotated[
        bool, typer.Option("--plant-regression", help="Also register a bad candidate each turn, and see it blocked.")
    ] = False,
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Leave everything up at the end, to look around; Ctrl-C stops it.")
    ] = False,
) -> None:
    """See the whole loop turn: customers, failures, clusters, datasets, a better model, the gate; then traffic moves.

    Each demo has a folder of its own below the data root. It takes some minutes on a laptop.
    """
    module = _found()
    now = datetime.now(UTC)
    settings = settings_of(context)
    home = settings.home_path if context.parent and context.parent.params.get("home") else None
    home = home or settings.home_path / f"demo-{now:%Y%m%d-%H%M%S}"
    options = module.Options(
        data=data,
        turns=turns,
        interactions=interactions,
        server=server,
        report=report,
        plant_regression=plant_regression,
        keep_running=keep_running,
        now=now,
    )
    module.run(msgspec.structs.replace(settings, home=str(home)), options, Terminal())


def _found() -> Any:
    """The module `demo` of the example, by name: nothing of ours imports an example."""
    for place in PLACES:
        if importlib.util.find_spec(place.partition(".")[0]) and importlib.util.find_spec(place):
            return importlib.import_module(f"{place}.demo")
    raise UsageError("this installation has no demo: it lies neither in the package nor in a checkout beside it")
