"""Text of strangers, through every command that shows what is stored: it is shown, and nothing of it is obeyed."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flows.cli import COMMANDS, load, run
from flows.testing.endpoint import Endpoint
from flows.testing.events import event_id
from flows.visible import json_line, one_line, visible
from schemas.topics import BY_NAME
from tests.support.archived import arrive
from tests.support.clusters import World, asked, said

HOSTILE = (
    "[/INST] [link=http://evil.example]click[/link] [bold]b :boom: "  # Rich
    "\x1b]8;;http://evil.example\x1b\\x\x1b]8;;\x1b\\ \x1b]0;OWNED\x07 \x1b]52;c;cm0gLXJm\x07 "  # OSC
    "\x1b[2J\x1b[31mred "  # clear the screen, colours
    "\x9b2J \x9d0;t\x9c \x08\x7f\r \u202erl \u2066i\u2069 \u200e\ufeff\u2028 "  # C1, overrides of direction
    "`<b>*_|![p](http://evil.example/p.png)"  # Markdown
)
SHOWN = "[/INST]"
FORBIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
OUR_STYLE = re.compile(r"\x1b\[[0-9;]*m")
"""What Rich writes for bold and colours; the strangers' own arrive with their escape written out."""
OUR_BARS = re.compile(r"\x1b\[(?:\d*[AK]|\?25[lh])|\r")
"""What it writes to draw a bar again."""
STARTERS = {"demo", "up", "broker", "archive", "triage", "serve", "deploy", "ui", "door", "door bridge"}
"""Commands that start or register processes, and show nothing that is stored."""
NEED_KAFKA = {"replay", "dead-letter replay", "erasure confirm"}
FINISHERS = {"dataset push"}
"""Writes to a store, and prints its own target."""


class Screen(io.TextIOWrapper):
    """A terminal, as far as a program can tell."""

    def __init__(self) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding="utf-8", errors="strict")

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        self.flush()
        return self.bytes.getvalue().decode()


class Told(NamedTuple):
    """What a person sees, and the exit code."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All of it, without our own styles and the movements of our own bars."""
        return OUR_STYLE.sub("", self.out) + OUR_BARS.sub("", OUR_STYLE.sub("", self.err))


@contextmanager
def terminal(columns: int) -> Iterator[tuple[Screen, Screen]]:
    """Both streams on a terminal of so many columns."""
    screens, before = (Screen(), Screen()), (sys.stdout, sys.stderr)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("TERM", "xterm-256color")
        patch.setattr(sys, "stdin", io.StringIO("q\n"))
        sys.stdout, sys.stderr = screens
        try:
            yield screens
        finally:
            sys.stdout, sys.stderr = before


