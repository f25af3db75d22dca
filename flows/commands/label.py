"""`flywheel label`: people's opinion of answers, by which a judge is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.shared import settings_of
from flows.context import lake_of
from flows.evaluate.labels import read_answers, record
from flows.evaluate.stage import to_label
from flows.terminal import Terminal
from schemas.events import to_json

app = typer.Typer(help="People's opinion of answers, by which a judge is measured.", no_args_is_help=True)


@app.command("export")
def export_questions(
    context: typer.Context,
    evaluation: Annotated[str, typer.Argument(help="Id of an evaluation that a judge has scored.")],
    file: Annotated[Path, typer.Argument(help="JSON lines to write: fill in `score`, 1 good to 0 bad, in each.")],
    items: Annotated[int, typer.Option(min=1, help="Random items whose answers are written, both models' each.")] = 100,
) -> None:
    """Write the answers of random items for people to label, without saying whose they are."""
    settings = settings_of(context)
    asked = to_label(lake_of(settings), settings, evaluation, items)
    file.write_text("".join(to_json(question) + "\n" for question in asked))
    Terminal().say(f"{len(asked)} answers to label in {file}")


@app.command("import")
def import_answers(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The filled-in file.")],
    by: Annotated[str, typer.Option(help="Who labelled it.")],
) -> None:
    """Record labels; the next evaluation by a judge is corrected with them."""
    settings = settings_of(context)
    count = record(lake_of(settings), read_answers(file), by)
    Terminal().say(f"{count} labels recorded")
