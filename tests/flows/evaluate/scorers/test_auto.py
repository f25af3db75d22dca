"""The default scorer follows from the references, and scores nothing wrongly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flows.evaluate.scorers.auto import kind_for
from flows.evaluate.stage import evaluate
from flows.evaluations import evaluation_of, scores_of
from flows.promote.gate import decide
from schemas.records import Item
from schemas.settings import EvaluateSettings

PROSE = [
    f"Please open the settings, choose account number {n}, and then confirm by e-mail that it was you."
    for n in range(9)
]
CALLS = [json.dumps([{"function": {"name": "refund", "arguments": json.dumps({"order": n})}}]) for n in range(9)]
JUDGE = {"judge_endpoint": "http://127.0.0.1:9/v1", "judge_model": "judge"}


@pytest.mark.parametrize(
    ("references", "settings", "kind"),
    [
        (["Paris", "42", "yes"], {}, "normalised_match"),
        (["巴黎是法国的首都", "東京"], {}, "normalised_match"),
        (
            ["これは四十文字をはるかに超える長い文章であり言い換えがいくらでもできるものなので言葉では測れません"],
            {},
            "free_text",
        ),
        (CALLS, {}, "tool_calls"),
        (
            [json.dumps({"order": n, "what": "a long text that nobody would call short"}) for n in range(9)],
            {},
            "normalised_match",
        ),
        (PROSE, {}, "free_text"),
        (PROSE, JUDGE, "judge"),
        (PROSE, {"judge_endpoint": JUDGE["judge_endpoint"]}, "free_text"),
        (PROSE[:3] * 5, {}, "normalised_match"),
        (["Paris"] * 8 + PROSE[:2], {}, "normalised_match"),
        (["Paris"] * 7 + PROSE[:3], JUDGE, "judge"),
        ([None, None, "Paris"], {}, "normalised_match"),
        ([None, None], JUDGE, "normalised_match"),
        (["[" * 100_000, *PROSE], {}, "free_text"),
        (PROSE, {"scorer": "token_f1"}, "token_f1"),
        ([json.dumps([1, 2]), json.dumps([{"name": 3}])], {}, "normalised_match"),
    ],
)
def test_references_say_what_can_score_them(references: list[Any], settings: dict[str, str], kind: str) -> None:
    """Short, structured or recurring: exact kinds. Free text: a judge, else nobody. What a person named stays."""
    items = [Item(f"i{n}", (), reference) for n, reference in enumerate(references)]

    assert kind_for(items, EvaluateSettings(**settings)) == kind  # type: ignore[arg-type]


def test_free_text_without_a_judge_is_said_to_be_unscored(bench: Any) -> None:
    """[a golden set of prose, an equal answer in other words]: no score, no regression, and reviews are asked for."""
    question = bench._row
    bench._row = lambda n: {**question(n), "reference": f"{PROSE[n % 9]} Ticket {n}."}
    bench.freeze(120)
    bench.enlist()

    found = evaluate(bench.lake, bench.settings, bench.as_of)
    comparison = evaluation_of(bench.lake, bench.application, found.evaluation_id).comparison
    verdict = decide(comparison, bench.settings.gate)

    assert {score.unscored for score in scores_of(bench.lake, found.evaluation_id)} == {"free_text"}
    assert (comparison.regressed, comparison.fixed) == ((), ())
    assert "no comparison of words scores rightly" in comparison.notes[-1]
    assert (verdict.verdict, verdict.waits_for) == ("inconclusive", "reviews")
    assert "`flywheel review next`" in verdict.reasons[0]
