"""Promote: read a recorded evaluation, decide, publish to the ledger and announce.

No evidence, no promotion: the evaluation must be of this candidate against the present champion on the present eval
set. The verdict is `gate.py`'s, the compare-and-set is `flows/ledger.py`'s; `flow.py` wraps this for Prefect.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from flows import evalset, ledger
from flows.announce import Announce, announce_pending
from flows.evaluations import evaluation_of, evaluations, scores_of
from flows.promote.gate import Answer, decide
from flows.promote.staleness import changed
from flows.registry import EVAL_SET, Registry
from flows.run import code_version
from flows.seal import seal_of
from flows.versions import Version
from schemas.errors import NotEnoughData, UsageError
from schemas.events import Candidate
from schemas.records import Comparison, Verdict, content_hash
from schemas.settings import GateSettings, Settings
from streams.lake import Lake
from streams.lake.query import rows
from streams.logs import about

_log = logging.getLogger(__name__)


class Approval(Struct, frozen=True):
    """A person's word on a promotion."""

    decision: Literal["promote", "reject"]
    reviewer: str
    comment: str = ""


class Summary(Struct, frozen=True, kw_only=True):
    """What a decision comes to, for people and programs."""

    verdict: Answer
    reasons: tuple[str, ...]
    action: str
    """promoted or held; awaiting_approval, awaiting_reviews or awaiting_traffic: nothing is recorded yet."""
    candidate: Candidate
    against: Candidate
    """The champion that it was compared with."""
    eval_set: str
    """`name@version`."""
    champion: Candidate | None
    """Who serves now."""
    decision_id: str = ""


class Evidence(Struct, frozen=True):
    """What a promotion is decided on."""

    evaluation_id: str
    comparison: Comparison
    eval_set: Version | None
    """The eval set that decides about the candidate now; None where there is none to decide."""
    missing: str
    """Why there is none, and what to do about it; empty where there is one."""
    changed: str
    """What of its ground has moved since it was made; empty where nothing has."""
    used: int
    """How many other candidates were decided about on some of the same items."""
    slack: float
    """How much of `gate.margin` former champions have left for one that is as good."""
    scores_hash: str
    settings_hash: str

    def ids(self) -> dict[str, str]:
        """Hashes and ids for the ledger row: whoever doubts the decision can find all of it again."""
        return {
            "evaluation_id": self.evaluation_id,
            "comparison": content_hash(self.comparison),
            EVAL_SET: self.comparison.eval_set,
            "dataset_version": self.comparison.dataset_version,
            "dataset_sha256": self.eval_set.sha256 if self.eval_set else "",
            "scores": self.scores_hash,
            "used": str(self.used),
            "policy": self.settings_hash,
            "code": code_version(),
        }


def promote(
    lake: Lake,
    settings: Settings,
    as_of: datetime,
    evaluation_id: str,
    announce: Announce,
    approval: Approval | None = None,
) -> Summary:
    """Decide on a recorded evaluation, once: the same evaluation under the same settings is the same decision.

    The action is `promoted`, `held`, or one that records nothing: `awaiting_approval` where settings ask for a person's
    word, `awaiting_reviews` or `awaiting_traffic` where these would let it be decided.
    Raises UsageError for an unknown evaluation or a name of an eval set that is nobody's, and LedgerConflict where
    another candidate was promoted meanwhile.
    """
    evidence = gather(lake, settings, evaluation_id)
    comparison = evidence.comparison
    registry = ledger.fold(lake, settings.application)
    decision_id = ledger.decision_id("decision", evaluation_id, evidence.settings_hash)
    decision = next((row for row in registry.decisions if row.id == decision_id), None)
    if decision is None:
        verdict = judge(evidence, registry, settings.gate)
        if verdict.waits_for:
            return _summary(f"awaiting_{verdict.waits_for}", verdict.verdict, verdict.reasons, comparison, registry)
        if verdict.verdict == "promote" and settings.gate.approval:
            if approval is None:
                return _summary("awaiting_approval", verdict.verdict, verdict.reasons, comparison, registry)
            verdict = approve(verdict, approval)
        decision = ledger.append(
            lake,
            settings.application,
            "promoted" if verdict.verdict == "promote" else "held",
            comparison.candidate,
            id=decision_id,
            time=as_of,
            expected_champion=registry.champion.id if registry.champion else None,
            verdict=verdict.verdict,
            reasons=verdict.reasons,
            evidence=evidence.ids(),
            decided_by=approval.reviewer if approval and settings.gate.approval else "flywheel",
            seal=seal_of(settings),
        )
    announce_pending(lake, settings.application, announce, seal_of(settings))
    with about(evaluation=evaluation_id):
        _log.info("verdict %s: the candidate is %s", decision.verdict, decision.action.replace("_", " "))
    found = ledger.fold(lake, settings.application)
    return _summary(decision.action, decision.verdict, decision.reasons, comparison, found, decision.id)


