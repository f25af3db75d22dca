"""`flywheel candidate`: who wants to become champion."""

from __future__ import annotations

import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
import typer

from flows import evalset, ledger, training
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
from flows.context import foreign_environment, lake_of
from flows.evaluate import server
from flows.prefect_api import page_of, request_evaluation
from flows.registry import Registry
from flows.seal import seal_of
from flows.terminal import Terminal
from flows.versions import Version, find, versions
from schemas.errors import EndpointError, UsageError
from schemas.events import Candidate, to_json
from schemas.settings import Settings
from streams.lake import Lake

CONNECT_S = 5.0
"""A host that takes longer to accept a connection is away."""
app = typer.Typer(help="Candidates: register one, say what trained it, list them.", no_args_is_help=True)


@app.command("add")
def add(
    context: typer.Context,
    endpoint: Endpoint,
    model: Model,
    prompt_version: PromptVersion = None,
    dataset: Dataset = None,
    parameters: Parameters = "{}",
    model_dir: Annotated[
        Path | None, typer.Option(help="Folder of the trained model, whose `flywheel.json` says what made it.")
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            help="Command line that serves it: started for an evaluation, stopped after it. Empty: forget it."
        ),
    ] = None,
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
    made, source = _training(lake, settings, model_dir, dataset)
    candidate = candidate_of(
        settings, model, endpoint, prompt_version, source.version if source else dataset, parameters
    )
    if made:
        _refuse_other(ledger.fold(lake, settings.application), candidate, made)
    served = bool(command.strip() if command is not None else server.command_of(settings.home_path, candidate.id))
    if check and not served:
        _refuse_dead(candidate.endpoint)
    if eval_set:
        evalset.find(lake, settings, eval_set)
    if command is not None:
        server.keep(settings.home_path, candidate.id, command, Path.cwd())
    decision = ledger.register(
        lake, settings.application, candidate, time=datetime.now(UTC), decided_by=identity(), eval_set=eval_set,
        training=to_json(made) if made else "", seal=seal_of(settings),
    )  # fmt: skip
    announce_or_say(lake, settings)
    run = request_evaluation(settings, candidate.id, f"registered:{eval_set}" if eval_set else "registered")
    if as_json:
        print_json(candidate)
        return
    terminal = Terminal()
    terminal.say("candidate ", (candidate.id, "bold"), f" is row {decision.sequence} of the ledger")
    if source:
        terminal.say(f"it was trained on {source.dataset}@{source.version}, which is {source.status}")
    if served:
        terminal.say("its command is kept here, and starts it for each evaluation")
    registry = ledger.fold(lake, settings.application)
    terminal.say(f"eval set {evalset.name_for(registry, settings, candidate.id)} decides about it")
    if run:
        terminal.say(f"its evaluation is on its way: {page_of(settings, run)}")
    else:
        terminal.say("no Prefect server answers: the next turn asks for its evaluation, or run `flywheel evaluate`")


@app.command("describe")
def describe(
    context: typer.Context,
    model_dir: Annotated[Path, typer.Argument(help="Folder of the trained model.")],
    dataset: Annotated[str, typer.Option(help="What it was trained on: a dataset's name, a version, its beginning.")],
    config: Annotated[str, typer.Option(help="Which rows of it: sft, preference, …; default: all.")] = "",
    base_model: Annotated[str, typer.Option(help="What was trained further.")] = "",
    seed: Annotated[int | None, typer.Option(help="Of the training.")] = None,
    trainer: Annotated[
        str, typer.Option("--settings", help='The trainer\'s settings as JSON, e.g. {"learning_rate": 1e-3}.')
    ] = "{}",
    python: Annotated[
        str, typer.Option(help="The interpreter that trained: it is asked which libraries it has.")
    ] = sys.executable,
    as_json: AsJson = False,
) -> None:
    """Write `flywheel.json` into a trained model's folder: which data, settings and libraries made it."""
    settings = settings_of(context)
    version = find(lake_of(settings), settings.application, dataset)
    try:
        values = msgspec.json.decode(trainer, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(f"--settings is not a JSON object: {error}") from error
    told = training.training_of(
        version, config, base_model=base_model, seed=seed, settings=values,
        libraries=training.libraries_of(python, foreign_environment()),
    )  # fmt: skip
    path = training.write(model_dir, told)
    if as_json:
        print_json(told)
    else:
        Terminal().say(f"{path} says {told.dataset}@{told.version}: `flywheel candidate add --model-dir` reads it")


def _training(
    lake: Lake, settings: Settings, folder: Path | None, dataset: str | None
) -> tuple[training.Training | None, Version | None]:
    """What a model's folder says of its training, and the dataset version that this names."""
    if folder is None:
        return None, None
    made = training.read(folder)
    version = training.version_of(made, versions(lake, settings.application))
    if dataset not in {None, version.version, version.sha256}:
        raise UsageError(f"--dataset says {dataset!r}, and {folder / training.FILE} says {version.version!r}")
    return made, version


def _refuse_other(registry: Registry, candidate: Candidate, made: training.Training) -> None:
    """Raise UsageError where a candidate stands for another training: the answers of its earlier weights are kept."""
    known = registry.training(candidate.id)
    if known is not None and known != msgspec.json.decode(to_json(made)):
        raise UsageError(
            f"{candidate.model[:200]!r} of this dataset at this endpoint is registered as trained otherwise (`flywheel "
            "trace` shows how): serve the new one under another name, so that no answer of the old one counts for it"
        )


def _refuse_dead(endpoint: str) -> None:
    """Raise EndpointError where nobody takes a connection: an evaluation would find that out after minutes."""
    parts = urlsplit(endpoint)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise EndpointError(
            f"nobody answers at {endpoint}: {getattr(error, 'strerror', None) or error}. Start it, or register it all "
            "the same with --no-check; --command starts it for each evaluation"
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
