"""The demo with a real language model, as far as it needs none: its task, what it is held against, its book."""

from __future__ import annotations

import hashlib
import random
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from examples.real_lm.book import Book, Meter, Spent
from examples.real_lm.classifier import Classifier, share_right
from examples.real_lm.customers import World
from examples.real_lm.demo import ROUNDS, TOGETHER, WATCH_REQUESTS
from examples.real_lm.models import TRAINER, Models
from examples.real_lm.rules import Rules
from examples.real_lm.sent import Sent
from examples.real_lm.task import ARGUMENTS, cases, in_words, parts, same
from examples.real_lm.wheel import Wheel
from examples.real_lm.wording import FORMS, HELD_OUT, NAMES, OTHER_NAMES
from flows import training
from flows.curate.folder.folder import write
from flows.prefect_api import Orchestrator
from flows.testing.events import feedback, interaction
from flows.testing.world import World as FilledWorld
from schemas.errors import FlywheelError
from schemas.settings import GateSettings
from streams.producer import EventProducer
from streams.triage.sequential import Arm, Canary, observe, worse
from tests.support import trainers
from tests.support.examples import FACTS, pair

TWO_STEPS = Path(trainers.__file__).with_name("two_steps.py")


def test_every_request_has_a_call_with_all_of_its_arguments() -> None:
    """Action and arguments, none of them empty, whatever wording was drawn."""
    for case in (*cases(400, 1), *cases(200, 1, held_out=True)):
        action, *arguments = parts(case.call)
        assert len(arguments) == len(ARGUMENTS[action])
        assert all(arguments)


def test_the_same_seed_says_the_same() -> None:
    """Requests follow from their seed alone, and no two are one."""
    assert cases(100, 3) == cases(100, 3) != cases(100, 4)
    assert len({case.text for case in cases(300, 3)}) == 300


def test_what_is_untouched_is_worded_otherwise_and_of_other_people() -> None:
    """No wording and no name of the untouched requests is in the traffic's."""
    assert not set(NAMES) & set(OTHER_NAMES)
    assert FORMS.keys() == HELD_OUT.keys() == ARGUMENTS.keys()
    assert not {form for forms in FORMS.values() for form in forms} & {f for forms in HELD_OUT.values() for f in forms}


def test_a_sample_is_of_enough_people_to_decide() -> None:
    """Any 120 requests of a turn: the gate does not wait for more units."""
    turns = 600, 240, 160
    world, gate = World(7, 64, turns, 160), GateSettings()
    for turn, count in enumerate(turns, 1):
        asked = list(world.traffic.requests(count, turn, datetime(2026, 11, 1, tzinfo=UTC)))
        for start in range(0, count - 119, 40):
            assert not gate.few(120, len({request.user_id for request in asked[start : start + 120]}))
            assert len({request.user_id for request in asked[start : start + 120]}) > 80


@pytest.mark.parametrize(
    ("heard", "bad"), [((54 / 60, 29 / 60), (1.0, 12 / 29)), ((69 / 80, 39 / 80), (67 / 69, 23 / 39))]
)
def test_the_watch_has_users_enough(heard: tuple[float, float], bad: tuple[float, float]) -> None:
    """With what users of two whole runs said of a broken deployment and of the former: how many, how many of it bad."""
    taken, rng = 0, random.Random(1)
    for _ in range(100):
        state = Canary(margin=0.02, accounts=2)
        for _ in range(ROUNDS * WATCH_REQUESTS // TOGETHER):
            few: list[Arm] = ["canary", "control"] * (TOGETHER // 2)
            rng.shuffle(few)
            for arm in few:
                if rng.random() < heard[arm == "control"]:
                    state = observe(state, arm, rng.random() < bad[arm == "control"])
        taken += worse(state, 0.01)

    assert taken >= 98


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("send(Marta, 50 GBP, friday)", True),
        (" send( Marta,50 GBP,  friday )\n", True),
        ("send(Marta, 50 EUR, friday)", False),
        ("send(Marta, 50 GBP)", False),
        ("Sure! send(Marta, 50 GBP, friday)", False),
        ("", False),
    ],
)
def test_an_answer_is_right_argument_by_argument(answer: str, right: bool) -> None:
    """Spaces mean nothing; a word beside the call, or an argument less, is wrong."""
    assert same(answer, "send(Marta, 50 GBP, friday)") is right


@pytest.mark.parametrize(
    ("number", "said"),
    [(7, "seven"), (19, "nineteen"), (40, "forty"), (42, "forty-two"), (305, "three hundred and five")],
)
def test_amounts_in_words(number: int, said: str) -> None:
    """As people write them."""
    assert in_words(number) == said