def gather(lake: Lake, settings: Settings, evaluation_id: str) -> Evidence:
    """Read the evaluation and what it stands on. Raises UsageError where it was never finished."""
    comparison = evaluation_of(lake, settings.application, evaluation_id).comparison
    eval_set, missing = _deciding(lake, settings, comparison)
    registry = ledger.fold(lake, settings.application)
    stored = scores_of(lake, evaluation_id)
    scores = [{**msgspec.structs.asdict(score), "evaluation_id": evaluation_id} for score in stored]
    keys = ("item_id", "role", "sample", "scorer")
    return Evidence(
        evaluation_id=evaluation_id,
        comparison=comparison,
        eval_set=eval_set,
        missing=missing,
        changed=changed(lake, settings, comparison, stored),
        used=_used(lake, registry, comparison, {score["item_id"] for score in scores}),
        slack=slack(registry, _comparisons(lake, settings.application), settings.gate.margin),
        scores_hash=content_hash(sorted(scores, key=lambda score: tuple(str(score[key]) for key in keys))),
        settings_hash=content_hash(msgspec.structs.asdict(settings.gate)),
    )


def judge(evidence: Evidence, registry: Registry, gate: GateSettings) -> Verdict:
    """The gate's verdict, or inconclusive where the evidence is not about the present champion and eval set."""
    comparison = evidence.comparison
    if reason := _not_about_the_present(evidence, registry):
        return Verdict("inconclusive", (f"{reason}; evaluate again",), gate.policy)
    if evidence.changed:
        return Verdict("inconclusive", (f"{evidence.changed}; evaluate again",), gate.policy, waits_for="reviews")
    verdict = _within_slack(decide(comparison, after(evidence.used, gate)), comparison, evidence.slack, gate)
    said = (warning,) if evidence.eval_set and (warning := evalset.warning(evidence.eval_set)) else ()
    return msgspec.structs.replace(verdict, reasons=(*verdict.reasons, *said))


def _not_about_the_present(evidence: Evidence, registry: Registry) -> str:
    """Why a comparison says nothing of who serves and of what decides now; empty where it does."""
    comparison, serving, decides = evidence.comparison, registry.champion, evidence.eval_set
    if serving is None or serving.id != comparison.champion.id:
        against = serving.id if serving else "nobody"
        return f"evaluated against champion {comparison.champion.id}, but {against} serves by now"
    if comparison.candidate.id == serving.id:
        return f"candidate {comparison.candidate.id} is the champion"
    if comparison.candidate.id not in registry.candidates:
        return f"candidate {comparison.candidate.id} was never registered"
    if decides is None:
        return evidence.missing
    measured = comparison.eval_set or decides.dataset, comparison.dataset_version
    if measured != (decides.dataset, decides.version):
        return f"evaluated on eval set {comparison.measured_on}, but {evalset.of(decides)} decides now"
    return ""


def approval_of(decision: Literal["promote", "reject"], reviewer: str, comment: str) -> Approval:
    """What a form says. Without a name it is a rejection: an answer sent in haste promotes nobody."""
    if not reviewer.strip():
        return Approval("reject", "nobody", "the form was sent without a reviewer's name")
    return Approval(decision, reviewer, comment)


