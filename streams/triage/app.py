"""Triage: a live look at failures, while they happen. Feedback joined to interactions, rates, alerts, a web page.

    interactions ─┐
                  ├─▶ join ──▶ changes (1 partition) ──▶ count ──▶ windows, alarms, canaries ──▶ alerts, rollback
    feedback ─────┘               ▲                                   └─▶ web page
    decisions ───── promotions ───┘

The only door to Faust, which delivers at least once and costs 80 µs of Python an event: good for thousands a second,
never for landing data. The arithmetic is in `streams/triage/rates.py`. Run it with `python -m streams triage`.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from yarl import URL

from schemas.codec import decode, encode, headers, type_of
from schemas.errors import EventError, FlywheelError, SettingsError
from schemas.events import Alert, Candidate, Decision, Event, Feedback, Interaction
from schemas.secrets import revealed
from schemas.settings import KafkaSettings, Settings
from schemas.topics import ALERTS, BY_NAME, DECISIONS, FEEDBACK, INTERACTIONS
from streams.access import TRIAGE
from streams.admin import Admin
from streams.keyring import own_secret, trust_of
from streams.logs import about, frames, to_stderr
from streams.triage import canary, report, web
from streams.triage.canary import Promotion, Watch, promotion_of
from streams.triage.headers import tolerate
from streams.triage.rates import Alarm, Change, Counts, Group, Seen, alert_of, observe, watch, window_start
from streams.triage.shelf import Shelf
from streams.triage.users import Met
from streams.triage.watching import Watching

if TYPE_CHECKING:
    import faust

_log = logging.getLogger(__name__)
SOURCE = "/flywheel/triage"
SESSION_S = 8.0
"""How long the broker waits for a lost worker before its work goes to the next start; the broker's least is 6."""
RETRY_S = 2.0
"""How soon a champion that was shown to be worse is taken back, and tried again."""
LONGEST_TICK_S = 60.0
"""While users wait to be counted, how often the log is told the time at least, traffic or not."""


RollBack = Callable[[str, Candidate, Alert], None]
"""Takes a champion back: application, champion, and the alert that says why. Called every `RETRY_S` until the rollback
is seen among the decisions, so it must do nothing the second time. It may block; a FlywheelError of it is logged."""


def main(settings: Settings, roll_back: RollBack | None = None) -> None:
    """Run triage until SIGTERM or SIGINT. Raises SettingsError for settings that cannot work.

    Without `roll_back` a champion that is worse than the one before is alerted of, and left to a person.
    """
    import faust  # noqa: PLC0415 - lazy: a second of import that the archiver, started by the same door, need not pay

    tolerate()
    (settings.home_path / "triage").mkdir(parents=True, exist_ok=True)
    app = Triage(settings, roll_back).app
    Admin(settings.kafka).ensure_topics()
    to_stderr("triage")
    worker = faust.Worker(app, loglevel="INFO", console_port=0, override_logging=False)
    worker.execute_from_commandline()


class Tick(Struct, frozen=True, tag=True):
    """Time goes by in the log of changes, although nothing changes."""


