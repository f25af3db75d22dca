"""`flywheel cluster embedder NAME`: what another embedder would make of the failures, and its vectors made beforehand.

Go on to `flows/cluster/placement/trial.py`.
"""

from __future__ import annotations

from typing import Annotated

import typer

from flows import embed
from flows.cluster.placement.reembed import reembed
from flows.cluster.placement.trial import Trial, tried
from flows.commands.shared import AsJson, print_json, settings_of
from flows.context import lake_of
from flows.embed import Embedder
from flows.redact.own import redactor_of
from flows.terminal import Terminal
from flows.visible import one_line
from schemas.settings import Settings


def embedder(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="As the setting cluster.embedder has it, e.g. quality.")],
    url: Annotated[str, typer.Option(help="Base URL of an endpoint that serves it, as cluster.embedder_url.")] = "",
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Make its vectors now; no run then waits for them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what another embedder would make of the failures, before and after; nothing changes."""
    settings = settings_of(context)
    lake, terminal = lake_of(settings), Terminal(stderr=as_json)
    new = _load(settings, name, url)
    if prepare:
        count = reembed(
            lake,
            settings.application,
            new,
            lambda left: terminal.say(f"{left} texts are left to embed") if left else None,
        )
        if as_json:
            print_json({"embedder": new.id, "embedded": count})
            return
        terminal.say(
            f"{count} texts are embedded, and what is known has vectors of {one_line(name)}: set cluster.embedder (and "
            "cluster.embedder_url), and the next run uses them. All clusters keep their ids."
        )
        return
    old = _load(settings, settings.cluster.embedder, settings.cluster.embedder_url)
    trial = tried(lake, settings.application, settings.cluster, old, new, redactor_of(settings.curate))
    if as_json:
        print_json(trial)
        return
    _say(terminal, trial, name)


def _load(settings: Settings, name: str, url: str) -> Embedder:
    key = settings.cluster.embedder_key if url == settings.cluster.embedder_url else embed.NO_KEY
    return embed.load(name, url, key, settings.evaluate.private_endpoints)


def _say(terminal: Terminal, trial: Trial, name: str) -> None:
    sides = (trial.before, trial.after)
    terminal.table(
        ("", "before", "after"),
        [
            ("embedder", *(one_line(side.embedder) for side in sides)),
            ("clusters", *(str(side.clusters) for side in sides)),
            ("unclustered", *(f"{side.unclustered:.1%}" for side in sides)),
            ("steady, with nine tenths of the texts", *(f"{side.steady:.2f}" for side in sides)),
            ("like today's clusters", *(f"{side.as_placed:.2f}" for side in sides)),
            ("CPU seconds per 1,000 texts", *(f"{side.cpu_per_1000:.2f}" for side in sides)),
        ],
        title=f"{trial.texts} texts that failed",
    )
    terminal.say(
        f"The two agree by {trial.agreement:.2f} (1: the same); {trial.moved:.1%} of the texts lie with others."
    )
    for one in trial.examples:
        terminal.say(f"  · {one_line(one.text)}")
        terminal.say(f"      was with: {one_line(one.before)}")
        terminal.say(f"      lies with: {one_line(one.after)}")
    terminal.say(
        f"Nothing was changed. To use it: `flywheel cluster embedder {one_line(name)} --prepare`, then set "
        "cluster.embedder. Clusters keep their ids; only what is new is placed by it."
    )
