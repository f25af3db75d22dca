"""Triage: a live look at failures, while they happen. Feedback joined to interactions, rates, alerts, a web page.

    interactions ─┐
                  ├─▶ join ──▶ changes (1 partition) ──▶ count ──▶ windows, alarms ──▶ alerts
    feedback ─────┘                                                   └─▶ web page

The only door to Faust, which delivers at least once and costs 80 µs of Python an event: good for thousands a second,
never for landing data. The arithmetic is in `streams/rates.py`. Run it with `python -m streams triage`.
"""

from __future__ import annotations

import ssl
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from jinja2 import Environment
from yarl import URL

from schemas.codec import decode, encode, headers, type_of
from schemas.errors import EventError, SettingsError
from schemas.events import Feedback, Interaction
from schemas.settings import KafkaSettings, Settings
from schemas.topics import ALERTS, BY_NAME, FEEDBACK, INTERACTIONS
from streams.rates import Alarm, Change, Counts, Group, Seen, alert_of, observe, watch, window_start

if TYPE_CHECKING:
    import faust

APP_ID = "flywheel-triage"
SOURCE = "/flywheel/triage"
SESSION_S = 8.0
"""How long the broker waits for a lost worker before its work goes to the next start; the broker's least is 6."""
State = TypeVar("State", Seen, Counts, Alarm)
_PAGE = Environment(autoescape=True).from_string(Path(__file__).with_name("triage.html").read_text())


def main(settings: Settings) -> None:
    """Run triage until SIGTERM or SIGINT. Raises SettingsError for settings that cannot work."""
    import faust  # noqa: PLC0415 - lazy: a second of import that the archiver, started by the same door, need not pay

    (settings.home_path / "triage").mkdir(parents=True, exist_ok=True)
    worker = faust.Worker(Triage(settings).app, loglevel="INFO", console_port=0)
    worker.execute_from_commandline()


