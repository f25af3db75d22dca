"""Is what the gate measures the truth? Worlds with a known one, and feedback as people really give it. Seeded.

    python benchmarks/validity.py [--reps 300]

In each world a champion and a candidate answer a random sample of requests. `before` is what averages scores over the
requests that happen to have a reference (an accepted answer of the champion's, a correction); `now` is the gate's own
estimator, which asks blind reviewers about a random prefix of the disagreements and takes references and judges for
guesses only. Some two minutes of one core; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct
from scipy.special import ndtr, ndtri

from flows.evaluate.reviewed import Evidence, Reviewed, difference, levels, youden
from flows.statistics import Floats, cluster_mean, guard_p
from schemas.settings import GateSettings

LEVEL, MARGIN = 0.025, 0.03
LOOKS = GateSettings().reviews
GAINS = (-0.05, 0.0, 0.05, 0.1)
Bools = npt.NDArray[np.bool_]
Rng = np.random.Generator


class World(Struct, frozen=True):
    """One application and its people."""

    requests: int = 2000
    users: int = 600
    accuracy: float = 0.6
    """Of the champion; the candidate's is `gain` above."""
    gain: float = 0.0
    alike: float = 0.75
    """Correlation of what is hard for one model and for another: it sets how often they differ."""
    rights: int = 1
    """Right answers to a request; 1: a single-answer task."""
    wrongs: int = 2
    earlier: float = 0.3
    """Share of the logs that an earlier model, 10 points worse, answered."""
    thumbs: float = 0.25
    """Thumbs for a right answer; `outspoken` times that for a wrong one."""
    outspoken: float = 1.0
    mistaken: float = 0.04
    """Thumbs that say the opposite."""
    corrected: float = 0.2
    """Wrong answers that somebody corrects; 3 in 100 of these are wrong again."""
    silent: float = 0.0
    """Share of answers without any reaction that count as accepted."""
    known: float = 0.0
    """Share of the requests that the champion was trained on: the gate leaves them out, as they are not fresh."""
    taught: float = 0.0
    """How far the champion repeats the earlier model, whose logs it was trained on."""
    error: float = 0.05
    """Of a reviewer, in each answer."""
    judge: float = 0.85
    """How often an LLM judge is right of an answer."""
    favour: float = 0.0
    """How much more often it passes the candidate."""


WORLDS = {
    "plain": World(),
    "champion trained on .2 of it": World(known=0.2),
    "open-ended": World(rights=3, wrongs=4),
    "failures speak twice as often": World(outspoken=2.0),
    "corrections .5, thumbs .1": World(corrected=0.5, thumbs=0.1),
    "silence is consent": World(silent=0.8),
    "one thumb in five is wrong": World(mistaken=0.2),
    "a judge that favours the candidate": World(favour=0.1),
    "the champion repeats its teacher": World(taught=0.5),
    "a strong champion": World(accuracy=0.85),
    "models much alike": World(alike=0.92),
    "a few heavy users": World(users=60),
}


class Drawn(NamedTuple):
    """One sample of requests, and the truth about it."""

    truth: float
    """The difference over all requests that could have been drawn."""
    users: npt.NDArray[np.intp]
    champion: npt.NDArray[np.intp]
    """What it answers, as a code; -1 and below are wrong."""
    candidate: npt.NDArray[np.intp]
    reference: npt.NDArray[np.intp]
    """0 where there is none."""
    fresh: Bools
    said: Floats
    judged: Floats


TOPICS = 25
SHARES = (np.arange(TOPICS) + 5.0) ** -0.7
SHARES /= SHARES.sum()


