"""`flywheel evaluate`: candidate and champion on the same frozen eval set."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from flows.commands.shared import AsJson, print_json, settings_of
from flows.context import lake_of
from flows.evaluate.report import markdown
from flows.evaluate.runner import Progress as Done
from flows.evaluate.stage import evaluate
from flows.evaluations import evaluation_of
from flows.names import cluster_names
from flows.terminal import Terminal, progress


def evaluate_command(
    context: typer.Context,
    candidate: Annotated[
        str | None, typer.Argument(help="Id of a registered candidate; default: the newest that waits.")
    ] = None,
    as_of: Annotated[
        datetime | None, typer.Option(help="Logical time of the run, UTC; the same twice is one run. Default: now.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a candidate with the champion; stopped or killed, it goes on where it was."""
    settings = settings_of(context)
    lake = lake_of(settings)
    moment = as_of.replace(tzinfo=UTC) if as_of else datetime.now(UTC)
    with progress(Terminal(stderr=True), counted=True, noted=True) as bar:
        task = bar.add_task("answers", total=None, note="", visible=False)  # nothing is asked before something is seen

        def watch(done: Done) -> None:
            note = f"{done.unscored} unscored" + ("" if done.cost_usd is None else f", {done.cost_usd:.2f} USD")
            bar.update(task, completed=done.done, total=done.total, note=note, visible=True)

        summary = evaluate(lake, settings, moment, candidate, watch)
    if as_json:
        print_json(summary)
    else:
        evaluation = evaluation_of(lake, settings.application, summary.evaluation_id)
        Terminal().markdown(markdown(evaluation.comparison, cluster_names(lake, settings.application)))
