"""Triage on a real Kafka: events in, live rates and alerts out, state kept through a kill."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer

from flows import ledger
from flows.announce import Announcer
from flows.context import child_environment, lake_of
from flows.seal import seal_of
from flows.testing.events import START, feedback, interaction
from schemas.codec import decode
from schemas.events import Alert, Decision
from schemas.records import make_candidate
from schemas.settings import KafkaSettings, Settings, TriageSettings
from schemas.signing import Signer
from schemas.topics import ALERTS, FEEDBACK, INTERACTIONS
from streams.admin import Admin
from streams.broker.broker import Broker, free_port
from streams.producer import EventProducer
from tests.support.browser import CHROMIUM, asked_by_a_stranger, dom, words_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration
EVIDENCE = dict.fromkeys(("evaluation_id", "comparison", "dataset_version", "dataset_sha256", "scores"), "x")


class Name(str):
    """A header name that goes out as the bytes of these letters."""

    def encode(self, *_: Any) -> bytes:
        return bytes(map(ord, self))


class Watched:
    """A broker of its own, triage as a process, and what its page says."""

    def __init__(self, home: Path, servers: str) -> None:
        self.settings = Settings(
            home=str(home),
            kafka=KafkaSettings(bootstrap_servers=servers, partitions=2),
            triage=TriageSettings(
                web_port=free_port(),
                alert_rate=0.5,
                alert_clear_rate=0.3,
                alert_min=20,
                canary_delay_s=4.0,
            ),
        )
        self.log = (home / "triage.log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None
        Admin(self.settings.kafka).ensure_topics()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows.rollback_watch"],
            env=child_environment(self.settings), stdout=self.log, stderr=self.log,
        )  # fmt: skip
        eventually(lambda: self.get("/ready"))

    def end(self, number: signal.Signals) -> float:
        """Send a signal; the seconds until the process is gone."""
        assert self.process
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        return time.monotonic() - started

    def get(self, path: str) -> bytes | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.settings.triage.web_port}{path}", timeout=5) as answer:
                return bytes(answer.read())
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/rates.json") or b"{}")
        return found

    def counts(self, application: str) -> tuple[int, int, int] | None:
        """Interactions, judged and failed of an application, all its groups together."""
        rows = [row for row in self.report().get("groups", []) if row["application"] == application]
        return tuple(sum(row[name] for row in rows) for name in ("interactions", "judged", "failed")) if rows else None  # type: ignore[return-value]

    def send(self, application: str, numbers: range, bad: range, feedback_first: bool = False) -> None:
        """Interactions with one thumb each, down for those in `bad`."""
        with EventProducer(self.settings.kafka) as producer:
            for n in numbers:
                asked = interaction(n, application=application, prompt_version="v3", variant="canary")
                said = feedback(n, asked, value=float(n not in bad))
                for event in (said, asked) if feedback_first else (asked, said):
                    producer.send(event)

    def alerts(self, application: str) -> list[Alert]:
        consumer = KafkaConsumer(
            ALERTS.name, bootstrap_servers=self.settings.kafka.bootstrap_servers,
            auto_offset_reset="earliest", consumer_timeout_ms=3000,
        )  # fmt: skip
        found = [decode(record.value, ALERTS.event_type).event for record in consumer]
        consumer.close()
        return [alert for alert in found if isinstance(alert, Alert) and alert.application == application]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Triage at work on an empty Kafka."""
    home = tmp_path_factory.mktemp("triage")
    with Broker(home / "kafka") as broker:
        found = Watched(home, broker.bootstrap_servers)
        found.start()
        yield found
        found.end(signal.SIGTERM)
        found.log.close()


def test_rates_follow_the_events(watched: Watched) -> None:
    """Whichever comes first, interaction or feedback, each pair counts once in its group's window."""
    watched.send("rates", range(40), bad=range(10))
    watched.send("rates", range(40, 60), bad=range(0), feedback_first=True)

    assert eventually(lambda: watched.counts("rates") == (60, 60, 10))
    (row,) = [row for row in watched.report()["windows"] if row["application"] == "rates"]
    assert (row["model"], row["prompt_version"], row["variant"]) == ("bot-1", "v3", "canary")
    assert row["rate"] == pytest.approx(10 / 60)
    labels = 'application="rates",model="bot-1",prompt_version="v3",variant="canary"'
    assert f"flywheel_triage_failed{{{labels}}} 10.0" in (watched.get("/metrics") or b"").decode()


