"""What a reviewer does to a cluster on its page: the functions behind `flywheel cluster rename` and its sisters.

Go on to `failures.py`, whose page has the form.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from flows.cluster.lineage.acts import Acts
from schemas.acts import ClusterDecision
from ui.forms import form_of
from ui.guard import Needs, Person, Refused
from ui.state import State

router = APIRouter()
ACTS: dict[str, tuple[str, Callable[[Acts, str, str, str], ClusterDecision]]] = {
    "rename": ("Rename to", lambda acts, id_, what, why: acts.rename(id_, what, why)),
    "merge": ("Take in these clusters (ids)", lambda acts, id_, what, why: acts.merge(id_, what.split(), why)),
    "split": ("Split off those that say", lambda acts, id_, what, why: acts.split(id_, what, reason=why)),
    "refuse": (
        "Refuse its proposed split, or merge with (id)",
        lambda acts, id_, what, why: acts.refuse([id_, *what.split()], why),
    ),
    "undo": ("Take back its last split or merge", lambda acts, id_, _, why: acts.undo(id_, why)),
    "assign": ("Put these failures here (ids)", lambda acts, id_, what, why: acts.assign(id_, what.split(), why)),
    "ignore": ("Ignore until it grows", lambda acts, id_, _, why: acts.ignore(id_, why)),
    "reopen": ("Reopen", lambda acts, id_, _, why: acts.reopen(id_, why)),
    "pin": ("Pin all that say", lambda acts, _, what, why: acts.pin(what, what, reason=why)),
    "unpin": ("Unpin", lambda acts, id_, _, why: acts.unpin(id_, why)),
}
"""Act → what the form calls it, and the function: it is given the cluster, what was typed, and why."""


@router.post("/failures/{cluster_id}/acts")
def act(request: Request, cluster_id: str, person: Annotated[Person, Depends(Needs("reviewer"))]) -> Response:
    """Record an act; the next turn carries it out."""
    state: State = request.app.state.flywheel
    form = form_of(request)
    if form.get("act") not in ACTS:
        raise Refused(422, "choose what to do with the cluster")
    acts = Acts(state.lake, state.settings, person.name, datetime.now(UTC))
    done = ACTS[form["act"]][1](acts, cluster_id, form.get("what", ""), form.get("reason", ""))
    # what was pinned just now has no page before the next run
    return RedirectResponse(f"/failures/{cluster_id if form['act'] == 'pin' else done.cluster_id}#by-hand", 303)
