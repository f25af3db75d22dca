"""The gate on real answers: four models' recorded solutions to GSM8K, every ordered pair as champion → candidate.

    python benchmarks/gsm8k.py [--data ../shared/data/gsm8k_model_solutions.jsonl]

A small local endpoint replays what each model once answered (Cobbe et al., 2021), so the runner asks and scores as it
would in production; the scorer `numeric` looks for the number, the gate decides under both policies. Prints the table
of docs/gate.md; the last line counts the verdicts.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from flows.evaluate.compare import compare
from flows.evaluate.journal import Journal
from flows.evaluate.runner import run
from flows.evaluate.scorers.registry import scorer_of
from flows.promote.gate import decide
from schemas.records import Comparison, Item, content_hash, make_candidate
from schemas.settings import EvaluateSettings, GateSettings

MODELS = ("6b_finetuning", "175b_finetuning", "6b_verification", "175b_verification")
"""From the weakest to the strongest, by the share that the data's own marks call correct."""
SETTINGS = EvaluateSettings(scorer="numeric", connections=32, share_answers=True)
"""Each model answers each question once: what is replayed has no latency to compare."""
POLICIES = ("better", "as_good")


@contextmanager
def replayed(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The base URL of an endpoint that answers as each model once did."""
    said = {(model, row["question"]): row[model]["solution"] for row in rows for model in MODELS}

    async def complete(request: web.Request) -> web.Response:
        body = await request.json()
        text = said[body["model"], body["messages"][-1]["content"]]
        return web.json_response({"choices": [{"message": {"role": "assistant", "content": text}}]})

    async def start() -> tuple[web.AppRunner, int]:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", complete)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, runner.addresses[0][1]

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner, port = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def comparisons(rows: list[dict[str, Any]]) -> Iterator[tuple[str, str, Comparison]]:
    """Champion, candidate and their comparison, for every ordered pair and each model against itself."""
    items = [
        Item(content_hash(row["question"])[:16], ({"role": "user", "content": row["question"]},), row["ground_truth"])
        for row in rows
    ]
    scorer = scorer_of(SETTINGS)
    with (
        replayed(rows) as url,
        tempfile.TemporaryDirectory() as folder,
        Journal(Path(folder) / "journal.jsonl") as journal,
    ):
        models = {name: make_candidate(name, url) for name in MODELS}
        for champion, candidate in itertools.product(MODELS, MODELS):
            pair: Any = {"candidate": models[candidate], "champion": models[champion]}
            scores = run(items, pair, SETTINGS, scorer, journal)
            name = f"{champion}:{candidate}"
            made = compare(scores, models[candidate], models[champion], "gsm8k", name, GateSettings())
            yield champion, candidate, made


def main() -> None:
    """Print the table and the count of verdicts."""
    default = Path(__file__).parents[2] / "shared" / "data" / "gsm8k_model_solutions.jsonl"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=default)
    rows = [json.loads(line) for line in parser.parse_args().data.read_text().splitlines()]
    print("| champion | candidate | champion | candidate | difference | interval | `better` | `as_good` |")
    print("|---|---|--:|--:|--:|---|---|---|")
    found: dict[str, Counter[str]] = {policy: Counter() for policy in POLICIES}
    for champion, candidate, comparison in comparisons(rows):
        gates = {policy: msgspec.structs.replace(GateSettings(), policy=policy) for policy in POLICIES}
        verdicts = {policy: decide(comparison, gate).verdict for policy, gate in gates.items()}
        ranks = MODELS.index(candidate) - MODELS.index(champion)
        for policy, verdict in verdicts.items():
            found[policy][f"{'self' if ranks == 0 else 'better' if ranks > 0 else 'worse'}_{verdict}"] += 1
        overall = comparison.overall
        print(f"| {champion} | {candidate} | {overall.champion:.3f} | {overall.candidate:.3f} | "
              f"{overall.difference:+.3f} | {overall.low:+.3f} to {overall.high:+.3f} | "
              f"{verdicts['better']} | {verdicts['as_good']} |", flush=True)  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