def test_bad_events_are_counted_and_stop_nothing(watched: Watched) -> None:
    """Malformed records of every kind cost a count under the name of their reason."""
    with EventProducer(watched.settings.kafka) as producer:
        for value in (b"{nope", b"\xff\xfe", b"[]", None, b'{"id": 7}', b"x" * 5_000_000):
            producer.send_bytes(INTERACTIONS, "x", value, [])
        producer.send_bytes(FEEDBACK, None, b"{}", [("ce_type", b"llm.unheard.v9")])
        producer.send_bytes(INTERACTIONS, "x", b"{nope", [(Name("\xff\xfe"), b"1")])
    watched.send("after-the-bad", range(100, 105), bad=range(0))

    assert eventually(lambda: watched.counts("after-the-bad") == (5, 5, 0))
    reasons = {name for name in watched.report()["events"] if name.startswith("malformed")}
    assert {f"malformed: {name}" for name in ("invalid_json", "empty", "unknown_type", "too_large")} <= reasons


def shown(watched: Watched, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of triage's answer."""
    port = watched.settings.triage.web_port
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", path, headers=headers)
        found = connection.getresponse()
        return found.status, {name.lower(): value for name, value in found.headers.items()}, found.read()


def test_faust_shows_no_page_of_its_own(watched: Watched) -> None:
    """Its tables hold names of users, its router tells who works where: none is served, and errors are guarded too."""
    for path in ("/table/", "/table/users/", "/table/users/x/", "/router/", "/router/users/", "/graph", "/assignment/"):
        status, headers, _ = shown(watched, path)
        assert (status, headers["x-frame-options"]) == (404, "DENY"), path


@pytest.mark.parametrize("path", ["/", "/rates.json", "/metrics", "/ready"])
def test_no_other_page_is_answered(watched: Watched, path: str) -> None:
    """A name that was rebound and a foreign origin get nothing of any page; every answer forbids frames and scripts."""
    own = shown(watched, path)
    rebound = shown(watched, path, Host="evil.example")
    foreign = shown(watched, path, Origin="http://evil.example")

    assert own[0] == 200
    assert own[1]["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert (rebound[0], foreign[0]) == (421, 403)
    assert not {own[2]} & {rebound[2], foreign[2]}


@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser (Debian package `chromium`)")
def test_a_foreign_page_gets_nothing_from_triage(watched: Watched, tmp_path: Path) -> None:
    """In a real browser: nothing is read, loaded or framed by another page, and a person sees the page as before."""
    page = f"http://127.0.0.1:{watched.settings.triage.web_port}"
    rebinding = ("--host-resolver-rules=MAP evil.example 127.0.0.1",)

    found = asked_by_a_stranger([f"{page}/rates.json", f"{page}/metrics", f"{page}/table/"], tmp_path / "stranger")
    rebound = dom(page.replace("127.0.0.1", "evil.example"), tmp_path / "rebound", budget_ms=3000, switches=rebinding)
    person = dom(page, tmp_path / "person", budget_ms=3000)  # before the page loads itself anew

    assert set(found.values()) == {"refused"}
    assert "Live failure rates" not in rebound
    assert "Live failure rates" in words_of(person)


def test_a_bad_window_alerts_once(watched: Watched) -> None:
    """A window over the limit raises one alert, however many failures follow; the page marks its group."""
    watched.send("alarmed", range(200, 260), bad=range(200, 250))

    eventually(lambda: watched.counts("alarmed") == (60, 60, 50))
    (alert,) = watched.alerts("alarmed")
    assert (alert.rule, alert.severity, alert.model, alert.variant) == ("failure_rate", "warning", "bot-1", "canary")
    assert b'class="alarm"' in (watched.get("/") or b"")


def test_the_page_escapes_what_producers_wrote(watched: Watched) -> None:
    """Names in events are text on the page, never markup."""
    watched.send("<script>alert(1)</script>", range(300, 302), bad=range(0))

    eventually(lambda: watched.counts("<script>alert(1)</script>"))
    page = (watched.get("/") or b"").decode()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_killed_worker_comes_back_with_its_state(watched: Watched) -> None:
    """After kill -9 the counts are as before, and feedback still finds interactions from before the kill."""
    watched.send("survivor", range(400, 430), bad=range(0))
    eventually(lambda: watched.counts("survivor") == (30, 30, 0))

    watched.end(signal.SIGKILL)
    watched.start()

    assert eventually(lambda: watched.counts("survivor") == (30, 30, 0))
    with EventProducer(watched.settings.kafka) as producer:
        for n in range(400, 410):
            asked = interaction(n, application="survivor")
            producer.send(feedback(1000 + n, asked, kind="escalate"))
    assert eventually(lambda: watched.counts("survivor") == (30, 30, 10))


def answered(watched: Watched, users: range, *models: tuple[str, int]) -> None:
    """One judged interaction of each user, by one of the models in turn, of which every n-th answer is a failure."""
    with EventProducer(watched.settings.kafka) as producer:
        for n in users:
            model, bad = models[n % len(models)]
            asked = interaction(n, application="shop", request_model=model, user_id=f"user-{n}")
            producer.send(asked)
            producer.send(feedback(n, asked, value=float(n // len(models) % bad > 0)))


def champion(watched: Watched, model: str) -> dict[str, Any] | None:
    """What the watch says of the shop's champion, if it is this one."""
    rows = [row for row in watched.report()["champions"] if row["application"] == "shop" and row["champion"] == model]
    return rows[0] if rows else None


def forge(watched: Watched, application: str) -> None:
    """A decision that comes after all others, by somebody who may write to the topic and has no key of ours."""
    evil = make_candidate("evil", "http://127.0.0.1:9/v1")
    forged = Decision(
        id=str(uuid.UUID(int=1)), time=START, application=application, action="promoted", candidate=evil, champion=evil,
        sequence=2**53 - 1,
    )  # fmt: skip
    for signer in (None, Signer("A" * 43)):
        with EventProducer(watched.settings.kafka, signer=signer) as producer:
            producer.send(forged)


def test_a_worse_champion_is_taken_back(watched: Watched) -> None:
    """A promoted model that fails one user in two, beside one in ten, is taken back, killed worker and forger or not.

    Users wait for their feedback; while nobody is kept on the former champion, its rate before is no reason.
    """
    lake = lake_of(watched.settings)
    old, new = (make_candidate(name, "http://127.0.0.1:9/v1") for name in ("shop-1", "shop-2"))
    seal = seal_of(watched.settings)
    promoted = {"id": ledger.decision_id("promoted"), "time": START, "expected_champion": old.id, "seal": seal}
    with Announcer(watched.settings) as announce:
        announce(ledger.bootstrap(lake, "shop", old, "the first", time=START, seal=seal))
    eventually(lambda: champion(watched, "shop-1"))
    forge(watched, "shop")
    answered(watched, range(1000, 1200), ("shop-1", 10))
    eventually(lambda: champion(watched, "shop-1")["users"] == 200)  # type: ignore[index]
    with Announcer(watched.settings) as announce:
        announce(ledger.append(lake, "shop", "promoted", new, verdict="promote", evidence=EVIDENCE, **promoted))
    eventually(lambda: champion(watched, "shop-2"))

    answered(watched, range(1200, 1300), ("shop-2", 1))
    suspected = eventually(lambda: [a for a in watched.alerts("shop") if a.rule == "champion_suspected"])
    assert [(alert.severity, alert.model) for alert in suspected] == [("warning", "shop-2")]
    assert ledger.fold(lake, "shop").champion == new
    answered(watched, range(1300, 1340), ("shop-2", 2), ("shop-1", 10))
    watched.end(signal.SIGKILL)
    watched.start()
    answered(watched, range(1340, 2000), ("shop-2", 2), ("shop-1", 10))

    registry = eventually(lambda: found if (found := ledger.fold(lake, "shop")).champion == old else None)
    assert [decision.action for decision in registry.decisions] == ["promoted", "promoted", "rolled_back"]
    (alert,) = eventually(lambda: [alert for alert in watched.alerts("shop") if alert.rule == "champion_worse"])
    assert (alert.severity, alert.model) == ("critical", "shop-2")
    assert registry.decisions[-1].evidence["alert"] == alert.id
    assert eventually(lambda: champion(watched, "shop-1"))


def test_it_stops_in_seconds_when_asked(watched: Watched) -> None:
    """SIGTERM ends it in order; it can be started again at once."""
    assert watched.end(signal.SIGTERM) < 10
    watched.start()
