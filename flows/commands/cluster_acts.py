"""`flywheel cluster rename` and its sisters: what a person does to clusters, carried out by the next run.

Go on to `flows/cluster/lineage/acts.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from flows.cluster.lineage.acts import Acts
from flows.commands.shared import AsJson, identity, print_json, settings_of
from flows.context import lake_of
from flows.terminal import Terminal
from flows.visible import one_line
from schemas.acts import ClusterDecision

ClusterId = Annotated[str, typer.Argument(help="Its id, or the beginning of it.")]
By = Annotated[str, typer.Option(help="Who says so; default: the name of your account.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]
Failures = Annotated[list[str], typer.Argument(help="Ids of interactions that failed.")]


def rename(
    context: typer.Context,
    cluster_id: ClusterId,
    name: Annotated[str, typer.Argument(help="What to call it; personal data are taken out.")],
    reason: Why = "",
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Give a cluster a name; no run and no model changes it."""
    _say(_acts(context, by).rename(cluster_id, name, reason), as_json)


def merge(
    context: typer.Context,
    kept: Annotated[str, typer.Argument(help="The cluster that keeps its id and name.")],
    others: Annotated[list[str], typer.Argument(help="Those that become one with it.")],
    reason: Why = "",
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Make clusters one; no run takes them apart again unless a person says so."""
    _say(_acts(context, by).merge(kept, others, reason), as_json)


def split(
    context: typer.Context,
    cluster_id: ClusterId,
    saying: Annotated[str, typer.Option(help="Failures that say all of these words leave.")] = "",
    failure: Annotated[list[str] | None, typer.Option(help="This failure leaves; may be given several times.")] = None,
    name: Annotated[str, typer.Option(help="What to call the new cluster; default: by its words.")] = "",
    reason: Why = "",
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Make a cluster of its own of some failures of another."""
    _say(_acts(context, by).split(cluster_id, saying, failure or [], name, reason), as_json)


def refuse(
    context: typer.Context,
    clusters: Annotated[list[str], typer.Argument(help="One id to refuse its split, two to refuse their merge.")],
    reason: Why = "",
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Say no to a split or merge that a run has proposed; no run proposes it again."""
    _say(_acts(context, by).refuse(clusters, reason), as_json)


def undo(context: typer.Context, cluster_id: ClusterId, reason: Why = "", by: By = "", as_json: AsJson = False) -> None:
    """Take back the last split or merge of a cluster, whether a person or a run did it."""
    _say(_acts(context, by).undo(cluster_id, reason), as_json)


def ignore(
    context: typer.Context,
    cluster_id: ClusterId,
    reason: Annotated[str, typer.Option(help="Why; it is kept, and nothing is closed without.")],
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Close a cluster until it grows beyond what it was, certainly."""
    _say(_acts(context, by).ignore(cluster_id, reason), as_json)


def reopen(
    context: typer.Context, cluster_id: ClusterId, reason: Why = "", by: By = "", as_json: AsJson = False
) -> None:
    """Take back that a cluster is ignored, or resolved."""
    _say(_acts(context, by).reopen(cluster_id, reason), as_json)


def assign(
    context: typer.Context,
    cluster_id: ClusterId,
    failures: Failures,
    reason: Why = "",
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Say that failures belong to a cluster: no run moves them, and what says the same follows them."""
    _say(_acts(context, by).assign(cluster_id, failures, reason), as_json)


def pin(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call it; personal data are taken out.")],
    saying: Annotated[str, typer.Option(help="Failures that say all of these words, in any order.")] = "",
    like: Annotated[
        list[str] | None, typer.Option(help="Failures like this one, by its id; three times or more instead of words.")
    ] = None,
    reason: Why = "",
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Follow the failures that a definition takes, beside the found clusters: with trend, closure and modes."""
    _say(_acts(context, by).pin(name, saying, like or [], reason), as_json)


def unpin(
    context: typer.Context, cluster_id: ClusterId, reason: Why = "", by: By = "", as_json: AsJson = False
) -> None:
    """Follow a pinned cluster no longer."""
    _say(_acts(context, by).unpin(cluster_id, reason), as_json)


ACTS = (rename, merge, split, refuse, undo, ignore, reopen, assign, pin, unpin)


def told(act: ClusterDecision) -> str:
    """One line: what a person did, for a terminal."""
    about = act.cluster_id
    what = {
        "renamed": f"{about} is called {act.name!r}" if act.name else f"{about} is renamed",
        "merged": f"{', '.join(act.other_ids)} become one with {about}",
        "split": f"{about} is split" + (f" by {act.words!r}" if act.words else ""),
        "refused": f"{' and '.join([about, *act.other_ids])} {'stay two' if act.other_ids else 'stays one'}",
        "undone": f"the last split or merge of {about} is taken back",
        "ignored": f"{about} is ignored until it grows",
        "reopened": f"{about} is open again",
        "assigned": f"{len(act.interaction_ids)} failures belong to {about}",
        "pinned": f"{about} is pinned, called {act.name!r}, with the failures {takes(act)}",
        "unpinned": f"{about} is pinned no longer",
    }[act.event]
    why = f", since: {act.reason}" if act.reason else ""
    return one_line(f"{what}, says {act.decided_by}{why}")


def takes(act: ClusterDecision) -> str:
    """Which failures a pinned cluster takes, for people."""
    return f"that say {act.words!r}" if act.words else f"like {len(act.interaction_ids)} examples"


def _acts(context: typer.Context, by: str) -> Acts:
    settings = settings_of(context)
    return Acts(lake_of(settings), settings, by or identity(), datetime.now(UTC))


def _say(act: ClusterDecision, as_json: bool) -> None:
    if as_json:
        print_json(act)
        return
    Terminal().say(f"{told(act)}. The next run carries it out.")
