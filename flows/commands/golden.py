"""`flywheel golden`: eval items that a person writes, edits and retires; every later eval set asks them.

Go on to `flows/curate/golden.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from flows.commands.shared import AsJson, identity, print_json, settings_of
from flows.context import lake_of
from flows.curate.golden import Book, Written, acts, living, newest, written
from flows.terminal import Terminal
from flows.visible import one_line
from schemas.acts import GoldenAct
from schemas.messages import parse, text_of

app = typer.Typer(help="Golden examples: eval items by hand; add, edit, retire, list.", no_args_is_help=True)
By = Annotated[str, typer.Option(help="Who says so; default: the name of your account.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]
ItemId = Annotated[str, typer.Argument(help="Its id, or the beginning of it.")]


@app.command("add")
def add(
    context: typer.Context,
    asked: Annotated[str, typer.Argument(help="What is asked: a text, or a JSON list of messages.")],
    reference: Annotated[str, typer.Argument(help="What would be a right answer.")],
    rubric: Annotated[str, typer.Option(help="How answers to it are judged.")] = "",
    slice_: Annotated[str, typer.Option("--slice", help="The part of the eval set that it is counted in.")] = "",
    interaction: Annotated[str, typer.Option(help="The interaction that it is made from.")] = "",
    reason: Why = "",
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Add an item; personal data are taken out."""
    _say(_book(context, by).add(Written(asked, reference, rubric, slice_), reason, interaction), as_json)


@app.command("edit")
def edit(
    context: typer.Context,
    item_id: ItemId,
    asked: Annotated[str | None, typer.Option(help="What is asked from now on; default: as before.")] = None,
    reference: Annotated[str | None, typer.Option(help="The right answer from now on; default: as before.")] = None,
    rubric: Annotated[str | None, typer.Option(help="The rubric from now on; default: as before.")] = None,
    slice_: Annotated[str | None, typer.Option("--slice", help="The slice from now on; default: as before.")] = None,
    reason: Why = "",
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Make a new version of an item; sets that were built keep theirs."""
    book = _book(context, by)
    one = book.find(item_id)
    given = {"asked": asked, "reference": reference, "rubric": rubric, "slice": slice_}
    said = {name: text for name, text in given.items() if text is not None}
    _say(book.edit(one.item_id, msgspec.structs.replace(written(one), **said), reason), as_json)


@app.command("retire")
def retire(
    context: typer.Context,
    item_id: ItemId,
    reason: Annotated[str, typer.Option(help="Why; it is kept, and nothing is retired without.")],
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Leave an item out of every later eval set; sets that were built keep it."""
    _say(_book(context, by).retire(item_id, reason), as_json)


@app.command("list")
def list_items(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Those that are retired too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the items, as their last versions are."""
    settings = settings_of(context)
    found = acts(lake_of(settings), settings.application)
    items = newest(found) if every else living(found)
    if as_json:
        print_json(items)
        return
    terminal = Terminal()
    shown = [
        (one.item_id, str(one.version), one.event, f"{one.time:%Y-%m-%d %H:%M}", one_line(one.decided_by), _asks(one))
        for one in items
    ]
    terminal.table(("item", "version", "last", "when", "by", "asks"), shown, whole=("item",))
    if not items:
        terminal.say("No golden example stands: `flywheel golden add QUESTION ANSWER` makes one.")


def _book(context: typer.Context, by: str) -> Book:
    settings = settings_of(context)
    return Book(lake_of(settings), settings, by or identity(), datetime.now(UTC))


def _asks(one: GoldenAct) -> str:
    return one_line(text_of(parse(one.messages), "user")[:240])


def _say(act: GoldenAct, as_json: bool) -> None:
    if as_json:
        print_json(act)
        return
    told = f"{act.item_id}, version {act.version}: {act.event} by {act.decided_by}. Asks: {_asks(act)}"
    Terminal().say(one_line(told))
