"""`flywheel candidate`: who wants to become champion."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from flows import evalset, ledger
from flows.commands.shared import announce_or_say, identity, print_json
from flows.context import lake_of
from flows.prefect_api import page_of, request_evaluation
from schemas.errors import UsageError
from schemas.events import Candidate
from schemas.records import make_candidate
from schemas.settings import Settings

app = typer.Typer(help="Candidates: register one, list them.", no_args_is_help=True)

Endpoint = Annotated[str, typer.Option(help="Base URL of its OpenAI-compatible API, up to and with /v1.")]
Model = Annotated[str, typer.Option(help="Model name that the endpoint is asked for.")]
PromptVersion = Annotated[str | None, typer.Option(help="Version of the prompt that it is used with.")]
Dataset = Annotated[str | None, typer.Option(help="Dataset version that it was trained on.")]
Parameters = Annotated[str, typer.Option(help='Request parameters as JSON, e.g. {"temperature": 0}.')]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def candidate_of(
    model: str, endpoint: str, prompt_version: str | None, dataset: str | None, parameters: str
) -> Candidate:
    """The candidate that the options describe. Raises UsageError naming the option that is wrong."""
    if not endpoint.startswith(("http://", "https://")):
        raise UsageError(f"--endpoint must be an http(s) URL, got {endpoint[:200]!r}")
    try:
        values = msgspec.json.decode(parameters, type=dict[str, Any])
        return make_candidate(
            model, endpoint.rstrip("/"), prompt_version=prompt_version, parameters=values, dataset=dataset
        )
    except msgspec.ValidationError as error:
        raise UsageError(f"that is not a candidate: {error}") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"--parameters is not a JSON object: {error}") from error


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
    as_json: AsJson = False,
) -> None:
    """Register a candidate in the ledger and announce it; its evaluation is started by that, not by a clock."""
    settings: Settings = context.obj
    lake = lake_of(settings)
    candidate = candidate_of(model, endpoint, prompt_version, dataset, parameters)
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
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"candidate [bold]{candidate.id}[/] is row {decision.sequence} of the ledger")
    registry = ledger.fold(lake, settings.application)
    console.print(f"eval set {evalset.name_for(registry, settings, candidate.id)} decides about it", markup=False)
    if run:
        console.print(f"its evaluation is on its way: {page_of(settings, run)}")
    else:
        console.print("no Prefect server answers: the next turn asks for its evaluation, or run `flywheel evaluate`")


@app.command("list")
def list_candidates(context: typer.Context, as_json: AsJson = False) -> None:
    """Every candidate, with what was decided about it last."""
    settings: Settings = context.obj
    registry = ledger.fold(lake_of(settings), settings.application)
    last = {decision.candidate.id: decision for decision in registry.decisions}

    def eval_set(candidate: Candidate) -> str:
        return evalset.name_for(registry, settings, candidate.id)

    if as_json:
        print_json(
            [
                {**msgspec.to_builtins(c), "status": status(registry, c), "eval_set": eval_set(c)}
                for c in registry.candidates.values()
            ]
        )
        return
    table = Table("id", "model", "prompt", "endpoint", "dataset", "eval set", "status", "since", "reason")
    for candidate in registry.candidates.values():
        decision = last[candidate.id]
        table.add_row(
            candidate.id, candidate.model, candidate.prompt_version or "", candidate.endpoint,
            (candidate.dataset or "")[:16], eval_set(candidate), status(registry, candidate),
            f"{decision.time:%Y-%m-%d %H:%M}", next(iter(decision.reasons), ""),
        )  # fmt: skip
    Console().print(table)


def status(registry: ledger.Registry, candidate: Candidate) -> str:
    """What was decided about a candidate last; the champion is the champion."""
    if registry.champion is not None and registry.champion.id == candidate.id:
        return "champion"
    last = next(d for d in reversed(registry.decisions) if d.candidate.id == candidate.id)
    return {"promoted": "former champion", "registered": "waiting"}.get(last.action, last.action.replace("_", " "))
