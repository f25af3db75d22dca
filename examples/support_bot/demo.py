"""The demo: a flywheel that really turns, offline, on a laptop.

Each turn reads top to bottom in `Demo.turn`: customers talk to the champion, failures are clustered, datasets built,
a new model is trained from the exported folder, the gate decides, and traffic moves. `flywheel demo` calls `run`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from datasets import disable_progress_bars, load_dataset
from rich.table import Table

from flows.prefect_api import TURN, served
from flows.stack import Stack
from flows.terminal import Terminal, progress, styled
from flows.visible import one_line
from schemas import topics
from schemas.errors import UsageError
from schemas.events import Candidate
from schemas.records import make_candidate
from schemas.settings import Settings
from schemas.trainer import TrainSettings
from streams.processes.supervise import sigterm_interrupts
from streams.producer import EventProducer

from .client import Client
from .customers import Traffic
from .model import Row, pair_of, plant_regression, save, train
from .reviewer import Reviewer
from .service import Service
from .traffic import Gateway, Line, Served, accuracy, serve
from .utterances import UTTERANCES, load, replies_for, split

GROWTH = 1.7
"""Each turn's traffic over the last one's: a product that gets better is used more."""
SEED = 7
"""Of the customers and of the split: the same world in every demo."""
PLANTED_SHARE = 1 / 3
"""Of the champion's own training rows, how much a planted regression breaks, commonest topics first."""
SHOTS = 8
"""Answered requests that a model behind a server of somebody else's is shown."""
MAX_TOKENS = 120
"""The longest reply has fewer."""
EVAL_SHARE = 0.0
"""A demo has few users, and no fixed eval set: every one of them teaches."""
ALPHA = 0.1
"""Twice the default: with few reviews a gain of ten points shows, hardly one of two or three."""
REVIEWS = (50,)
"""What a person does in half an hour, once a turn."""
MAX_LATENCY_RATIO = 10.0
"""Answers take milliseconds here, on a machine that trains models meanwhile: ratios of them say little."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a person may say to `flywheel demo`."""

    data: Path | None = None
    turns: int = 4
    report: Path | None = None
    keep_running: bool = False
    plant_regression: bool = False
    interactions: int = 2200
    """Requests in the first turn."""
    server: str = ""
    """MODEL@URL of a model that serves first, behind any OpenAI-compatible server; empty: a first bot of our own."""
    now: datetime
    """The demo's today: its turns are the days up to it."""


class DatasetFacts(msgspec.Struct, frozen=True):
    """The dataset version that a turn trained on."""

    path: str
    sha256: str
    sft_rows: int
    preference_rows: int
    sample_rows: int
    """Requests that are held back from training, and decide."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the report."""

    turn: int
    champion: str
    """Who served this turn's traffic."""
    candidate: str
    failure_rate_live: float
    """Failed outcomes per interaction of this turn's traffic."""
    accuracy_untouched: float
    """Over HTTP, of whoever serves after the verdict, on utterances that were never in traffic nor in any dataset."""
    clusters: int
    dataset: DatasetFacts
    verdict: str
    reasons: list[str]
    reviews: int = 0
    """Disagreements that the reviewer judged for it."""
    planted: dict[str, Any] | None = None
    """The planted bad candidate, its verdict and its reasons."""


class Report(msgspec.Struct, kw_only=True):
    """What `--report FILE` holds."""

    events_produced: int = 0
    events_in_lake: int = 0
    dead_letters: int = 0
    accuracy_before: float = 0.0
    """Of the first champion."""
    turns: list[Turn] = []