@pytest.mark.parametrize(("model", "known", "new"), [(Classifier, 0.5, 0.25), (Rules, 0.85, 0.5)])
def test_what_the_model_is_held_against_is_no_straw_man(model: Any, known: float, new: float) -> None:
    """On wordings that it has learned from it does well: what it lacks is others' words."""
    found = model([(case.text, case.call) for case in cases(400, "rows")])
    for asked, least in ((cases(200, "more"), known), (cases(200, "new", held_out=True), new)):
        assert share_right(found.answer([case.text for case in asked]), asked) > least


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("Move 205 quid from savings to car", "move(savings, car, 205 GBP)"),
        ("Send $1500.20 to Agnes on the 3rd of March", "send(Agnes, 1500.20 USD, 3 mar)"),
        ("Refund 80 euros for order K-1234", "refund(K1234, 80 EUR)"),
    ],
)
def test_the_classifier_learns_what_words_are_worth(text: str, call: str) -> None:
    """From rows alone: currencies by their words and signs, months, how an order is written, a name nobody had."""
    assert Classifier([(case.text, case.call) for case in cases(800, "rows")]).answer([text]) == [call]


@pytest.mark.parametrize("text", ["", "?!", "€"])
def test_the_classifier_answers_whatever_is_asked(text: str) -> None:
    """With a call, which is wrong."""
    assert Classifier([(case.text, case.call) for case in cases(64, "rows")]).answer([text])[0].endswith(")")


@pytest.mark.parametrize(
    "text",
    [
        "Move two hundred and five quid from savings to car",
        "Send 1.5k euros to Marta on the 3rd of March",
        "Can 4711 go out on Monday instead of tmrw?",
        "split $49.90 between anton and Bella",
    ],
)
def test_the_rules_read_values(text: str) -> None:
    """They know numbers in words, thousands, dates and names without capitals."""
    answers = {
        "Move two hundred and five quid from savings to car": "move(savings, car, 205 GBP)",
        "Send 1.5k euros to Marta on the 3rd of March": "send(Marta, 1500 EUR, 3 mar)",
        "Can 4711 go out on Monday instead of tmrw?": "shift(4711, tomorrow, monday)",
        "split $49.90 between anton and Bella": "split(49.90 USD, Anton, Bella)",
    }

    assert Rules([(case.text, case.call) for case in cases(400, "rows")]).answer([text]) == [answers[text]]


def test_no_request_is_in_two_parts_of_the_world() -> None:
    """Seed rows, turns and untouched requests are dealt apart, and a turn's requests follow its time."""
    world = World(7, 64, (100, 50), 40)
    dealt = [case.text for case in (*world.seed_rows, *world.turns[0], *world.turns[1], *world.untouched)]
    requests = list(world.traffic.requests(50, 2, datetime(2026, 1, 2, tzinfo=UTC)))

    assert len(set(dealt)) == len(dealt) == 254
    assert [request.text for request in requests] == [case.text for case in world.turns[1]]
    assert [request.time for request in requests] == sorted(request.time for request in requests)
    assert {request.label for request in requests} <= set(world.calls.values())


def test_a_step_that_is_in_the_book_is_not_done_again(tmp_path: Path) -> None:
    """What was finished before a kill is read, by another process too."""
    assert Book(tmp_path / "book.json").once("a", int, lambda: 1) == 1
    assert Book(tmp_path / "book.json").once("a", int, lambda: 2) == 1
    assert "b" not in Book(tmp_path / "book.json")


def test_what_earlier_starts_have_spent_counts(tmp_path: Path) -> None:
    """Minutes add up over a kill; the peak is the largest."""
    book = Book(tmp_path / "book.json")
    book.write("spent", Spent(100.0, 50.0, 9e9))
    with Meter(book) as meter:
        pass

    assert meter.spent().wall_s >= 100
    assert Book(tmp_path / "book.json").once("spent", Spent, Spent).peak_rss_mib == 9e9


class Wire(EventProducer):
    """A producer that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.raw: list[bytes] = []

    def send(self, event: object) -> None:
        self.events.append(event)

    def send_bytes(self, _topic: object, _key: object, value: bytes | None, _headers: object = ()) -> None:
        self.raw.append(value or b"")

    def flush(self, *_: object) -> None:
        pass


def test_what_is_sent_twice_counts_once(tmp_path: Path) -> None:
    """After a kill a step is played again: events are sent again under their ids, garbage is not."""
    wire = Wire()
    for _ in range(2):
        with Sent(tmp_path / "sent.txt") as sent:
            out = sent.line(wire, "turn 1")
            out.send(interaction(1))
            out.send_raw("llm.interactions", b"{")
            assert len(sent) == 2

    assert len(wire.events) == 2
    assert wire.raw == [b"{"]


@pytest.mark.parametrize(
    ("at_rest", "dead", "unlike"),
    [
        ((1, 2), 1, ""),
        ((1, 3), 1, "1 events that were sent are not at rest, 1 at rest were never sent"),
        ((1,), 2, "1 events that were sent are not at rest, 2 dead letters of 1 values that are no events"),
        ((1, 2), 0, "0 dead letters of 1 values that are no events"),
    ],
)
def test_events_are_whole_by_their_ids(tmp_path: Path, at_rest: tuple[int, ...], dead: int, unlike: str) -> None:
    """A strange one in a lost one's place, or an event that became a dead letter, leaves the numbers as they are."""
    with Sent(tmp_path / "sent.txt") as sent:
        out = sent.line(Wire(), "turn 1")
        for n in (1, 2):
            out.send(interaction(n))
        out.send_raw("llm.interactions", b"{")

        assert sent.unlike({interaction(n).id for n in at_rest}, dead) == unlike


