"""The requests that decide: a sample of the newest first requests, held back from training until the next build.

With or without a reference, and the same words as often as they came: it is a sample of what is asked. Whatever a model
was trained on before is older than it, so nothing in it can have leaked into either side of a comparison. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from flows.curate.contributors import within_shares
from flows.curate.examples import Dropped, request_of
from flows.curate.split import side_of
from schemas.prompts import Examples
from schemas.records import Example
from schemas.settings import CurateSettings

NO_REFERENCE = "none"
"""Origin of a request of which nobody said what would be right."""


def sample_of(
    rows: Iterable[Mapping[str, Any]], examples: Iterable[Example], settings: CurateSettings, shots: Examples = ()
) -> tuple[Example, ...]:
    """The rows of `sample.sql` as requests; `examples` are what the same interactions teach, for their references.

    With a good answer where somebody told one, else with an empty one and the origin `none`.
    """
    examples_by_id = {
        example.interaction_id: example for example in examples if example.answer and example.origin != "guardrail"
    }
    requests, salt = [], settings.salt.reveal()
    for row in rows:
        asked = request_of(row, salt, shots)
        if asked is None:
            continue
        kept_out = side_of(asked.unit, salt, settings.eval_share) == "eval"
        asked = msgspec.structs.replace(asked, cluster_id=row["cluster_id"], origin=NO_REFERENCE, kept_out=kept_out)
        if known := examples_by_id.get(asked.interaction_id):
            asked = msgspec.structs.replace(
                asked,
                answer=known.answer,
                origin=known.origin,
                score=known.score,
                other_id=known.other_id,
                told_by=known.told_by,
                reviewed=known.reviewed,
            )
        requests.append(asked)
    return _bounded(requests, settings)


def _bounded(requests: Sequence[Example], settings: CurateSettings) -> tuple[Example, ...]:
    """The requests, of each person no more references than their share: a request without one is still asked."""
    told = [request for request in requests if request.answer]
    over: list[Dropped] = []
    within_shares(told, msgspec.structs.replace(settings, least_rows=1), over)
    without = {row.interaction_id for row in over}
    return tuple(
        msgspec.structs.replace(request, answer="", origin=NO_REFERENCE, score=None, other_id=None, told_by="")
        if request.interaction_id in without
        else request
        for request in requests
    )


def cut_of(requests: Iterable[Example]) -> datetime | None:
    """From when on nothing may be taught: the oldest request of the sample; None where nothing is held back."""
    return min((request.time for request in requests if request.time is not None), default=None)
