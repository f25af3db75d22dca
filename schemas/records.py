"""The records: what the flywheel concludes from events, one small frozen value each.

They meet the disk in `schemas/tables.py` and are made in the stages of `flows/`, in this order.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from schemas.acts import Ignored
from schemas.events import Candidate, to_json
from schemas.trend import Closure, ClusterStatus, Mode, Part, Point


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
    prompt_messages: list[dict[str, Any]] | None = None,
) -> Candidate:
    """A candidate whose id is the hash of what it is: registering the same one twice is one registration."""
    what = {
        "model": model,
        "endpoint": endpoint,
        "prompt_version": prompt_version,
        "parameters": parameters or {},
        "dataset": dataset,
        **({"prompt_messages": prompt_messages} if prompt_messages else {}),
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


class Member(Struct, frozen=True, kw_only=True):
    """The home of a failed interaction: the cluster that it was placed in, or moved to."""

    interaction_id: str
    cluster_id: str
    confidence: float
    """Share of the vote for this cluster; of a birth, how little of the neighbourhood was known."""
    assigned_by: Literal["birth", "vote", "split", "merged", "person", "taught"]
    """person: moved here by hand, and no run moves it. taught: placed where a person moved the same words."""
    text_hash: str
    moves: int | None = None
    """How often it was moved so far; the row with the most moves holds."""


class PinnedMember(Struct, frozen=True):
    """A failure that a pinned cluster's definition takes in, beside the home that it has or waits for."""

    interaction_id: str
    cluster_id: str


class Cluster(Struct, frozen=True, kw_only=True):
    """Failures that go wrong alike, under a lasting id, as one run sees them; or those that a person has defined.

    Found clusters have no failure in common; one that is `pinned` may share its failures with any other.
    """

    cluster_id: str
    name: str
    description: str | None = None
    """A model's sentence; None where none was asked, or none answered."""
    terms: tuple[str, ...] = ()
    medoid_interaction_id: str | None = None
    """Of the typical example; None once its person was forgotten."""
    medoid_text: str | None = None
    reasons: tuple[str, ...] = ()
    size: int
    """Failures in the run's window."""
    size_total: int
    """Failures ever."""
    rate: float | None
    """Failures per interaction of the window, with its 95 % interval; None where there was no traffic."""
    rate_low: float | None
    rate_high: float | None
    status: ClusterStatus
    theme_id: str | None = None
    parent_id: str | None = None
    """The old cluster that it may have grown out of, or was split from."""
    alias_of: str | None = None
    """The cluster that it was merged into."""
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    trend: tuple[Point, ...] = ()
    """The windows, oldest first."""
    closure: tuple[Closure, ...] = ()
    """One entry a change of champion, oldest first."""
    segments: dict[str, dict[str, Part]] = {}
    """Column (model, prompt version, variant) → value → its part of the current window."""
    named: str | None = None
    """The act by which a person named it; None where its words, or a model, did."""
    ignored: Ignored | None = None
    mode: str | None = None
    """It holds failures of this mode alone, and was split off the cluster of the same topic, its parent, for that."""
    modes: tuple[Mode, ...] = ()
    """How its failures failed, the most frequent first."""
    pinned: str | None = None
    """The act by which a person defined it; None where failures were found to go wrong alike."""


class EventDetails(Struct, frozen=True, kw_only=True):
    """What a cluster event says beyond its name; what it does not say is left out of its JSON."""

    window_start: str | UnsetType = UNSET
    """resolved, regressed, reopened by its growth: ISO 8601 start of that window, with rate and failures there."""
    rate: float | UnsetType | None = UNSET
    size: int | UnsetType = UNSET
    voices: int | UnsetType = UNSET
    """suspected: complaints in the window, how many are of accounts never seen before, and what share is usual."""
    fresh: int | UnsetType = UNSET
    usual_share: float | UnsetType = UNSET
    proposed: bool | UnsetType = UNSET
    """split, merged: whether a run only proposes it; else it was accepted and carried out."""
    shares: tuple[float, ...] | UnsetType = UNSET
    """A proposed split: the share of each part. A merge: how much of the two lies in the same places."""
    parts: tuple[tuple[str, ...], ...] | UnsetType = UNSET
    """A proposed split: hashes of the texts that stand for each part, the largest part first."""
    mode: str | UnsetType = UNSET
    """A split by how failures fail: the mode that leaves."""
    certainty: float | UnsetType = UNSET
    """A proposed split or merge: how likely it is right (`flows/cluster/lineage/certainty.py`). One that was carried
    out has it only where no person accepted it, but the run by itself."""
    accepted_by: str | UnsetType = UNSET
    """What was done: by whom, and the decision that was carried out."""
    decision: str | UnsetType = UNSET
    undoes: str | UnsetType = UNSET
    """split, merged: the decision that it took back."""


