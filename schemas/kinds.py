"""What each kind of feedback says: whose word it is, which way it points, and what an event of the kind must carry.

The one table: validation (`events.py`), outcomes, datasets and live rates all read it. `KINDS` is data, so that SQL can
join it (`streams/lake/query.py`); `says` is the same as a function. Go on to `schemas/events.py`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from msgspec import Struct

Kind = Literal[
    "thumb", "rating", "comment", "correction", "label",  # explicit: a person said so
    "regenerate", "copy", "abandon", "escalate", "retry",  # implicit: a person did so
    "guardrail", "judge", "rule", "reviewer",  # verdict: somebody whose task it is
]  # fmt: skip
RANDOM, ADJUDICATED = "random", "adjudicated"
"""Labels of a `reviewer` verdict, which say how it came about: blind and in random order, so that rates, agreement and
judges may be measured by it; or by somebody who saw what others had said. Without either it only mends."""
CANNOT_TELL, EXCLUDE = "cannot_tell", "exclude"
"""What a reviewer says by a `label`: that nobody can judge this answer; that no dataset may teach it."""
EVEN = 0.5
"""A value that points neither way: three stars of five, a judge that cannot tell."""


class Meaning(Struct, frozen=True):
    """What a kind of feedback means."""

    voice: Literal["explicit", "implicit", "verdict"]
    """explicit: a person said so. implicit: a person did so. verdict: somebody whose task it is."""
    says: Literal["value", "label", "bad", "good", "nothing"]
    """value: good above EVEN, bad below. label: bad where the settings list the label. nothing: its words are kept,
    not judged. The other kinds speak or are silent; their silence says nothing."""
    needs: Literal["value", "text", "label", ""] = ""
    """The field without which such an event is refused."""


KINDS: dict[str, Meaning] = {
    "thumb": Meaning("explicit", "value", "value"),
    "rating": Meaning("explicit", "value", "value"),
    "comment": Meaning("explicit", "nothing", "text"),
    "correction": Meaning("explicit", "bad", "text"),
    "label": Meaning("explicit", "label", "label"),
    "regenerate": Meaning("implicit", "bad"),
    "copy": Meaning("implicit", "good"),
    "abandon": Meaning("implicit", "bad"),
    "escalate": Meaning("implicit", "bad"),
    "retry": Meaning("implicit", "bad"),
    "guardrail": Meaning("verdict", "value", "value"),
    "judge": Meaning("verdict", "value", "value"),
    "rule": Meaning("verdict", "value", "value"),
    "reviewer": Meaning("verdict", "value", "value"),
}


def says(kind: str, value: float | None, label: str | None, failing_labels: Collection[str] = ()) -> bool | None:
    """True: it was good. False: it was bad. None: the feedback says neither. `failing_labels` are in lower case."""
    meaning = KINDS[kind].says
    if meaning == "value":
        return None if value is None or value == EVEN else value > EVEN
    if meaning == "label":
        return False if (label or "").lower() in failing_labels else None
    return {"bad": False, "good": True}.get(meaning)
