"""What reading, redacting and comparing texts cost against an older tree: `python benchmarks/against.py TREE`.

    git archive COMMIT | tar -x -C TREE    # after `mkdir TREE`

Both trees do the same work on the same texts in turn, each in a process of its own that waits while the other works, so
that a busy machine hurts both alike. Figures are CPU time of this tree as a share of that of the older one: of the
fastest round of each, and the median of the rounds' ratios. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

from flows.curate.dedup import stars
from schemas.events import to_json
from schemas.records import Example
from schemas.settings import ArchiveSettings, CurateSettings
from schemas.topics import INTERACTIONS

ROOT = Path(__file__).resolve().parents[1]
LABELLED, MARK = ROOT / "tests" / "flows" / "redact" / "pii.txt", re.compile(r"\[\[\w+\|(.*?)\]\]")
"""The strings that `redaction.py` reads, and a label in them."""
PLACES = {
    "batch": ("streams.archive.batch", "streams.batch"),
    "redact": ("flows.redact.redact", "flows.curate.redact"),
    "normalise": ("schemas.normalise", "flows.curate.dedup"),
}
"""Modules that have moved: where each is now, and where it was."""
EVENTS, CLEAN, DEDUPLICATED, CHARACTERS = 1_000, 300, 2_000, 30_000
"""Of a round: events to decode, texts without a label to redact, texts to compare, characters to normalise."""
MORE = {  # beside the six languages of `topics.json`
    "ar": "أين طردي؟ كان من المفترض أن يصل يوم الاثنين، ولم يصلني أي رد من الدعم حتى الآن.",
    "th": "พัสดุของฉันอยู่ที่ไหน ควรจะมาถึงตั้งแต่วันจันทร์แล้ว แต่ยังไม่มีใครตอบฉันเลย",
    "ta": "என் பார்சல் எங்கே? அது திங்கட்கிழமை வந்திருக்க வேண்டும், இன்னும் வரவில்லை.",
    "ko": "제 소포는 어디에 있나요? 월요일에 도착했어야 하는데 아직 답변이 없습니다.",
    "zh": "我的包裹在哪里？本来应该星期一到的，可是到现在还没有人回复我。",
    "emoji": "Great service 👍🏽 but my parcel 📦 is late again 😡😡 please help 🙏",
    "en, curly": "Where’s my parcel? It said “out for delivery” – and that’s three days ago…",
    "numbers": "Solve 3 + 4 * 2 - 1, is x <= 5 and y > 2.5? It costs $1,000.50 (20% off), room 3-4.",
}


class Record(NamedTuple):
    """A record of Kafka's, as the archiver is handed it."""

    at: int
    bytes_: bytes

    def partition(self) -> int:
        """The only one."""
        return 0

    def offset(self) -> int:
        """In order."""
        return self.at

    def timestamp(self) -> tuple[int, int]:
        """Any."""
        return 1, 1_750_000_000_000

    def key(self) -> bytes:
        """Any."""
        return b"k"

    def value(self) -> bytes:
        """The event."""
        return self.bytes_

    def headers(self) -> None:
        """None."""


def texts() -> dict[str, list[str]]:
    """Texts by language or kind."""
    found: dict[str, list[str]] = {}
    for languages in json.loads((ROOT / "benchmarks" / "topics.json").read_text()).values():
        for language, said in languages.items():
            found.setdefault(language, []).extend(said)
    return found | {name: [text] for name, text in MORE.items()}


def answers() -> dict[str, Callable[[str], list[dict[str, Any]]]]:
    """The forms of what a model answers, about the same text."""
    return {
        "text": lambda text: [{"role": "assistant", "content": text}],
        "parts": lambda text: [
            {"role": "assistant", "content": [{"type": "text", "text": text}, {"type": "text", "text": "Else?"}]}
        ],
        "OpenTelemetry": lambda text: [
            {"role": "assistant", "parts": [{"type": "text", "content": text}, {"type": "text", "content": "Else?"}]}
        ],
        "calls": lambda text: [
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": json.dumps({"q": text})}}
            ]}
        ],
    }  # fmt: skip


def records(form: str) -> list[Record]:
    """Events of a form, some 2 kB each."""
    rng = random.Random(42)
    english = texts()["en"]
    made = []
    for at in range(EVENTS):
        question, answer = (" ".join(rng.choices(english, k=count)) for count in (8, 20))
        asked: Any = [{"type": "text", "text": question}] if form == "parts" else question
        event = {
            "id": str(uuid.UUID(int=rng.getrandbits(128))), "time": "2026-06-01T12:00:00Z", "application": "support",
            "conversation_id": f"c{at}", "user_id": f"u{at % 100}", "request_model": "large",
            "input_messages": [{"role": "system", "content": "You help."}, {"role": "user", "content": asked}],
            "output_messages": answers()[form](answer), "finish_reasons": ["stop"], "input_tokens": 100,
            "output_tokens": 300, "duration_ms": 812.5,
        }  # fmt: skip
        made.append(Record(at, json.dumps(event).encode()))
    return made


