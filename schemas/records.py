"""The records: what the flywheel concludes from events, one small frozen value each.

They meet the disk in `schemas/tables.py` and are made in the stages of `flows/`, in this order.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from schemas.events import Candidate, to_json


def content_hash(value: Any) -> str:
    """SHA-256 (hex) of a value's canonical JSON: equal values, equal hash, in every process."""
    return hashlib.sha256(to_json(value).encode()).hexdigest()


def make_candidate(
    model: str,
    endpoint: str,
    *,
    prompt_version: str | None = None,
    parameters: dict[str, Any] | None = None,
    dataset: str | None = None,
) -> Candidate:
    """A candidate whose id is the hash of what it is: registering the same one twice is one registration."""
    what = {
        "model": model,
        "endpoint": endpoint,
        "prompt_version": prompt_version,
        "parameters": parameters or {},
        "dataset": dataset,
    }
    return msgspec.convert({"id": content_hash(what)[:16], **what}, Candidate)


class Outcome(Struct, frozen=True):
    """What all feedback on one interaction says together."""

    interaction_id: str
    outcome: Literal["ok", "failed", "unknown"]
    score: float | None
    """How far the signals speak for good, 0 to 1 (docs/clusters.md); None where nothing was said."""
    reasons: tuple[str, ...] = ()
    """Countable names such as `thumb_down`, `error:timeout`, `correction`, sorted."""
    signals: int = 0
    """How many feedback events and rules spoke."""


class Failure(Struct, frozen=True):
    """A failed interaction, with the text that it is clustered by."""

    interaction_id: str
    time: datetime
    text: str
    reasons: tuple[str, ...] = ()
    request_model: str = ""
    prompt_version: str | None = None
    variant: str | None = None
    user_id: str | None = None


class Cluster(Struct, frozen=True):
    """Failures that go wrong alike, under a lasting id."""

    cluster_id: str
    name: str
    terms: tuple[str, ...]
    medoid_interaction_id: str
    medoid_text: str
    size: int
    reasons: tuple[str, ...] = ()


class Example(Struct, frozen=True, gc=False):
    """One row that may enter a dataset, with its way back to the source. Nested values are JSON text: a million fit."""

    interaction_id: str
    unit: str
    """Keyed hash of the user where known, else of the conversation: on one side of train/eval as a whole."""
    prompt: str
    """Everything before the answer: chat messages as canonical JSON."""
    answer: str
    """The good answer, the model's own or the correction: chat messages as canonical JSON."""
    text: str
    """What the person asked: all user messages, for duplicates and leaks."""
    origin: str
    """Which signal made it an example: an `Origin` of the settings."""
    rejected: str | None = None
    """The answer that was corrected or regenerated, where there is one: chat messages as canonical JSON."""
    other_id: str | None = None
    """The interaction that gave the good answer, where it is another one (`regenerate`, `ab`)."""
    feedback_id: str | None = None
    """The feedback event that made it an example, where one alone did."""
    cluster_id: str = ""
    score: float | None = None
    """Of its outcome: how far the signals speak for good, 0 to 1."""
    model: str = ""
    time: datetime | None = None
    tools: str | None = None
    """Tool definitions as JSON."""
    prompt_version: str | None = None
    guard: str | None = None
    """Origin `guardrail`: the guardrail's verdict and what people say of it, as JSON."""
    copies: int = 1
    """How many examples it stands for: itself and its duplicates that were left out."""


class Item(Struct, frozen=True):
    """One eval example as the runner sees it."""

    item_id: str
    messages: tuple[dict[str, Any], ...]
    reference: str | None
    slice: str = ""
    """The cluster it belongs to; empty where it belongs to none."""
    unit: str = ""
    rubric: str | None = None
    tools: tuple[dict[str, Any], ...] = ()


class Score(Struct, frozen=True):
    """An item's result for one model and one sample, or the named reason why there is none."""

    item_id: str
    role: Literal["candidate", "champion"]
    scorer: str
    score: float | None
    """0 is bad, 1 is good; None exactly when `unscored` names why."""
    unscored: str | None = None
    sample: int = 0
    output: str | None = None
    unit: str = ""
    slice: str = ""
    duration_ms: float | None = None
    time_to_first_chunk_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    tries: int = 1


class Difference(Struct, frozen=True):
    """Paired difference candidate − champion over some items."""

    slice: str
    """Empty: overall."""
    items: int
    units: int
    champion: float | None
    candidate: float | None
    difference: float | None
    low: float | None
    """Bounds of the interval whose ends are the one-sided tests that decide: at `1 - 2·gate.level` overall, at
    `1 - 2·gate.alpha` in a slice."""
    high: float | None
    p_non_inferior: float | None
    """Small: the candidate is not worse than the champion by the margin or more."""
    p_superior: float | None
    p_harm: float | None
    """Small: the candidate is worse than the champion."""
    wins: int = 0
    losses: int = 0
    ties: int = 0
    unscored: int = 0
    """Items that lack a score on either side: never counted as a pass or a zero."""
    minimum_detectable: float | None = None
    """The smallest true difference that a test of this size finds with power 0.8."""
    items_needed: int | None = None
    """Items for power 0.8 against the margin, when the truth is "no difference"."""


class Comparison(Struct, frozen=True):
    """All that is known of candidate against champion on one eval set."""

    evaluation_id: str
    candidate: Candidate
    champion: Candidate
    dataset_version: str
    overall: Difference
    slices: tuple[Difference, ...] = ()
    fixed: tuple[str, ...] = ()
    """Items that the champion fails and the candidate passes, in every sample."""
    still_failing: tuple[str, ...] = ()
    regressed: tuple[str, ...] = ()
    flaky: tuple[str, ...] = ()
    guards: dict[str, dict[str, float | None]] = {}
    """Latency and cost: metric → {champion, candidate, champion_p95, candidate_p95, ratio, ratio_low, ratio_high}, and
    `unusable`: measured values that are no numbers."""
    judge: dict[str, float | None] = {}
    """Where a judge gave the scores: people's labels it was measured on, its kappa, the uncorrected difference."""
    notes: tuple[str, ...] = ()
    eval_set: str = ""
    """The name of the eval set: a recipe, or what it was frozen under. `dataset_version` is its version."""

    @property
    def measured_on(self) -> str:
        """The eval set as people read it: `name@version`."""
        return f"{self.eval_set}@{self.dataset_version}" if self.eval_set else self.dataset_version


class Verdict(Struct, frozen=True):
    """What the gate says, and every reason in words and numbers."""

    verdict: Literal["promote", "block", "inconclusive"]
    reasons: tuple[str, ...]
    policy: str = ""
