"""`flywheel candidate`: who wants to become champion."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
import typer

from flows import evalset, ledger
from flows.commands.announcing import announce_or_say
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
from flows.prefect_api import page_of, request_evaluation
from flows.terminal import Terminal
from schemas.errors import EndpointError
from schemas.events import Candidate

CONNECT_S = 5.0
"""A host that takes longer to accept a connection is away."""
app = typer.Typer(help="Candidates: register one, list them.", no_args_is_help=True)


@app.command("add")
def add(
    context: typer.Context,
    endpoint: Endpoint,
    model: Model,
    prompt_version: PromptVersion = None,
    dataset: Dataset = None,
    parameters: Parameters = "{}",
    eval_set: Annotated[
        str, typer.Option(help="Eval set that decides about it: a recipe or a frozen set. Default: evaluate.eval_set.")
    ] = "",
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="See first that somebody answers at the endpoint.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Register a candidate in the ledger and announce it; its evaluation is started by that, not by a clock."""
    settings = settings_of(context)
    lake = lake_of(settings)
    candidate = candidate_of(model, endpoint, prompt_version, dataset, parameters)
    if check:
        _refuse_dead(candidate.endpoint)
    if eval_set:
        evalset.find(lake, settings, eval_set)
    decision = ledger.register(
        lake, settings.application, candidate, time=datetime.now(UTC), decided_by=identity(), eval_set=eval_set
    )
    announce_or_say(lake, settings)
    run = request_evaluation(settings, candidate.id, f"registered:{eval_set}" if eval_set else "registered")
    if as_json:
        print_json(candidate)
        return
    terminal = Terminal()
    terminal.say("candidate ", (candidate.id, "bold"), f" is row {decision.sequence} of the ledger")
    registry = ledger.fold(lake, settings.application)
    terminal.say(f"eval set {evalset.name_for(registry, settings, candidate.id)} decides about it")
    if run:
        terminal.say(f"its evaluation is on its way: {page_of(settings, run)}")
    else:
        terminal.say("no Prefect server answers: the next turn asks for its evaluation, or run `flywheel evaluate`")


def _refuse_dead(endpoint: str) -> None:
    """Raise EndpointError where nobody takes a connection: an evaluation would find that out after minutes."""
    parts = urlsplit(endpoint)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise EndpointError(
            f"nobody answers at {endpoint}: {getattr(error, 'strerror', None) or error}. Start it, or register it all "
            "the same with --no-check"
        ) from error


@app.command("list")
def list_candidates(context: typer.Context, as_json: AsJson = False) -> None:
    """Every candidate, with what was decided about it last."""
    settings = settings_of(context)
    registry = ledger.fold(lake_of(settings), settings.application)
    last = {decision.candidate.id: decision for decision in registry.decisions}

    def eval_set(candidate: Candidate) -> str:
        return evalset.name_for(registry, settings, candidate.id)

    if as_json:
        print_json(
            [
                {**msgspec.to_builtins(c), "status": registry.status(c.id), "eval_set": eval_set(c)}
                for c in registry.candidates.values()
            ]
        )
        return
    rows = [
        (
            candidate.id, candidate.model, candidate.prompt_version or "", candidate.endpoint, candidate.dataset or "",
            eval_set(candidate),
            registry.status(candidate.id), f"{last[candidate.id].time:%Y-%m-%d %H:%M}",
            next(iter(last[candidate.id].reasons), ""),
        )
        for candidate in registry.candidates.values()
    ]  # fmt: skip
    columns = ("id", "model", "prompt", "endpoint", "dataset", "eval set", "status", "since", "reason")
    terminal = Terminal()
    terminal.table(columns, rows, whole=("id", "endpoint", "dataset"))
    if not rows:
        terminal.say(f"{settings.application} has no candidate yet: `flywheel candidate add` registers one.")
