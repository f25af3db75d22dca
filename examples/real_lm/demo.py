"""A real language model turns the wheel: served, corrected, fine-tuned, judged, promoted, watched; offline, on a CPU.

Read `Demo.play`: three turns, and a broken deployment. Each step is written into a book, so that a run that was killed
goes on behind the last one. `python -m examples.real_lm` calls `run`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from datasets import disable_progress_bars, load_dataset
from msgspec import Struct

from examples.support_bot.customers import Request
from examples.support_bot.reviewer import Reviewer
from examples.support_bot.traffic import Gateway, Line, accuracy, serve
from flows.prefect_api import TURN, served
from flows.stack import Stack
from flows.terminal import Terminal, progress, styled
from flows.visible import one_line
from schemas.errors import NotEnoughData, UsageError
from schemas.events import Candidate, Decision, Event
from schemas.settings import Settings
from schemas.trainer import TrainSettings
from streams.processes.supervise import sigterm_interrupts
from streams.producer import EventProducer

from .book import Book, Meter, size_mib
from .classifier import Classifier, share_right
from .customers import World, utterance_of
from .models import Models, Served
from .report import Accuracy, Result, Tried, Watched, show
from .rules import Rules
from .sent import Sent
from .wheel import Wheel

APPLICATION = "bank"
SEED = 7
"""Of the customers, the reviewer and the trainings."""
FEWER_TOKENS = {"max_tokens": 24}
"""The longest call has some twenty; what a model that runs away may cost is a half less."""
SHOTS, SHORT = "shots-1", "short"
TOGETHER = 32
"""Customers who wait for an answer at the same time, as many as a server answers at once."""
WATCH_REQUESTS, ROUNDS = 160, 2
"""Each of a user of its own, half of them beside the former champion. Users come until the watch has acted, at most as
many as make so many rounds of the requests."""
WATCH_TIMEOUT_S = 120.0
FEEDBACK_S = 15.0
"""How long the watch waits for what a user says: customers of a demo say it at once."""


class Options(Struct, frozen=True, kw_only=True):
    """What a person may say to `python -m examples.real_lm`."""

    python: Path
    """The interpreter that has torch."""
    environment: Path
    """Its folder, whose size is told."""
    home: Path
    requests: tuple[int, ...] = (600, 240, 160)
    """Of the turns."""
    seed_rows: int = 64
    """Requests that somebody wrote the right call to before the launch."""
    untouched: int = 160
    sample: int = 120
    """Requests that decide."""
    seed: int = SEED
    now: datetime


class Dataset(Struct, frozen=True):
    """What a turn built."""

    path: str
    version: str
    rows: int
    """Of `completion`, which teach."""
    pairs: int
    clusters: int


def run(settings: Settings, options: Options, console: Terminal) -> Result:
    """Play the demo, or what is left of it. Raises FlywheelError."""
    settings = _settings(settings, options)
    book = Book(options.home / "book.json")
    if "result" in book:
        console.say(f"{options.home} is played to its end: remove it, or name another with --home, to play anew")
        return book.once("result", Result, _never)
    now = book.once("now", datetime, lambda: options.now)
    with ExitStack() as stack:
        stack.enter_context(sigterm_interrupts())
        meter = stack.enter_context(Meter(book))
        starts = book.once("starts", int, lambda: 0) + 1
        book.write("starts", starts)
        if starts > 1:
            console.say(f"This is start {starts} of {options.home}: it goes on behind the last step that was finished")
        running = stack.enter_context(Stack(settings, say=console.say))
        console.say("See it turn in a browser: ", (running.addresses.ui, "bold"))
        sent = stack.enter_context(Sent(options.home / "sent.txt"))
        wheel = Wheel(running.settings, running.lake, running.orchestrator, f"real-lm:{starts}", sent)
        demo = stack.enter_context(Demo(wheel, book, meter, msgspec.structs.replace(options, now=now), console))
        stack.enter_context(running.orchestrator.held(served(TURN, settings.application)))
        demo.play()
        result = demo.finish()
        book.write("result", result)
        return result


class Demo:
    """The turns, played on a running flywheel."""

    def __init__(self, wheel: Wheel, book: Book, meter: Meter, options: Options, console: Terminal) -> None:
        self.wheel, self.book, self.meter, self.options, self.console = wheel, book, meter, options, console
        self.world = World(options.seed, options.seed_rows, (*options.requests, WATCH_REQUESTS), options.untouched)
        self.models = Models(options.python, options.home, book)
        self.reviewer = Reviewer(self.world.calls, options.seed)
        self.gateway = Gateway(wheel.settings.kafka.bootstrap_servers, wheel.settings.application)
        self.producer = EventProducer(wheel.settings.kafka, source="examples/real_lm")
        self.sent = wheel.sent
        self.seed_file = options.home / "seed.jsonl"
        self.tried: list[Tried] = []
        self.accuracies: list[Accuracy] = []
        self.watched: Watched | None = None

    def __enter__(self) -> Demo:
        return self

    def __exit__(self, *_: object) -> None:
        self.models.stop()
        self.gateway.close()
        self.producer.close()

    def play(self) -> None:
        """Launch, three turns, and a deployment that goes wrong."""
        self._launch()
        first = self._turn(1)
        self._try_shots(1, first)
        self._try_weights(1, first, "bot-1", "sft", 3)
        self._measure("after turn 1", first)
        second = self._turn(2)
        self._try_weights(2, second, "bot-1-dpo", "dpo", 0.5)
        self._try_weights(2, second, "bot-2", "sft", 1)
        self._measure("after turn 2", second)
        third = self._turn(3)
        self._try_short(3)
        self._measure("after turn 3", third)
        if self._former():
            self.watched = self.book.once("watched", Watched, self._break_deployment)

    def finish(self) -> Result:
        """Wait for the last events, count, and say what it came to."""
        with self._step("the last events come to rest"):
            self.wheel.wait_archived()
        at_rest, dead = self.wheel.at_rest(), self.wheel.counts()[1]
        show(self.console, self.tried, self.accuracies, self.watched)
        unlike = self.sent.unlike(at_rest, dead)
        self.console.say(f"{len(self.sent)} events sent, {len(at_rest)} in the lake by their ids, {dead} dead letters")
        if unlike:
            self.console.say(("not whole", "bold"), f": {unlike}")
        spent = self.meter.spent()
        return Result(
            accuracy_before=self.accuracies[0].accuracy,
            accuracy_after=self.accuracies[-1].accuracy,
            classifier_after=self.accuracies[-1].classifier,
            rules_after=self.accuracies[-1].rules,
            promoted=sum(one.action == "promoted" for one in self.tried),
            blocked=sum(one.action != "promoted" for one in self.tried),
            wall_min=round(spent.wall_s / 60, 1),
            cpu_min=round(spent.cpu_s / 60, 1),
            peak_rss_mib=round(spent.peak_rss_mib),
            disk_mib=round(size_mib(self.options.environment) + size_mib(self.options.home)),
            events_whole=not unlike,
        )

    def _launch(self) -> None:
        """The base model, the team's own rows, the first model, the first champion."""
        if "base" not in self.book:
            with self._step("SmolLM2-135M-Instruct is read from its package"):
                self.models.convert()
            self.book.write("base", value=True)
        if "bot-0" not in self.book:
            rows = [msgspec.json.encode({"text": row.text, "call": row.call}) for row in self.world.seed_rows]
            self.seed_file.write_bytes(b"\n".join(rows) + b"\n")
            what = f"bot-0 learns {len(rows)} rows that were written before the launch"
            self._train(what, "bot-0", "sft", "base", "--seed-rows", str(self.seed_file), "--epochs", "6")
            self.book.write("bot-0", value=True)
        champion = self.models.candidate("bot-0", "bot-0")
        if "launched" not in self.book:
            self.wheel.keep(champion.candidate, self.models.command(champion))
            self.wheel.first_champion(champion.candidate, self._day(1) - timedelta(hours=1))
            self.gateway.wait_for(champion.candidate.id)
            self.book.write("launched", value=True)
        self._measure("before", None)

    def _turn(self, turn: int) -> Dataset:
        """Customers talk to the champion, failures are clustered, datasets are built."""
        champion = self.book.once(f"champion of turn {turn}", Candidate, self.wheel.champion)
        self.console.rule(f"Turn {turn}: {champion.model} serves")
        if f"traffic {turn}" not in self.book:
            self._serve_traffic(turn, champion)
            self.book.write(f"traffic {turn}", value=True)
        return self.book.once(f"turn {turn}", Dataset, lambda: self._build(turn))

    def _build(self, turn: int) -> Dataset:
        with self._step("events come to rest in the lake"):
            self.wheel.wait_archived()
        with self._step("failures are clustered, datasets are built"):
            summary = self.wheel.turn(self._day(turn) + timedelta(hours=15))
        training = summary["curate"]["training"]
        version = self.wheel.version(training["path"])
        return Dataset(
            path=str(version.folder(self.wheel.settings)),
            version=version.version,
            rows=training["sft_rows"],
            pairs=training["preference_rows"],
            clusters=summary["cluster"]["clusters"],
        )

    def _serve_traffic(self, turn: int, champion: Candidate) -> None:
        count = self.options.requests[turn - 1]
        requests = list(self.world.traffic.requests(count, turn, self._day(turn)))
        calls = {request.label: request.label for request in requests}
        out = self.sent.line(self.producer, f"turn {turn}")
        self.models.deploy(self.models.served(champion))
        with self._bar(f"{count} customers' requests", count) as tell:
            done = asyncio.run(
                serve(
                    champion, self.world.traffic, requests, calls, out,
                    application=self.wheel.settings.application, connections=TOGETHER, tick=tell,
                )
            )  # fmt: skip
        self.producer.flush()
        self._note(f"{done.interactions} answers, {done.right / done.interactions:.1%} of them right")

    def _try_shots(self, turn: int, dataset: Dataset) -> None:
        """The champion's weights under another prompt: each request behind the most similar rows of the dataset."""
        champion = self.models.served(self.book.once(f"champion of turn {turn}", Candidate, self.wheel.champion))
        new = self.models.candidate(
            champion.candidate.model, Path(champion.folder).name, dataset=dataset.version, shots=dataset.path,
            prompt_version=SHOTS,
        )  # fmt: skip
        self._try(turn, new, "prompt version, 3 retrieved examples", f"{dataset.rows} rows to retrieve from")

    def _try_weights(self, turn: int, dataset: Dataset, name: str, method: str, epochs: float) -> None:
        """The champion's weights, trained further on what the turn has built."""
        base = self.book.once(f"base of {name}", str, lambda: self._folder_of(self.wheel.champion()))
        rows = dataset.rows + self.options.seed_rows if method == "sft" else dataset.pairs
        if not rows:
            self._note(f"{name} is not trained: the dataset has no rows that {method} takes")
            return
        if name not in self.book:
            more = ("--seed-rows", str(self.seed_file)) if method == "sft" else ()
            what = f"{name} learns from {base}, {rows} {'rows' if method == 'sft' else 'pairs'}"
            self._train(what, name, method, base, "--dataset", dataset.path, "--epochs", str(epochs), *more)
            self.book.write(name, value=True)
        new = self.models.candidate(name, name, dataset=dataset.version)
        kind = "new weights, SFT" if method == "sft" else "new weights, DPO"
        self._try(turn, new, kind, f"{rows} {'rows' if method == 'sft' else 'pairs'}", Path(new.folder))

    def _try_short(self, turn: int) -> None:
        """The champion's weights with fewer tokens at most, under the policy `as_good`."""
        champion = self.models.served(self.book.once(f"champion of turn {turn}", Candidate, self.wheel.champion))
        new = self.models.candidate(
            f"{champion.candidate.model}-{SHORT}", Path(champion.folder).name, dataset=champion.candidate.dataset,
            shots=champion.shots, parameters=FEWER_TOKENS,
        )  # fmt: skip
        self._try(turn, new, "parameters, 24 tokens at most (as_good)", "", as_good=True)

    def _try(
        self, turn: int, new: Served, kind: str, trained_on: str, folder: Path | None = None, *, as_good: bool = False
    ) -> None:
        """Let the gate decide about a candidate; traffic moves if it is promoted."""
        candidate, as_of = new.candidate, self._day(turn) + timedelta(hours=15)
        shown = f"{candidate.model} {candidate.prompt_version or ''}".strip()

        def judge() -> Tried:
            self.wheel.enter(candidate, as_of, self.models.command(new), folder)
            with self._step(f"{shown} is judged: {self.options.sample} requests to it and to the champion"):
                decide = self.wheel.judge_as_good if as_good else self.wheel.judge
                try:
                    judged = decide(candidate, as_of, self.reviewer)
                except NotEnoughData as error:
                    found = self.wheel.measured()
                    return Tried(
                        turn=turn, candidate=shown, kind=kind, trained_on=trained_on, action="waits",
                        verdict="inconclusive", reason=one_line(str(error)), reviews=found.reviewed, measured=found,
                    )  # fmt: skip
            decision = judged.decision
            if decision.action == "promoted":
                self.gateway.wait_for(candidate.id)
            return Tried(
                turn=turn, candidate=shown, kind=kind, trained_on=trained_on, action=decision.action,
                verdict=decision.verdict, reason=one_line(decision.reasons[0]) if decision.reasons else "",
                reviews=judged.reviews, measured=self.wheel.measured(decision.evidence["evaluation_id"]),
            )  # fmt: skip

        done = self.book.once(f"judged {candidate.id}", Tried, judge)
        self.tried.append(done)
        self.console.say(f"  {shown}: ", (f"{done.verdict}, {done.action}", "bold"), f". {done.reason}")

    def _measure(self, when: str, dataset: Dataset | None) -> None:
        """The champion and the classifier on the untouched requests; the champion over HTTP, once."""

        def measure() -> Accuracy:
            champion = self.wheel.champion()
            rows = self._rows(dataset)
            right = self.book.once(f"right of {champion.id}", float, lambda: self._right(champion))
            classifier, rules = (
                round(share_right(other.answer([case.text for case in self.world.untouched]), self.world.untouched), 4)
                for other in (Classifier(rows), Rules(rows))
            )
            return Accuracy(
                when=when, champion=champion.model, accuracy=round(right, 4), classifier=classifier, rules=rules,
                rows=len(rows),
            )  # fmt: skip

        found = self.book.once(f"accuracy {when}", Accuracy, measure)
        self.accuracies.append(found)
        self.console.say(
            f"  {when}: {found.champion} is right in {found.accuracy:.1%} of untouched requests, a classifier of all "
            f"{found.rows} rows so far in {found.classifier:.1%}, rules by hand in {found.rules:.1%}"
        )
        self.meter.keep()

    def _right(self, champion: Candidate) -> float:
        seen = [utterance_of(case) for case in self.world.untouched]
        with self._step(f"{champion.model} answers {len(seen)} untouched requests"):
            self.models.deploy(self.models.served(champion))
            calls = {case.call: case.call for case in self.world.untouched}
            return asyncio.run(accuracy(champion, seen, calls, connections=TOGETHER))

    def _rows(self, dataset: Dataset | None) -> list[tuple[str, str]]:
        """All rows so far, those of the seed and of the newest dataset: the champion has learned from no others."""
        rows = [(row.text, row.call) for row in self.world.seed_rows]
        if dataset:
            disable_progress_bars()
            cache = str(Path(dataset.path).parent / ".hf-cache")
            found = load_dataset(dataset.path, "completion", split="train", cache_dir=cache)
            rows += [(row["prompt"][-1]["content"], row["completion"][-1]["content"]) for row in found]
        return rows

    def _break_deployment(self) -> Watched:
        """Somebody deploys the base model's weights under the champion's name; the watch takes the champion back."""
        champion, former = self.wheel.champion(), self._former()
        if former is None:
            raise UsageError("nobody served before: there is nobody to go back to")
        turn = len(self.options.requests) + 1
        asked = list(self.world.traffic.requests(WATCH_REQUESTS, turn, self._day(turn))) * ROUNDS
        asked = [_by_another(request, number) for number, request in enumerate(asked)]
        broken = msgspec.structs.replace(self.models.served(champion), folder=str(self.models.folder / "base"))
        out, began = self.sent.line(self.producer, "watch"), time.monotonic()
        calls = {request.label: request.label for request in asked}
        self.console.rule(
            f"{champion.model} is deployed with the base model's weights; {former.model} serves beside it"
        )
        self.models.deploy(broken, self.models.served(former))
        with self._bar(f"{len(asked)} customers' requests", len(asked)) as tell:

            async def both() -> int:
                for first in range(0, len(asked), TOGETHER):
                    if self.wheel.rolled_back(champion):
                        return first
                    few, told = asked[first : first + TOGETHER], list[Event]()
                    later = Line(told.append, out.send_raw)
                    await asyncio.gather(
                        *(
                            serve(
                                model, self.world.traffic, of_model, calls, later,
                                application=self.wheel.settings.application, tick=tell,
                            )
                            for model, of_model in ((champion, few[::2]), (former, few[1::2]))
                        )
                    )  # fmt: skip
                    for event in _as_they_came(told, few):
                        out.send(event)
                return len(asked)

            came = asyncio.run(both())
        self.producer.flush()
        with self._step("the watch waits for what they say"):
            taken = self._wait_for_rollback(champion)
            if taken:
                self.gateway.wait_for(former.id)
        return Watched(
            deployed=champion.model, served=came, seconds=round(time.monotonic() - began, 1),
            reason=one_line(taken.reasons[0]) if taken else "THE WATCH DID NOT TAKE IT BACK",
            champion=self.wheel.champion().model,
        )  # fmt: skip

    def _former(self) -> Candidate | None:
        """Who served before the champion; None where nobody was promoted."""
        return next((decision.former for decision in reversed(self.wheel.decisions()) if decision.champion), None)

    def _wait_for_rollback(self, champion: Candidate) -> Decision | None:
        deadline = time.monotonic() + WATCH_TIMEOUT_S
        while (taken := self.wheel.rolled_back(champion)) is None and time.monotonic() < deadline:
            time.sleep(1.0)
        return taken

    def _train(self, what: str, name: str, method: str, base: str, *arguments: str) -> None:
        with progress(self.console, counted=True) as bar:
            task = bar.add_task(f"  {what}", total=None)
            last = 0

            def tell(step: int, steps: int) -> None:
                nonlocal last
                bar.update(task, completed=step, total=steps)
                if not self.console.is_terminal and (tenth := 10 * step // steps) > last:
                    last = tenth
                    self._note(f"{what}: step {step} of {steps}")

            seeded = (*arguments, "--seed", str(self.options.seed))
            self.models.train(name, method, base, seeded, tell)
        self._note(f"{what}: done")

    def _folder_of(self, champion: Candidate) -> str:
        return Path(self.models.served(champion).folder).name

    def _day(self, turn: int) -> datetime:
        """When a turn's traffic begins: on the days before the demo."""
        first = self.options.now - timedelta(days=len(self.options.requests) + 1)
        return first.replace(hour=8, minute=0, second=0, microsecond=0) + timedelta(days=turn - 1)

    def _note(self, what: str) -> None:
        """A line with the minutes that have passed, so that a log shows where they went."""
        self.console.say(f"[{self.meter.spent().wall_s / 60:5.1f} min] {what}")

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        self._note(f"{what} …")
        with self.console.status(styled(f"  {what} …")):
            yield
        self._note(f"{what}: done")
        self.meter.keep()

    @contextmanager
    def _bar(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        self._note(f"{what} …")
        done = 0
        with progress(self.console, counted=True) as bar:
            task = bar.add_task(f"  {what}", total=total)

            def tell() -> None:
                nonlocal done
                done += 1
                bar.advance(task)
                if not self.console.is_terminal and done % max(1, total // 10) == 0:
                    self._note(f"{what}: {done}")

            yield tell
        self.meter.keep()


def _as_they_came(events: Iterable[Event], requests: Sequence[Request]) -> list[Event]:
    """Events in the order of their users' requests, as a gateway writes them that answers each by itself.

    Of two servers that answer a dozen together one is done long before the other; the watch compares users who come
    together, and would compare dozens.
    """
    place = {request.user_id: number for number, request in enumerate(requests)}
    return sorted(events, key=lambda event: place.get(getattr(event, "user_id", None) or "", -1))


def _by_another(request: Request, number: int) -> Request:
    """The same request of another user, later."""
    later = request.time + timedelta(seconds=number)
    who = {"user_id": f"watched-{number}", "conversation_id": f"watched-{number}", "index": number, "time": later}
    return replace(request, **who)


def _never() -> Result:
    raise UsageError("there is no result yet")


def _settings(settings: Settings, options: Options) -> Settings:
    """The settings where a demo on two cores is unlike production."""
    change: Callable[..., Any] = msgspec.structs.replace
    return change(
        settings,
        home=str(options.home),
        application=APPLICATION,
        prefect_port=0,
        curate=change(settings.curate, eval_share=0.0, sample=options.sample, new_hours=0.0),
        evaluate=change(
            settings.evaluate, timeout_s=600.0, start_timeout_s=600.0, connections=2 * TOGETHER, scorer="exact"
        ),
        gate=change(settings.gate, alpha=0.1, reviews=(50,), margin=0.05, max_latency_ratio=3.0),
        triage=change(settings.triage, web_port=0, canary_delay_s=FEEDBACK_S, canary_accounts=2),
        door=change(settings.door, port=0),
        ui=change(settings.ui, port=0),
        train=TrainSettings(),
    )
