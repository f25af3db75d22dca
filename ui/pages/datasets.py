"""Datasets: versions and what each is worth, their rows, what was left out and why, what changed, where a row is from.

Go on to `../rows_of.py`, which reads the files.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from flows.curate.folder.card import REASONS
from flows.versions import Version
from schemas.errors import FilesMissing
from ui import rows_of
from ui.forms import number_of
from ui.guard import Needs, Refused
from ui.html import page
from ui.state import State

router = APIRouter()
READER = [Depends(Needs("reader"))]
PAGE = 30
LEAKS = ("eval_interaction", "eval_unit", "eval_exact", "eval_near", "eval_reordered", "eval_paraphrase")
"""Reasons why a row was kept out of training: it is, or is like, one that decides."""


@router.get("/datasets", response_class=HTMLResponse, dependencies=READER)
def listed(request: Request) -> HTMLResponse:
    """List all versions, the newest first."""
    state: State = request.app.state.flywheel
    wanted = request.query_params.get("dataset", "")
    found = [one for one in reversed(state.datasets) if wanted in {"", one.dataset}]
    return page(request, "datasets.html", versions=found, names=sorted({one.dataset for one in state.datasets}))


@router.get("/datasets/{name}/{version}", response_class=HTMLResponse, dependencies=READER)
def card(request: Request, name: str, version: str) -> HTMLResponse:
    """Show what a version holds and how it was made."""
    state: State = request.app.state.flywheel
    one = _one(state, name, version)
    left_out = sorted(one.manifest.get("dropped", {}).items(), key=lambda each: -each[1])
    return page(
        request,
        "dataset.html",
        one=one,
        tab="card",
        configs=_configs(one),
        others=_others(state, one),
        left_out=[(reason, number, REASONS.get(reason, "")) for reason, number in left_out],
        leaks=[(reason, number) for reason, number in left_out if reason in LEAKS],
        decided=[each for each in state.evaluations if each.dataset_version == one.version],
        trained=[each for each in state.registry.candidates.values() if each.dataset == one.version],
    )


@router.get("/datasets/{name}/{version}/rows", response_class=HTMLResponse, dependencies=READER)
def rows(request: Request, name: str, version: str) -> HTMLResponse:
    """Show the rows of one part of a version, a page at a time."""
    state: State = request.app.state.flywheel
    one, given = _one(state, name, version), request.query_params
    configs = _configs(one)
    config = given.get("config") if given.get("config") in {each for each, _ in configs} else configs[0][0]
    after = number_of(given.get("after"))
    found, total = rows_of.page(one, state.settings, str(config), after, PAGE)
    return page(
        request, "dataset.html", one=one, tab="rows", configs=configs, others=_others(state, one), config=config,
        rows=found, after=after, more=after + PAGE if after + PAGE < total else 0, total=total, page_size=PAGE,
    )  # fmt: skip


@router.get("/datasets/{name}/{version}/diff/{other}", response_class=HTMLResponse, dependencies=READER)
def diff(request: Request, name: str, version: str, other: str) -> HTMLResponse:
    """Show what a version has that another has not, and the other way round."""
    state: State = request.app.state.flywheel
    one, before = _one(state, name, version), _one(state, name, other)
    for each in (one, before):
        if each.status == "withdrawn":
            raise Refused(404, f"{each.dataset}@{each.version} was withdrawn: {each.status_reason}")
    found = rows_of.difference(one, before, state.settings)
    return page(
        request, "dataset.html", one=one, tab="diff", configs=_configs(one), others=_others(state, one),
        before=before, difference=found,
    )  # fmt: skip


@router.get("/datasets/{name}/{version}/rows/{row_id}", response_class=HTMLResponse, dependencies=READER)
def row(request: Request, name: str, version: str, row_id: str) -> HTMLResponse:
    """Show a row, the events that it came from, and their places in Kafka."""
    state: State = request.app.state.flywheel
    one = _one(state, name, version)
    found = rows_of.row(one, state.settings, row_id)
    if found is None:
        raise Refused(404, f"{one.dataset}@{one.version} has no row {row_id[:40]!r}")
    return page(
        request, "row.html", one=one, row=found, row_id=row_id, events=rows_of.events(state, found),
        elsewhere=_elsewhere(state, one, row_id),
    )  # fmt: skip


def _one(state: State, name: str, version: str) -> Version:
    for one in state.datasets:
        if one.dataset == name and one.version.startswith(version) and len(version) >= 4:
            return one
    raise Refused(404, f"no dataset {name[:60]!r} has a version {version[:40]!r}: the list shows which there are")


def _configs(one: Version) -> list[tuple[str, int]]:
    """The parts of a version with their rows, the largest first."""
    return sorted(((part.partition("/")[0], number) for part, number in one.rows.items()), key=lambda each: -each[1])


def _others(state: State, one: Version) -> list[Version]:
    """Earlier versions of the same, the newest first, to compare with."""
    same = [each for each in state.datasets if (each.dataset, each.kind) == (one.dataset, one.kind)]
    return [each for each in reversed(same) if each.version != one.version and each.created <= one.created][:8]


def _elsewhere(state: State, one: Version, row_id: str) -> list[Version]:
    """Other current versions that hold the same row."""
    known = [each for each in state.datasets if each.version != one.version and each.status != "withdrawn"]
    return [each for each in known[-8:] if _has(state, each, row_id)]


def _has(state: State, one: Version, row_id: str) -> bool:
    """Whether a version has a row, where its files are here."""
    try:
        return rows_of.row(one, state.settings, row_id) is not None
    except FilesMissing:
        return False
