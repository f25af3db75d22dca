"""`flywheel review`: people judge, blind, where two models answer differently; the gate decides by that."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from flows.announce import tell
from flows.commands.shared import identity, print_json, settings_of
from flows.context import lake_of
from flows.evaluate.reviewing import Recorded, record_reviews, to_review
from flows.evaluate.reviews import SKIP, VERDICTS, Question, filled, read_answers
from flows.evaluate.stage import newest
from flows.evaluations import evaluation_of
from flows.prefect_api import request_evaluation
from flows.terminal import Terminal
from schemas.errors import UsageError
from schemas.events import to_json
from schemas.settings import Settings
from streams.lake import Lake

app = typer.Typer(
    help="Review, blind, where two models answer differently: the gate decides by it.", no_args_is_help=True
)
Evaluation = Annotated[str, typer.Option(help="Id of an evaluation; default: the newest.")]
By = Annotated[str, typer.Option(help="Who reviews; default: the name of your account.")]
Count = Annotated[int | None, typer.Option(min=1, help="How many; default: as many as the gate looks at next.")]


@app.command("next")
def next_command(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="JSON lines to write: fill in right_1 and right_2, 1 right to 0 wrong.")
    ] = None,
    count: Count = None,
    evaluation: Evaluation = "",
    by: By = "",
) -> None:
    """Write the next disagreements to a file, or print them: neither says who answered what."""
    settings = settings_of(context)
    lake = lake_of(settings)
    asked = to_review(lake, settings, evaluation or newest(lake, settings.application), by or identity(), count)
    if file is None:
        print_json(asked)
        return
    file.write_text("".join(to_json(question) + "\n" for question in asked))
    Terminal().say(f"{len(asked)} pairs of answers to review in {file}")


@app.command("answer")
def answer_command(context: typer.Context, count: Count = None, evaluation: Evaluation = "", by: By = "") -> None:
    """Review in the terminal: 1 or 2 is right, (b)oth, (n)either, (s)kip, (q)uit; what was said is kept."""
    settings = settings_of(context)
    lake = lake_of(settings)
    name, who, terminal = evaluation or newest(lake, settings.application), by or identity(), Terminal()
    asked = to_review(lake, settings, name, who, count)
    answers = []
    for number, question in enumerate(asked, 1):
        _show(terminal, question, f"{number} of {len(asked)}")
        key = typer.prompt("right", prompt_suffix=" [1/2/b/n/s/q]? ").strip().lower()
        while key not in {*VERDICTS, SKIP, "q"}:
            key = typer.prompt("1, 2, b(oth), n(either), s(kip) or q(uit)", prompt_suffix="? ").strip().lower()
        if key == "q":
            break
        answers.append(filled(question, key))
    _record(lake, settings, name, answers, who)


@app.command("import")
def import_command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The filled-in file.")],
    evaluation: Evaluation = "",
    by: By = "",
) -> None:
    """Record a file of reviews; the same file twice is recorded and told once."""
    settings = settings_of(context)
    lake = lake_of(settings)
    answers = read_answers(file)
    if not answers:
        raise UsageError(f"{file}: no line is filled in: right_1 and right_2 say 1 for right and 0 for wrong")
    _record(lake, settings, evaluation or newest(lake, settings.application), answers, by or identity())


def _record(lake: Lake, settings: Settings, evaluation: str, answers: list[Question], by: str) -> None:
    done = record_reviews(lake, settings, evaluation, answers, by, datetime.now(UTC), partial(tell, settings))
    terminal = Terminal()
    terminal.say(_said(done))
    candidate = evaluation_of(lake, settings.application, evaluation).candidate
    run = request_evaluation(settings, candidate.id, f"reviews:{done.standing.reviewed}:{by}:{len(answers)}")
    by_hand = f"now run `flywheel evaluate {candidate.id}` and `flywheel promote`"
    terminal.say(f"{candidate.model}: {'its evaluation is on its way' if run else by_hand}")


def _said(done: Recorded) -> str:
    stood = done.standing
    differ = sum(one.differs for one in stood.asked)
    coming = f"; the gate looks again at {stood.next_look}" if stood.next_look else ""
    return (
        f"{done.answers} reviews recorded, {done.events} feedback events told; {stood.reviewed} of {differ} "
        f"disagreements are reviewed without a gap{coming}"
    )


def _show(terminal: Terminal, question: Question, place: str) -> None:
    terminal.rule(place)
    for message in question.conversation:
        terminal.say((f"{message['role']}: ", "dim"), str(message["content"]))
    for number, reply in ((1, question.reply_1), (2, question.reply_2)):
        terminal.say((f"\n{number} ", "bold"), reply)
    terminal.say((f"\n{question.rubric}", "dim"))
