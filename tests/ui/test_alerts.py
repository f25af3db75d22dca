"""Alerts on their way to people: what is one, what is told once, how it is signed, and a place that is away."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from confluent_kafka import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from schemas.codec import encode
from schemas.errors import EndpointError, SettingsError
from schemas.events import Alert
from schemas.loading import load
from schemas.records import Cluster
from schemas.secrets import Secret
from schemas.serving import AlertSettings, Webhook
from schemas.settings import KafkaSettings, Settings
from streams.alerts import came_of
from streams.lake import Lake
from tests.support.waiting import eventually
from tests.support.webhook import Place
from ui.app import make_app
from ui.health import Health
from ui.notices.book import KEPT, Book
from ui.notices.notifier import HOLD, Notifier, gathered, send
from ui.notices.rules import Trouble, changes, path_of, subject, troubles
from ui.notices.shapes import request_of

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
HOSTILE = "<!channel> *now* [x](http://evil.example) \x1b]0;t\x07 \u202e & <b>\nnext"
KAFKA = Trouble(rule="kafka_away", message="Kafka cannot be asked")


def alert(n: int = 0, **fields: Any) -> Alert:
    known = {"time": NOW, "application": "bot", "rule": "failure_rate", "message": "half of them fail", "model": "m"}
    return Alert(**{"id": f"00000000-0000-4000-8000-{n:012d}", **known, **fields})


@pytest.fixture
def place() -> Iterator[Place]:
    with Place() as found:
        yield found
        found.shutdown()


class World:
    """A notifier whose troubles, and whose time, are the test's."""

    def __init__(self, home: Path, **alerts: Any) -> None:
        self.found: list[Trouble] | None = []
        self.blind: list[str] = []
        self.sent: list[Alert] = []
        self.now = NOW
        self.notifier = Notifier(Settings(home=str(home), alerts=AlertSettings(**alerts)), self, self.sent.extend)

    def troubles(self, now: datetime) -> list[Trouble] | None:  # noqa: ARG002 as the state has it
        return self.found

    def unsure(self) -> list[str]:
        return self.blind

    def after(self, **time: float) -> list[Alert]:
        self.now += timedelta(**time)
        made = self.notifier.look(self.now)
        self.notifier.deliver(self.now)
        return made

    def states(self) -> list[str]:
        return [one.places.get("ops", "") for one in reversed(self.notifier.book.newest(KEPT))]


@pytest.fixture
def world(tmp_path: Path, place: Place) -> World:
    return World(tmp_path, webhooks={"ops": Webhook(url=Secret(place.url), secret=Secret(SECRET))}, per_hour=5)