def module(name: str) -> Any:
    """A module of the tree that this process measures, wherever it stands there."""
    for place in PLACES[name]:
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError:
            continue
    raise SystemExit(f"neither of {', '.join(PLACES[name])} is in {Path.cwd()}")


def tasks() -> dict[str, Callable[[], object]]:
    """What is measured, by name, each ready to be done once more."""
    return {**decoding(), **redaction(), **comparing()}


def decoding() -> dict[str, Callable[[], object]]:
    """Kafka's bytes to rows."""
    batch, limits, now = module("batch"), ArchiveSettings(), datetime(2026, 6, 1, tzinfo=UTC)

    def decoded(given: list[Record]) -> None:
        made = batch.make_batch(INTERACTIONS, "t", given, {0: 0}, now, limits)
        assert len(made.rows) == EVENTS
        assert not made.dead

    return {f"decode {form}": partial(decoded, records(form)) for form in answers()}


def redaction() -> dict[str, Callable[[], object]]:
    """Personal data in the labelled strings of the tests, and in texts that hold none."""
    redactor = module("redact").Redactor(CurateSettings().regions, {})
    marked = [MARK.sub(r"\1", line).replace("~", "") for line in LABELLED.read_text().splitlines() if line[:1] != "#"]
    clean = [" ".join(random.Random(at).choices(texts()["en"], k=8)) for at in range(CLEAN)]
    chats = [
        Example(f"{at}", "u", to_json([{"role": "user", "content": text}]), to_json(form(text)), "", "thumb")
        for at, (text, form) in enumerate(zip(clean, cycle(answers().values()), strict=False))
    ]
    return {
        "redact labelled": lambda: redactor.texts(marked),
        "redact clean": lambda: redactor.texts(clean),
        "redact chats": lambda: [redactor.example(chat) for chat in chats],
    }


def comparing() -> dict[str, Callable[[], object]]:
    """The normal form of texts by language, and which of many texts are one."""
    normalise = module("normalise").normalise
    rng, english = random.Random(7), texts()["en"]
    many = ["".join(c for c in " ".join(rng.sample(english, 3)) if rng.random() > 0.01) for _ in range(DEDUPLICATED)]
    found: dict[str, Callable[[], object]] = {"deduplicate": lambda: stars([normalise(text) for text in many], 0.85)}
    for name, said in texts().items():
        long = (said * (1 + CHARACTERS // sum(map(len, said))))[: 1 + CHARACTERS * len(said) // sum(map(len, said))]
        found[f"normalise {name}"] = lambda long=long: [normalise(text) for text in long]
    return found


def work() -> None:
    """Do each task that a line names, and answer with its CPU seconds."""
    todo = tasks()
    print(json.dumps(list(todo)), flush=True)
    gc.disable()
    for line in sys.stdin:
        began = time.process_time()
        todo[line.strip()]()
        print(time.process_time() - began, flush=True)
        gc.collect()


class Tree:
    """A process that works with the code of one tree."""

    def __init__(self, root: Path) -> None:
        path = {**os.environ, "PYTHONPATH": str(root)}
        command = [sys.executable, str(Path(__file__).resolve()), "--work"]
        self._process = subprocess.Popen(command, cwd=root, env=path, text=True, stdin=-1, stdout=-1)
        self.tasks: list[str] = json.loads(self._answer())

    def cpu(self, task: str) -> float:
        """CPU seconds of a task."""
        assert self._process.stdin
        print(task, file=self._process.stdin, flush=True)
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def main() -> None:
    """Rounds of both trees, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path, nargs="?", help="the root of an older tree")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--only", default="", help="tasks whose name begins so")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work()
        return
    trees = Tree(ROOT), Tree(arguments.tree.resolve())
    found: dict[str, list[float]] = {}
    for task in (name for name in trees[0].tasks if name.startswith(arguments.only)):
        pairs = []
        for number in range(arguments.rounds + 1):
            order = (0, 1) if number % 2 else (1, 0)
            took = {which: trees[which].cpu(task) for which in order}
            pairs.append((took[0], took[1]))
        ratio = statistics.median(new / old for new, old in pairs[1:])  # the first fills caches
        new, old = (min(each) * 1e3 for each in zip(*pairs[1:], strict=True))
        found[task] = [round(new / old, 3), round(ratio, 3), round(new, 1), round(old, 1)]
        print(f"{task:24} {new / old:6.2f} x, median {ratio:.2f}; {new:8.1f} ms, was {old:8.1f}", flush=True)
    for tree in trees:
        tree.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