def test_what_is_at_rest_is_known_by_the_ids_that_were_sent(tmp_path: Path) -> None:
    """Of interactions and of feedback; one that came twice is one."""
    world, asked = FilledWorld(tmp_path / "home"), interaction(1)
    told = feedback(1, asked, "thumb", value=1)
    world.happened(asked, told)
    world.happened(asked)
    with Sent(tmp_path / "sent.txt") as sent:
        sent.add([str(asked.id), str(told.id)])
        wheel = Wheel(world.settings, world.lake, Orchestrator.of(world.settings), "test", sent)

        assert wheel.at_rest() == {str(asked.id), str(told.id)}
        assert sent.unlike(wheel.at_rest(), wheel.counts()[1]) == ""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Path]:
    """A tiny model's folder after SFT on a dataset and a seed's rows, what was said meanwhile, and the seed's file."""
    place = tmp_path_factory.mktemp("lm")
    trainers.run(TWO_STEPS, str(place / "tiny"), cwd=place)
    rows = [pair(n) for n in range(6)]
    dataset = write(place, "all-training", {(config, "train"): rows for config in ("sft", "completion")}, FACTS).path
    seed = place / "seed.jsonl"
    seed.write_text('{"text": "hi", "call": "send(Marta, 5 GBP, friday)"}\n{"text": "%s", "call": "x"}\n' % ("y" * 90))
    said = trainers.said(
        TRAINER / "train.py", "sft", "--base", str(place / "tiny"), "--out", str(place / "bot-1"), "--dataset",
        str(dataset), "--seed-rows", str(seed), "--epochs", "1", "--batch", "4", "--length", "80", cwd=place,
    )  # fmt: skip
    return place / "bot-1", said, seed


@pytest.mark.integration
def test_rows_that_are_cut_are_counted_and_said(trained: tuple[Path, str, Path]) -> None:
    """By the tokenizer of the model, at the length that was asked for."""
    folder, said, _ = trained
    assert "1 of 8 rows are cut at 80 tokens" in said
    settings = training.read(folder).settings
    assert (settings["rows"], settings["rows_cut"], settings["length"]) == (8, 1, 80)


@pytest.mark.integration
def test_rows_of_no_dataset_are_known_by_their_file(trained: tuple[Path, str, Path]) -> None:
    """How many, and the SHA-256 of where they lay."""
    folder, _, seed = trained
    settings = training.read(folder).settings
    expected = 2, hashlib.sha256(seed.read_bytes()).hexdigest()
    assert (settings["seed_rows"], settings["seed_rows_sha256"]) == expected


def test_a_candidate_keeps_its_port_and_its_command(tmp_path: Path) -> None:
    """So that it is the same candidate after a kill; another prompt version of the same model has a port of its own."""
    (tmp_path / "run").mkdir()
    made = [
        Models(Path("/lm/bin/python"), tmp_path, Book(tmp_path / "book.json")).candidate("bot-1", "bot-1", dataset="d1")
        for _ in range(2)
    ]
    models = Models(Path("/lm/bin/python"), tmp_path, Book(tmp_path / "book.json"))
    shots = models.candidate("bot-1", "bot-1", dataset="d1", shots="/data/d1", prompt_version="shots-1")

    assert made[0] == made[1] == models.served(made[0].candidate)
    assert shots.candidate.endpoint != made[0].candidate.endpoint
    words = shlex.split(models.command(shots))
    assert words[0] == "env"
    assert "/lm/bin/python" in words
    assert words[words.index("--shots") + 1] == "/data/d1"
    assert words[words.index("--model") + 1] == str(tmp_path / "models" / "bot-1")


def test_a_program_of_the_trainer_that_fails_says_its_last_words(tmp_path: Path) -> None:
    """Here an interpreter that has no torch."""
    (tmp_path / "run").mkdir()
    models = Models(Path(sys.executable), tmp_path, Book(tmp_path / "book.json"))

    with pytest.raises(FlywheelError, match=r"convert\.py ended with status"):
        models.convert()