def approve(verdict: Verdict, approval: Approval) -> Verdict:
    """The verdict after a person's word: who and why become its first reason. A rejection blocks."""
    word = "approved" if approval.decision == "promote" else "rejected"
    if not approval.reviewer.strip():
        raise UsageError("an approval needs the reviewer's name")
    reason = f"{word} by {approval.reviewer}: {approval.comment or 'no comment'}"
    answer = verdict.verdict if approval.decision == "promote" else "block"
    return Verdict(answer, (reason, *verdict.reasons), verdict.policy)


def after(used: int, gate: GateSettings) -> GateSettings:
    """The gate for items on which other candidates were decided about before: a third of alpha for each of them.

    k earlier verdicts of three kinds tell whoever makes the next candidate at most log2 3^k bits about these items, and
    an error then grows by at most 3^k (Dwork et al. 2015, arXiv:1506.02629): all candidates on them together err in at
    most 1.5 times alpha.
    """
    return msgspec.structs.replace(gate, alpha=gate.alpha * 3.0**-used) if used else gate


def slack(registry: Registry, comparisons: dict[str, Comparison], margin: float) -> float:
    """How much of the margin is left to a candidate that is as good: no row of small losses may add up to more.

    What each promotion may have lost, at the lower end of its interval, is taken off; what one has certainly won is put
    back, up to the whole margin. A rollback undoes what its promotion took.
    """
    left = [margin]
    for decision in registry.decisions:
        if decision.action == "rolled_back" and len(left) > 1:
            left.pop()
        elif decision.action == "promoted":
            comparison = comparisons.get(decision.evidence.get("evaluation_id", ""))
            low = comparison.overall.low if comparison and comparison.overall.low is not None else 0.0
            left.append(min(margin, left[-1] + low))
    return left[-1]


def _within_slack(verdict: Verdict, comparison: Comparison, left: float, gate: GateSettings) -> Verdict:
    """A candidate that is as good as the champion must not be the last of many small losses."""
    low = comparison.overall.low
    if verdict.verdict != "promote" or gate.policy != "as_good" or low is None or low >= -left:
        return verdict
    remains = f"of gate.margin {gate.margin:.3f} former champions have left {max(left, 0):.3f}"
    reason = f"overall: it may lose {-low:.3f}; {remains}"
    return Verdict("inconclusive", (reason, *verdict.reasons), verdict.policy)


def _used(lake: Lake, registry: Registry, comparison: Comparison, items: set[str]) -> int:
    """How many other candidates were decided about on some of these items."""
    decided = {
        decision.evidence["evaluation_id"]: decision.candidate.id
        for decision in registry.decisions
        if decision.action in {"promoted", "held"} and "evaluation_id" in decision.evidence
    }
    same = {row["evaluation_id"] for row in rows(lake, "scores", evaluation_id=decided, item_id=items)}
    return len({decided[evaluation] for evaluation in same} - {comparison.candidate.id})


def _comparisons(lake: Lake, application: str) -> dict[str, Comparison]:
    """Every comparison of the application, by evaluation."""
    return {found.evaluation_id: found.comparison for found in evaluations(lake, application)}


def _deciding(lake: Lake, settings: Settings, comparison: Comparison) -> tuple[Version | None, str]:
    """The eval set that decides about a candidate, or why there is none."""
    name = evalset.name_for(ledger.fold(lake, settings.application), settings, comparison.candidate.id)
    try:
        return evalset.find(lake, settings, name, comparison.dataset_version), ""
    except NotEnoughData as error:
        return None, str(error)


def _summary(
    action: str,
    verdict: str,
    reasons: Iterable[str],
    comparison: Comparison,
    registry: Registry,
    decision_id: str = "",
) -> Summary:
    return Summary(
        verdict=msgspec.convert(verdict, Answer),
        reasons=tuple(reasons),
        action=action,
        candidate=comparison.candidate,
        against=comparison.champion,
        eval_set=comparison.measured_on,
        champion=registry.champion,
        decision_id=decision_id,
    )
