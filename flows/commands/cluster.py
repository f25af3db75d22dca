"""`flywheel cluster`: which ways of failing there are, what one of them is, and what changed between two runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from flows.cluster.catalogue.differences import differences
from flows.cluster.catalogue.report import examples_of, publish, write
from flows.cluster.lineage.accepted import OpenProposal, accept, proposals_of
from flows.cluster.lineage.by_itself import history_of, waiting_by_itself
from flows.cluster.modes.modes import said
from flows.cluster.standing import Key, by_itself
from flows.cluster.state import clusters_of, events_of
from flows.cluster.summary import Summary
from flows.commands.cluster_acts import ACTS, told
from flows.commands.cluster_embedder import embedder
from flows.commands.shared import AsJson, identity, print_json, settings_of
from flows.context import lake_of
from flows.run import Finished, Run, latest, runs
from flows.terminal import Part, Terminal
from flows.visible import one_line
from schemas.errors import NotEnoughData, UsageError
from schemas.records import Cluster, ClusterEvent
from schemas.settings import Settings
from schemas.trend import Mode, Point
from streams.lake import Lake

app = typer.Typer(help="Ways of failing: list them, look into one, compare two runs.", no_args_is_help=True)
for act in (*ACTS, embedder):
    app.command(act.__name__)(act)
STYLES = {"new": "bold magenta", "growing": "red", "regressed": "bold red", "shrinking": "cyan", "resolved": "green"}
IGNORED = "ignored"
BARS = " ▁▂▃▄▅▆▇█"


@app.command("list")
def list_clusters(
    context: typer.Context,
    as_json: AsJson = False,
    status: Annotated[str, typer.Option(help="Only these, e.g. new, growing or ignored.")] = "",
) -> None:
    """List the clusters of the latest run, the most frequent first."""
    settings = settings_of(context)
    lake = lake_of(settings)
    run = _latest(lake, settings)
    every = clusters_of(lake, run.run_id)
    shown = [one for one in every if _wanted(one, status)]
    proposals, certain = proposals_of(lake, run), waiting_by_itself(lake, run, settings.cluster.accept_from)
    if as_json:
        print_json([_plain(run, one) | {"proposals": _about(one, proposals)} for one in shown])
        return
    terminal = Terminal()
    _list(terminal, shown)
    names = {one.cluster_id: one.name for one in every}
    for proposal in proposals:
        _print_proposal(terminal, proposal, names, certain)
    summary = run.told(Summary)
    terminal.say(
        f"{summary.failed} of {summary.interactions} interactions failed, {summary.unknown} are unknown; "
        f"{summary.unclustered} failures ({summary.unclustered_share:.1%} of them) have no cluster yet. "
        f"As of {run.as_of:%Y-%m-%d %H:%M} UTC."
    )
    if audited := str(summary.audit):
        terminal.say(audited)
    if not status and (ignored := sum(_wanted(one, IGNORED) for one in every)):
        terminal.say(f"{ignored} ignored until they grow: `flywheel cluster list --status ignored`.")
    if not shown:
        terminal.say(_why_empty(status, settings))


@app.command("show")
def show(
    context: typer.Context,
    cluster_id: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    as_json: AsJson = False,
    examples: Annotated[int, typer.Option(help="How many of its failures to print.", min=0, max=1000)] = 5,
) -> None:
    """Show one cluster: its trend, what promotions did to it, and examples."""
    settings = settings_of(context)
    lake = lake_of(settings)
    run = _latest(lake, settings)
    every = clusters_of(lake, run.run_id)
    one = _one(every, cluster_id)
    texts = examples_of(lake, run, examples, settings.cluster.least_people).get(one.cluster_id, [])
    proposals = _about(one, proposals_of(lake, run))
    every_act = history_of(lake, settings.application)
    acts = [act for act in every_act if one.cluster_id in {act.cluster_id, *act.other_ids}]
    if as_json:
        print_json(_plain(run, one) | {"examples": texts, "proposals": proposals, "acts": acts})
        return
    terminal = Terminal()
    _show(terminal, one, texts)
    for act in acts:
        terminal.say(f"{act.time:%Y-%m-%d %H:%M} UTC: {told(act)}")
    certain = waiting_by_itself(lake, run, settings.cluster.accept_from)
    for proposal in proposals:
        _print_proposal(terminal, proposal, {named.cluster_id: named.name for named in every}, certain)


@app.command("accept")
def accept_proposal(
    context: typer.Context,
    clusters: Annotated[
        list[str], typer.Argument(help="One id to accept its split, two to accept their merge; or their beginnings.")
    ],
    by: Annotated[str, typer.Option(help="Who says so; default: the name of your account.")] = "",
    as_json: AsJson = False,
) -> None:
    """Accept a split or merge that a run has proposed; the next run carries it out. Twice is once."""
    settings = settings_of(context)
    decision = accept(lake_of(settings), settings.application, clusters, by or identity(), datetime.now(UTC))
    if as_json:
        print_json(decision)
        return
    ids = " and ".join([decision.cluster_id, *decision.other_ids])
    what = "split of" if decision.event == "split" else "merge of"
    Terminal().say(f"Accepted by {decision.decided_by}: the {what} {ids}. The next run carries it out.")


@app.command("diff", context_settings={"ignore_unknown_options": True})  # `-2` is a run, not an option
def diff(
    context: typer.Context,
    run1: Annotated[str, typer.Argument(help="Run id (or its beginning), or -2 for the one before the latest.")] = "-2",
    run2: Annotated[str, typer.Argument(help="The later run; -1 is the latest.")] = "-1",
    as_json: AsJson = False,
) -> None:
    """Compare two runs: clusters that came, went or changed, with their rates before and after."""
    settings = settings_of(context)
    lake = lake_of(settings)
    history = runs(lake, "cluster", settings.application)
    old, new = (_run(history, wanted) for wanted in (run1, run2))
    before, after = (_list_of(lake, run) for run in (old, new))
    changes = differences(before, after)
    between = history[history.index(old) + 1 : history.index(new) + 1]
    events = [(run, event) for run in between for event in events_of(lake, run.run_id)]
    if as_json:
        print_json({"clusters": changes, "events": [_plain(run, event) for run, event in events]})
        return
    terminal = Terminal()
    terminal.table(
        ("cluster", "name", "status", "rate before", "rate after"),
        [(one.cluster_id, one.name, _styled(one.status), _rate(one.before), _rate(one.after)) for one in changes],
        whole=("cluster",),
        title=f"{old.as_of:%Y-%m-%d %H:%M} to {new.as_of:%Y-%m-%d %H:%M} UTC",
    )
    names = {one.cluster_id: one.name for one in [*before, *after]}
    for _, event in events:
        _print_event(terminal, event, names)
    if not changes and not events:
        terminal.say("Nothing came, went or changed between the two.")


@app.command("report")
def report(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the file; default: reports/ below the data root.")
    ] = None,
) -> None:
    """Write the latest run as one self-contained HTML file, and say where."""
    settings = settings_of(context)
    lake = lake_of(settings)
    run = _latest(lake, settings)
    path = write(lake, run, out, settings.cluster) if out else publish(lake, run, settings)[0]
    Terminal().say(str(path))


def _latest(lake: Lake, settings: Settings) -> Finished:
    run = latest(lake, "cluster", settings.application)
    if run is None:
        raise NotEnoughData(
            f"no cluster run of application {settings.application!r} is finished yet: `flywheel turn` makes one"
        )
    return run


def _run(history: list[Finished], wanted: str) -> Finished:
    if wanted in {"-1", "-2"}:
        if len(history) >= int(wanted[1:]):
            return history[int(wanted)]
        raise NotEnoughData(f"there are {len(history)} cluster runs, so nothing to compare: `flywheel turn` makes one")
    found = [run for run in history if wanted and run.run_id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(run.run_id for run in history[-10:]) or "none; `flywheel turn` makes one"
    raise UsageError(f"{len(found)} cluster runs match {wanted!r}; the latest are {known}")


def _list_of(lake: Lake, run: Finished) -> list[Cluster]:
    """The clusters as a run saw them. Raises UsageError where its list was removed."""
    found = clusters_of(lake, run.run_id)
    if not found and run.told(Summary).clusters:
        raise UsageError(
            f"the list of run {run.run_id} ({run.as_of:%Y-%m-%d %H:%M} UTC) is no longer kept: of days older than "
            "`archive.vacuum_hours` `flywheel maintain` leaves the last one; give that day's last run"
        )
    return found


def _one(every: list[Cluster], wanted: str) -> Cluster:
    found = [one for one in every if one.cluster_id.startswith(wanted)]
    if len(found) != 1:
        raise UsageError(f"{len(found)} clusters match {wanted!r}: `flywheel cluster list` shows their ids")
    return found[0]


def _wanted(one: Cluster, status: str) -> bool:
    """Whether a cluster is in a list: without a status those that are open, else that status, or what is ignored."""
    if status == IGNORED:
        return one.ignored is not None
    return status == one.status if status else not one.alias_of and one.ignored is None


def _list(terminal: Terminal, clusters: list[Cluster]) -> None:
    cells = [
        (
            one.cluster_id,
            f"{one.name} (pinned)" if one.pinned else one.name,
            _styled(one.status),
            str(one.size),
            _rate(one.rate),
            _spark(one.trend),
            str(one.size_total),
            one_line(one.medoid_text or "")[:80],
        )
        for one in clusters
    ]
    terminal.table(
        ("cluster", "name", "status", "failures", "rate", "trend", "ever", "example"), cells, whole=("cluster", "trend")
    )


def _why_empty(status: str, settings: Settings) -> str:
    if status:
        return f"No cluster is {status}: `flywheel cluster list` shows all of them."
    return (
        f"No cluster yet: {settings.cluster.min_size} failures that go wrong alike make one (cluster.min_size). Send "
        "more events, then `flywheel turn`."
    )


def _show(terminal: Terminal, one: Cluster, texts: list[str]) -> None:
    terminal.say((one_line(one.name), "bold"), f"  {one.cluster_id}  ", _styled(one.status))
    if one.description:
        terminal.say(one_line(one.description))
    between = f" (95 %: {_rate(one.rate_low)} to {_rate(one.rate_high)})" if one.rate is not None else ""
    terminal.say(f"{one.size} failures in the last window, {_rate(one.rate)} of interactions{between}")
    if one.alias_of:
        terminal.say(f"merged into {one.alias_of}")
    if one.pinned:
        terminal.say("pinned: it has what its definition takes, and its failures have their homes in found clusters")
    if one.ignored:
        terminal.say(f"ignored until it grows, since {one.ignored.since[:16]}; looked at {one.ignored.looks} times")
    first, last = (f"{at:%Y-%m-%d %H:%M} UTC" if at else "never" for at in (one.first_seen, one.last_seen))
    terminal.say(f"{one.size_total} ever, first {first}, last {last}")
    terminal.say(f"reasons: {one_line(', '.join(one.reasons))}\ntrend:   {_spark(one.trend)}")
    if one.modes:
        terminal.table(
            ("how it failed", "ever", "failures", "rate", "trend", "status", "since the last promotion"),
            [_mode(mode) for mode in one.modes],
            whole=("trend",),
        )
    for closed in one.closure:
        difference = "no traffic on one side"
        if closed.difference is not None:
            difference = f"{closed.difference:+.2%} (95 %: {closed.low:+.2%} to {closed.high:+.2%})"
        model = one_line(closed.model)
        terminal.say(f"{closed.action} {model} {closed.time[:16]}: {closed.verdict}, {difference}")
        if closed.offline is not None:
            right, low, high = closed.offline
            around = "" if low is None or high is None else f" ({low:+.2%} to {high:+.2%})"
            terminal.say(f"  offline: {right:+.2%} right answers{around}; shown to be fixed: {closed.fixed}")
    for text in texts:
        terminal.say(f"  · {one_line(text)[:200]}")


def _mode(mode: Mode) -> tuple[Part, ...]:
    closed = mode.closure[-1] if mode.closure else None
    counted = (str(mode.size_total), str(mode.size), _rate(mode.rate), _spark(mode.trend))
    return (one_line(said(mode.mode)), *counted, _styled(mode.status), closed.verdict if closed else "")


def _about(one: Cluster, proposals: list[OpenProposal]) -> list[OpenProposal]:
    return [proposal for proposal in proposals if one.cluster_id in proposal.clusters]


def _print_proposal(
    terminal: Terminal, proposal: OpenProposal, names: dict[str, str], certain: Collection[Key]
) -> None:
    """What is proposed, and what to do about it."""
    named = " and ".join(_named(id_, names) for id_ in proposal.clusters)
    shares = ", ".join(f"{share:.0%}" for share in proposal.shares)
    what = f"split {named} into parts of {shares}"
    if proposal.mode:
        what += f": “{one_line(said(proposal.mode))}” goes its own way"
    if proposal.event == "merged":
        what = f"merge {named}, which lie in the same places by {shares}"
    if proposal.certainty:
        what += f", certainty {proposal.certainty:.3f}"
    ids = " ".join(proposal.clusters)
    then = f"flywheel cluster accept {ids}"
    if proposal.accepted_by:
        then = f"accepted by {one_line(proposal.accepted_by)}, next run"
    elif proposal.key in certain:
        then = f"the next run accepts it by itself, unless: flywheel cluster refuse {ids}"
    terminal.say(f"Proposed: {what}: {then}")
    for share, texts in zip(proposal.shares, proposal.parts, strict=False):
        for text in texts:
            terminal.say(f"  {share:>4.0%} · {one_line(text)[:150]}")


def _print_event(terminal: Terminal, event: ClusterEvent, names: dict[str, str]) -> None:
    others = f" with {', '.join(_named(id_, names) for id_ in event.other_ids)}" if event.other_ids else ""
    proposed = ", proposed" if event.details.proposed is True else ", by itself" if by_itself(event) else ""
    terminal.say(f"{event.event}{proposed}: {_named(event.cluster_id, names)}{others}")


def _named(cluster_id: str, names: dict[str, str]) -> str:
    """An id with the name that people know it by."""
    return f"{cluster_id} ({one_line(names[cluster_id])})" if cluster_id in names else cluster_id


def _rate(value: float | None) -> str:
    return "no traffic" if value is None else f"{value:.2%}"


def _spark(trend: Sequence[Point]) -> str:
    """One bar a window, oldest first; a dot where there was no traffic."""
    rates = [failures / served if served else None for _, failures, served in trend]
    top = max((rate for rate in rates if rate), default=1.0)
    return "".join("·" if rate is None else BARS[round(rate / top * 8)] for rate in rates)


def _styled(status: str) -> Part:
    return status, STYLES.get(status, "")


def _plain(run: Run, record: Cluster | ClusterEvent) -> dict[str, Any]:
    """For programs: a record, and the run that it is of."""
    return {"run_id": run.run_id, "application": run.application, **msgspec.structs.asdict(record)}