def draw(w: World, rng: Rng) -> Drawn:
    """Requests, three models' answers, and what people make of them."""
    n = w.requests
    weight = rng.pareto(1.6, w.users) + 0.3
    users = rng.choice(w.users, n, p=weight / weight.sum())
    topics = rng.choice(TOPICS, n, p=SHARES)
    of_topic = np.sqrt(0.35 * w.alike) * rng.normal(size=TOPICS)
    of_user = np.sqrt(0.1 * w.alike) * rng.normal(size=w.users)
    ease = of_topic[topics] + of_user[users] + np.sqrt(0.55 * w.alike) * rng.normal(size=n)
    noise = rng.normal(size=(3, n))
    noise[0] = np.sqrt(w.taught) * noise[2] + np.sqrt(1 - w.taught) * noise[0]
    rates = np.array([w.accuracy, w.accuracy + w.gain, max(0.05, w.accuracy - 0.1)])
    right = ease + np.sqrt(1 - w.alike) * noise > -ndtri(rates)[:, None]
    by_topic = ndtr((of_topic + ndtri(rates[:2])[:, None]) / np.sqrt(1 - 0.35 * w.alike)) @ SHARES
    fresh = rng.random(n) >= w.known
    right[0] = np.where(fresh, right[0], rng.random(n) < 0.98)
    answers = np.where(right, rng.integers(1, w.rights + 1, (3, n)), -rng.integers(1, w.wrongs + 1, (3, n)))
    copied = (rng.random(n) < w.taught) & (right[0] == right[2])
    answers[0] = np.where(copied, answers[2], answers[0])
    logged = np.where(rng.random(n) < w.earlier, 2, 0)
    served, good = answers[logged, np.arange(n)], right[logged, np.arange(n)]
    reference = _references(w, rng, served, good, topics)
    said = [(row ^ (rng.random(n) < w.error)).astype(float) for row in right[:2]]
    favour = (0.0, w.favour)
    judged = [
        (rng.random(n) < np.where(row, np.minimum(1, w.judge + more), 1 - w.judge + more)).astype(float)
        for row, more in zip(right[:2], favour, strict=True)
    ]
    return Drawn(
        float(by_topic[1] - by_topic[0]), users, answers[0], answers[1], reference, fresh,
        said[1] - said[0], judged[1] - judged[0],
    )  # fmt: skip