def run(settings: Settings, options: Options, console: Terminal) -> Report:
    """Play the demo from start to end. Raises FlywheelError (InputFileError for a `--data` file that is none)."""
    world = World(options)
    settings = _with_free_ports(_for_a_demo(settings))
    console.say("Everything is written below ", (str(settings.home_path), "bold"), ".")
    with ExitStack() as stack:
        stack.enter_context(sigterm_interrupts())
        running = stack.enter_context(Stack(settings, say=console.say))
        service = stack.enter_context(Service(settings.home_path / "models", settings.home_path / "run" / "bot"))
        console.say("See it turn in a browser: ", (running.addresses.ui, "bold"))
        client = Client(running.settings, running.lake, running.orchestrator)
        demo = stack.enter_context(Demo(client, service, world, options, console))
        with running.orchestrator.held(
            served(TURN, settings.application)
        ):  # by itself it would turn as of now, and the demo's days lie before
            report = demo.play()
        _show(console, report, settings, running.addresses.ui, running.prefect_page)
        if options.report:
            options.report.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
            console.print(f"Report: {options.report}")
        if options.keep_running:
            console.print("Still running; Ctrl-C stops everything.")
            with suppress(KeyboardInterrupt):
                running.wait()
    return report


class World:
    """The customers, what they say, and what would be right to answer."""

    def __init__(self, options: Options) -> None:
        utterances = load(options.data or UTTERANCES)
        self.split = split(utterances, SEED)
        if not self.split.traffic or not self.split.untouched:
            raise UsageError(f"{len(utterances)} utterances are too few to be split into traffic and untouched ones")
        self.replies = replies_for(utterance.label for utterance in utterances)
        self.traffic = Traffic(self.split.traffic, SEED)
        self.reviewer = Reviewer({row.text: self.replies[row.label] for row in self.split.traffic}, SEED)
        self.seed_rows = [(utterance.text, self.replies[utterance.label]) for utterance in self.split.seed]
        """What the first champion has seen."""
        self._first_day = (options.now - timedelta(days=options.turns)).replace(
            hour=8, minute=0, second=0, microsecond=0
        )

    def day(self, turn: int) -> datetime:
        """When a turn's traffic begins."""
        return self._first_day + timedelta(days=turn - 1)