class Triage:
    """One Faust app: its topics, its tables and its pages."""

    def __init__(self, settings: Settings) -> None:
        if settings.triage.alert_clear_rate > settings.triage.alert_rate:
            raise SettingsError("triage.alert_clear_rate must not be above triage.alert_rate")
        self.settings = settings.triage
        self.counts: Counter[str] = Counter()
        """What was seen since this process started, and what was dropped, by reason."""
        self.app = _app(settings)
        events = self.app.topic(
            INTERACTIONS.name, FEEDBACK.name, key_serializer="raw", value_serializer="raw", allow_empty=True
        )
        self.changes = self.app.topic(
            f"{APP_ID}-changes", partitions=1, internal=True, key_serializer="raw", value_serializer="raw"
        )
        self.alerts = self.app.topic(ALERTS.name, key_serializer="raw", value_serializer="raw")
        self.seen = Shelf(self.app, "seen", Seen, settings.kafka.partitions)
        self._order: dict[int, deque[str]] = {}
        self.windows = Shelf(self.app, "windows", Counts, 1)
        self.alarms = Shelf(self.app, "alarms", Alarm, 1)
        self.app.agent(events, name="join")(self.join)
        self.app.agent(self.changes, name="count")(self.count)
        self.seen.on_recovery(self._recovered)
        self._serve("/", self.page)
        self._serve("/rates.json", self.rates)
        self._serve("/ready", self.ready)

    async def join(self, stream: faust.StreamT[bytes]) -> None:
        """Every event into the state of its interaction, and on as a change of its group's counts."""
        async for kafka_event in stream.events():
            if change := self._observe(kafka_event.message):
                key = msgspec.json.encode(change.group)
                await self.changes.send(key=key, value=msgspec.json.encode(change))

    async def count(self, stream: faust.StreamT[bytes]) -> None:
        """Every change into its window, and an alert where that window turns bad or good again."""
        async for kafka_event in stream.events():
            offset = kafka_event.message.offset
            change = msgspec.json.decode(kafka_event.value, type=Change)
            window = window_start(change.time, self.settings.window_s)
            key = msgspec.json.encode((change.group, window))
            before = self.windows.get(key) or Counts()
            if offset <= before.offset:
                continue
            counts = before.plus(change, offset)
            self.windows.put(key, counts)
            await self._watch(change.group, window, counts)
            self._forget_windows()

    def page(self, view: faust.web.View) -> faust.web.Response:
        """The rates as a small page for people."""
        return view.html(_PAGE.render(self.report(), moment=_moment))

    def rates(self, view: faust.web.View) -> faust.web.Response:
        """The rates as JSON; docs/operations.md describes it."""
        return view.json(self.report())

    def ready(self, view: faust.web.View) -> faust.web.Response:
        """200 once the tables are recovered and events are read."""
        at_work = self.app.consumer is not None and bool(self.app.consumer.assignment())
        ok = at_work and not self.app.rebalancing and not self.app.in_recovery
        return view.json({"ready": ok}, status=200 if ok else 503)

    def report(self) -> dict[str, Any]:
        """All rates: by group over the windows that are kept, and by window, newest first."""
        windows = [(*msgspec.json.decode(key, type=tuple[Group, int]), counts) for key, counts in self.windows.items()]
        groups: dict[Group, Counts] = {}
        for group, _, counts in windows:
            groups[group] = groups.get(group, Counts()).plus(counts)
        raised = {msgspec.json.decode(key, type=Group) for key, alarm in self.alarms.items() if alarm.raised}
        return {
            "window_s": self.settings.window_s,
            "groups": [{**_row(group, counts), "alarm": group in raised} for group, counts in sorted(groups.items())],
            "windows": [
                {"start": start, **_row(group, counts)}
                for group, start, counts in sorted(windows, key=lambda row: (-row[1], row[0]))
            ],
            "events": dict(sorted(self.counts.items())),
        }

    def _serve(self, path: str, answer: Callable[[faust.web.View], faust.web.Response]) -> None:
        async def handle(view: faust.web.View, _request: faust.web.Request) -> faust.web.Response:
            return answer(view)

        self.app.page(path, name=path)(handle)

    async def _recovered(self) -> None:
        self._order.clear()

    def _observe(self, message: faust.types.Message) -> Change | None:
        """One Kafka record into the join; what cannot be used is counted under the name of its reason."""
        event = self._decoded(message)
        if event is None:
            return None
        interaction_id = event.id if isinstance(event, Interaction) else event.interaction_id
        before = self.seen.get(interaction_id.encode())
        if before is None:
            before = Seen(message.partition)
            self._admit(interaction_id, message.partition)
        after, change = observe(before, event)
        if after is not before:
            self.seen.put(interaction_id.encode(), after)
        return change

    def _decoded(self, message: faust.types.Message) -> Interaction | Feedback | None:
        topic = BY_NAME[message.topic]
        try:
            event = decode(message.value, type_of(_pairs(message.headers), topic.event_type)).event
        except EventError as error:
            self.counts[f"malformed: {error.reason}"] += 1
            return None
        if not isinstance(event, Interaction | Feedback):
            self.counts["malformed: wrong_topic"] += 1
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

    async def _watch(self, group: Group, window: int, counts: Counts) -> None:
        key = msgspec.json.encode(group)
        before = self.alarms.get(key) or Alarm()
        after = watch(before, window, counts, self.settings)
        if after == before:
            return
        self.alarms.put(key, after)
        alert = alert_of(group, after, counts, self.settings)
        self.counts["alerts"] += 1
        await self.alerts.send(key=alert.application.encode(), value=encode(alert), headers=headers(alert, SOURCE))

    def _forget_windows(self) -> None:
        """Make room: the oldest tenth goes at once, so that the sorting is paid for rarely."""
        if len(self.windows) <= self.settings.keep_windows:
            return
        oldest = sorted(self.windows.keys(), key=lambda key: msgspec.json.decode(key, type=tuple[Group, int])[1])
        for key in oldest[: len(oldest) // 10 + 1]:
            self.windows.drop(key)
            self.counts["forgotten windows"] += 1


class Shelf(Generic[State]):
    """A Faust table of small values: its changelog in Kafka brings it back after a restart.

    Written only while an event is worked on, in the partition of that event.
    """

    def __init__(self, app: faust.App, name: str, state: type[State], partitions: int) -> None:
        self._table = app.Table(name, key_type=bytes, value_type=bytes, partitions=partitions)
        self._decoder: msgspec.json.Decoder[State] = msgspec.json.Decoder(state)

    def get(self, key: bytes) -> State | None:
        """The value under a key, or None."""
        value = self._table.get(key)
        return None if value is None else self._decoder.decode(value)

    def put(self, key: bytes, value: State) -> None:
        """Keep a value under a key."""
        self._table[key] = msgspec.json.encode(value)

    def drop(self, key: bytes) -> None:
        """Forget a key."""
        self._table.pop(key, None)

    def keys(self) -> list[bytes]:
        """All keys."""
        return list(self._table.keys())

    def items(self) -> Iterator[tuple[bytes, State]]:
        """All keys with their values."""
        return ((key, self._decoder.decode(value)) for key, value in list(self._table.items()))

    def on_recovery(self, call: Callable[[], Awaitable[None]]) -> None:
        """Call something each time that the table has been brought back."""
        self._table.on_recover(call)

    def __len__(self) -> int:
        return len(self._table)


def _app(settings: Settings) -> faust.App:
    import faust  # noqa: PLC0415 - lazy: see `main`

    servers = settings.kafka.bootstrap_servers
    if not servers:
        raise SettingsError("kafka.bootstrap_servers is not set: triage joins a broker that runs")
    return faust.App(
        APP_ID,
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
        web_bind="127.0.0.1",
        web_host="127.0.0.1",
        web_port=settings.triage.web_port,
    )


def _credentials(kafka: KafkaSettings) -> Any:
    """Faust's credentials from librdkafka-style options; None for a plain connection."""
    import faust  # noqa: PLC0415 - lazy: see `main`

    options = kafka.client
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


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def _row(group: Group, counts: Counts) -> dict[str, Any]:
    numbers = {name: getattr(counts, name) for name in ("interactions", "judged", "failed", "rate")}
    return {**msgspec.structs.asdict(group), **numbers}
