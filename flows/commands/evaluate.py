"""`flywheel evaluate`: candidate and champion on the same frozen eval set."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from flows.context import lake_of
from flows.evaluate.report import markdown
from flows.evaluate.runner import Progress as Done
from flows.evaluate.stage import comparison_of, evaluate
from schemas.events import to_json
from schemas.settings import Settings


def evaluate_command(
    context: typer.Context,
    candidate: Annotated[
        str | None, typer.Argument(help="Id of a registered candidate; default: the newest that waits.")
    ] = None,
    as_of: Annotated[
        datetime | None, typer.Option(help="Logical time of the run, UTC; the same twice is one run. Default: now.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Compare a candidate with the champion; stopped or killed, it goes on where it was."""
    settings: Settings = context.obj
    lake = lake_of(settings)
    moment = as_of.replace(tzinfo=UTC) if as_of else datetime.now(UTC)
    columns = (TextColumn("answers"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task("answers", total=None, note="")

        def watch(done: Done) -> None:
            note = f"{done.unscored} unscored" + ("" if done.cost_usd is None else f", {done.cost_usd:.2f} USD")
            bar.update(task, completed=done.done, total=done.total, note=note)

        summary = evaluate(lake, settings, moment, candidate, watch)
    if as_json:
        print(to_json(summary))  # noqa: T201 for programs, so without colours
    else:
        Console().print(Markdown(markdown(comparison_of(lake, summary["evaluation_id"]))))
