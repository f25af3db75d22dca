"""`flywheel gate` as a pipeline runs it: real endpoint, real eval set, an exit code for all that can happen."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import msgspec
import pytest
from aiohttp import web
from typer.testing import CliRunner

from flows import ledger
from flows.cli import app, run
from flows.testing.bench import Bench
from flows.testing.endpoint import Endpoint, Reply
from schemas.records import make_candidate
from schemas.settings import EvaluateSettings
from streams.lake import Lake

QUICK = {
    "FLYWHEEL_EVALUATE_TRIES": "1", "FLYWHEEL_EVALUATE_TIMEOUT_S": "5", "FLYWHEEL_EVALUATE_EVAL_SET": "all",
    "COLUMNS": "300",
}  # fmt: skip


class Ended(NamedTuple):
    """How the program ended, and what it said."""

    exit_code: int
    output: str


Ask = Callable[..., Ended]


def flywheel(env: Mapping[str, str], *words: str) -> Ended:
    """The whole program, its last word included: the exit code of an error."""
    with CliRunner(env=env).isolation() as (_, _, both):
        code = run(words)
        sys.stdout.flush()
        return Ended(code, both.getvalue().decode())


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with Endpoint() as server:
        yield server


@pytest.fixture
def bench(lake: Lake, tmp_path: Path, server: Endpoint) -> Bench:
    """An application whose candidate `new` knows what its champion `old` knows half of."""
    found = Bench(lake, tmp_path / "home", EvaluateSettings(), server)
    server.reply = found.answer
    found.enlist()
    return found


@pytest.fixture
def gate(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    monkeypatch.chdir(tmp_path)

    def ask(*words: str, items: int = 60) -> Ended:
        bench.freeze(items)
        env = {**QUICK, "FLYWHEEL_HOME": bench.settings.home, "FLYWHEEL_LAKE": bench.lake.root}
        return flywheel(env, "gate", *words)

    return ask


def at(bench: Bench, model: str) -> str:
    return f"{model}@{bench.endpoint.url}"


def test_a_better_candidate_passes_and_leaves_its_reports(gate: Ask, bench: Bench, tmp_path: Path) -> None:
    """Exit code 0, a JUnit file without failures, a Markdown summary; and no ledger row."""
    before = ledger.fold(bench.lake, bench.application)
    junit, summary = tmp_path / "gate.xml", tmp_path / "gate.md"
    result = gate("--candidate", at(bench, "new"), "--junit", str(junit), "--markdown", str(summary))

    assert result.exit_code == 0, result.output
    assert ElementTree.parse(junit).getroot().get("failures") == "0"
    assert summary.read_text().startswith("## Verdict: promote")
    assert ledger.fold(bench.lake, bench.application) == before


def test_parameters_and_prompt_are_part_of_an_unregistered_candidate(gate: Ask, bench: Bench, tmp_path: Path) -> None:
    """As `candidate add` takes them: both sides are asked with their own, and are that candidate."""
    few = [{"role": "user", "content": "2 and 2?"}, {"role": "assistant", "content": "4"}]
    (tmp_path / "flywheel.toml").write_text(
        '[evaluate.prompts]\nfew = [{role = "user", content = "2 and 2?"}, {role = "assistant", content = "4"}]\n'
    )
    mine = ("--parameters", '{"temperature": 0, "max_tokens": 9}', "--prompt-version", "few")
    result = gate("--candidate", at(bench, "new"), "--champion-parameters", '{"top_p": 1}', *mine, "--json",
                  "--champion", at(bench, "old"))  # fmt: skip

    asked = {body["model"]: body for body in bench.endpoint.seen}
    assert asked["new"] | {"messages": []} == {"model": "new", "temperature": 0, "max_tokens": 9, "messages": []}
    assert [message for message in asked["new"]["messages"] if message["role"] != "system"][:2] == few
    assert asked["old"] | {"messages": []} == {"model": "old", "top_p": 1, "messages": []}
    assert result.exit_code == 0, result.output
    told = json.loads(result.output.splitlines()[-1])["comparison"]["candidate"]
    assert told == msgspec.to_builtins(
        make_candidate("new", bench.endpoint.url, prompt_version="few", prompt_messages=few,
                       parameters={"temperature": 0, "max_tokens": 9})
    )  # fmt: skip


def test_a_registered_candidate_keeps_its_parameters(gate: Ask) -> None:
    """Other ones are another candidate."""
    result = gate("--candidate", "abc", "--parameters", '{"temperature": 1}')

    assert result.exit_code == 3
    assert "flywheel candidate add" in result.output


def test_a_worse_candidate_is_blocked(gate: Ask, bench: Bench) -> None:
    """Exit code 1, and JSON that says which items regressed."""
    result = gate("--candidate", at(bench, "old"), "--champion", at(bench, "new"), "--json")
    said = json.loads(result.output)

    assert result.exit_code == 1
    assert said["verdict"]["verdict"] == "block"
    assert len(said["comparison"]["regressed"]) == 30


def test_an_eval_set_may_be_a_folder(gate: Ask, bench: Bench, tmp_path: Path) -> None:
    """`--dataset` takes a folder that no lake knows; a folder without an eval set is an error."""
    file = bench.freeze(60)
    words = ("--candidate", at(bench, "new"), "--champion", at(bench, "old"))
    env = {**QUICK, "FLYWHEEL_HOME": str(tmp_path / "elsewhere")}
    found = flywheel(env, "gate", *words, "--dataset", str(file.parent.parent))
    empty = flywheel(env, "gate", *words, "--dataset", str(tmp_path))

    assert found.exit_code == 0, found.output
    assert empty.exit_code == 3
    assert "no eval set" in empty.output


def silent(_: dict[str, Any]) -> Reply:
    return ConnectionResetError()


def page(_: dict[str, Any]) -> Reply:
    return web.Response(text="<html>nginx</html>", content_type="text/html")


def nonsense(_: dict[str, Any]) -> Reply:
    return {"choices": "none"}


def refused(_: dict[str, Any]) -> Reply:
    return web.Response(status=500, text="out of order")


@pytest.mark.parametrize("reply", [silent, page, nonsense, refused, lambda _: "the same for all", lambda _: ""])
def test_no_answer_however_strange_promotes(gate: Ask, bench: Bench, reply: Callable[[Any], Reply]) -> None:
    """An endpoint that is down, answers HTML, nonsense or errors, and two models that are alike: inconclusive."""
    bench.endpoint.reply = reply
    result = gate("--candidate", at(bench, "new"), items=40)

    assert result.exit_code == 2, result.output


def judged(bench: Bench, monkeypatch: pytest.MonkeyPatch, say: Callable[[dict[str, Any]], str]) -> None:
    """Scores come from a judge behind the same endpoint; `say(question)` is its opinion."""

    def reply(body: dict[str, Any]) -> Reply:
        return say(json.loads(body["messages"][-1]["content"])) if body["model"] == "judge" else bench.answer(body)

    bench.endpoint.reply = reply
    for name, value in {"SCORER": "judge", "JUDGE_ENDPOINT": bench.endpoint.url, "JUDGE_MODEL": "judge"}.items():
        monkeypatch.setenv(f"FLYWHEEL_EVALUATE_{name}", value)


@pytest.mark.parametrize(
    "said", ["pass", '{"grade": "pass"}', "[" * 10_000, "", "\u0000", '{"token": 1, "grade": true}']
)
def test_a_judge_that_answers_nonsense_promotes_nobody(
    gate: Ask, bench: Bench, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """What is not the one form of a verdict is no score, for either model."""
    judged(bench, monkeypatch, lambda _: said)
    result = gate("--candidate", at(bench, "new"))

    assert result.exit_code == 2, result.output
    assert "judge_" in result.output


def test_a_judge_decides_nothing_in_a_pipeline_until_people_have_reviewed(
    gate: Ask, bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """[gate, evaluate, review, gate]: inconclusive without reviews, then what people say of the disagreements."""
    judged(
        bench,
        monkeypatch,
        lambda asked: json.dumps({"token": asked["token"], "grade": "fail" if "no idea" in asked["reply"] else "pass"}),
    )
    words = ("--candidate", at(bench, "new"))
    before = gate(*words, items=120)
    env = {**QUICK, "FLYWHEEL_HOME": bench.settings.home, "FLYWHEEL_LAKE": bench.lake.root}
    flywheel(env, "evaluate", "--json")
    file = tmp_path / "answers.jsonl"
    flywheel(env, "review", "next", str(file), "--by", "ann")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    filled = [{**line, **{f"right_{n}": float("no idea" not in line[f"reply_{n}"]) for n in (1, 2)}} for line in lines]
    file.write_text("".join(json.dumps(line) + "\n" for line in filled))
    flywheel(env, "review", "import", str(file), "--by", "ann")
    after = flywheel(env, "gate", *words)

    assert len(lines) == 50
    assert (before.exit_code, after.exit_code) == (2, 0), after.output
    assert "review 50 of them" in before.output


@pytest.mark.parametrize("items", [1, 3])
def test_a_few_items_prove_nothing(gate: Ask, bench: Bench, items: int) -> None:
    """However well it does on them, a handful of items is not enough."""
    result = gate("--candidate", at(bench, "new"), items=items)

    assert result.exit_code == 2
    assert "are needed" in result.output


def test_an_empty_eval_set_is_no_verdict(gate: Ask, bench: Bench) -> None:
    """Nothing asked, nothing said."""
    assert gate("--candidate", at(bench, "new"), items=0).exit_code in {2, 3}


def test_a_gate_that_cannot_pass_is_refused_before_the_first_request(
    gate: Ask, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A protected slice that the eval set lacks: told at once, and nothing was asked for."""
    monkeypatch.setenv("FLYWHEEL_GATE_PROTECTED", '["gone"]')
    result = gate("--candidate", at(bench, "new"))

    assert result.exit_code == 3
    assert "can never pass" in result.output
    assert bench.endpoint.seen == []


def test_the_selftest_tells_how_often_the_gate_errs_here(gate: Ask, bench: Bench) -> None:
    """After an evaluation, `gate selftest` asks no model again and gives the share of each verdict."""
    env = {**QUICK, "FLYWHEEL_HOME": bench.settings.home, "FLYWHEEL_LAKE": bench.lake.root}
    bench.freeze(60)
    done = CliRunner(env=env).invoke(app, ["evaluate", "--json"])
    assert done.exit_code == 0, done.output
    asked = len(bench.endpoint.seen)
    result = CliRunner(env=env).invoke(app, ["gate", "selftest", "--repeats", "100", "--json"])
    rates = json.loads(result.output)

    assert rates["block"] <= 0.15
    assert rates["promote"] <= 0.15
    assert len(bench.endpoint.seen) == asked
    table = CliRunner(env=env).invoke(app, ["gate", "selftest", "--repeats", "10"])
    assert "inconclusive" in table.output
