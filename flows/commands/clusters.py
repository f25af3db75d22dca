"""`flywheel clusters`: which ways of failing there are, what one of them is, and what changed between two runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from flows.cluster.catalogue.report import examples_of, write
from flows.cluster.lineage.accepted import accept, proposals_of
from flows.cluster.state import clusters_of, events_of
from flows.commands.shared import identity, print_json
from flows.context import lake_of
from flows.run import latest, runs
from schemas.errors import NotEnoughData, UsageError
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
    rows = [row for row in every if status == row["status"] or (not status and not row["alias_of"])]
    proposals = proposals_of(lake, run)
    if as_json:
        print_json([_plain(row) | {"proposals": _about(row, proposals)} for row in rows])
        return
    console = Console()
    console.print(_listing(rows))
    names = {row["cluster_id"]: row["name"] for row in every}
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
    row = _one(clusters_of(lake, run["run_id"]), cluster_id)
    texts = examples_of(lake, run, examples).get(row["cluster_id"], [])
    proposals = _about(row, proposals_of(lake, run))
    if as_json:
        print_json(_plain(row) | {"examples": texts, "proposals": proposals})
        return
    console = Console()
    _show(console, row, texts)
    for proposal in proposals:
        _print_proposal(console, proposal, {one["cluster_id"]: one["name"] for one in clusters_of(lake, run["run_id"])})


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
    row = accept(lake_of(settings), settings.application, clusters, by or identity(), datetime.now(UTC))
    if as_json:
        print_json(row)
        return
    ids = " and ".join([row["cluster_id"], *row["other_ids"]])
    what = "split of" if row["event"] == "split" else "merge of"
    Console().print(
        f"Accepted by {row['decided_by']}: the {what} {ids}. The next run carries it out.",
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
    rows = _differences(clusters_of(lake, old["run_id"]), clusters_of(lake, new["run_id"]))
    between = history[history.index(old) + 1 : history.index(new) + 1]
    events = [event for run in between for event in events_of(lake, run["run_id"])]
    if as_json:
        print_json({"clusters": rows, "events": [_plain(event) for event in events]})
        return
    table = Table("cluster", "name", "status", "rate before", "rate after", title=f"{old['as_of']} to {new['as_of']}")
    for row in rows:
        table.add_row(row["cluster_id"], row["name"], _styled(row["status"]), _rate(row["before"]), _rate(row["after"]))
    console = Console()
    console.print(table)
    for event in events:
        others = f" ({', '.join(event['other_ids'])})" if event["other_ids"] else ""
        proposed = ", proposed" if msgspec.json.decode(event["details"]).get("proposed") else ""
        console.print(f"{event['event']}{proposed}: {event['cluster_id']}{others}")


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


def _one(rows: list[Row], wanted: str) -> Row:
    found = [row for row in rows if row["cluster_id"].startswith(wanted)]
    if len(found) != 1:
        raise UsageError(f"{len(found)} clusters match {wanted!r}: `flywheel clusters list` shows their ids")
    return found[0]


def _differences(old: list[Row], new: list[Row]) -> list[Row]:
    """Clusters whose status is not the same steady one in both runs, or that only one of them has."""
    before = {row["cluster_id"]: row for row in old}
    rows = []
    for row in new:
        was = before.get(row["cluster_id"])
        if was is None or row["status"] != "steady" or was["status"] != "steady":
            rows.append({
                "cluster_id": row["cluster_id"],
                "name": row["name"],
                "status": row["status"],
                "before": was["rate"] if was else None,
                "after": row["rate"],
            })  # fmt: skip
    return rows


def _listing(rows: list[Row]) -> Table:
    table = Table("cluster", "name", "status", "failures", "rate", "trend", "ever", "example")
    for row in rows:
        table.add_row(
            row["cluster_id"],
            row["name"],
            _styled(row["status"]),
            str(row["size"]),
            _rate(row["rate"]),
            _spark(row["trend"]),
            str(row["size_total"]),
            " ".join((row["medoid_text"] or "").split())[:80],
        )
    return table


def _show(console: Console, row: Row, texts: list[str]) -> None:
    console.print(f"[bold]{row['name']}[/]  {row['cluster_id']}  {_styled(row['status'])}", highlight=False)
    if row["description"]:
        console.print(row["description"])
    between = f" (95 %: {_rate(row['rate_low'])} to {_rate(row['rate_high'])})" if row["rate"] is not None else ""
    console.print(f"{row['size']} failures in the last window, {_rate(row['rate'])} of interactions{between}")
    if row["alias_of"]:
        console.print(f"merged into {row['alias_of']}", highlight=False)
    console.print(f"{row['size_total']} ever, first {row['first_seen']}, last {row['last_seen']}")
    console.print(f"reasons: {', '.join(row['reasons'])}\ntrend:   {_spark(row['trend'])}")
    for closed in msgspec.json.decode(row["closure"] or "[]"):
        difference = "no traffic on one side"
        if closed["difference"] is not None:
            difference = f"{closed['difference']:+.2%} (95 %: {closed['low']:+.2%} to {closed['high']:+.2%})"
        console.print(f"{closed['action']} {closed['model']} {closed['time'][:16]}: {closed['verdict']}, {difference}")
    for text in texts:
        console.print(f"  · {' '.join(text.split())[:200]}", markup=False)


def _about(row: Row, proposals: list[Row]) -> list[Row]:
    return [proposal for proposal in proposals if row["cluster_id"] in proposal["clusters"]]


def _print_proposal(console: Console, proposal: Row, names: dict[str, str]) -> None:
    """What is proposed, and what to do about it."""
    named = " and ".join(f"{id_} ({names.get(id_, id_)})" for id_ in proposal["clusters"])
    shares = ", ".join(f"{share:.0%}" for share in proposal["shares"])
    what = f"split {named} into parts of {shares}"
    if proposal["event"] == "merged":
        what = f"merge {named}, which lie in the same places by {shares}"
    command = f"flywheel clusters accept {' '.join(proposal['clusters'])}"
    then = f"accepted by {proposal['accepted_by']}, next run" if proposal["accepted_by"] else command
    console.print(f"Proposed: {what}: {then}", highlight=False, soft_wrap=True, markup=False)
    for share, texts in zip(proposal["shares"], proposal["parts"], strict=False):
        for text in texts:
            console.print(f"  {share:>4.0%} · {' '.join(text.split())[:150]}", highlight=False, markup=False)


def _rate(value: float | None) -> str:
    return "no traffic" if value is None else f"{value:.2%}"


def _spark(trend: str | None) -> str:
    """One bar a window, oldest first; a dot where there was no traffic."""
    points = msgspec.json.decode(trend or "[]")
    rates = [failures / served if served else None for _, failures, served in points]
    top = max((rate for rate in rates if rate), default=1.0)
    return "".join("·" if rate is None else BARS[round(rate / top * 8)] for rate in rates)


def _styled(status: str) -> str:
    style = STYLES.get(status)
    return f"[{style}]{status}[/]" if style else status


def _plain(row: Row) -> Row:
    keys = {"trend", "closure", "segments", "details"} & row.keys()
    return row | {key: msgspec.json.decode(row[key] or "null") for key in keys}
