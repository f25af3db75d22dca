"""An evaluation as a whole: a lake, a frozen eval set, two models behind a real endpoint."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from flows import ledger
from flows.evaluate.evaluation import comparison_of, evaluate
from flows.evaluate.report import markdown
from flows.run import begin, finish
from schemas.errors import FileDamaged, NotEnoughData, UsageError
from schemas.events import Candidate
from schemas.records import make_candidate
from schemas.settings import EvaluateSettings, Settings
from streams.lake import Lake
from streams.lake.append import publish, to_rows
from streams.lake.query import read

AS_OF = datetime(2026, 1, 6, tzinfo=UTC)
APP = "support-bot"


@pytest.fixture
def settings(tmp_path: Path, quick: EvaluateSettings) -> Settings:
    return Settings(home=str(tmp_path), evaluate=quick)


def rows_of(count: int) -> list[dict[str, Any]]:
    return [
        {
            "item_id": f"item-{n}",
            "messages": [{"role": "user", "content": f"question {n}"}],
            "reference": f"answer {n}",
            "slice": f"cluster-{n % 2}",
            "unit": f"user-{n}",
            "rubric": None,
            "tools": [],
        }
        for n in range(count)
    ]


def freeze(lake: Lake, settings: Settings, rows: list[dict[str, Any]]) -> Path:
    """An eval set on disk and in the lake, as the curate stage leaves it."""
    file = settings.datasets_path / "app" / "v1" / "data" / "eval-test-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    nested = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    texts = ("item_id", "reference", "slice", "unit", "rubric")
    schema = pa.schema([("messages", nested), ("tools", pa.list_(pa.string())), *((n, pa.string()) for n in texts)])
    pq.write_table(pa.Table.from_pylist(rows, schema), file)
    run = begin(lake, "curate", APP, AS_OF, (), None)
    manifest = {"files": {f"data/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest()}}
    row = {
        "run_id": run.run_id, "application": APP, "dataset": "all", "version": "v1", "kind": "eval", "path": "app/v1",
        "sha256": "", "created": AS_OF, "manifest": json.dumps(manifest), "status": "current",
    }  # fmt: skip
    publish(lake, "dataset_versions", to_rows("dataset_versions", [row]), run.run_id)
    finish(lake, run, {})
    return file


def enlist(lake: Lake, endpoint: Any) -> tuple[Candidate, Candidate]:
    """A champion and a candidate in the ledger."""
    old, new = endpoint.candidate("old"), endpoint.candidate("new")
    ledger.register(lake, APP, old, time=AS_OF)
    ledger.bootstrap(lake, APP, old, "the first", time=AS_OF)
    ledger.register(lake, APP, new, time=AS_OF)
    return old, new


def answer(body: dict[str, Any]) -> str:
    """The new model knows every answer, the old one every other."""
    number = int(body["messages"][-1]["content"].removeprefix("question "))
    return f"Answer {number}!" if body["model"] == "new" or number % 2 else "no idea"


def test_the_better_model_scores_better(lake: Lake, settings: Settings, endpoint: Any) -> None:
    """Both models are asked about every item, and what they scored is in the lake under the run's id."""
    freeze(lake, settings, rows_of(40))
    old, new = enlist(lake, endpoint)
    endpoint.reply = answer

    summary = evaluate(lake, settings, AS_OF)

    assert (summary["candidate"], summary["champion"], summary["items"]) == (new.id, old.id, 40)
    assert summary["scores"] == {"candidate": 1.0, "champion": 0.5}
    scores = read(lake, "scores").to_pylist()
    assert len(scores) == len(endpoint.seen) == 80
    assert {row["evaluation_id"] for row in scores} == {summary["evaluation_id"]}
    comparison = comparison_of(lake, summary["evaluation_id"])
    assert {slice_.slice: slice_.difference for slice_ in comparison.slices} == {"cluster-0": 1.0, "cluster-1": 0.0}
    assert "| **all items** | 40 | 0.500 | 1.000 | +0.500 |" in markdown(comparison)


def test_a_second_start_asks_nothing(lake: Lake, settings: Settings, endpoint: Any) -> None:
    """The same evaluation started again is a no-op, even once its candidate has been promoted."""
    freeze(lake, settings, rows_of(6))
    old, new = enlist(lake, endpoint)
    endpoint.reply = answer
    summary = evaluate(lake, settings, AS_OF, new.id)
    calls = len(endpoint.seen)

    assert evaluate(lake, settings, AS_OF, new.id) == summary
    ledger.append(
        lake, APP, "promoted", new, id=ledger.decision_id("x"), time=AS_OF, expected_champion=old.id, verdict="promote"
    )
    assert evaluate(lake, settings, AS_OF, new.id) == summary
    assert len(endpoint.seen) == calls


