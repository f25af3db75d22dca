"""`flywheel clusters`: which ways of failing there are, what one of them is, and what changed between two runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from flows.cluster.catalogue.differences import differences
from flows.cluster.catalogue.report import examples_of, write
from flows.cluster.lineage.accepted import OpenProposal, accept, proposals_of
from flows.cluster.state import clusters_of, events_of
from flows.commands.shared import identity, print_json
from flows.context import lake_of
from flows.run import latest, runs
from schemas.errors import NotEnoughData, UsageError
from schemas.records import Cluster, ClusterEvent, Point
from schemas.settings import Settings
from streams.lake import Lake

app = typer.Typer(help="Ways of failing: list them, look into one, compare two runs.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Row = dict[str, Any]
STYLES = {"new": "bold magenta", "growing": "red", "regressed": "bold red", "shrinking": "cyan", "resolved": "green"}
BARS = " ▁▂▃▄▅▆▇█"


@app.command("list")
def list_clusters(
    context: typer.Context,
    as_json: Json = False,
    status: Annotated[str, typer.Option(help="Only these, e.g. new or growing.")] = "",
) -> None:
    """List the clusters of the latest run, the most frequent first."""
    settings: Settings = context.obj
    lake = lake_of(settings)
    run = _latest(lake, settings)
    every = clusters_of(lake, run["run_id"])
    shown = [one for one in every if status == one.status or (not status and not one.alias_of)]
    proposals = proposals_of(lake, run)
    if as_json:
        print_json([_plain(run, one) | {"proposals": _about(one, proposals)} for one in shown])
        return
    console = Console()
    console.print(_listing(shown))
    names = {one.cluster_id: one.name for one in every}
    for proposal in proposals:
        _print_proposal(console, proposal, names)
    summary = msgspec.json.decode(run["summary"])
    console.print(
        f"{summary['failed']} of {summary['interactions']} interactions failed, {summary['unknown']} are unknown; "
        f"{summary['unclustered']} failures ({summary['unclustered_share']:.1%} of them) have no cluster yet. "
        f"As of {run['as_of']:%Y-%m-%d %H:%M} UTC."
    )


@app.command("show")
def show(
    context: typer.Context,
    cluster_id: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    as_json: Json = False,
    examples: Annotated[int, typer.Option(help="How many of its failures to print.", min=0, max=1000)] = 5,
) -> None:
    """Show one cluster: its trend, what promotions did to it, and examples."""
    settings: Settings = context.obj
    lake = lake_of(settings)
    run = _latest(lake, settings)
    every = clusters_of(lake, run["run_id"])
    one = _one(every, cluster_id)
    texts = examples_of(lake, run, examples).get(one.cluster_id, [])
    proposals = _about(one, proposals_of(lake, run))
    if as_json:
        print_json(_plain(run, one) | {"examples": texts, "proposals": proposals})
        return
    console = Console()
    _show(console, one, texts)
    for proposal in proposals:
        _print_proposal(console, proposal, {named.cluster_id: named.name for named in every})


@app.command("accept")
def accept_proposal(
    context: typer.Context,
    clusters: Annotated[
        list[str], typer.Argument(help="One id to accept its split, two to accept their merge; or their beginnings.")
    ],
    by: Annotated[str, typer.Option(help="Who says so; default: the name of your account.")] = "",
    as_json: Json = False,
) -> None:
    """Accept a split or merge that a run has proposed; the next run carries it out. Twice is once."""
    settings: Settings = context.obj
    decision = accept(lake_of(settings), settings.application, clusters, by or identity(), datetime.now(UTC))
    if as_json:
        print_json(decision)
        return
    ids = " and ".join([decision.cluster_id, *decision.other_ids])
    what = "split of" if decision.event == "split" else "merge of"
    Console().print(
        f"Accepted by {decision.decided_by}: the {what} {ids}. The next run carries it out.",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )


@app.command("diff")
def diff(
    context: typer.Context,
    run1: Annotated[str, typer.Argument(help="Run id (or its beginning), or -2 for the one before the latest.")] = "-2",
    run2: Annotated[str, typer.Argument(help="The later run; -1 is the latest.")] = "-1",
    as_json: Json = False,
) -> None:
    """Compare two runs: clusters that came, went or changed, with their rates before and after."""
    settings: Settings = context.obj
    lake = lake_of(settings)
    history = runs(lake, "cluster", settings.application)
    old, new = (_run(history, wanted) for wanted in (run1, run2))
    found = differences(clusters_of(lake, old["run_id"]), clusters_of(lake, new["run_id"]))
    between = history[history.index(old) + 1 : history.index(new) + 1]
    events = [(run, event) for run in between for event in events_of(lake, run["run_id"])]
    if as_json:
        print_json({"clusters": found, "events": [_plain(run, event) for run, event in events]})
        return
    table = Table("cluster", "name", "status", "rate before", "rate after", title=f"{old['as_of']} to {new['as_of']}")
    for one in found:
        table.add_row(one.cluster_id, one.name, _styled(one.status), _rate(one.before), _rate(one.after))
    console = Console()
    console.print(table)
    for _, event in events:
        others = f" ({', '.join(event.other_ids)})" if event.other_ids else ""
        proposed = ", proposed" if event.details.proposed is True else ""
        console.print(f"{event.event}{proposed}: {event.cluster_id}{others}")


@app.command("report")
def report(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the file; default: reports/ below the data root.")
    ] = None,
) -> None:
    """Write the latest run as one self-contained HTML file, and say where."""
    settings: Settings = context.obj
    lake = lake_of(settings)
    path = write(lake, _latest(lake, settings), out or settings.home_path / "reports")
    Console().print(f"{path}", soft_wrap=True, highlight=False)


def _latest(lake: Lake, settings: Settings) -> Row:
    run = latest(lake, "cluster", settings.application)
    if run is None:
        raise NotEnoughData(
            f"no cluster run of application {settings.application!r} is finished yet: `flywheel turn` makes one"
        )
    return run


def _run(history: list[Row], wanted: str) -> Row:
    if wanted in {"-1", "-2"} and len(history) >= int(wanted[1:]):
        return history[int(wanted)]
    found = [run for run in history if wanted and run["run_id"].startswith(wanted)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(run["run_id"][:8] for run in history[-10:]) or "none"
    raise UsageError(f"{len(found)} cluster runs match {wanted!r}; the latest are {known}")


def _one(every: list[Cluster], wanted: str) -> Cluster:
    found = [one for one in every if one.cluster_id.startswith(wanted)]
    if len(found) != 1:
        raise UsageError(f"{len(found)} clusters match {wanted!r}: `flywheel clusters list` shows their ids")
    return found[0]


def _listing(clusters: list[Cluster]) -> Table:
    table = Table("cluster", "name", "status", "failures", "rate", "trend", "ever", "example")
    for one in clusters:
        table.add_row(
            one.cluster_id,
            one.name,
            _styled(one.status),
            str(one.size),
            _rate(one.rate),
            _spark(one.trend),
            str(one.size_total),
            " ".join((one.medoid_text or "").split())[:80],
        )
    return table


def _show(console: Console, one: Cluster, texts: list[str]) -> None:
    console.print(f"[bold]{one.name}[/]  {one.cluster_id}  {_styled(one.status)}", highlight=False)
    if one.description:
        console.print(one.description)
    between = f" (95 %: {_rate(one.rate_low)} to {_rate(one.rate_high)})" if one.rate is not None else ""
    console.print(f"{one.size} failures in the last window, {_rate(one.rate)} of interactions{between}")
    if one.alias_of:
        console.print(f"merged into {one.alias_of}", highlight=False)
    console.print(f"{one.size_total} ever, first {one.first_seen}, last {one.last_seen}")
    console.print(f"reasons: {', '.join(one.reasons)}\ntrend:   {_spark(one.trend)}")
    for closed in one.closure:
        difference = "no traffic on one side"
        if closed.difference is not None:
            difference = f"{closed.difference:+.2%} (95 %: {closed.low:+.2%} to {closed.high:+.2%})"
        console.print(f"{closed.action} {closed.model} {closed.time[:16]}: {closed.verdict}, {difference}")
    for text in texts:
        console.print(f"  · {' '.join(text.split())[:200]}", markup=False)


def _about(one: Cluster, proposals: list[OpenProposal]) -> list[OpenProposal]:
    return [proposal for proposal in proposals if one.cluster_id in proposal.clusters]


def _print_proposal(console: Console, proposal: OpenProposal, names: dict[str, str]) -> None:
    """What is proposed, and what to do about it."""
    named = " and ".join(f"{id_} ({names.get(id_, id_)})" for id_ in proposal.clusters)
    shares = ", ".join(f"{share:.0%}" for share in proposal.shares)
    what = f"split {named} into parts of {shares}"
    if proposal.event == "merged":
        what = f"merge {named}, which lie in the same places by {shares}"
    command = f"flywheel clusters accept {' '.join(proposal.clusters)}"
    then = f"accepted by {proposal.accepted_by}, next run" if proposal.accepted_by else command
    console.print(f"Proposed: {what}: {then}", highlight=False, soft_wrap=True, markup=False)
    for share, texts in zip(proposal.shares, proposal.parts, strict=False):
        for text in texts:
            console.print(f"  {share:>4.0%} · {' '.join(text.split())[:150]}", highlight=False, markup=False)


def _rate(value: float | None) -> str:
    return "no traffic" if value is None else f"{value:.2%}"


def _spark(trend: Sequence[Point]) -> str:
    """One bar a window, oldest first; a dot where there was no traffic."""
    rates = [failures / served if served else None for _, failures, served in trend]
    top = max((rate for rate in rates if rate), default=1.0)
    return "".join("·" if rate is None else BARS[round(rate / top * 8)] for rate in rates)


def _styled(status: str) -> str:
    style = STYLES.get(status)
    return f"[{style}]{status}[/]" if style else status


def _plain(run: Row, record: Cluster | ClusterEvent) -> Row:
    """For programs: a record, and the run that it is of."""
    return {"run_id": run["run_id"], "application": run["application"], **msgspec.structs.asdict(record)}
