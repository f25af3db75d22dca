"""What guardrails answer → verdicts: pure adapters, one a guard, for payloads as objects or as plain data.

    for verdict in guards.nemo(response):
        fly.guardrail(**verdict)

Each gives a list of the arguments of `fly.guardrail`, one verdict a guard and target. Not measured is no pass: a scan
that was skipped, failed or cannot be read gives no verdict at all. Nothing here raises for what a payload holds.
"""

from __future__ import annotations

import math
import re
from typing import Any

Verdicts = list[dict[str, Any]]
"""Arguments of `fly.guardrail`: name, passed, and where they are known category, text, score, target, action."""
_HAZARD = re.compile(r"S\d{1,2}")
_NEMO_TARGETS = {"input": "input", "output": "output", "retrieval": "retrieval", "tool_input": "tool_call",
                 "tool_output": "tool_result"}  # fmt: skip


def nemo(response: Any) -> Verdicts:
    """NeMo Guardrails: `rails.generate(…, options={"log": {"activated_rails": True}})`, or `rails.check(…)`.

    Dialog and generation rails guard nothing. A rail that stops the conversation has not passed.
    """
    status = _get(response, "status")
    if status is not None:
        status = str(getattr(status, "value", status)).lower()
        if status not in {"passed", "modified", "blocked"}:
            return []
        action = {"modified": "modify", "blocked": "block"}.get(status, "allow")
        return [_verdict("nemo", status != "blocked", category=_text(_get(response, "rail")), action=action)]
    found = []
    for rail in _list(_get(_get(response, "log"), "activated_rails")):
        target = _NEMO_TARGETS.get(str(_get(rail, "type")))
        stop = _get(rail, "stop")
        if target and isinstance(stop, bool):
            action = "block" if stop else "allow"
            found.append(_verdict("nemo", not stop, category=_text(_get(rail, "name")), target=target, action=action))
    return found


def llama_guard(answer: Any, *, target: str | None = None, version: int = 4) -> Verdicts:
    """Llama Guard 3 or 4: `safe`, or `unsafe` and a line of hazards, `S1,S10`, after blank lines or none."""
    said = [line.strip() for line in str(answer).splitlines() if line.strip()] if isinstance(answer, str) else []
    first = said[0].lower() if said else ""
    if first not in {"safe", "unsafe"}:
        return []
    hazards = ",".join(_HAZARD.findall(said[1][:200].upper())) if first == "unsafe" and len(said) > 1 else ""
    return [_verdict(f"llama-guard-{version}", first == "safe", category=hazards or None, target=target)]


def shieldgemma(
    answer: Any, policy: str, *, threshold: float = 0.5, target: str | None = None, version: int = 1
) -> Verdicts:
    """ShieldGemma on one policy: the probability that it is violated, or its word. `Yes` means violated.

    A mapping is read as log-probabilities of `Yes` and `No`.
    """
    if isinstance(answer, dict):
        yes, no = _number(answer.get("Yes")), _number(answer.get("No"))
        answer = 1 / (1 + math.exp(min(700.0, no - yes))) if yes is not None and no is not None else None
    if isinstance(answer, str):
        word = answer.strip().lower()[:3]
        answer = 1.0 if word == "yes" else 0.0 if word[:2] == "no" else None
    score = _number(answer)
    if score is None or not 0 <= score <= 1:
        return []
    passed = score < threshold
    return [_verdict(f"shieldgemma-{version}", passed, category=policy, score=score, target=target)]


def openai_moderation(response: Any, *, target: str | None = None) -> Verdicts:
    """OpenAI's moderation: one verdict a result, with the categories that were flagged and the highest score."""
    found = []
    for result in _list(_get(response, "results")) or ([response] if _get(response, "flagged") is not None else []):
        flagged = _get(result, "flagged")
        if not isinstance(flagged, bool):
            continue
        categories = [name for name, value in sorted(_items(_get(result, "categories"))) if value is True]
        scores = [
            score for _, value in _items(_get(result, "category_scores")) if (score := _number(value)) is not None
        ]
        found.append(
            _verdict(
                "openai-moderation",
                not flagged,
                category=",".join(categories) or None,
                score=max(scores, default=None),
                target=target,
            )
        )
    return found


def llama_firewall(result: Any, *, target: str | None = None) -> Verdicts:
    """LlamaFirewall's `ScanResult`: a scan that did not succeed measured nothing; a wish for a person is no pass."""
    status = _word(_get(result, "status"))
    decision = _word(_get(result, "decision"))
    action = {"allow": "allow", "block": "block", "human_in_the_loop_required": "escalate"}.get(decision)
    if status not in {"success", ""} or action is None:
        return []
    score = _number(_get(result, "score"))
    reason = _text(_get(result, "reason"))
    return [_verdict("llama-firewall", action == "allow", text=reason, score=score, target=target, action=action)]


def guardrails_ai(outcome: Any, *, target: str = "output") -> Verdicts:
    """Guardrails AI's `ValidationOutcome`: a verdict for each validator that failed, else one that all passed."""
    if _get(outcome, "error"):
        return []
    failed = [
        _verdict(
            f"guardrails-ai:{_text(_get(each, 'validator_name')) or 'unknown'}",
            False,
            text=_text(_get(each, "failure_reason")),
            target=target,
        )
        for each in _list(_get(outcome, "validation_summaries"))
        if _word(_get(each, "validator_status")) == "fail"
    ]
    passed = _get(outcome, "validation_passed")
    if failed or not isinstance(passed, bool):
        return failed
    return [_verdict("guardrails-ai", passed, target=target)]


def _verdict(name: str, passed: bool, **known: Any) -> dict[str, Any]:
    return {"name": name, "passed": passed, **{key: value for key, value in known.items() if value is not None}}


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else getattr(value, key, None)


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _items(value: Any) -> list[tuple[str, Any]]:
    """Fields of plain data or of a client's model, under their names on the wire where it knows them."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(by_alias=True)
    return [(str(key), each) for key, each in value.items()] if isinstance(value, dict) else []


def _word(value: Any) -> str:
    """The word of a text or of an enumeration's member, in lower case."""
    return str(getattr(value, "value", value)).lower() if value is not None else ""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None
