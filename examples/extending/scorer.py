"""A scorer of your own: answers that are short enough. `python examples/extending/scorer.py` evaluates with it.

[evaluate]
scorer = "scorer:brief"          # module:name
scorer_options = { words = 20 }  # its keyword arguments
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from flows.evaluate.answers import Answer
from flows.evaluate.scorers.protocol import Each, Mark, Scorer
from flows.evaluate.stage import evaluate
from flows.extend import scorer
from flows.testing.bench import Bench
from flows.testing.endpoint import Endpoint
from flows.testing.scoring import case, marks
from schemas.records import Item
from schemas.settings import EvaluateSettings
from streams.lake import Lake


@scorer
def brief(words: int = 40) -> Scorer:
    """1 where an answer has at most so many words; an answer that only calls tools has no score."""

    def mark(_: Item, answer: Answer) -> Mark:
        if answer.output is None:
            return Mark(None, "no_text")
        return Mark(float(len(answer.output.split()) <= words))

    return Each("brief", mark)


def main() -> None:
    """By itself first, then in an evaluation of a terse model against a chatty one."""
    short, long = marks(brief(words=2), [case("On Monday."), case("It will be there on Monday.")])
    print(f"alone: {short.score} {long.score}")

    with tempfile.TemporaryDirectory() as home, Endpoint() as endpoint:
        endpoint.reply = lambda body: "On Monday." if body["model"] == "new" else "Dear customer, " * 30
        how = EvaluateSettings(scorer="scorer:brief", scorer_options={"words": 20})
        bench = Bench(Lake(Path(home) / "lake"), Path(home), how, endpoint)
        bench.freeze(100)
        bench.enlist()
        summary = evaluate(bench.lake, bench.settings, bench.as_of)
    print(f"brief: {summary.scores}")


if __name__ == "__main__":
    main()
