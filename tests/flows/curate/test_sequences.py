"""Through the lake and onto disk: after any sequence of ingests, builds, freezes and shares, nothing has leaked."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.curate.stage import curate
from flows.curate.versions.freeze import freeze
from flows.testing.events import interaction
from flows.testing.world import AS_OF, World
from flows.versions import versions
from schemas.messages import text_of
from schemas.normalise import normalise
from tests.support.examples import WORDS, brute_jaccard

Row = dict[str, Any]
STEPS = st.lists(
    st.fixed_dictionaries({
        "new": st.integers(1, 10),
        "planted": st.lists(st.sampled_from(["exact", "edited", "reordered", "longer"]), max_size=4),
        "share": st.sampled_from([0.2, 0.3, 0.5]),
        "freeze": st.booleans(),
    }),
    min_size=2,
    max_size=4,
)  # fmt: skip


def planted(rng: random.Random, text: str, how: str) -> str:
    """An eval item as traffic may bring it back."""
    words = text.split()
    if how == "edited":
        at = rng.randrange(len(text))
        return text[:at] + rng.choice("aeiou") + text[at:]
    if how == "reordered":
        rng.shuffle(words)
        return " ".join(words)
    return f"{text} please" if how == "longer" else text.upper()


def rows_of(folder: Path, *configs: str) -> Iterator[Row]:
    for config in configs:
        for path in folder.glob(f"data/{config}-*.parquet"):
            for row in pq.read_table(path).to_pylist():
                yield {**row, "text": normalise(text_of(row.get("messages") or row["prompt"], "user"))}


def assert_nothing_leaks(train: list[Row], evals: list[Row]) -> None:
    """Zero shared units and interactions, zero near pairs, zero reorderings: each row against each, by brute force."""
    for key in ("unit", "interaction_id"):
        assert not {row[key] for row in train} & {row[key] for row in evals}
    items = {row["text"] for row in evals}
    for text in {row["text"] for row in train}:
        for item in items:
            assert brute_jaccard(text, item) < 0.6
            assert sorted(text.split()) != sorted(item.split())


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS, st.randoms(use_true_random=False))
def test_nothing_of_eval_is_ever_taught(steps: list[dict[str, Any]], rng: random.Random) -> None:
    """Every training version against every eval and frozen version that came before it; what was eval stays eval."""
    with tempfile.TemporaryDirectory() as home:
        world, number, evals = World(Path(home)), 0, list[Row]()
        events = []
        for day, step in enumerate(steps):
            fresh = [" ".join(rng.choices(WORDS, k=rng.randrange(4, 8))) for _ in range(step["new"])]
            again = [planted(rng, rng.choice(evals)["text"], how) for how in step["planted"] if evals]
            batch = [
                interaction(
                    number + n, user_id=f"u-{rng.randrange(9)}", input_messages=[{"role": "user", "content": t}]
                )
                for n, t in enumerate((*fresh, *again))
            ]
            number += len(batch)
            events += batch
            now = AS_OF + timedelta(days=day)
            world.happened(*batch)
            world.judged({event.id: "ok" for event in events}, as_of=now)
            share = msgspec.structs.replace(world.settings.curate, eval_share=step["share"])
            built = curate(world.lake, msgspec.structs.replace(world.settings, curate=share), now)
            evals += rows_of(Path(built["eval"]["path"]), "eval")
            if step["freeze"] and built["eval"]["eval_rows"]:
                evals += rows_of(
                    freeze(world.lake, world.settings, now, "holdout", "all").folder(world.settings), "eval"
                )

            assert_nothing_leaks(list(rows_of(Path(built["training"]["path"]), "sft", "kto")), evals)

        assert all(version.status == "current" for version in versions(world.lake))
