"""An evaluation as a whole: a lake, a frozen eval set, two models behind a real endpoint."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import web

from flows import ledger
from flows.evaluate.items import EvalSet
from flows.evaluate.plan import Plan
from flows.evaluate.report import markdown, rows
from flows.evaluate.stage import evaluate, journal_path
from flows.evaluations import evaluation_of
from schemas.errors import EndpointError, FileDamaged, NotEnoughData, UsageError
from schemas.records import make_candidate
from schemas.secrets import Secret
from streams.lake.query import read


def test_the_better_model_scores_better(bench: Any) -> None:
    """Both models are asked about every item, and what they scored is in the lake under the run's id."""
    bench.freeze(40)
    old, new = bench.enlist()

    summary = evaluate(bench.lake, bench.settings, bench.as_of)

    assert (summary.candidate, summary.champion, summary.items) == (new.id, old.id, 40)
    assert summary.scores == {"candidate": 1.0, "champion": 0.5}
    scores = read(bench.lake, "scores").to_pylist()
    assert len(scores) == len(bench.endpoint.seen) == 80
    assert {row["evaluation_id"] for row in scores} == {summary.evaluation_id}
    comparison = evaluation_of(bench.lake, bench.application, summary.evaluation_id).comparison
    assert {part.slice: part.difference for part in comparison.slices} == {"cluster-0": 1.0, "cluster-1": 0.0}


def test_a_comparison_reads_as_a_table(bench: Any) -> None:
    """What a person sees has the numbers, and names from elsewhere cannot break it."""
    bench.freeze(40)
    bench.enlist()
    summary = evaluate(bench.lake, bench.settings, bench.as_of)
    comparison = evaluation_of(bench.lake, bench.application, summary.evaluation_id).comparison
    hostile = msgspec.structs.replace(comparison.overall, slice="a|b](javascript:x)\n<script>`\x1b[2J\u202e")

    text = markdown(msgspec.structs.replace(comparison, slices=(hostile,)))

    assert "| **all items** | 40 | 0.500 | 1.000 | +0.500 |" in text
    assert "Fixed (20): `item-0`, `item-10`" in text
    assert r"| **a\|b\]\(javascript:x\) \<script\>\`\\x1b\[2J\\u202e** | 40 |" in text
    assert rows(comparison)[0]["difference"] == "+0.500"


def test_a_second_start_asks_nothing(bench: Any) -> None:
    """The same evaluation started again is a no-op, even once its candidate has been promoted."""
    bench.freeze(6)
    old, new = bench.enlist()
    summary = evaluate(bench.lake, bench.settings, bench.as_of, new.id)
    calls = len(bench.endpoint.seen)

    assert evaluate(bench.lake, bench.settings, bench.as_of, new.id) == summary
    ledger.append(
        bench.lake, bench.application, "promoted", new, id=ledger.decision_id("x"), time=bench.as_of,
        expected_champion=old.id, verdict="promote", evidence=dict.fromkeys(ledger.EVIDENCE, "hash"),
    )  # fmt: skip
    assert evaluate(bench.lake, bench.settings, bench.as_of, new.id) == summary
    assert len(bench.endpoint.seen) == calls
    assert len(read(bench.lake, "evaluations")) == 1


def test_a_later_evaluation_asks_only_what_is_missing(bench: Any) -> None:
    """Items that an outage left unscored are asked for again; answers that were paid for are not."""
    bench.freeze(10)
    bench.enlist()
    bench.endpoint.reply = lambda body: web.Response(status=400) if "question 3" in str(body) else bench.answer(body)
    first = evaluate(bench.lake, bench.settings, bench.as_of)
    assert first.unscored == {"candidate": {"refused": 1}, "champion": {"refused": 1}}
    bench.endpoint.reply, bench.endpoint.seen = bench.answer, []

    second = evaluate(bench.lake, bench.settings, bench.as_of + timedelta(hours=1))

    assert len(bench.endpoint.seen) == 2
    assert second.unscored == {"candidate": {}, "champion": {}}
    assert second.evaluation_id != first.evaluation_id


def test_shared_answers_are_asked_for_once_and_not_timed(bench: Any) -> None:
    """With `share_answers` a second candidate costs only its own answers; latencies are then left out."""
    bench.freeze(10)
    bench.enlist()
    how = msgspec.structs.replace(bench.settings.evaluate, share_answers=True)
    settings = msgspec.structs.replace(bench.settings, evaluate=how)
    evaluate(bench.lake, settings, bench.as_of)
    other = bench.endpoint.candidate("newer")
    ledger.register(bench.lake, bench.application, other, time=bench.as_of)

    evaluate(bench.lake, settings, bench.as_of, other.id)

    assert [body["model"] for body in bench.endpoint.seen].count("old") == 10
    assert {row["duration_ms"] for row in read(bench.lake, "scores").to_pylist()} == {None}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (503, "server_error"),
        (ConnectionError(), "unreachable"),
        ({"choices": []}, "malformed_answer"),
        ({"choices": [{"message": {"content": None}}]}, "empty_answer"),
        ("<html>", None),
    ],
    ids=["down", "hangs-up", "no-choices", "null", "html-as-text"],
)
def test_a_bad_endpoint_makes_unscored_items(bench: Any, reply: Any, reason: str | None) -> None:
    """Whatever the candidate's endpoint does, the run ends, with a named reason instead of zeros."""
    bench.freeze(3)
    bench.enlist()

    def answer(body: dict[str, Any]) -> Any:
        if body["model"] == "old":
            return bench.answer(body)
        return web.Response(status=reply) if isinstance(reply, int) else reply

    bench.endpoint.reply = answer

    summary = evaluate(bench.lake, bench.settings, bench.as_of)

    assert summary.unscored["candidate"] == ({reason: 3} if reason else {})
    assert summary.scores["candidate"] == (None if reason else 0.0)


