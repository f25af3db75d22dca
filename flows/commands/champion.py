"""`flywheel champion`: who serves, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from flows import ledger
from flows.commands.announcing import announce_or_say, tell_later
from flows.commands.shared import (
    AsJson,
    Dataset,
    Endpoint,
    Model,
    Parameters,
    PromptVersion,
    candidate_of,
    identity,
    print_json,
    settings_of,
)
from flows.context import lake_of
from flows.promote.rollback import roll_back
from flows.promote.staleness import of_champion
from flows.seal import seal_of
from flows.terminal import Terminal
from flows.visible import one_line
from schemas.errors import UsageError
from schemas.events import Decision

app = typer.Typer(help="The champion: who serves and why; set the first one; roll back.")


@app.callback(invoke_without_command=True)
def show(context: typer.Context, as_json: AsJson = False) -> None:
    """Who serves and why: the decision that made it champion, with its reasons and evidence."""
    if context.invoked_subcommand:
        return
    settings = settings_of(context)
    lake = lake_of(settings)
    registry = ledger.fold(lake, settings.application)
    stale = of_champion(lake, settings, registry)
    moves = [decision for decision in registry.decisions if decision.action in {"promoted", "rolled_back"}]
    if as_json:
        print_json({"champion": registry.champion, "decision": moves[-1] if moves else None, "stale": stale})
    elif registry.champion is None:
        Terminal().say(f"{settings.application} has no champion yet: `flywheel champion set` names the first one")
    else:
        _explain(moves[-1])
        if stale:
            Terminal().say(("its evidence is stale", "yellow"), f": {one_line(stale)}")


@app.command("set")
def set_first(
    context: typer.Context,
    endpoint: Endpoint,
    model: Model,
    reason: Annotated[str, typer.Option(help="Why this one: it is recorded, since nothing could be compared.")],
    prompt_version: PromptVersion = None,
    dataset: Dataset = None,
    parameters: Parameters = "{}",
) -> None:
    """Name the first champion. Later ones must win: this refuses once somebody serves."""
    settings = settings_of(context)
    lake = lake_of(settings)
    candidate = candidate_of(settings, model, endpoint, prompt_version, dataset, parameters)
    decision = ledger.bootstrap(
        lake, settings.application, candidate, reason, time=datetime.now(UTC), decided_by=identity(),
        seal=seal_of(settings),
    )  # fmt: skip
    announce_or_say(lake, settings)
    _explain(decision)


@app.command("rollback")
def rollback(
    context: typer.Context, reason: Annotated[str, typer.Option(help="Why: it is recorded in the ledger.")]
) -> None:
    """Put the champion before the present one back."""
    settings = settings_of(context)
    lake = lake_of(settings)
    serving = ledger.fold(lake, settings.application).champion
    if serving is None:
        raise UsageError(f"{settings.application} has no champion")
    now = datetime.now(UTC)
    evidence = {"requested_by": identity(), "requested_at": now.isoformat()}
    decision = roll_back(lake, settings.application, serving.id, reason, evidence, now, tell_later, seal_of(settings))
    announce_or_say(lake, settings)
    _explain(decision)


def _explain(decision: Decision) -> None:
    terminal, champion = Terminal(), decision.champion
    if champion is None:
        raise UsageError("the decision names no champion")
    prompt = f", prompt {one_line(champion.prompt_version)}" if champion.prompt_version else ""
    terminal.say((one_line(champion.model), "bold"), f"{prompt} at {champion.endpoint} ({champion.id})")
    by = one_line(decision.decided_by)
    terminal.say(f"{decision.action} on {decision.time:%Y-%m-%d %H:%M} UTC by {by}, because")
    for reason in decision.reasons:
        terminal.say(f"  - {one_line(reason)}")
    for name, value in sorted(decision.evidence.items()):
        terminal.say((f"  {one_line(name)}: {one_line(value)}", "dim"))