class ClusterEvent(Struct, frozen=True, kw_only=True):
    """Something that happened to a cluster in a run."""

    cluster_id: str
    event: Literal[
        "born", "split", "merged", "resolved", "regressed", "renamed", "suspected", "ignored", "reopened", "assigned",
        "pinned", "unpinned", "refused", "undone",
    ]  # fmt: skip
    other_ids: tuple[str, ...] = ()
    """born: what it may have grown out of. split: the new parts. merged: what became another name of it."""
    details: EventDetails = EventDetails()


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
    failed: tuple[int, ...] = ()
    """Which messages of the prompt are assistant turns that failed: never taught, masked where that can be said."""
    begins: int = 0
    """The first message of the prompt that is taught with the answer: an earlier turn failed or was empty. Instructions
    (system messages) are kept from before it."""
    kept_out: bool = False
    """Of a sample: whether its user is on the eval side, of whom no build ever teaches anything."""
    told_by: str = ""
    """Keyed hash of who said what is taught, where that was somebody else than the unit."""
    reviewed: bool = False
    """Whether a reviewer said it, or vouches for it: then it counts against no person's share."""
    rubric: str | None = None
    """Of a golden item: how its answers are to be judged, where somebody said so."""


GOLDEN = "golden"
"""Source of a reference that came with its set, or that a person wrote by hand: whoever did answers for it."""


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
    source: str = GOLDEN
    """Where the reference came from: what made it an example (`accepted`, `correction`, …), `none`, or `golden`."""
    confidence: float | None = None
    """How far the feedback spoke for the reference, 0 to 1."""
    model: str = ""
    """Who answered the request when it was made."""
    interaction_id: str = ""
    time: datetime | None = None
    """When the request was made."""
    kept_out: bool = False
    """Whether its user is one of whom no build teaches anything."""

    @property
    def order(self) -> str:
        """Its place among others, as a hash: who reviews begins with the smallest."""
        return content_hash(["order", self.item_id])


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
    answered: bool = True
    """Whether the model answered at all; what a scorer cannot tell of an answer leaves it unscored, yet answered."""


class Difference(Struct, frozen=True, kw_only=True):
    """Paired difference candidate − champion over some items."""

    slice: str
    """Empty: overall."""
    items: int = 0
    units: int = 0
    champion: float | None = None
    candidate: float | None = None
    difference: float | None = None
    low: float | None = None
    """Bounds of the interval whose ends are the one-sided tests that decide: at `1 - 2·gate.level` overall, at
    `1 - 2·gate.alpha` in a slice."""
    high: float | None = None
    p_non_inferior: float | None = None
    """Small: the candidate is not worse than the champion by the margin or more."""
    p_superior: float | None = None
    p_harm: float | None = None
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
    differ: int | None = None
    """Items on which the models' answers differ; None where every item has a score that can be believed."""
    reviewed: int | None = None
    """How many of those count as reviewed; wins, losses and ties are theirs."""


class Sampled(Struct, frozen=True, kw_only=True):
    """What a comparison stands on that blind reviews decide."""

    requests: int
    """Asked of both models."""
    differ: int
    """Of these, the ones that were answered differently: only they are reviewed."""
    reviewed: int
    """Disagreements reviewed without a gap, in the order that their hashes give."""
    look: int
    """How many of those count: the newest of `gate.reviews` that was reached, or all there are."""
    skipped: int = 0
    """Of those that count, the ones that reviewers could not judge."""
    left_out: int = 0
    """Requests older than what a model was trained on, which were not asked."""
    kept_out: int = 0
    """Requests older than a model whose training data nobody named, by users of whom nothing is ever taught."""
    next_look: int | None = None
    """How many reviews the gate looks at next; None after the last look, and where all were reviewed."""
    needed: int | None = None
    """Reviews that would find the difference seen so far four times in five, if it is real; None: no number would."""
    youden: float = 1.0
    """How far reviewers' mistakes shrink a difference, from answers that two of them judged; 1: none were."""
    trust: float = 0.0
    """How much of what references and judges guess is used, 0 to 1."""
    reviews: str = ""
    """Fingerprint of all that was said of these answers: where it is another by now, the comparison is stale."""
    origins: tuple[Difference, ...] = ()
    """The difference by where references came from: `own` (the champion's), `other` models', `frozen` (such, in a
    frozen set), `correction`, `reviewer` (theirs), `golden`, `none`."""


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
    sampled: Sampled | None = None
    """None where every item came with a reference to be believed, so that scores alone decide."""
    notes: tuple[str, ...] = ()
    eval_set: str = ""
    """The name of the eval set: a recipe, or what it was frozen under. `dataset_version` is its version."""

    @property
    def measured_on(self) -> str:
        """The eval set as people read it: `name@version`."""
        return f"{self.eval_set}@{self.dataset_version}" if self.eval_set else self.dataset_version


class Evaluation(Struct, frozen=True, kw_only=True):
    """One run of a candidate against a champion on one eval set, as it lies in the lake."""

    evaluation_id: str
    candidate: Candidate
    champion: Candidate
    eval_set: str = ""
    """The name of the eval set; empty in rows from before sets had names."""
    dataset_version: str
    created: datetime
    comparison: Comparison


class Verdict(Struct, frozen=True):
    """What the gate says, and every reason in words and numbers."""

    verdict: Literal["promote", "block", "inconclusive"]
    reasons: tuple[str, ...]
    policy: str = ""
    waits_for: Literal["", "reviews", "traffic"] = ""
    """What would let it be decided: then nothing is recorded yet, and the candidate goes on waiting."""