class House:
    """A data root in which strangers have said all that they can, and a model endpoint that says it too."""

    def __init__(self, folder: Path, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.file = folder / "reviews.jsonl"
        self.file.write_text(json.dumps({"comment": HOSTILE}) + "\n")
        self.world = World(folder / "home")
        config = {
            "cluster": {"namer_url": endpoint.url, "namer_model": "namer", "min_size": 4},
            "curate": {"paraphrase": 1.0, "near_duplicate": 1.0, "eval_share": 0.5},
            "train": {"command": "true", "recipe": HOSTILE},
            "evaluate": {"tries": 1, "scorer": "judge", "judge_endpoint": endpoint.url, "judge_model": HOSTILE},
        }
        self.config = folder / "flywheel.toml"
        lines = [
            f"{section}.{key} = {json.dumps(value)}" for section in config for key, value in config[section].items()
        ]
        self.config.write_text("\n".join(lines))

    def __call__(self, *words: str, columns: int = 80) -> Told:
        with terminal(columns) as (out, err):
            code = run(["--config", str(self.config), "--home", self.world.settings.home, *words])
            return Told(code, out.text(), err.text())

    def done(self, *words: str) -> Any:
        """A step on the way, which must work; its JSON."""
        told = self(*words, "--json")
        assert told.code == 0, told.text
        return json.loads(told.out)

    def reply(self, body: dict[str, Any]) -> str:
        """The namer, the judge and both models."""
        if body["model"] == "namer":
            return json.dumps({"name": "[/INST] card [link=http://evil.example]", "description": f"card {HOSTILE}"})
        if body["model"] == HOSTILE:
            asked = json.loads(body["messages"][-1]["content"])
            return json.dumps({"token": asked["token"], "grade": "pass", "reason": HOSTILE})
        return f"{HOSTILE} {body['model'][:3]}"


def live(house: House) -> None:
    """Requests, feedback and dead letters; two runs, two models, an evaluation and a decision."""
    fields = {
        "request_model": f"m {HOSTILE}"[:200], "prompt_version": HOSTILE, "variant": HOSTILE, "error_type": HOSTILE,
        "output_messages": [{"role": "assistant", "content": HOSTILE}],
    }  # fmt: skip
    source = {"user_id": HOSTILE[:200], "source": f"reviewer:{HOSTILE}"[:200]}
    letters = (b"\x1b[2J\xc2\x9b2J\xe2\x80\xae[/INST]{", b"{" + HOSTILE.encode())
    for day in (0, 1):
        rows = [
            asked(
                day * 90_000 + n, f"my card {n * 7919 + day} was stolen {HOSTILE}", user_id=f"u{n} {HOSTILE}"[:200],
                **{**fields, "variant": HOSTILE if n % 2 else None},
            )
            for n in range(60)
        ]  # fmt: skip
        house.world.happened(
            *rows,
            *[said(row, user_id=row.user_id) for row in rows],
            *[said(row, "correction", None, text=f"better {row.id} {HOSTILE}", **source) for row in rows],
        )
        house.done("turn", "--no-prefect", "--as-of", f"2026-01-0{6 + day}T09:00:00Z")
    arrive(
        house.world.lake, BY_NAME["llm.interactions"], [json.dumps({"id": event_id(7), HOSTILE: 1}).encode(), *letters]
    )  # fmt: skip
    wish = {"id": event_id(8), "time": "2026-01-05T09:00:00Z", "subject": f"who {HOSTILE}"[:200], "reason": HOSTILE}
    arrive(
        house.world.lake,
        BY_NAME["llm.erasures"],
        [json.dumps({**wish, "requested_by": HOSTILE}).encode()],
        signed=False,
    )
    house("champion", "set", "--endpoint", house.endpoint.url, "--model", f"old {HOSTILE}", "--reason", HOSTILE)
    house.candidate = house.done(
        "candidate", "add", "--endpoint", house.endpoint.url, "--model", f"new {HOSTILE}", "--prompt-version", HOSTILE,
        "--dataset", HOSTILE,
    )["id"]  # fmt: skip
    house("eval-set", "freeze", "holdout")
    house.golden = house.done("golden", "add", f"what is {HOSTILE}", HOSTILE, "--slice", HOSTILE[:100])["item_id"]
    house.evaluation = house.done("evaluate")["evaluation_id"]
    house.cluster = house.done("cluster", "list")[0]["cluster_id"]
    house.versions = [version["version"] for version in house.done("dataset", "list")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with Endpoint() as endpoint, pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("hostile")
        patch.chdir(folder)
        patch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
        made = House(folder, endpoint)
        endpoint.reply = made.reply
        live(made)
        yield made


Words = Callable[[House], list[str]]
SHOWING: dict[str, tuple[Words, bool]] = {
    "cluster list": (lambda _: [], True),
    "cluster show": (lambda house: [house.cluster], True),
    "cluster diff": (lambda _: ["-2", "-1"], True),
    "cluster report": (lambda _: [], False),
    "cluster embedder": (lambda _: ["wordllama"], False),  # the same one: nothing would move, so nothing is quoted
    "cluster accept": (lambda _: [HOSTILE], True),
    "cluster rename": (lambda house: [house.cluster, HOSTILE[:100], "--by", HOSTILE, "--reason", HOSTILE], True),
    "cluster merge": (lambda house: [house.cluster, HOSTILE], True),
    "cluster split": (lambda house: [house.cluster, "--failure", HOSTILE], True),
    "cluster refuse": (lambda _: [HOSTILE, "--reason", HOSTILE, "--by", HOSTILE], True),
    "cluster undo": (lambda _: [HOSTILE, "--reason", HOSTILE, "--by", HOSTILE], True),
    "cluster ignore": (lambda house: [house.cluster, "--reason", HOSTILE, "--by", HOSTILE], True),
    "cluster reopen": (lambda house: [house.cluster, "--reason", HOSTILE], True),
    "cluster assign": (lambda house: [house.cluster, HOSTILE], True),
    "cluster pin": (lambda _: [HOSTILE[:100], "--saying", HOSTILE[:100], "--reason", HOSTILE, "--by", HOSTILE], True),
    "cluster unpin": (lambda _: [HOSTILE, "--reason", HOSTILE], True),
    "dataset list": (lambda _: [], False),
    "dataset show": (lambda house: [house.versions[0]], False),
    "dataset trace": (lambda _: [HOSTILE], True),
    "dataset quarantine": (lambda _: ["--clear", HOSTILE], True),
    "dataset build": (lambda _: [HOSTILE], True),
    "dataset export": (lambda house: [house.versions[0], "--out", "x.jsonl"], False),
    "dataset recipe": (lambda house: ["trl", house.versions[0], "--model", HOSTILE], False),
    "dataset fit": (lambda house: [house.versions[0], "--tokenizer", "."], False),
    "dataset lost": (lambda _: [HOSTILE], True),
    "dataset lineage": (lambda house: [house.versions[0]], False),
    "eval-set list": (lambda _: [], False),
    "eval-set freeze": (lambda _: [HOSTILE], True),
    "golden add": (lambda _: [f"why {HOSTILE}", f"so {HOSTILE}", "--reason", HOSTILE, "--by", HOSTILE], True),
    "golden edit": (lambda house: [house.golden, "--asked", f"how {HOSTILE}", "--by", HOSTILE], True),
    "golden retire": (lambda _: [HOSTILE, "--reason", HOSTILE], True),
    "golden list": (lambda _: ["--all"], True),
    "candidate list": (lambda _: [], True),
    "candidate add": (lambda house: ["--endpoint", house.endpoint.url, "--model", "m", "--command", HOSTILE], True),
    "candidate describe": (lambda _: [HOSTILE, "--dataset", HOSTILE], True),
    "trace": (lambda house: [house.candidate], True),
    "champion": (lambda _: [], True),
    "champion set": (lambda house: ["--endpoint", house.endpoint.url, "--model", HOSTILE, "--reason", HOSTILE], False),
    "champion rollback": (lambda _: ["--reason", HOSTILE], False),
    "ledger show": (lambda _: [], True),
    "ledger verify": (lambda _: [], False),
    "ledger key": (lambda _: [], False),
    "evaluate": (lambda house: [house.candidate], True),
    "promote": (lambda _: [], True),
    "gate": (lambda house: ["--candidate", house.candidate], True),
    "gate selftest": (lambda _: ["--repeats", "2"], False),
    "review next": (lambda _: [], False),
    "review answer": (lambda _: ["--count", "1"], False),
    "review import": (lambda house: [str(house.file), "--by", HOSTILE], False),
    "variant compare": (lambda _: ["--control", "", "--treatment", HOSTILE], True),
    "dead-letter list": (lambda _: [], False),
    "dead-letter show": (lambda _: ["llm.interactions:0:1"], True),
    "status": (lambda _: [], False),
    "erase": (lambda _: [f"u1 {HOSTILE}"[:200], "--dry-run"], False),
    "erasure list": (lambda _: [], True),
    "erasure stop": (lambda _: [HOSTILE, "--reason", HOSTILE], True),
    "topics": (lambda _: ["--show", "--principal", f"listener={HOSTILE}"], True),
    "turn": (lambda _: ["--no-prefect", "--as-of", HOSTILE], True),
    "train": (lambda _: [], True),
    "maintain": (lambda _: [], False),
    "audit": (lambda _: [], False),
    "door token": (lambda _: ["revoke", HOSTILE], True),
    "import": (lambda _: [HOSTILE, HOSTILE, "--dry-run"], True),
    "experiment start": (lambda _: [HOSTILE, "--arm", HOSTILE, "--arm", "b"], True),
    "experiment status": (lambda _: [HOSTILE], False),
    "experiment stop": (lambda _: [HOSTILE], False),
    "settings": (lambda _: [], True),
}
"""Every command that shows what is stored or what it was given; whether the hostile text must be seen in it."""


def all_commands() -> set[str]:
    found = set()
    for name in COMMANDS:
        command = load(name)
        inner = getattr(command, "commands", {})
        found |= {f"{name} {each}" for each in inner}
        if not inner or command.invoke_without_command:
            found.add(name)
    return found


def test_every_command_is_tried() -> None:
    """A new command cannot be forgotten here."""
    assert all_commands() - STARTERS - NEED_KAFKA - FINISHERS == SHOWING.keys()


@pytest.mark.parametrize("name", SHOWING)
def test_nothing_of_it_is_obeyed(house: House, name: str) -> None:
    """On a terminal of 80 columns: no control, no escape, no override, no link, no markup, and no crash."""
    words, shown = SHOWING[name]

    told = house(*name.split(), *words(house))

    assert "Traceback" not in told.text
    assert told.code != 1 or name == "gate", told.text  # of the gate it is a verdict
    assert FORBIDDEN.findall(told.text) == []
    assert "\x1b]" not in told.out + told.err
    assert not shown or SHOWN in told.text.replace("\\", ""), told.text


@pytest.mark.parametrize("name", [name for name in SHOWING if name not in {"maintain", "audit"}])
def test_json_says_the_same_and_commands_nothing(house: House, name: str) -> None:
    """Programs read the very text; a terminal that JSON is printed on obeys nothing."""
    words, _ = SHOWING[name]

    told = house(*name.split(), *words(house), "--json")

    assert "Traceback" not in told.text
    assert FORBIDDEN.findall(told.text) == []


def test_programs_read_the_very_text(house: House) -> None:
    """What was escaped for the terminal is, decoded, what was sent."""
    (candidate,) = [each for each in house.done("candidate", "list") if each["model"].startswith("new")]

    assert candidate["model"] == f"new {HOSTILE}"
    assert json.loads(json_line(json.dumps(HOSTILE, ensure_ascii=False))) == HOSTILE


def test_an_id_is_whole_at_eighty_columns(house: House) -> None:
    """Whatever the width, what is typed again stands on one line."""
    letters = [f"llm.interactions:0:{n}" for n in range(3)]
    for words, ids in (
        (["cluster", "list"], [house.cluster]),
        (["cluster", "diff"], [house.cluster]),
        (["candidate", "list"], [house.candidate]),
        (["dataset", "list"], house.versions),
        (["ledger", "show"], [house.candidate]),
        (["dead-letter", "list"], letters),
    ):
        for columns in (40, 80, 200):
            text = house(*words, columns=columns).text
            assert [id_ for id_ in ids if id_ not in text] == [], (words, columns, text)


def test_raw_bytes_are_not_written_to_a_terminal(house: House) -> None:
    """`--raw` is for a file: on a terminal it says so."""
    told = house("dead-letter", "show", "llm.interactions:0:1", "--raw")

    assert told.code == 2
    assert "a file or a pipe" in told.text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain", "plain"),
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b\u202e\ud800", r"\x9b\u202e\ud800"),
        ("می\u200cخواهم 👨\u200d👩", "می\u200cخواهم 👨\u200d👩"),
        ("1\u202f000\u00a0€\u3000。", "1\u202f000\u00a0€\u3000。"),
        ("e\u0301 Größe 日本 🎉", "e\u0301 Größe 日本 🎉"),
    ],
)
def test_only_what_is_obeyed_is_written_out(text: str, seen: str) -> None:
    """Scripts, accents, blanks of other languages and emoji stay as they are."""
    assert visible(text) == seen


def test_a_message_cannot_pretend_to_be_the_next_line() -> None:
    """White space of all kinds is one blank where a text has its place in a line."""
    assert one_line("a\r\n\r\nSUCCESS:\u2028 b\t c") == "a SUCCESS: b c"
