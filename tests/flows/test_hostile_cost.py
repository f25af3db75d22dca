"""Whatever a person writes, reading it takes time in proportion to its length, and a row no more than it may cost."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from pathlib import Path

import pytest

from flows.curate.bands import LONGEST, compared
from flows.curate.dedup import CELLS, MAX_CHARS, _affordable, stars
from flows.curate.leaks import Guard, Leaks
from flows.curate.stage import curate
from flows.redact.redact import STEPS, Redactor, TooCostly
from flows.testing.events import interaction
from flows.testing.hostile import FAMILIES, FUNCTIONS, of, seconds
from flows.testing.world import AS_OF, World
from schemas.normalise import normalise
from tests.support.examples import example
from tests.support.growing import grows

SMALL, LARGE = 20_000, 80_000
HALF, WHOLE, WORST = 250_000, 500_000, 2


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_reader_takes_the_square(name: str) -> None:
    """Of every hostile family four times the text costs some four times the time; a square would cost sixteen times."""
    read = FUNCTIONS[name]
    read(of("warm ", SMALL))
    for piece in FAMILIES:
        assert grows(read, of(piece, SMALL), of(piece, LARGE), 9), (name, piece)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_half_a_megabyte_costs_twice_a_quarter(name: str) -> None:
    """Of the two families that cost a reader most: twice the text some twice the time; a square would cost four.

    A row that is refused for its cost is refused early.
    """

    def read(text: str) -> None:
        with suppress(TooCostly):
            FUNCTIONS[name](text)

    read(of("warm ", SMALL))
    for piece in sorted(FAMILIES, key=lambda piece: seconds(read, of(piece, SMALL)))[-WORST:]:
        assert grows(read, of(piece, HALF), of(piece, WHOLE), 3), (name, piece)


def test_a_row_of_too_many_values_is_counted_and_not_taught(tmp_path: Path) -> None:
    """[a plain row, a MiB of tiny values as a tool's result]: the second is `too_costly`, and the build goes on."""
    world = World(tmp_path, eval_share=0)
    heavy = json.dumps([str(n % 97) for n in range(90_000)])
    events = [
        interaction(1, user_id="a", input_messages=[{"role": "user", "content": "where is my parcel"}]),
        interaction(2, user_id="b", input_messages=[{"role": "user", "content": f"look at this: {heavy[:50]}"},
                                                    {"role": "tool", "tool_call_id": "t", "content": heavy}]),
    ]  # fmt: skip
    world.happened(*events)
    world.judged({event.id: "ok" for event in events})

    summary = curate(world.lake, world.settings, AS_OF)

    assert summary["dropped"] == {"too_costly": 1}
    assert summary["training"]["sft_rows"] == 1


def test_long_texts_are_within_the_budget_of_a_row() -> None:
    """A MiB in one message is looked through; only what costs far more than its length is refused."""
    redactor = Redactor(("US",), {})

    assert redactor.example(example(1, "a word " * 150_000)).text
    with pytest.raises(TooCostly):
        redactor.example(example(1, json.dumps(["x"] * (STEPS // 50 + 1))))
    assert redactor.texts(["a" * (STEPS + 1)]), "texts that are no row have no budget"


def test_a_long_template_is_compared_with_some_and_not_all() -> None:
    """Of two hundred candidates of ten thousand letters as many as the budget allows; short texts have no bound."""
    long, short = ["x" * MAX_CHARS] * 200, ["where is my card"] * 200

    assert len(_affordable(0, list(range(1, 200)), long)) == CELLS // MAX_CHARS**2
    assert len(_affordable(0, list(range(1, 200)), short)) == 199


def test_a_train_text_that_is_near_to_too_many_guards_is_left_out() -> None:
    """Where its letters would have to be compared with dozens of long eval texts: `too_costly`, and so never taught."""
    rng = random.Random(3)

    def page(shared: str) -> str:
        return shared + " ".join(f"{rng.getrandbits(40):x}" for _ in range(520))

    shared = " ".join(f"{rng.getrandbits(40):x}" for _ in range(390)) + " "
    texts = [normalise(page(shared)) for _ in range(40)]
    guards = [Guard(f"g-{n}", f"g-{n}", f"u-{n}", text, (text,)) for n, text in enumerate(texts)]

    (why,) = Leaks(guards, 0.85).find([example(1, page(shared))])

    assert why is not None
    assert why[0] == "too_costly"


def test_only_the_ends_of_a_very_long_text_are_compared() -> None:
    """Up to five pages all of it; of more both ends, and equal texts are one however long they are."""
    long = "a b " * LONGEST

    assert compared(long[:LONGEST]) == long[:LONGEST]
    assert len(compared(long)) <= LONGEST + 1
    assert stars([long, long, long[4:] + "zz"], 0.85)[:2] == [0, 0]