def test_a_later_evaluation_asks_only_what_is_missing(lake: Lake, settings: Settings, endpoint: Any) -> None:
    """Items that an outage left unscored are asked for again; answers that were paid for are not."""
    freeze(lake, settings, rows_of(10))
    enlist(lake, endpoint)
    endpoint.reply = lambda body: web.Response(status=400) if "question 3" in str(body) else answer(body)
    first = evaluate(lake, settings, AS_OF)
    assert first["unscored"] == {"candidate": {"refused": 1}, "champion": {"refused": 1}}
    endpoint.reply, endpoint.seen = answer, []

    second = evaluate(lake, settings, AS_OF + timedelta(hours=1))

    assert len(endpoint.seen) == 2
    assert second["unscored"] == {"candidate": {}, "champion": {}}
    assert second["evaluation_id"] != first["evaluation_id"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (web.Response(status=503), "server_error"),
        (ConnectionError(), "unreachable"),
        ({"choices": []}, "malformed_answer"),
        ({"choices": [{"message": {"content": None}}]}, "empty_answer"),
        ("<html>", None),
    ],
    ids=["down", "hangs-up", "no-choices", "null", "html-as-text"],
)
def test_a_bad_endpoint_makes_unscored_items(
    lake: Lake, settings: Settings, endpoint: Any, reply: Any, reason: str | None
) -> None:
    """Whatever the candidate's endpoint does, the run ends, with a named reason instead of zeros."""
    freeze(lake, settings, rows_of(3))
    enlist(lake, endpoint)
    copy = (lambda: web.Response(status=reply.status)) if isinstance(reply, web.Response) else (lambda: reply)
    endpoint.reply = lambda body: copy() if body["model"] == "new" else answer(body)

    summary = evaluate(lake, settings, AS_OF)

    assert summary["unscored"]["candidate"] == ({reason: 3} if reason else {})
    assert summary["scores"]["candidate"] == (None if reason else 0.0)


def test_without_champion_candidate_or_eval_set_it_says_what_is_missing(
    lake: Lake, settings: Settings, endpoint: Any
) -> None:
    """Each missing thing is named, with the command that makes it."""
    with pytest.raises(NotEnoughData, match="champion set"):
        evaluate(lake, settings, AS_OF)
    old = endpoint.candidate("old")
    ledger.bootstrap(lake, APP, old, "the first", time=AS_OF)
    with pytest.raises(NotEnoughData, match="candidate add"):
        evaluate(lake, settings, AS_OF)
    with pytest.raises(NotEnoughData, match="is the champion"):
        evaluate(lake, settings, AS_OF, old.id)
    ledger.register(lake, APP, endpoint.candidate("new"), time=AS_OF)
    with pytest.raises(NotEnoughData, match="dataset build"):
        evaluate(lake, settings, AS_OF)
    with pytest.raises(UsageError, match="no candidate"):
        evaluate(lake, settings, AS_OF, "unknown")


def test_an_eval_set_that_changed_on_disk_is_refused(lake: Lake, settings: Settings, endpoint: Any) -> None:
    """A frozen file whose bytes are not the recorded ones is never scored."""
    file = freeze(lake, settings, rows_of(3))
    enlist(lake, endpoint)
    file.write_bytes(file.read_bytes() + b" ")

    with pytest.raises(FileDamaged, match="build the set again"):
        evaluate(lake, settings, AS_OF)


def test_an_empty_eval_set_decides_nothing(lake: Lake, settings: Settings, endpoint: Any) -> None:
    """No items: no scores and no mean, rather than a mean of nothing."""
    freeze(lake, settings, [])
    enlist(lake, endpoint)

    summary = evaluate(lake, settings, AS_OF)

    assert summary["items"] == 0
    assert summary["scores"] == {"candidate": None, "champion": None}


def test_no_key_is_stored(lake: Lake, settings: Settings, endpoint: Any) -> None:
    """A key goes to its endpoint, and neither to another endpoint nor to disk."""
    freeze(lake, settings, rows_of(2))
    enlist(lake, endpoint)
    endpoint.reply = answer
    keys = {endpoint.url: "sk-secret", "http://127.0.0.1:1/v1": "sk-other"}
    how = msgspec.structs.replace(settings.evaluate, api_keys=keys)

    evaluate(lake, msgspec.structs.replace(settings, evaluate=how), AS_OF)

    assert {headers["Authorization"] for headers in endpoint.headers} == {"Bearer sk-secret"}
    files = [path for path in settings.home_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"sk-" in path.read_bytes()]


def test_a_forbidden_endpoint_is_refused_before_anything_is_sent(lake: Lake, settings: Settings, endpoint: Any) -> None:
    """A candidate on a cloud's metadata address cannot make us call it."""
    freeze(lake, settings, rows_of(2))
    old = endpoint.candidate("old")
    ledger.bootstrap(lake, APP, old, "the first", time=AS_OF)
    ledger.register(lake, APP, make_candidate("new", "http://169.254.169.254/latest"), time=AS_OF)

    with pytest.raises(Exception, match="private_endpoints"):
        evaluate(lake, settings, AS_OF)
    assert not endpoint.seen