class Triage:
    """One Faust app: its topics, its tables and its pages."""

    def __init__(self, settings: Settings, roll_back: RollBack | None = None) -> None:
        if settings.triage.alert_clear_rate > settings.triage.alert_rate:
            raise SettingsError("triage.alert_clear_rate must not be above triage.alert_rate")
        self.settings = settings.triage
        self.failing_labels = settings.cluster.failing_labels
        self.max_event_bytes = settings.archive.max_event_bytes
        self.trust = trust_of(settings)
        self.key = own_secret(settings.home_path, "triage").encode()
        self.counts: Counter[str] = Counter()
        """What was seen since this process started, and what was dropped, by reason."""
        self.app = _app(settings)
        events = self.app.topic(
            INTERACTIONS.name, FEEDBACK.name, key_serializer="raw", value_serializer="raw", allow_empty=True
        )
        self.changes = self.app.topic(
            f"{TRIAGE}-changes", partitions=1, internal=True, key_serializer="raw", value_serializer="raw"
        )
        self.alerts = self.app.topic(ALERTS.name, key_serializer="raw", value_serializer="raw")
        self.seen = Shelf(self._table("seen", settings.kafka.partitions), Seen)
        self._order: dict[int, deque[str]] = {}
        self.windows = Shelf(self._table("windows"), Counts)
        self.alarms = Shelf(self._table("alarms"), Alarm)
        self.canaries = Shelf(self._table("canaries"), Watch)
        met = Shelf(self._table("users"), Met)
        self.watching = Watching(self.canaries, met, self.settings)
        self.roll_back = roll_back
        decisions = self.app.topic(DECISIONS.name, key_serializer="raw", value_serializer="raw", allow_empty=True)
        self.app.agent(events, name="join")(self.join)
        self.app.agent(decisions, name="decisions")(self.follow)
        self.app.agent(self.changes, name="count")(self.count)
        self.app.timer(RETRY_S)(self.act)
        self.app.timer(min(LONGEST_TICK_S, self.settings.canary_delay_s / 2))(self.tick)
        self.seen.on_recovery(self._recovered)
        met.on_recovery(self._met_again)
        self._serve("/", self.page)
        self._serve("/rates.json", self.rates)
        self._serve("/metrics", self.metrics)
        self._serve("/ready", self.ready)

    def _table(self, name: str, partitions: int = 1) -> Any:
        return self.app.Table(name, key_type=bytes, value_type=bytes, partitions=partitions)

    async def join(self, stream: faust.StreamT[bytes]) -> None:
        """Every event into the state of its interaction, and on as a change of its group's counts."""
        async for kafka_event in stream.events():
            if change := self._looked_at(kafka_event.message):
                key = msgspec.json.encode(change.group)
                await self.changes.send(key=key, value=msgspec.json.encode(change))

    async def follow(self, stream: faust.StreamT[bytes]) -> None:
        """Every change of champion, on to where users are counted."""
        async for kafka_event in stream.events():
            event = self._decoded(kafka_event.message)
            if isinstance(event, Decision) and (promotion := promotion_of(event)):
                key = promotion.application.encode()
                await self.changes.send(key=key, value=msgspec.json.encode(promotion))

    async def count(self, stream: faust.StreamT[bytes]) -> None:
        """Every change into its window and to its user, and an alert where either turns bad."""
        async for kafka_event in stream.events():
            now, offset = kafka_event.message.timestamp, kafka_event.message.offset
            change = msgspec.json.decode(kafka_event.value, type=Change | Promotion | Tick)
            alerts = self._settle(now)
            if isinstance(change, Promotion):
                self.watching.promote(change)
            elif isinstance(change, Change):
                alerts += self._count(change, offset)
                if self.watching.hear(change, offset, now):
                    self.counts["samples of users halved"] += 1
            for alert in alerts:
                self.counts["alerts"] += 1
                key = alert.application.encode()
                await self.alerts.send(key=key, value=encode(alert), headers=headers(alert, SOURCE))

    async def tick(self) -> None:
        """Let the time go by for users who wait while nobody asks anything."""
        if self.watching.users.waiting:
            await self.changes.send(key=b"", value=msgspec.json.encode(Tick()))

    async def act(self) -> None:
        """Have every champion taken back that was shown to be worse than the one before."""
        for key, state in self.canaries.items():
            if self.roll_back is None or state.champion is None or canary.standing(state, self.settings) != "worse":
                continue
            alert = canary.alert_of(key.decode(), state, self.settings, datetime.now(UTC))
            try:
                await asyncio.to_thread(self.roll_back, key.decode(), state.champion, alert)
            except FlywheelError as error:
                _log.warning("%s cannot be taken back yet: %s", state.champion.model, error)

    def page(self, view: faust.web.View) -> faust.web.Response:
        """The rates as a small page for people."""
        return view.html(report.page(self.report()))

    def rates(self, view: faust.web.View) -> faust.web.Response:
        """The rates as JSON; docs/operations.md describes it."""
        return view.json(self.report())

    def metrics(self, view: faust.web.View) -> faust.web.Response:
        """The same for Prometheus."""
        return view.text(report.metrics(self.report()), content_type="text/plain; version=0.0.4")

    def ready(self, view: faust.web.View) -> faust.web.Response:
        """200 once the tables are recovered and events are read."""
        at_work = self.app.consumer is not None and bool(self.app.consumer.assignment())
        ok = at_work and not self.app.rebalancing and not self.app.in_recovery
        return view.json({"ready": ok}, status=200 if ok else 503)

    def report(self) -> dict[str, Any]:
        """What the page shows."""
        raised = {msgspec.json.decode(key, type=Group) for key, alarm in self.alarms.items() if alarm.raised}
        watches = {key.decode(): found for key, found in self.canaries.items()}
        counts = {**self.counts, "users waiting to be counted": self.watching.users.waiting}
        return report.report(self._windows(), raised, watches, counts, self.settings)

    def _serve(self, path: str, answer: Callable[[faust.web.View], faust.web.Response]) -> None:
        async def handle(view: faust.web.View, _request: faust.web.Request) -> faust.web.Response:
            return answer(view)

        self.app.page(path, name=path)(handle)

    async def _recovered(self) -> None:
        self._order.clear()

    async def _met_again(self) -> None:
        self.watching.users.recovered()

    def _looked_at(self, message: faust.types.Message) -> Change | None:
        """`_observe`, whatever one record does: the archiver keeps it as a dead letter, with its traceback."""
        with about(record=f"{message.topic}:{message.partition}@{message.offset}"):
            try:
                return self._observe(message)
            except Exception as error:
                _log.error("a record cannot be looked at: it is left out\n%s", frames(error))
                self.counts["malformed: unexpected"] += 1
                return None

    def _observe(self, message: faust.types.Message) -> Change | None:
        """One Kafka record into the join; what cannot be used is counted under the name of its reason."""
        event = self._decoded(message)
        if not isinstance(event, Interaction | Feedback):
            return None
        interaction_id = event.id if isinstance(event, Interaction) else event.interaction_id
        before = self.seen.get(interaction_id.encode())
        if before is None:
            before = Seen(message.partition)
            self._admit(interaction_id, message.partition)
        after, change = observe(before, event, self.failing_labels, self.key)
        if after is not before:
            self.seen.put(interaction_id.encode(), after)
        return change

    def _decoded(self, message: faust.types.Message) -> Event | None:
        topic = BY_NAME[message.topic]
        if len(message.value or b"") > self.max_event_bytes:
            self.counts["malformed: too_large"] += 1
            return None
        record_headers = _pairs(message.headers)
        if topic.signed and self.trust.signer(topic.event_type, message.value, record_headers) is None:
            self.counts["malformed: unsigned"] += 1
            _log.warning("%s[%s]@%s is signed by nobody trusted", message.topic, message.partition, message.offset)
            return None
        try:
            event = decode(message.value, type_of(record_headers, topic.event_type)).event
        except EventError as error:
            self.counts[f"malformed: {error.reason}"] += 1
            return None
        self.counts[topic.table] += 1
        return event

    def _admit(self, interaction_id: str, partition: int) -> None:
        """Make room: the oldest interaction of the partition is forgotten when there are too many."""
        order = self._order.get(partition)
        if order is None:  # the first event since the start or a recovery
            known = [(seen.time, key.decode()) for key, seen in self.seen.items() if seen.partition == partition]
            order = self._order[partition] = deque(key for _, key in sorted(known))
        order.append(interaction_id)
        while len(order) > self.settings.keep_interactions:
            self.seen.drop(order.popleft().encode())
            self.counts["forgotten interactions"] += 1

    def _count(self, change: Change, offset: int) -> list[Alert]:
        """A change into its window; an alert where that window turns bad or good again."""
        window = window_start(change.time, self.settings.window_s)
        key = msgspec.json.encode((change.group, window))
        before = self.windows.get(key) or Counts()
        if offset <= before.offset:
            return []
        counts = before.plus(change, offset)
        self.windows.put(key, counts)
        self._forget_windows()
        group = msgspec.json.encode(change.group)
        was = self.alarms.get(group) or Alarm()
        now = watch(was, window, counts, self.settings)
        if now == was:
            return []
        self.alarms.put(group, now)
        return [alert_of(change.group, now, counts, self.settings)]

    def _settle(self, now: float) -> list[Alert]:
        """Users whose time is over; an alert where their comparison is decided."""
        alerts = []
        for application, before, after, due in self.watching.settle(now):
            if canary.standing(after, self.settings) != canary.standing(before, self.settings):
                alerts.append(canary.alert_of(application, after, self.settings, datetime.fromtimestamp(due, UTC)))
        return alerts

    def _windows(self) -> list[tuple[Group, int, Counts]]:
        """All windows that are kept: group, start, counts."""
        return [(*msgspec.json.decode(key, type=tuple[Group, int]), counts) for key, counts in self.windows.items()]

    def _forget_windows(self) -> None:
        """Make room: the oldest tenth goes at once, so that the sorting is paid for rarely."""
        if len(self.windows) <= self.settings.keep_windows:
            return
        oldest = sorted(self.windows, key=lambda key: msgspec.json.decode(key, type=tuple[Group, int])[1])
        for key in oldest[: len(oldest) // 10 + 1]:
            self.windows.drop(key)
            self.counts["forgotten windows"] += 1


def _app(settings: Settings) -> faust.App:
    import faust  # noqa: PLC0415 - lazy: see `main`

    servers = settings.kafka.bootstrap_servers
    if not servers:
        raise SettingsError("kafka.bootstrap_servers is not set: triage joins a broker that runs")
    return faust.App(
        TRIAGE,
        broker=[URL(f"aiokafka://{server.strip()}") for server in servers.split(",")],
        broker_credentials=_credentials(settings.kafka),
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=SESSION_S / 4,
        broker_request_timeout=30.0,
        consumer_auto_offset_reset="earliest",
        datadir=str(settings.home_path / "triage"),
        store="memory://",
        table_standby_replicas=0,
        topic_partitions=settings.kafka.partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
        stream_wait_empty=False,
        worker_redirect_stdouts=False,
        **web.options(settings.triage),
    )


def _credentials(kafka: KafkaSettings) -> Any:
    """Faust's credentials from librdkafka-style options; None for a plain connection."""
    import faust  # noqa: PLC0415 - lazy: see `main`

    options = revealed(kafka.client)
    protocol = options.get("security.protocol", "PLAINTEXT").upper()
    context = (
        ssl.create_default_context(cafile=options.get("ssl.ca.location")) if "SSL" in protocol.split("_") else None
    )
    if context and (certificate := options.get("ssl.certificate.location")):
        context.load_cert_chain(certificate, options.get("ssl.key.location"), options.get("ssl.key.password"))
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=options.get("sasl.username"),
            password=options.get("sasl.password"),
            mechanism=options.get("sasl.mechanisms") or options.get("sasl.mechanism") or "PLAIN",
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None


def _pairs(found: Any) -> list[tuple[str, bytes]]:
    """Kafka headers, which Faust types as a mapping or pairs."""
    return list(found.items() if isinstance(found, Mapping) else found or ())
