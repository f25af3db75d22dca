"""What the demo says at its end: a table of who was a candidate, a table of accuracies, and one line of JSON."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from flows.terminal import Terminal

from .wheel import Measured


class Tried(Struct, frozen=True, kw_only=True):
    """What came of a candidate."""

    turn: int
    candidate: str
    kind: str
    """New weights, a prompt version, parameters, …"""
    trained_on: str
    """Rows, in words."""
    action: str
    verdict: str
    reason: str
    """The gate's first."""
    reviews: int
    measured: Measured


class Accuracy(Struct, frozen=True, kw_only=True):
    """Of one model and of what it is held against, on the untouched requests."""

    when: str
    champion: str
    accuracy: float
    classifier: float
    """Of linear classifiers of all rows so far: at least those that the champion has learned from."""
    rules: float
    """Of rules that somebody wrote by hand, behind a classifier of the same rows."""
    rows: int
    """So many, the seed's with them."""


class Watched(Struct, frozen=True, kw_only=True):
    """The broken deployment, and who served after it."""

    deployed: str
    served: int
    """Requests, half of them answered by the former champion."""
    seconds: float
    """From the first of them to the rollback."""
    reason: str
    champion: str
    """Who serves since."""


class Result(Struct, frozen=True, kw_only=True):
    """The last line."""

    accuracy_before: float
    accuracy_after: float
    classifier_after: float
    rules_after: float
    promoted: int
    blocked: int
    """Candidates that were blocked or held."""
    wall_min: float
    cpu_min: float
    peak_rss_mib: int
    disk_mib: int
    events_whole: bool


def show(console: Terminal, tried: list[Tried], accuracies: list[Accuracy], watched: Watched | None) -> None:
    """Both tables, and the watch."""
    headings = "turn", "candidate", "kind", "trained on", "requests", "differ", "reviews", "difference", "latency"
    console.table(
        (*headings, "verdict"),
        [
            (
                str(one.turn), one.candidate, one.kind, one.trained_on, str(one.measured.requests),
                str(one.measured.differ), str(one.reviews), _difference(one.measured),
                _ratio(one.measured), f"{one.verdict}, {one.action}",
            )
            for one in tried
        ],
    )  # fmt: skip
    for one in tried:
        if one.action != "promoted":
            did = one.action if one.action == "waits" else f"was {one.action}"
            console.say(f"  {one.candidate} {did}: {one.reason}")
    console.table(
        ("when", "champion", "accuracy on untouched", "classifier of all rows so far", "rules by hand", "rows"),
        [
            (a.when, a.champion, f"{a.accuracy:.1%}", f"{a.classifier:.1%}", f"{a.rules:.1%}", str(a.rows))
            for a in accuracies
        ],
    )
    if watched:
        console.say(
            f"  {watched.deployed} was deployed with other weights: after {watched.served} requests, "
            f"{watched.seconds:.0f} s, {watched.champion} serves again. {watched.reason}"
        )


def line(result: Result) -> str:
    """One line of JSON."""
    return msgspec.json.encode(result).decode()


def _difference(measured: Measured) -> str:
    if measured.difference is None or measured.low is None or measured.high is None:
        return ""
    return f"{measured.difference:+.3f} ({measured.low:+.3f}..{measured.high:+.3f})"


def _ratio(measured: Measured) -> str:
    return f"x{measured.latency_ratio:.2f}" if measured.latency_ratio else ""