class Demo:
    """The turns, played on a running flywheel."""

    def __init__(self, client: Client, service: Service, world: World, options: Options, console: Terminal) -> None:
        self.client, self.service, self.world, self.options, self.console = client, service, world, options, console
        self.application = client.settings.application
        self.gateway = Gateway(client.settings.kafka.bootstrap_servers, self.application)
        self.producer = EventProducer(client.settings.kafka, source="examples/support_bot")
        self.report = Report()
        self._champion_rows: list[Row] = world.seed_rows

    def play(self) -> Report:
        """All turns, then the counts."""
        server = self.options.server
        first = asked_of(server, self.world) if server else self._serve_model("bot-0", self.world.seed_rows)
        self.client.first_champion(first, self.world.day(1) - timedelta(hours=1))
        self.gateway.wait_for(first.id)
        self.report.accuracy_before = self._accuracy()
        for turn in range(1, self.options.turns + 1):
            self.report.turns.append(self.turn(turn))
        with self._step("the last events come to rest"):
            self.client.wait_archived()
        self.report.events_in_lake, self.report.dead_letters = self.client.counts()
        return self.report

    def turn(self, turn: int) -> Turn:
        """One turn of the wheel."""
        champion = self.gateway.champion()
        as_of = self.world.day(turn) + timedelta(hours=15)
        self.console.rule(f"Turn {turn}: {champion.model} serves")
        self._serve_traffic(turn, champion)
        with self._step("events come to rest in the lake"):
            self.client.wait_archived()
        with self._step("failures are clustered, datasets are built"):
            summary = self.client.turn(as_of)
        dataset = _dataset_facts(summary)
        rows = [*self.world.seed_rows, *training_rows(Path(dataset.path))]
        decided = self._judge(f"bot-{turn}", rows, dataset, as_of)
        planted = self._plant(turn, dataset, as_of) if self.options.plant_regression else None
        return Turn(
            turn=turn,
            champion=champion.model,
            failure_rate_live=round(self.client.failure_rate(self.world.day(turn)), 4),
            accuracy_untouched=self._accuracy(),
            clusters=summary["cluster"]["clusters"],
            dataset=dataset,
            planted=planted,
            **decided,
        )

    def __enter__(self) -> Demo:
        return self

    def __exit__(self, *_: object) -> None:
        self.gateway.close()
        self.producer.close()

    def _serve_model(self, name: str, rows: Sequence[Row], dataset: str | None = None) -> Candidate:
        """Train, put the model behind the endpoint, and say what it is."""
        save(train(rows), self.service.models / name)
        candidate = make_candidate(name, self.service.endpoint, dataset=dataset)
        asyncio.run(accuracy(candidate, self.world.split.untouched[:1], self.world.replies))  # loads it: first is slow
        return candidate

    def _judge(self, name: str, rows: Sequence[Row], dataset: DatasetFacts, as_of: datetime) -> dict[str, Any]:
        """Train a candidate and let the gate decide; traffic moves if it is promoted."""
        with self._step(f"{name} is trained on {len(rows)} rows and judged"):
            candidate = self._serve_model(name, rows, dataset.sha256)
            judged = self.client.judge(candidate, as_of, self.world.reviewer)
            decision = judged.decision
            self.report.events_produced += judged.events
            if decision.action == "promoted":
                self.gateway.wait_for(candidate.id)
                self._champion_rows = list(rows)
        self.console.say(f"  {name}: ", (decision.verdict, "bold"), f". {one_line('; '.join(decision.reasons))}")
        return {
            "candidate": name,
            "verdict": decision.verdict,
            "reasons": list(decision.reasons),
            "reviews": judged.reviews,
        }

    def _plant(self, turn: int, dataset: DatasetFacts, as_of: datetime) -> dict[str, Any]:
        """The champion, made worse: it answers the commonest requests with the advice for others."""
        broken, spoilt = list(self._champion_rows), 0
        for reply, count in Counter(reply for _, reply in self._champion_rows).most_common():
            if spoilt >= PLANTED_SHARE * len(broken):
                break
            broken, spoilt = plant_regression(broken, reply), spoilt + count
        return self._judge(f"bot-{turn}-planted", broken, dataset, as_of)

    def _serve_traffic(self, turn: int, champion: Candidate) -> Served:
        count = round(self.options.interactions * GROWTH ** (turn - 1))
        requests = list(self.world.traffic.requests(count, turn, self.world.day(turn)))
        line = Line(
            self.producer.send, lambda topic, value: self.producer.send_bytes(topics.BY_NAME[topic], None, value, ())
        )
        with self._bar(f"  {count} customers' requests", count) as advance:
            served = asyncio.run(
                serve(
                    champion,
                    self.world.traffic,
                    requests,
                    self.world.replies,
                    line,
                    application=self.application,
                    tick=advance,
                )
            )
        self.producer.flush()
        self.report.events_produced += served.events
        return served

    def _accuracy(self) -> float:
        """Of whoever serves now, over HTTP, on what was never in traffic."""
        champion = self.gateway.champion()
        return round(asyncio.run(accuracy(champion, self.world.split.untouched, self.world.replies)), 4)

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        with self.console.status(styled(f"  {what} …")):
            yield
        self.console.print(f"  {what}: done")

    @contextmanager
    def _bar(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        with progress(self.console, counted=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda: bar.advance(task)


def asked_of(server: str, world: World) -> Candidate:
    """A model behind any server as the first champion: told all replies, and shown one answered request of each.

    Raises UsageError for what is no MODEL@URL.
    """
    model, at, url = server.rpartition("@")
    if not at or not model or not url.startswith(("http://", "https://")):
        raise UsageError(f"{server[:200]!r} names no model: write MODEL@URL with an http(s) URL, up to and with /v1")
    shown = {utterance.label: utterance.text for utterance in reversed(world.split.seed)}
    wanted = "Answer with exactly one of these replies, word for word:\n"
    prompt = [{"role": "system", "content": wanted + "\n".join(f"- {reply}" for reply in world.replies.values())}]
    for label, text in sorted(shown.items())[:SHOTS]:
        prompt += [{"role": "user", "content": text}, {"role": "assistant", "content": world.replies[label]}]
    return make_candidate(
        model, url.rstrip("/"), prompt_version="demo", prompt_messages=prompt,
        parameters={"temperature": 0, "max_tokens": MAX_TOKENS},
    )  # fmt: skip


def training_rows(folder: Path) -> Iterator[Row]:
    """What an exported dataset teaches: the customer's words and the right answer, read as any trainer would."""
    disable_progress_bars()
    cache = folder.parent / ".hf-cache"
    for row in load_dataset(str(folder), "sft", split="train", cache_dir=str(cache)):
        yield pair_of(row["messages"])


def _dataset_facts(summary: dict[str, Any]) -> DatasetFacts:
    training, held_back = summary["curate"]["training"], summary["curate"]["sample"]
    return DatasetFacts(
        path=training["path"],
        sha256=training["sha256"],
        sft_rows=training["sft_rows"],
        preference_rows=training["preference_rows"],
        sample_rows=held_back["sample_rows"],
    )


def _for_a_demo(settings: Settings) -> Settings:
    """The settings where a demo is unlike production."""
    return msgspec.structs.replace(
        settings,
        train=TrainSettings(),
        curate=msgspec.structs.replace(settings.curate, eval_share=EVAL_SHARE),
        gate=msgspec.structs.replace(settings.gate, alpha=ALPHA, reviews=REVIEWS, max_latency_ratio=MAX_LATENCY_RATIO),
    )


def _with_free_ports(settings: Settings) -> Settings:
    """The same settings, with free ports: a demo must not ask for mending, nor stand in the way of a `flywheel up`."""
    triage = msgspec.structs.replace(settings.triage, web_port=0)
    door = msgspec.structs.replace(settings.door, port=0)
    ui = msgspec.structs.replace(settings.ui, port=0)
    return msgspec.structs.replace(settings, triage=triage, door=door, ui=ui, prefect_port=0)


def _show(console: Terminal, report: Report, settings: Settings, ui: str, prefect_url: str) -> None:
    columns = (
        "turn", "served", "failing", "clusters", "sft", "pairs", "sample", "reviews", "candidate", "verdict",
        "accuracy",
    )  # fmt: skip
    table = Table(*columns, padding=(0, 0), pad_edge=False)
    table.add_row("before", *[""] * 9, f"{report.accuracy_before:.1%}")
    for turn in report.turns:
        facts = turn.dataset
        numbers = (turn.clusters, facts.sft_rows, facts.preference_rows, facts.sample_rows, turn.reviews)
        counts = [str(number) for number in numbers]
        if planted := turn.planted:
            table.add_row(
                str(turn.turn), *[""] * 6, str(planted["reviews"]), planted["candidate"], planted["verdict"], ""
            )
        shown = [str(turn.turn), turn.champion, f"{turn.failure_rate_live:.1%}", *counts]
        table.add_row(*shown, turn.candidate, turn.verdict, f"{turn.accuracy_untouched:.1%}")
    console.print(table)
    console.print(
        "served: who answered, and what share of the answers failed; sft, pairs: rows that teach; sample: requests "
        "that decide; reviews: disagreements in it that a person judged; accuracy: of the champion after the turn, on "
        "utterances that no turn has seen",
        style="dim",
    )
    whole = report.events_in_lake + report.dead_letters == report.events_produced
    console.print(
        f"{report.events_produced} events produced = {report.events_in_lake} in the lake + {report.dead_letters} dead "
        f"letters (it sends broken events too): {'nothing lost, nothing doubled' if whole else 'THIS DOES NOT ADD UP'}",
    )
    console.print(f"While it runs (--keep-running): web app {ui}, Prefect {prefect_url}")
    console.print(f"Datasets: {settings.datasets_path}")
    console.print(f"Look further: flywheel --home {settings.home_path} cluster list")
