"""What six guards answer, as verdicts; what they did not measure is no pass."""

from __future__ import annotations

import enum
import types
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_flywheel import guards


def rail(type_: str, name: str, *, stop: bool) -> dict[str, Any]:
    """A rail as NeMo logs it."""
    return {"type": type_, "name": name, "decisions": ["execute"], "stop": stop, "duration": 0.1}


def test_nemo() -> None:
    """A rail each; what steers the dialog or makes the answer guards nothing. Objects and plain data are read alike."""
    rails = [rail("input", "self check input", stop=False), rail("generation", "generate", stop=False),
             rail("output", "self check output", stop=True)]  # fmt: skip
    as_object = types.SimpleNamespace(log=types.SimpleNamespace(activated_rails=rails), response=[])

    expected = [
        {"name": "nemo", "passed": True, "category": "self check input", "target": "input", "action": "allow"},
        {"name": "nemo", "passed": False, "category": "self check output", "target": "output", "action": "block"},
    ]
    assert guards.nemo(as_object) == guards.nemo({"log": {"activated_rails": rails}}) == expected


@pytest.mark.parametrize(
    ("status", "passed", "action"),
    [("passed", True, "allow"), ("modified", True, "modify"), ("blocked", False, "block")],
)
def test_nemo_short(status: str, passed: bool, action: str) -> None:
    """`rails.check` gives one answer; a text that was masked has passed."""
    (verdict,) = guards.nemo({"status": status, "content": "x", "rail": "mask"})

    assert (verdict["passed"], verdict["action"], verdict["category"]) == (passed, action, "mask")


@pytest.mark.parametrize(
    ("answer", "passed", "category"),
    [("safe", True, None), ("\n\nsafe", True, None), ("unsafe\nS1,S10", False, "S1,S10"),
     ("\nunsafe\n\nS9\n", False, "S9"),
     ("Unsafe\ns1,s10", False, "S1,S10")],
)  # fmt: skip
def test_llama_guard(answer: str, passed: bool, category: str | None) -> None:
    """The first word decides; hazards stand in the line below it."""
    (verdict,) = guards.llama_guard(answer, target="input")

    assert (verdict["passed"], verdict.get("category"), verdict["target"]) == (passed, category, "input")


def test_shieldgemma() -> None:
    """Yes is bad: as a word, as a probability, as log-probabilities."""
    found = [guards.shieldgemma(each, "harassment")[0] for each in ("Yes", "No.", 0.7, {"Yes": -0.1, "No": -2.4})]

    assert [each["passed"] for each in found] == [False, True, False, False]
    assert found[3]["score"] == pytest.approx(0.9089, abs=1e-4)
    assert guards.shieldgemma(0.7, "harassment", threshold=0.9)[0]["passed"]


def test_openai_moderation() -> None:
    """Categories that were flagged, together in one verdict, and the highest score."""
    result = {"flagged": True, "categories": {"violence": True, "hate": True, "sexual": False},
              "category_scores": {"violence": 0.9, "hate": 0.6, "sexual": 0.1}}  # fmt: skip

    (verdict,) = guards.openai_moderation({"id": "modr-1", "results": [result]}, target="output")

    assert verdict == {"name": "openai-moderation", "passed": False, "category": "hate,violence", "score": 0.9,
                       "target": "output"}  # fmt: skip


class Decision(enum.Enum):
    """As LlamaFirewall's."""

    ALLOW = "allow"
    HUMAN = "human_in_the_loop_required"


def test_llama_firewall() -> None:
    """Enumerations are read by their value; who asks for a person has not passed, and who was skipped said nothing."""

    def scan(decision: Any, status: str) -> list[dict[str, Any]]:
        return guards.llama_firewall(types.SimpleNamespace(decision=decision, reason="r", score=0.4, status=status))

    assert scan(Decision.ALLOW, "success")[0]["passed"]
    assert scan(Decision.HUMAN, "success")[0] == {
        "name": "llama-firewall", "passed": False, "text": "r", "score": 0.4, "action": "escalate",
    }  # fmt: skip
    assert scan(Decision.ALLOW, "skipped") == scan(Decision.ALLOW, "error") == scan("maybe", "success") == []


def test_guardrails_ai() -> None:
    """Each validator that failed, by its name; else one pass; an outcome with an error measured nothing."""
    summary = {"validator_name": "ToxicLanguage", "validator_status": "fail", "failure_reason": "toxic"}
    passed = {"validator_name": "ValidLength", "validator_status": "pass"}

    failed = guards.guardrails_ai({"validation_passed": False, "validation_summaries": [summary, passed]})

    assert failed == [{"name": "guardrails-ai:ToxicLanguage", "passed": False, "text": "toxic", "target": "output"}]
    assert guards.guardrails_ai({"validation_passed": True, "validation_summaries": []})[0]["passed"]
    assert guards.guardrails_ai({"validation_passed": True, "error": "timeout"}) == []


ADAPTERS = (guards.nemo, guards.llama_guard, guards.openai_moderation, guards.llama_firewall, guards.guardrails_ai)
NAMES = ("log", "activated_rails", "type", "stop", "status", "results", "flagged", "categories", "category_scores",
         "decision", "score", "validation_passed", "validation_summaries", "validator_status", "error")  # fmt: skip
PAYLOADS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.sampled_from(["success", "blocked", "input"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=10,
)


@given(payload=PAYLOADS)
@settings(deadline=None)
def test_no_payload_raises(payload: Any) -> None:
    """Whatever a guard answers is a verdict with a truth value, or none."""
    for adapter in ADAPTERS:
        assert all(isinstance(each["passed"], bool) and each["name"] for each in adapter(payload))
    assert all(isinstance(each["passed"], bool) for each in guards.shieldgemma(payload, "hate"))
