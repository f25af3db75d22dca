"""The ledger: every decision, the chain verified while the page is made; and the watch over the newest champion.

Go on to `../canary.py`, which asks triage.
"""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from flows import ledger
from flows.names import named
from flows.seal import seal_of
from schemas.errors import LedgerBroken
from ui.canary import ask
from ui.guard import Needs, Refused
from ui.html import page
from ui.state import State
from ui.watched import Watched, compared

router = APIRouter()
READER = [Depends(Needs("reader"))]


@router.get("/ledger", response_class=HTMLResponse, dependencies=READER)
def listed(request: Request) -> HTMLResponse:
    """List decisions, newest first, with what the chain's check says now."""
    state: State = request.app.state.flywheel
    registry, broken, seal = ledger.fold(state.lake, state.application), "", seal_of(state.settings)
    waits: set[str] = set()
    try:
        waits = {one.id for one in ledger.unannounced(state.lake, state.application, seal)}
        ledger.verify(state.lake, state.application, seal)
    except LedgerBroken as error:
        broken = str(error)
    return page(
        request, "ledger.html", registry=registry, decisions=list(reversed(registry.decisions)), broken=broken,
        unannounced=waits,
    )  # fmt: skip


@router.get("/ledger/canary", response_class=HTMLResponse, dependencies=READER)
def canary(request: Request) -> HTMLResponse:
    """Show how the newest champion fares, as triage counts it; how it came there comes after the page."""
    return _canary(request, None)


@router.get("/ledger/canary/history", response_class=HTMLResponse, dependencies=READER)
def history(request: Request) -> HTMLResponse:
    """The same with the watch as it went."""
    state: State = request.app.state.flywheel
    return _canary(request, state.watched)


@router.get("/ledger/{sequence}", response_class=HTMLResponse, dependencies=READER)
def one(request: Request, sequence: str) -> HTMLResponse:
    """Show a decision whole: reasons, evidence, hashes."""
    state: State = request.app.state.flywheel
    rows = [row for row in state.registry.decisions if str(row.sequence) == sequence]
    if not rows:
        raise Refused(404, f"the ledger has no row {sequence[:20]!r}")
    row = rows[-1]
    return page(
        request, "decision.html", one=row, reasons=[named(each, state.names) for each in row.reasons],
        hash_now=ledger.chain_hash(row),
        evaluated={each.evaluation_id for each in state.evaluations},
        datasets={each.version: each for each in state.datasets},
    )  # fmt: skip


def _canary(request: Request, watched: Watched | None) -> HTMLResponse:
    state: State = request.app.state.flywheel
    found, trouble = ask(state.settings, state.application)
    gone = watched.history() if watched else None
    return page(
        request, "canary.html", found=found, trouble=trouble, triage=state.settings.triage, asked=watched is not None,
        history=gone, numbers=compared(gone, found, state.settings.triage) if gone else [],
        fell=datetime.fromtimestamp(gone.fell.due, UTC) if gone and gone.fell else None,
    )  # fmt: skip