class Takes:
    """Where alerts go to Kafka, whose disk is full at first."""

    def __init__(self, refusals: int) -> None:
        self.refusals, self.got = refusals, list[Alert]()

    def send(self, alerts: Sequence[Alert]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise OSError("the disk is full")
        self.got += alerts


def cluster(**fields: Any) -> Cluster:
    known = {"cluster_id": "c1", "name": "refund", "size": 7, "size_total": 9, "rate": 0.02}
    return Cluster(**{**known, "rate_low": None, "rate_high": None, "status": "regressed", **fields})


def test_what_only_the_web_app_sees_is_told() -> None:
    """Kafka away, archiver stopped, events lost, wheel still, a cluster back; nothing where all is well."""
    seen = Health(asked=True, kafka="no answer", still_since=NOW, behind=1, lost=2)
    found = troubles(seen, NOW, NOW - timedelta(hours=4), [cluster(), cluster(status="steady")], NOW)
    assert [one.rule for one in found] == [
        "kafka_away", "archiver_stopped", "events_lost", "wheel_still", "cluster_regressed",
    ]  # fmt: skip
    assert [one.message for one in found][1].endswith(
        "1 event waits in Kafka and none has come to rest since 5 Jan 2026, 09:00"
    )
    assert found[-1].message == "“refund” came back: 7 failures, 2.0 % of requests"
    assert troubles(Health(asked=True), NOW, NOW - timedelta(hours=2), [], NOW) == []
    assert troubles(Health(asked=True, kafka="none is named", named=False), None, None, [], NOW) == []


def test_a_trouble_is_told_once_when_it_has_lasted_and_once_when_it_is_over(world: World, place: Place) -> None:
    """A broker that is away for a moment is no trouble; one alert begins it, one ends it, however often one looks."""
    world.found = [KAFKA]
    assert world.after(seconds=0) == []
    world.found = []
    world.after(seconds=30)
    world.found = [KAFKA]
    assert world.after(seconds=30) == []
    began = world.after(seconds=HOLD.total_seconds())
    assert [one.severity for one in began] == ["critical"]
    assert [world.after(minutes=5) for _ in range(3)] == [[], [], []]

    world.found = []
    assert world.after(minutes=5) == []
    (ended,) = world.after(seconds=HOLD.total_seconds())
    assert ended.severity == "info"
    assert ended.message == "Over after 21 min: Kafka cannot be asked"
    assert world.sent == [*began, ended]
    assert [body["data"]["message"] for body in place.bodies] == [began[0].message, ended.message]
    assert world.states() == ["told", "told"]


def test_what_nothing_is_known_of_neither_begins_nor_ends(world: World) -> None:
    """While Kafka is away nobody knows of the archiver; before the index is made, of anything."""
    stopped = Trouble(rule="archiver_stopped", message="stopped")
    world.found = [stopped]
    world.after(seconds=0)
    assert world.after(seconds=90) != []
    world.found, world.blind = [], [stopped.subject]
    assert [world.after(minutes=5), world.after(minutes=5)] == [[], []]
    world.found = None
    assert [world.after(minutes=5), world.after(minutes=5)] == [[], []]
    world.found, world.blind = [], []
    world.after(seconds=0)
    assert [one.severity for one in world.after(minutes=5)] == ["info"]


def test_a_restart_tells_nothing_twice(tmp_path: Path, place: Place) -> None:
    """What stands is on disk: a new process neither begins it anew nor forgets to end it."""
    known = {"webhooks": {"ops": Webhook(url=Secret(place.url))}}
    first = World(tmp_path, **known)
    first.found = [KAFKA]
    first.after(seconds=0)
    first.after(minutes=2)
    second = World(tmp_path, **known)
    second.now, second.found = first.now, [KAFKA]
    assert [second.after(minutes=2), second.after(minutes=2)] == [[], []]
    second.found = []
    second.after(minutes=2)
    assert [one.severity for one in second.after(minutes=2)] == ["info"]
    assert len(place.got) == 2


def test_one_that_comes_and_goes_is_not_told_each_time(world: World, place: Place) -> None:
    """Within the hour a place hears of it once, and that it is over once; what stands after the hour is told then."""
    book = world.notifier.book
    for n in range(6):
        severity = "info" if n % 2 else "warning"
        book.put([alert(n, severity=severity)], {"ops": ()}, NOW + timedelta(minutes=5 * n), 3600)
    world.now = NOW + timedelta(minutes=30)
    world.after(seconds=0)
    assert [body["data"]["severity"] for body in place.bodies] == ["warning", "info"]
    world.after(hours=2)
    assert world.states() == ["told", "told", "quiet", "quiet", "quiet", "quiet"]
    book.put([alert(6, severity="warning")], {"ops": ()}, NOW + timedelta(minutes=40), 3600)
    world.after(hours=1)
    assert world.states()[-1] == "told"


def test_many_come_together(world: World, place: Place) -> None:
    """Of forty at once four are told alone and the rest by one message, as grave as the gravest; the hour is full."""
    many = [alert(n, model=f"m{n}", severity="critical" if n == 30 else "warning") for n in range(40)]
    world.notifier.book.put(many, {"ops": ()}, NOW, 0)
    world.after(seconds=1)
    assert len(place.got) == 5
    last = place.bodies[-1]["data"]
    assert (last["rule"], last["severity"], last["values"]) == ("more_alerts", "critical", {"failure_rate": 36.0})
    assert last["link"].endswith("/alerts")
    world.notifier.book.put([alert(90, model="late")], {"ops": ()}, NOW, 0)
    world.after(minutes=30)
    assert len(place.got) == 5
    world.after(minutes=31)
    assert len(place.got) == 6


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_place_that_does_not_take_it_is_asked_again_later(world: World, place: Place, status: int) -> None:
    """Each time later; what it did not take within a day is missed, and said so. A redirect is followed nowhere."""
    place.status = status
    world.notifier.book.put([alert(1)], {"ops": ()}, NOW, 0)
    world.after(seconds=1)
    why = world.notifier.book.troubles()["ops"]
    assert why.startswith(f"alerts.webhooks.ops: HTTP {status}")
    assert "secret-path" not in why
    place.status = 200
    world.after(seconds=1)
    assert place.got == []
    world.after(seconds=5)
    assert world.states() == ["told"]
    assert world.notifier.book.troubles() == {}

    place.status = status
    world.notifier.book.put([alert(2, model="other")], {"ops": ()}, world.now, 0)
    for _ in range(30):
        world.after(hours=1)
    assert world.states() == ["told", "missed"]


@pytest.mark.parametrize("status", [400, 413])
def test_what_a_place_will_never_take_holds_nothing_up(world: World, place: Place, status: int) -> None:
    """It is told no more of it, and of the next at once; a long message is cut before anybody could refuse it."""
    place.status = status
    world.notifier.book.put([alert(1)], {"ops": ()}, NOW, 0)
    world.after(seconds=1)
    place.status = 200
    world.notifier.book.put([alert(2, model="other", message="x" * 100_000)], {"ops": ()}, NOW, 0)
    world.after(seconds=1)

    assert world.states() == ["refused", "told"]
    assert world.notifier.book.troubles() == {}
    assert len(place.got[0][1]) < 10_000


def test_a_signature_is_what_standard_webhooks_say(world: World, place: Place) -> None:
    """HMAC-SHA256 over id, time and body; the id is the alert's, so that a second sending is known as one."""
    world.notifier.book.put([alert(1)], {"ops": ()}, NOW, 0)
    world.after(seconds=1)
    headers, body = place.got[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(b"0123456789abcdef0123456789abcdef", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert headers["webhook-id"] == alert(1).id
    assert int(headers["webhook-timestamp"]) == NOW.timestamp() + 1
    assert place.bodies[0]["data"]["severity"] == "warning"


@given(st.text(max_size=300) | st.just(HOSTILE))
@settings(max_examples=200)
def test_words_of_strangers_are_no_markup_in_a_chat(text: str) -> None:
    """No mention, no link of theirs, no second line; the link below is ours."""
    body, _ = request_of(alert(message=text), "http://x/alerts", Webhook(url=Secret("x"), shape="text"), NOW)
    said, _, link = json.loads(body)["text"].rpartition("\n")
    assert link == "http://x/alerts"
    assert not set("<>\n\x1b\u202e") & set(said)
    assert "@channel" not in said
    assert "](" not in said
    event, _ = request_of(alert(message=text), "http://x", Webhook(url=Secret("x")), NOW)
    assert json.loads(event)["data"]["message"] == text


@given(st.text(max_size=60) | st.just(HOSTILE) | st.just("../../healthz"))
def test_words_of_strangers_are_no_markup_in_a_link(text: str) -> None:
    """A cluster's id is whatever was written to Kafka: in a link it is one step of a path."""
    path = path_of(alert(cluster_id=text)).removeprefix("/failures")
    assert re.fullmatch(r"(/[\w.~%-]+)?", path, re.ASCII)


def test_rules_choose_whom_to_tell(tmp_path: Path, place: Place) -> None:
    """A place that wants some rules hears of those."""
    world = World(tmp_path, webhooks={"ops": Webhook(url=Secret(place.url), rules=("kafka_away",))})
    world.notifier.book.put([alert(1), alert(2, rule="kafka_away")], {"ops": ("kafka_away",)}, NOW, 0)
    world.after(seconds=1)
    assert [body["data"]["rule"] for body in place.bodies] == ["kafka_away"]


def test_killed_between_writing_and_telling_it_is_told_later(tmp_path: Path, place: Place) -> None:
    """A process that is killed the moment `put` has returned loses nothing, and the next one tells it once."""
    script = (
        "import sys, os, signal; from pathlib import Path\n"
        "from schemas.codec import decode; from ui.notices.book import Book\n"
        "event = decode(sys.argv[2].encode(), 'llm.alert.v1').event\n"
        "Book(Path(sys.argv[1])).put([event], {'ops': ()}, event.time, 0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    known = [str(tmp_path), encode(alert(1)).decode()]
    done = subprocess.run([sys.executable, "-c", script, *known], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -signal.SIGKILL
    world = World(tmp_path, webhooks={"ops": Webhook(url=Secret(place.url))})
    world.after(seconds=1)
    world.after(seconds=1)
    assert [body["data"]["id"] for body in place.bodies] == [alert(1).id]


def test_the_same_alert_is_one_and_old_ones_go_but_for_what_stands(tmp_path: Path) -> None:
    """By its id, wherever it comes from; the book stays small."""
    book = Book(tmp_path)
    book.put([alert(0, model="first")], {}, NOW, 0)
    for start in range(0, 3 * KEPT, 500):
        book.put([alert(1 + start + n, severity="info", model="again") for n in range(500)], {}, NOW, 0)
        book.put([alert(1 + start + n, severity="info", model="again") for n in range(500)], {}, NOW, 0)
    assert [one.model for one in book.open().values()] == ["first"]
    assert len(book.newest(5 * KEPT)) == KEPT + 1


def test_what_has_ended_is_kept_no_longer_than_others(tmp_path: Path) -> None:
    """However many subjects there were: each cluster that came back is one, for as long as the wheel turns."""
    book = Book(tmp_path)
    ended = [alert(n, severity="info", model=f"m{n}") for n in range(KEPT + 50)]
    book.put(ended, {"ops": ()}, NOW, 0)
    assert len(book.newest(5 * KEPT)) == KEPT


def test_what_kafka_was_not_told_is_raised_again(tmp_path: Path) -> None:
    """The outbox comes before the book: what stands in the book is never raised again."""
    world, taken = World(tmp_path), Takes(2)
    notifier = Notifier(Settings(home=str(tmp_path)), world, taken.send)
    world.found = [KAFKA]
    notifier.look(NOW)
    for seconds in (60, 61):
        with pytest.raises(OSError, match="full"):
            notifier.look(NOW + timedelta(seconds=seconds))
    notifier.look(NOW + timedelta(seconds=62))
    notifier.look(NOW + timedelta(seconds=63))
    assert [one.rule for one in taken.got] == ["kafka_away"]
    assert list(notifier.book.open().values()) == taken.got


def test_a_book_that_cannot_be_written_does_not_end_the_hearing(tmp_path: Path, monkeypatch: Any) -> None:
    """A full disk or a locked file passes, and Kafka tells it again."""
    tries = []

    def heard(*_: Any) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr("ui.notices.notifier.hear", heard)
    monkeypatch.setattr("ui.notices.notifier.AGAIN_S", 0.01)
    known = Settings(home=str(tmp_path), kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    with Notifier(known, World(tmp_path), lambda _: None):
        eventually(lambda: len(tries) > 2)


@pytest.mark.parametrize(
    ("sent", "ahead"), [(NOW, False), (NOW + timedelta(days=9), True), (NOW.replace(year=2100), True)]
)
def test_a_clock_that_is_ahead_delays_nothing(sent: datetime, ahead: bool) -> None:
    """Who writes to the topic dates its records; a later one would hold all of its subject back until then."""
    now = NOW + timedelta(minutes=1)
    record = SimpleNamespace(timestamp=lambda: (1, int(sent.timestamp() * 1000)))
    assert came_of(cast("Message", record), now) == (now if ahead else sent)


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans()), max_size=30))
@settings(max_examples=100)
def test_what_begins_and_ends_takes_turns(seen: list[tuple[str, bool]]) -> None:
    """Of each subject alerts alternate between begun and over, whatever is seen in whatever order."""
    found: dict[str, Trouble] = {}
    open_: dict[str, Alert] = {}
    told: dict[str, list[bool]] = {}
    for n, (name, there) in enumerate(seen):
        trouble = Trouble(rule="cluster_regressed", message="back", cluster_id=name)
        found = {**found, name: trouble} if there else {each: one for each, one in found.items() if each != name}
        for made in changes("bot", found.values(), open_, NOW + timedelta(seconds=n)):
            raised = made.severity != "info"
            told.setdefault(subject(made), []).append(raised)
            open_ = {**open_, subject(made): made} if raised else {k: v for k, v in open_.items() if k != subject(made)}
    assert all(each == [n % 2 == 0 for n in range(len(each))] for each in told.values())
    assert set(open_) == {one.subject for one in found.values()}


def test_alerts_lead_to_the_page_that_says_more() -> None:
    """A cluster's to the cluster, a champion's to the ledger, the rest to where they are listed."""
    assert path_of(alert(cluster_id="c1", rule="cluster_regressed")) == "/failures/c1"
    assert path_of(alert(rule="champion_worse")) == "/ledger"
    assert path_of(alert()) == "/failures"
    assert path_of(gathered([alert(1), alert(2)])) == "/alerts"


@pytest.mark.parametrize("url", ["ftp://secret-path", "secret-path", "http://10.1.2.3.evil:bad/secret-path"])
def test_an_address_that_cannot_be_called_is_not_told(url: str) -> None:
    """The error names the setting, never the address."""
    with pytest.raises(EndpointError, match=r"alerts\.webhooks\.ops") as told:
        send("ops", Webhook(url=Secret(url)), alert(), Settings(), NOW)
    assert "secret-path" not in str(told.value)


@pytest.mark.parametrize(
    "written",
    [
        "http://127.0.0.1:{}/hook/secret-path",
        "HTTP://LOCALHOST:{}/hook/secret-path#x",
        "http://127.0.0.1:{}/%7ea?k=secret-path",
    ],
)
def test_an_answer_that_no_http_client_understands_shows_no_address(written: str) -> None:
    """The client's error names the address in a spelling of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def babble() -> None:
            to, _ = listening.accept()
            with to:
                to.recv(65_536)
                to.sendall(b"what?\r\n\r\n")

        threading.Thread(target=babble, daemon=True).start()
        url = written.format(listening.getsockname()[1])
        with pytest.raises(EndpointError, match=r"alerts\.webhooks\.ops") as told:
            send("ops", Webhook(url=Secret(url)), alert(), Settings(), NOW)
    assert "secret-path" not in str(told.value)


def test_settings_name_places_and_refuse_what_is_unknown() -> None:
    """A typo in a webhook is said by its name; its address is masked wherever settings are shown."""
    given_ = {"alerts": {"webhooks": {"ops": {"url": "http://x/y", "shape": "text"}}}}
    found = load(given_, {})
    assert found.alerts.webhooks["ops"].shape == "text"
    assert "http://x/y" not in repr(found)
    for wrong, said in (
        ({"ur": "x"}, "unknown setting alerts.webhooks.ops.'ur'"),
        ({"url": "x", "shape": "y"}, "shape"),
    ):
        with pytest.raises(SettingsError, match=said):
            load({"alerts": {"webhooks": {"ops": wrong}}}, {})


def test_the_page_says_what_stands_and_whom_it_reached(tmp_path: Path, place: Place) -> None:
    """Hostile words stand there as words; a person with the role sends a test, nobody else."""
    known = Settings(home=str(tmp_path), alerts=AlertSettings(webhooks={"ops": Webhook(url=Secret(place.url))}))
    app: Any = make_app(Lake(known.lake_root), known, keep=False)
    app.flywheel.refresh()
    app.flywheel.alerts.book.put([alert(1, message=HOSTILE)], {"ops": ()}, NOW, 0)
    client = TestClient(app, base_url="http://127.0.0.1:6067")
    text = client.get("/alerts").text
    assert "&lt;!channel&gt;" in text
    assert "\x1b" not in text
    assert "ops: waiting" in text
    token = text.split('name="csrf" value="')[1].split('"')[0]
    assert client.post("/alerts/test", data={"place": "ops"}).status_code == 403
    assert client.post("/alerts/test", data={"place": "x", "csrf": token}).status_code == 404
    assert client.post("/alerts/test", data={"place": "ops", "csrf": token}).status_code == 200
    assert place.bodies[0]["data"]["rule"] == "test"
    place.status = 500
    answer = client.post("/alerts/test", data={"place": "ops", "csrf": token})
    assert answer.status_code == 422
    assert "secret-path" not in answer.text


def test_an_alert_that_kafka_took_leaves_the_outbox(tmp_path: Path) -> None:
    """No table keeps alerts: they are not waited for in the lake."""
    known = Settings(home=str(tmp_path))
    app: Any = make_app(Lake(known.lake_root), known, keep=False)
    outbox = app.flywheel.outbox
    sent: list[str] = []

    class Producer:
        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing is held."""

        def send(self, event: Any) -> None:
            sent.append(event.id)

        def flush(self, timeout_s: float = 1.0) -> int:  # noqa: ARG002 as the real one
            return 0

    outbox._connect = Producer
    outbox.put([alert(1)])
    with outbox:
        eventually(lambda: sent)
        eventually(lambda: outbox.waiting() == 0)
    with outbox._open() as sql:
        assert sql.execute("SELECT count(*) FROM waiting").fetchone() == (0,)
    assert msgspec.json.decode(msgspec.json.encode(alert(1)))["rule"] == "failure_rate"
