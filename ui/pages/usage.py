"""Tokens, cost and latency by model, prompt version and day, from what applications send.

Go on to `../index/lists.py`, which counts them.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from msgspec import Struct

from ui.guard import Needs
from ui.html import page
from ui.index.lists import DAY_MS, Used, newest, usage
from ui.index.rows import EPOCH, milliseconds
from ui.state import State

router = APIRouter()
SPANS = (7, 30, 90)
"""Days that can be asked for."""


class Sum(Struct, frozen=True):
    """What one model and prompt version used over all days asked for."""

    model: str
    prompt: str
    served: int
    failed: int
    errors: int
    tokens_in: int
    tokens_out: int
    measured: int
    cost: float
    priced: int


@router.get("/usage", response_class=HTMLResponse, dependencies=[Depends(Needs("reader"))])
def used(request: Request) -> HTMLResponse:
    """Show what was used, by day and in all."""
    state: State = request.app.state.flywheel
    given = request.query_params
    days = int(given["days"]) if given.get("days") in {str(one) for one in SPANS} else SPANS[1]
    model = given.get("model", "")
    with state.reading() as sql:
        last = (newest(sql, milliseconds(datetime.now(UTC))) or 0) // DAY_MS
        found = [one for one in usage(sql, last - days + 1, last) if model in {"", one.model}]
    return page(
        request, "usage.html", days=days, spans=SPANS, rows=found, sums=summed_up(found), day=day_of,
        models=sorted({one.model for one in found}), model=model,
        served=sum(one.served for one in found) or 1,
    )  # fmt: skip


def day_of(number: int) -> date:
    """A day of the index."""
    return EPOCH + timedelta(days=number)


def summed_up(found: list[Used]) -> list[Sum]:
    """Each model and prompt version over all days, the busiest first."""
    groups: dict[tuple[str, str], list[Used]] = {}
    for one in found:
        groups.setdefault((one.model, one.prompt), []).append(one)
    sums = [
        Sum(
            model, prompt, sum(one.served for one in mine), sum(one.failed for one in mine),
            sum(one.errors for one in mine), sum(one.tokens_in for one in mine), sum(one.tokens_out for one in mine),
            sum(one.measured for one in mine), sum(one.cost for one in mine), sum(one.priced for one in mine),
        )
        for (model, prompt), mine in groups.items()
    ]  # fmt: skip
    return sorted(sums, key=lambda one: (-one.served, one.model, one.prompt))
