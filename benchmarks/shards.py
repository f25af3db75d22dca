"""What a build writes where an earlier version holds most of its rows: CPU seconds and bytes, linked and afresh.

    python benchmarks/shards.py [--rows 700000] [--rounds 1]
    python benchmarks/shards.py --moves 30000                 how many rows move when a hundredth more comes

A version of so many chats is there, and one of the next build is written, beside it and where nothing is, in turn.
Four worlds: a hundredth more rows at the end, as where nobody asks what was asked before; the same with a row gone
early; the same with three rows in a thousand changed all over, as where people ask again, and the row that was there
counts them; and the same rows in the set of another recipe. `--moves` plays whole turns on the traffic of `scale.py`,
whose people ask what others asked, and on the same with words of its own in each. Ends with one line of JSON.
"""

# ruff: noqa: I001
from __future__ import annotations

from scale import START, UTTERANCES, Traffic, settings_of  # first: it takes this folder off the path of modules

import argparse
import json
import random
import resource
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from flows.context import lake_of
from flows.curate.folder.folder import write
from flows.curate.folder.shards import borders
from flows.turn import turn
from schemas.records import Example

FACTS = {
    "as_of": "2026-01-01T00:00:00+00:00", "versions": {}, "settings_hash": "0" * 64, "code_version": "benchmark",
    "settings": {"near_duplicate": 0.85, "paraphrase": 1, "paraphrase_margin": 0}, "split": {"eval_share": 0.2},
    "guards": 0, "origins": {}, "clusters": {}, "dropped": {}, "redacted": {}, "run_id": "0" * 32,
}  # fmt: skip
OWN_WORDS = 25
MORE = 0.01
CHANGED = 333
"""One row in so many is another in the third world: a third as many as in `--moves` where people repeat themselves."""


def main() -> None:
    """Write, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=700_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--moves", type=int, help="interactions of a history; what moves in it, and only that")
    given = parser.parse_args()
    if given.moves:
        print(json.dumps({name: moves(given.moves, own=own) for name, own in (("repeats", 0), ("unlike", OWN_WORDS))}))
        return
    rows = _chats(given.rows + int(given.rows * MORE))
    old, late = rows[: given.rows], rows[given.rows :]
    counted = [msgspec.structs.replace(row, copies=2) if n % CHANGED == 0 else row for n, row in enumerate(old)]
    worlds = {
        "more": ("all", [*old, *late]),
        "gone": ("all", [*old[:1_000], *old[1_001:], *late]),
        "counted": ("all", [*counted, *late]),
        "recipe": ("other", old),
    }
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder, "there"), "all", old, remove=False)
        for _ in range(given.rounds):
            for world, (name, wanted) in worlds.items():
                afresh = _write(Path(folder, world), name, wanted)
                linked = _write(Path(folder, "there"), name, wanted)
                print(f"{world:8} {len(borders(wanted)):>3} files; CPU s and MB written, linked {_shown(linked)}, "
                      f"afresh {_shown(afresh)}", flush=True)  # fmt: skip
                figures |= {f"{world}_{what}": round(linked[what] / afresh[what], 3) for what in linked}
    print(json.dumps({"rows": given.rows, **figures}))


def moves(history: int, *, own: int) -> list[dict[str, Any]]:
    """Of the rows of `sft`, in two builds that have a hundredth more traffic each: how many came, went and changed."""
    new, found = history // 100, []
    with tempfile.TemporaryDirectory() as home:
        settings, now = settings_of(home), START + timedelta(days=100)
        lake = lake_of(settings)
        traffic = Worded(lake, history, own)
        traffic.happen(history, START, now)
        before = _rows(turn(lake, settings, now)["curate"]["training"]["path"])
        for _ in range(2):
            since, now = now, now + timedelta(days=1)
            traffic.happen(new, since, now)
            after = _rows(turn(lake, settings, now)["curate"]["training"]["path"])
            stayed = before.keys() & after.keys()
            changed = Counter(name for i in stayed for name in after[i] if after[i][name] != before[i][name])
            found.append({
                "rows": len(after), "came": len(after) - len(stayed), "went": len(before) - len(stayed),
                "changed": sum(before[i] != after[i] for i in stayed), "columns": dict(changed),
            })  # fmt: skip
            print(f"own words {own:>2}: {found[-1]}", flush=True)
            before = after
    return found


class Worded(Traffic):
    """The traffic of `scale.py`, each request with so many words of its own."""

    def __init__(self, lake: Any, history: int, own: int) -> None:
        super().__init__(lake, history)
        self.own, self.words = own, random.Random(5)

    def _append(self, name: str, columns: dict[str, Any], first: int) -> None:
        if name == "interactions":
            columns["input_messages"] = [self._with_words(text) for text in columns["input_messages"]]
        super()._append(name, columns, first)

    def _with_words(self, messages: str) -> str:
        (message,) = json.loads(messages)
        letters = ("".join(self.words.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(self.own))
        return json.dumps([{**message, "content": " ".join([message["content"], *letters])}])


def _rows(folder: str) -> dict[str, dict[str, Any]]:
    tables = (pq.read_table(path) for path in sorted(Path(folder, "data").glob("sft-*.parquet")))
    return {row["row_id"]: row for table in tables for row in table.to_pylist()}


def _write(root: Path, name: str, rows: Sequence[Example], *, remove: bool = True) -> dict[str, float]:
    """What a version costs, which is then no longer there, but for the first of all."""
    before = _cpu()
    folder = write(root, name, {("sft", "train"): rows}, FACTS)
    cpu = _cpu() - before
    sizes = [path.stat().st_size for path in folder.path.rglob("*.parquet") if path.stat().st_nlink == 1]
    if remove:
        shutil.rmtree(folder.path)
    return {"cpu": cpu, "mb": sum(sizes) / 1e6}


def _shown(figures: dict[str, float]) -> str:
    return f"{figures['cpu']:6.1f} {figures['mb']:6.1f}"


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _chats(count: int) -> list[Example]:
    """Chats of some 900 characters, in words of the demo's customers that follow one another by chance."""
    rng = random.Random(7)
    words = " ".join(json.loads(line)["text"] for line in UTTERANCES.read_text("utf-8").splitlines())
    words = [word for word in words.split() if word.isalnum()]
    pool = " ".join(rng.choices(words, k=2_000_000))
    found = []
    for n in range(count):
        asked, answered = (
            pool[at : at + size] for at, size in ((rng.randrange(9_000_000), 250), (n * 7 % 9_000_000, 350))
        )
        prompt = f'[{{"content":"{SYSTEM}","role":"system"}},{{"content":"{asked}","role":"user"}}]'
        answer = f'[{{"content":"{answered}","role":"assistant"}}]'
        found.append(
            Example(
                f"{n:08x}-{rng.getrandbits(96):024x}", f"{rng.getrandbits(64):016x}", prompt, answer, "", "accepted"
            )
        )
    return found


SYSTEM = "You are a helpful support agent of a bank. Answer in short sentences, name the page where it is done. " * 2


if __name__ == "__main__":
    main()