def _references(
    w: World, rng: Rng, served: npt.NDArray[np.intp], good: Bools, topics: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """What the feedback makes of the answers that were served: accepted ones, corrections, or nothing (0)."""
    n = len(served)
    talk = np.exp(0.4 * rng.normal(size=TOPICS))[topics]
    thumb = rng.random(n) < np.clip(w.thumbs * np.where(good, 1, w.outspoken) * talk, 0, 1)
    up = thumb & (good ^ (rng.random(n) < w.mistaken))
    mended = rng.random(n) < np.where(good, 0.004, w.corrected)
    words = np.where(rng.random(n) < 0.97, rng.integers(1, w.rights + 1, n), -rng.integers(1, w.wrongs + 1, n))
    accepted = up | (~thumb & ~mended & (rng.random(n) < w.silent))
    return np.where(mended, words, np.where(accepted, served, 0))


def before(d: Drawn) -> tuple[float, bool]:
    """The estimate from references alone, and whether it promotes: the thing to beat."""
    has = d.reference != 0
    values = (d.candidate == d.reference)[has].astype(float) - (d.champion == d.reference)[has]
    estimate = cluster_mean(values, d.users[has])
    p = max(estimate.p_above(0.0), guard_p(values, d.users[has], 0.0, binary=True))
    return estimate.mean, p <= LEVEL


class Verdicts(NamedTuple):
    """What the gate's estimator says of one sample."""

    at: dict[int, Reviewed]
    """By number of reviews."""
    promoted: int | None
    """After how many reviews; None: never."""


def now(d: Drawn, rng: Rng, with_judge: bool) -> Verdicts:
    """Looks at the first 50, 100 and 200 disagreements in random order; equal answers are asked nobody about."""
    fresh = d.fresh
    differs = (d.champion != d.candidate)[fresh]
    guess = np.where(d.reference != 0, (d.candidate == d.reference).astype(float) - (d.champion == d.reference), 0.0)[
        fresh
    ]
    if with_judge:
        guess = np.where(guess != 0, (guess + d.judged[fresh]) / 2, d.judged[fresh])
    order = rng.permutation(np.flatnonzero(differs))
    twice = rng.random((2, LOOKS[-1] * 2 // 5)) < 0.05
    found, promoted = {}, None
    for look, level in zip(LOOKS, levels(LEVEL, LOOKS), strict=True):
        said = np.full(len(differs), np.nan)
        said[order[:look]] = d.said[fresh][order[:look]]
        evidence = Evidence(differs, said, guess, (d.users[fresh],), np.zeros(len(differs), bool))
        found[look] = difference(evidence, LEVEL, MARGIN, youden(*twice))
        if promoted is None and found[look].p_superior <= level:
            promoted = look
    return Verdicts(found, promoted)


class Cell(Struct):
    """One world at one gain, summed over its samples."""

    differ: float = 0.0
    bias_before: float = 0.0
    promotes_before: float = 0.0
    bias: float = 0.0
    covers: float = 0.0
    promotes: float = 0.0
    at_100: float = 0.0
    with_judge: float = 0.0
    reviews: float = 0.0


def cell(world: World, reps: int, rng: Rng) -> Cell:
    """Means over `reps` samples of a world."""
    found = Cell()
    for _ in range(reps):
        d = draw(world, rng)
        estimate, promoted = before(d)
        plain, judged = now(d, rng, with_judge=False), now(d, rng, with_judge=True)
        last = plain.at[LOOKS[-1]]
        found.differ += float((d.champion != d.candidate).mean())
        found.bias_before += estimate - d.truth
        found.promotes_before += promoted
        found.bias += (last.mean or 0.0) - d.truth
        found.covers += last.low <= d.truth <= last.high
        found.promotes += plain.promoted is not None
        found.at_100 += plain.at[100].p_superior <= LEVEL
        found.with_judge += judged.promoted is not None
        found.reviews += plain.promoted or LOOKS[-1]
    return Cell(*(value / reps for value in msgspec.structs.astuple(found)))


def figures(cells: dict[tuple[str, float], Cell]) -> dict[str, float]:
    """The last line."""
    near = [name for name in WORLDS if cells[name, 0.05].differ <= 0.3]
    middle = [name for name in WORLDS if cells[name, 0.05].differ <= 0.4]
    better = [cells[name, gain] for name in WORLDS for gain in (0.0, 0.05, 0.1)]
    equal = [cells[name, 0.0] for name in WORLDS]
    return {
        "bias_present": max(abs(c.bias_before) for c in better),
        "bias_now": max(abs(c.bias) for c in better),
        "coverage": float(np.mean([c.covers for c in cells.values()])),
        "coverage_worst": min(c.covers for c in cells.values()),
        "false_promotion_present": max(c.promotes_before for c in equal),
        "false_promotion": max(c.promotes for c in equal),
        "false_promotion_mean": float(np.mean([c.promotes for c in equal])),
        "false_promotion_with_judge": max(c.with_judge for c in equal),
        "false_promotion_of_worse": max(cells[name, -0.05].promotes for name in WORLDS),
        "power_100_labels": min(cells[name, 0.05].at_100 for name in near),
        "power_200_labels": min(cells[name, 0.05].promotes for name in middle),
        "power_200_labels_where_3_in_10_differ": min(cells[name, 0.05].promotes for name in near),
        "power_200_labels_and_judge": min(cells[name, 0.05].with_judge for name in middle),
        "false_hold_of_better": 1 - min(cells[name, 0.1].promotes for name in middle),
        "false_hold_of_better_present": 1 - min(cells[name, 0.1].promotes_before for name in WORLDS),
    }


def main() -> None:
    """Draw all worlds, print a table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=300, help="samples of each world at each gain")
    reps = parser.parse_args().reps
    print(f"{reps} samples a cell; level {LEVEL}, {'/'.join(map(str, LOOKS))} reviews\n")
    print(
        "| world | gain | differ | before: bias | promotes | now: bias | covers | promotes | at 100 | + judge "
        "| reviews |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    cells = {}
    for number, (name, world) in enumerate(WORLDS.items()):
        for gain in GAINS:
            rng = np.random.default_rng([20261128, number, GAINS.index(gain)])
            c = cells[name, gain] = cell(msgspec.structs.replace(world, gain=gain), reps, rng)
            print(
                f"| {name} | {gain:+.2f} | {c.differ:.2f} | {c.bias_before:+.3f} | {c.promotes_before:.3f} "
                f"| {c.bias:+.4f} | {c.covers:.3f} | {c.promotes:.3f} | {c.at_100:.3f} | {c.with_judge:.3f} "
                f"| {c.reviews:.0f} |",
                flush=True,
            )
    print("\n" + json.dumps({"reps": reps} | {name: round(value, 4) for name, value in figures(cells).items()}))


if __name__ == "__main__":
    main()
