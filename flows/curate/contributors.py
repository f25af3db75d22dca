"""Contributors: how much of a dataset one person may tell, and whose rows wait in quarantine until somebody vouches.

A contributor is who asked, or who said what is right. Rows of contributors whom nobody knew yesterday, and what goes
beyond a contributor's share, are held; a reviewer's word frees a row from both. Pure. Go on to `build.py`, which keeps
the shares, and to `quarantine.py`, where people see what is held.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from statistics import median_low
from typing import Any

import msgspec

from flows.curate.examples import Dropped, Found
from schemas.normalise import normalise
from schemas.records import Example
from schemas.settings import CurateSettings

NEW, SHARE, STRANGER = "quarantine_new", "quarantine_share", "quarantine_stranger"
QUARANTINE = (NEW, SHARE, STRANGER)
"""Reasons of rows that are held, not refused: a later build may teach them."""
ESTABLISHED = 100
"""People known for longer than `curate.new_hours` from whom on the new ones are held: in its first days an application
has nobody else, and with fewer than a hundred each of them is a hundredth of all anyway."""
AGREEING = 2
"""Established people who were given the very same answer, and did not mind, from whom on a new one's row is taught."""


def hold_new(found: Found, new: Collection[str]) -> Found:
    """The examples without those of `new` contributors that neither a reviewer nor AGREEING others vouch for."""
    if not new:
        return found
    others: dict[bytes, set[str]] = {}
    for example in found.examples:
        if example.answer and not _of(example, new):
            seen = others.setdefault(_answer(example), set())
            if len(seen) < AGREEING:
                seen.add(example.unit)
    free, held = [], []
    for example in found.examples:
        who = _of(example, new)
        agreed = who and example.answer and len(others.get(_answer(example), ())) >= AGREEING
        if not who or example.reviewed or agreed:
            free.append(example)
        else:
            held.append(_held(example, NEW, who))
    return Found(tuple(free), (*found.dropped, *held))


def within_shares(examples: Sequence[Example], how: CurateSettings, dropped: list[Dropped]) -> list[Example]:
    """The examples, of each contributor no more than their share of each kind of row; order is kept.

    Pairs, all good answers, bad ones and verdicts have shares of their own: who corrects much and asks little must not
    own the pairs. What a reviewer vouched for counts towards the whole and against nobody.
    """
    kept = list(examples)
    for kind in _KINDS:
        kept = _within(kept, kind, how, dropped)
    return kept


def allowed(counts: Collection[int], vouched: int, how: CurateSettings) -> int:
    """Rows that each contributor may have, where each told one of `counts` and reviewers vouched for `vouched` more.

    The largest number that is at most `curate.max_share` of what is then left; in a small set `curate.least_rows`, or
    as many as half of the contributors have.
    """
    share, above = 0, max(counts, default=0)
    while share < above:  # what is left grows by less than what each may have: once it is too little, it stays so
        middle = (share + above + 1) // 2
        left = vouched + sum(min(count, middle) for count in counts)
        share, above = (middle, above) if middle <= how.max_share * left else (share, middle - 1)
    return max(share, how.least_rows, median_low(counts) if counts else 0)


def largest(examples: Sequence[Example]) -> dict[str, Any]:
    """How many people a dataset is of, and the largest part that is one person's, as its card says."""
    counts = Counter(who for example in examples if not example.reviewed for who in _contributors(example))
    most = max(counts.values(), default=0)
    return {
        "people": len({example.unit for example in examples} - {""}),
        "largest_rows": most,
        "largest_share": most / len(examples) if examples else 0.0,
        "reviewed": sum(example.reviewed for example in examples),
    }


def _within(
    examples: Sequence[Example], kind: Callable[[Example], bool], how: CurateSettings, dropped: list[Dropped]
) -> list[Example]:
    mine = [example for example in examples if kind(example) and not example.reviewed]
    counts = Counter(who for example in mine for who in _contributors(example))
    told = Counter(example.told_by or example.unit for example in mine)
    most = allowed(told.values(), sum(map(kind, examples)) - len(mine), how)
    if max(counts.values(), default=0) <= most:
        return list(examples)
    taken: Counter[str] = Counter()
    over: set[int] = set()
    for example in sorted(mine, key=_drawn):
        who = next((one for one in _contributors(example) if taken[one] >= most), "")
        if who:
            over.add(id(example))
            dropped.append(_held(example, SHARE, who))
        else:
            taken.update(_contributors(example))
    return [example for example in examples if id(example) not in over]


_KINDS: tuple[Callable[[Example], bool], ...] = (
    lambda example: bool(example.answer and example.rejected),
    lambda example: example.origin not in {"rejected", "guardrail"},
    lambda example: example.origin == "rejected",
    lambda example: example.origin == "guardrail",
)


def _contributors(example: Example) -> tuple[str, ...]:
    return (example.unit, example.told_by) if example.told_by else (example.unit,)


def _of(example: Example, units: Collection[str]) -> str:
    """The contributor of an example that is one of `units`; empty where none is."""
    return next((who for who in _contributors(example) if who in units), "")


def _answer(example: Example) -> bytes:
    return hashlib.blake2b(normalise(example.answer).encode(), digest_size=16).digest()


def _drawn(example: Example) -> bytes:
    """An order that nobody can choose, and that more rows do not change."""
    return hashlib.blake2b(f"{example.interaction_id} {example.feedback_id}".encode(), digest_size=16).digest()


def _held(example: Example, reason: str, who: str) -> Dropped:
    return Dropped(
        example.interaction_id, reason, feedback_id=example.feedback_id, origin=example.origin, contributor=who
    )


def held(dropped: Iterable[Dropped]) -> list[Dropped]:
    """What of the rows that were left out is in quarantine, in order, each once."""
    waiting = {msgspec.structs.astuple(row): row for row in dropped if row.reason in QUARANTINE}
    return [row for _, row in sorted(waiting.items(), key=lambda item: tuple(map(str, item[0])))]