def test_what_is_missing_is_named(bench: Any) -> None:
    """Champion, candidate, eval set: each with the command that makes it."""
    with pytest.raises(NotEnoughData, match="champion set"):
        evaluate(bench.lake, bench.settings, bench.as_of)
    old, new = bench.endpoint.candidate("old"), bench.endpoint.candidate("new")
    ledger.bootstrap(bench.lake, bench.application, old, "the first", time=bench.as_of)
    with pytest.raises(NotEnoughData, match="candidate add"):
        evaluate(bench.lake, bench.settings, bench.as_of)
    with pytest.raises(NotEnoughData, match="is the champion"):
        evaluate(bench.lake, bench.settings, bench.as_of, old.id)
    ledger.register(bench.lake, bench.application, new, time=bench.as_of)
    with pytest.raises(NotEnoughData, match="dataset build"):
        evaluate(bench.lake, bench.settings, bench.as_of)
    with pytest.raises(UsageError, match="no candidate"):
        evaluate(bench.lake, bench.settings, bench.as_of, "unknown")
    with pytest.raises(UsageError, match="no finished evaluation"):
        evaluation_of(bench.lake, bench.application, "unknown")


def test_an_eval_set_that_changed_on_disk_is_refused(bench: Any) -> None:
    """A frozen file whose bytes are not the recorded ones is never scored."""
    file = bench.freeze(3)
    bench.enlist()
    file.write_bytes(file.read_bytes() + b" ")

    with pytest.raises(FileDamaged, match="build the set again"):
        evaluate(bench.lake, bench.settings, bench.as_of)


@pytest.mark.parametrize("items", [0, 1, 3])
def test_a_tiny_eval_set_is_compared_without_error(bench: Any, items: int) -> None:
    """No items: no mean rather than a mean of nothing. What so few are worth is the gate's to say."""
    bench.freeze(items)
    bench.enlist()

    summary = evaluate(bench.lake, bench.settings, bench.as_of)

    assert summary.items == items
    assert summary.scores["candidate"] == (1.0 if items else None)


def test_no_key_is_stored(bench: Any) -> None:
    """A key goes to its endpoint, and neither to another endpoint nor to disk."""
    bench.freeze(2)
    bench.enlist()
    keys = {bench.endpoint.url: Secret("sk-secret"), "http://127.0.0.1:1/v1": Secret("sk-other")}
    how = msgspec.structs.replace(bench.settings.evaluate, api_keys=keys)

    evaluate(bench.lake, msgspec.structs.replace(bench.settings, evaluate=how), bench.as_of)

    assert {headers["Authorization"] for headers in bench.endpoint.headers} == {"Bearer sk-secret"}
    files = [path for path in bench.settings.home_path.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if b"sk-" in path.read_bytes()]


def test_a_key_that_a_server_repeats_is_not_stored(bench: Any) -> None:
    """An error that quotes the key, as some do, is kept without it."""
    bench.freeze(2)
    bench.enlist()
    how = msgspec.structs.replace(bench.settings.evaluate, api_keys={bench.endpoint.url: Secret("sk-secret")})
    bench.endpoint.reply = lambda _: web.Response(status=401, text="Incorrect API key provided: sk-secret")

    evaluate(bench.lake, msgspec.structs.replace(bench.settings, evaluate=how), bench.as_of)

    outputs = {row["output"] for row in read(bench.lake, "scores").to_pylist()}
    assert outputs == {"HTTP 401: Incorrect API key provided: ***"}


@pytest.mark.parametrize("name", ["../../etc", "..\\..\\x", "%2e%2e%2f", "a/b", "CON", "\x00", "x" * 5000, "=1+1"])
def test_no_name_leads_out_of_the_data_root(bench: Any, name: str) -> None:
    """Where answers are kept is made of hashes: a version or a candidate's id is never part of a path."""
    old, new = bench.enlist()
    candidate, champion = (msgspec.structs.replace(model, id=name) for model in (new, old))
    asked = EvalSet(name=name, version=name, folder=bench.settings.home_path, sha256={})
    plan = Plan(candidate=candidate, champion=champion, eval_set=asked, items=())
    path = journal_path(bench.settings.home_path, plan, bench.settings.evaluate)

    assert re.fullmatch(r"answers/[0-9a-f]{16}/[0-9a-f]{16}\.jsonl", str(path.relative_to(bench.settings.home_path)))


def test_a_forbidden_endpoint_is_refused_before_anything_is_sent(bench: Any) -> None:
    """A candidate on a cloud's metadata address cannot make us call it."""
    bench.freeze(2)
    ledger.bootstrap(bench.lake, bench.application, bench.endpoint.candidate("old"), "the first", time=bench.as_of)
    metadata = make_candidate("new", "http://169.254.169.254/latest")
    ledger.register(bench.lake, bench.application, metadata, time=bench.as_of)

    with pytest.raises(EndpointError, match="private_endpoints"):
        evaluate(bench.lake, bench.settings, bench.as_of)
    assert not bench.endpoint.seen
