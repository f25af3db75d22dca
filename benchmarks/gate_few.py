"""Worlds in which a gate is easily fooled: few users, one of whom loses everything; scores that are missing on purpose.

Parts of `gate.py`, each of which runs the gate's own code on scores, or on reviews, with a known truth.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from flows.evaluate.compare import Paired, differences
from flows.evaluate.reviewed import Evidence, difference
from flows.evaluate.sampled import UNREVIEWED
from flows.promote.gate import decide
from flows.statistics import Codes, Floats
from schemas.records import Comparison, make_candidate
from schemas.settings import GateSettings

Rng = np.random.Generator
Figures = dict[str, float]
NOBODY = make_candidate("simulated", "http://127.0.0.1/v1")
GATES = GateSettings(policy="better"), GateSettings(policy="as_good")
UNITS = (10, 30, 100, 1000)
BROKEN = 0.05
"""Share of the users for whom the candidate is wrong wherever the champion is right."""
ITEMS = 5
"""Of a user, on average."""
MISSING = 0.02
"""What `gate.max_unscored` allows."""
REVIEWS = 200


def compared(scores: Paired, gate: GateSettings) -> Comparison:
    """Two simulated models, as an evaluation compares them."""
    overall, slices = differences(scores, gate)
    return Comparison("simulated", NOBODY, NOBODY, "simulated", overall, slices)


@cache
def named(items: int) -> tuple[str, ...]:
    """Names of so many items."""
    return tuple(map(str, range(items)))


def promotes(champion: Floats, candidate: Floats, units: Codes, gate: GateSettings) -> bool:
    """Whether the gate promotes by these scores."""
    n = len(units)
    scores = Paired(named(n), units, np.full(n, -1), (), champion, candidate)
    return decide(compared(scores, gate), gate).verdict == "promote"


def segment(rng: Rng, users: int, truth: float, *, even: bool) -> tuple[Floats, Codes]:
    """Candidate - champion of items of users, one in twenty of whom loses all; the others gain what is lost.

    Uneven: a few users gave most of the items, and whether one loses has nothing to do with that.
    """
    n = users * ITEMS
    units = np.arange(n) // ITEMS if even else rng.choice(users, n, p=rng.dirichlet(np.full(users, 0.5)))
    gain = (truth + BROKEN) / (1 - BROKEN)
    values = np.where((rng.random(users) < BROKEN)[units], -1.0, np.sign(gain) * (rng.random(n) < abs(gain)))
    return values, units


def worst_rare_segment(rng: Rng, repeats: int) -> Figures:
    """Few users, one in twenty of whom loses everything, at exactly what a verdict rules out: how often it is given."""
    print("\nOne user in twenty loses everything, the others gain as much: false promotions\n")
    print("| users | items a user | decided by | better, no difference | as_good, at margin |\n|--:|---|---|--:|--:|")
    worst = 0.0
    for users in UNITS if repeats > 700 else UNITS[1:3]:
        for even in (True, False):
            for name, fooled in (("scores", _by_scores), ("reviews", _by_reviews)):
                rates = [
                    sum(fooled(rng, *segment(rng, users, truth, even=even), gate) for _ in range(repeats)) / repeats
                    for gate, truth in zip(GATES, (0.0, -GATES[1].margin), strict=True)
                ]
                worst = max(worst, *rates)
                print(f"| {users} | {'alike' if even else 'uneven'} | {name} | {rates[0]:.3f} | {rates[1]:.3f} |")
    return {"worst_rare_segment": worst}


def _by_scores(_: Rng, values: Floats, units: Codes, gate: GateSettings) -> bool:
    return promotes((values < 0).astype(float), (values > 0).astype(float), units, gate)


def _by_reviews(rng: Rng, values: Floats, units: Codes, gate: GateSettings) -> bool:
    """The same answers, of which the gate's last look has reviewed a random beginning of those that differ."""
    differs = values != 0
    said = np.full(len(values), np.nan)
    chosen = rng.permutation(np.flatnonzero(differs))[:REVIEWS]
    said[chosen] = values[chosen]
    nothing = np.zeros(len(values))
    found = difference(Evidence(differs, said, nothing, (units,), nothing == 1), gate.level, gate.margin)
    if len(np.unique(units)) < gate.min_units:
        return False
    if gate.policy == "better":
        return found.p_superior <= gate.level
    return found.p_non_inferior <= gate.level * (1 - UNREVIEWED)


def unscored_worst_case(rng: Rng, repeats: int) -> Figures:
    """One answer in fifty has no score, and each of these was lost: how often that passes for no worse, or better."""
    print("\nTwo in a hundred unscored, all of them lost: false promotions\n")
    print("| items | missing | better, no difference | as_good, at margin |\n|--:|---|--:|--:|")
    worst = 0.0
    for items in (100, 1000, 3000) if repeats > 700 else (1000,):
        for side in ("candidate", "champion", "both"):
            rates = [
                sum(_by_what_is_there(rng, items, truth, side, gate) for _ in range(repeats)) / repeats
                for gate, truth in zip(GATES, (0.0, -GATES[1].margin), strict=True)
            ]
            worst = max(worst, *rates)
            print(f"| {items} | {side} | {rates[0]:.3f} | {rates[1]:.3f} |", flush=True)
    return {"unscored_worst_case": worst}


def _by_what_is_there(rng: Rng, items: int, truth: float, side: str, gate: GateSettings) -> bool:
    """Items whose mean difference is `truth`, of which those without a score lost 1 each and the rest balances that."""
    gone = np.arange(items) < MISSING * items
    rest, differ = (truth + MISSING) / (1 - MISSING), 0.1
    draw = rng.random(items)
    win, loss = (differ + rest) / 2, (differ - rest) / 2
    values = np.where(gone, -1.0, np.where(draw < win, 1.0, np.where(draw < win + loss, -1.0, 0.0)))
    champion = np.where(values == 0, 1.0, values < 0).astype(float)
    candidate = champion + values
    if side in {"candidate", "both"}:
        candidate[gone] = np.nan
    if side in {"champion", "both"}:
        champion[gone] = np.nan
    return promotes(champion, candidate, np.arange(items), gate)
