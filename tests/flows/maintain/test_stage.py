"""Tables in order: the forgotten are gone, the old is retired, and the audit still adds up."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from flows import ledger
from flows.cli import app
from flows.maintain.stage import erase_raw, maintain, protected
from flows.maintain.status import condition
from flows.run import begin, finish
from flows.testing.events import START, event_id, feedback, interaction
from flows.versions import Version, record
from schemas.records import make_candidate
from schemas.settings import ArchiveSettings, KafkaSettings, Settings
from schemas.topics import ERASURES, FEEDBACK, INTERACTIONS
from streams import dead_letters
from streams.lake import Lake
from streams.lake.audit import audit
from streams.lake.maintain import compact, files
from streams.lake.query import read
from streams.logs import WithIds
from tests.support.archived import arrive
from tests.support.promotion import BETTER, evaluated

NOW = datetime(2026, 1, 10, tzinfo=UTC)


def erasure(subject: str, time: datetime = NOW, application: str | None = None) -> bytes:
    fields = {"id": event_id(hash((subject, time)) % 10**9), "time": time.isoformat(), "subject": subject}
    return json.dumps(fields | ({"application": application} if application else {})).encode()


def settings(lake: Lake, **archive: Any) -> Settings:
    return Settings(home=str(Path(lake.root).parent), archive=msgspec.convert(archive, ArchiveSettings))


def ids(lake: Lake, table: str) -> set[str]:
    return set(read(lake, table)["id"].to_pylist())


def test_the_forgotten_leave_every_raw_table(lake: Lake) -> None:
    """A user's interactions, the feedback on them by whomever, and dead letters that name the user go for good."""
    mine, other = interaction(1, user_id="ann"), interaction(2, user_id="anna")
    opinions = [feedback(1, mine, user_id="reviewer"), feedback(2, other), feedback(3, other, user_id="ann")]
    arrive(lake, INTERACTIONS, [mine, other, b'{"broken": true, "user_id": "ann"}', b'{"broken": "anna"}'])
    arrive(lake, FEEDBACK, opinions)
    arrive(lake, ERASURES, [erasure("ann")])

    assert erase_raw(lake, settings(lake), NOW) == {"interactions": 1, "feedback": 2, "dead_letters": 1}
    assert erase_raw(lake, settings(lake), NOW) == {"interactions": 0, "feedback": 0, "dead_letters": 0}

    assert ids(lake, "interactions") == {other.id}
    assert ids(lake, "feedback") == {opinions[1].id}
    for table in ("interactions", "feedback", "dead_letters"):
        for path in Path(lake.uri(table)).rglob("*.parquet"):
            assert '"ann"' not in str(read(lake, table).to_pylist()), path
    assert audit(lake).incidents == ()


def test_the_forgotten_stay_forgotten(lake: Lake) -> None:
    """What comes late for an erased user goes too; what the user does afterwards is as the policy says."""
    arrive(lake, ERASURES, [erasure("ann", START + timedelta(seconds=10))])
    late, new = interaction(5, user_id="ann"), interaction(20, user_id="ann")
    arrive(lake, INTERACTIONS, [late, new])

    erase_raw(lake, settings(lake), NOW)
    assert ids(lake, "interactions") == {new.id}
    arrive(lake, FEEDBACK, [feedback(1, late, user_id=None), feedback(2, new)])
    erase_raw(lake, settings(lake), NOW)
    assert read(lake, "feedback").num_rows == 1

    erase_raw(lake, settings(lake, after_erasure="refuse"), NOW)
    assert ids(lake, "interactions") == set()
    assert audit(lake).incidents == ()


def test_what_maintenance_logs_has_an_id(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    """One for each: a request that is due and cannot be ordered, twice."""
    arrive(lake, ERASURES, [erasure("ann", START)], signed=False)
    caplog.handler.setFormatter(WithIds(logging.Formatter("%(message)s")))

    for hour in range(2):
        maintain(lake, settings(lake, erasure_grace_h=0), NOW + timedelta(hours=hour))

    said = [line.rpartition(" [maintain=")[2] for line in caplog.text.splitlines() if "are due and wait on" in line]
    assert [len(one) for one in said] == [33, 33]
    assert said[0] != said[1]


def test_an_erasure_may_concern_one_application(lake: Lake) -> None:
    """The same user's rows in other applications stay."""
    arrive(lake, INTERACTIONS, [interaction(1, user_id="ann"), interaction(2, user_id="ann", application="other")])
    arrive(lake, ERASURES, [erasure("ann", application="other")])

    erase_raw(lake, settings(lake), NOW)

    assert ids(lake, "interactions") == {interaction(1).id}


def test_old_days_retire_and_the_audit_still_adds_up(lake: Lake) -> None:
    """Rows and dead letters beyond their age go; their offsets stay accounted for, also when that is done again."""
    for day in range(6):
        arrive(
            lake, INTERACTIONS, [interaction(2 * day), b"bad", interaction(2 * day + 1)], START + timedelta(days=day)
        )

    for age, rows in ((3, 8), (1, 4), (1, 4)):
        summary = maintain(lake, settings(lake, keep_days=age, vacuum_hours=1), NOW)
        assert read(lake, "interactions").num_rows == rows
        assert summary["incidents"] == []
    retired = dead_letters.find(lake, reason="retired")
    assert sum(row["offsets"] for row in retired) >= 12


def test_files_stay_few_under_late_and_doubled_events(lake: Lake) -> None:
    """Thirty small commits with late and doubled events become one file for each day of arrival."""
    for n in range(30):
        late = interaction(n // 2, time=START - timedelta(days=n % 7))
        arrive(lake, INTERACTIONS, [late, interaction(1000 + n)], NOW + timedelta(days=n // 15))

    summary = maintain(lake, settings(lake), NOW)

    assert summary["compacted"]["interactions"] == 28
    assert len(lake.open("interactions").file_uris()) == 2
    assert summary["incidents"] == []


def test_file_sizes_stay_bounded_under_late_events(lake: Lake) -> None:
    """A third of the events comes days late: a day's files are of the size that was asked for, and no more of them."""
    for n in range(30):
        late = timedelta(days=3) if n % 3 == 0 else timedelta()
        arrive(lake, INTERACTIONS, [interaction(n, time=START - late)], NOW)
    before = [file.size for file in files(lake.open("interactions"))]
    target = 4 * max(before)

    compact(lake, "interactions", target)

    after = [file.size for file in files(lake.open("interactions"))]
    assert max(after) <= target
    assert len(after) <= 1 + sum(before) // (target - max(before))
    assert read(lake, "interactions").num_rows == 30


def test_versions_that_runs_have_read_are_protected(lake: Lake) -> None:
    """What a finished run read can still be read after compaction and vacuum."""
    arrive(lake, INTERACTIONS, [interaction(1)])
    run = begin(lake, "curate", "support-bot", NOW, ["interactions"], {})
    finish(lake, run, {})
    for n in range(2, 5):
        arrive(lake, INTERACTIONS, [interaction(n)])

    maintain(lake, settings(lake, vacuum_hours=1), NOW)

    assert protected(lake, NOW)["interactions"] == {run.versions["interactions"]}
    assert read(lake, "interactions", run.versions["interactions"]).num_rows == 1


def test_what_nobody_may_ask_for_again_is_not_protected(lake: Lake) -> None:
    """An old run of a stage that has run since, whose dataset is neither frozen, newest, evaluated nor decided on."""
    names = ("old", "frozen", "evaluated", "decided", "newest")
    read_at = []
    for n, name in enumerate(names):
        arrive(lake, INTERACTIONS, [interaction(n)])
        run = begin(lake, "curate", "support-bot", NOW + timedelta(hours=n), ["interactions"], {})
        version = Version(
            application="support-bot", dataset="all", version=name, kind="frozen" if name == "frozen" else "training",
            path=name, sha256=name, created=run.as_of, rows={}, manifest={"versions": run.versions},
        )  # fmt: skip
        record(lake, run, [version])
        finish(lake, run, {})
        read_at.append(run.versions["interactions"])
    evaluated(lake, "e1", BETTER, dataset="evaluated")
    trained = make_candidate("bot-2", "http://127.0.0.1:9/v1", dataset="decided")
    ledger.register(lake, "support-bot", trained, time=NOW)

    assert protected(lake, NOW + timedelta(days=9))["interactions"] == set(read_at[1:])
    assert protected(lake, NOW)["interactions"] == set(read_at)


def test_the_condition_is_told_without_kafka(lake: Lake) -> None:
    """Rows, files, bytes and dead letters by reason are known even where no broker answers."""
    arrive(lake, INTERACTIONS, [interaction(1), b"bad", b"bad"])

    found = condition(lake, KafkaSettings())

    assert {state.name: state.rows for state in found.tables} == {"interactions": 1, "dead_letters": 2}
    assert [(row["reason"], row["offsets"]) for row in found.dead_letters] == [("invalid_json", 2)]
    assert "no Kafka broker is named" in found.kafka


@pytest.fixture
def run(lake: Lake) -> Any:
    """A command on the lake; its outcome."""

    def invoke(*arguments: str) -> Any:
        environment = {"FLYWHEEL_HOME": str(Path(lake.root).parent), "KAFKA_BOOTSTRAP_SERVERS": "", "COLUMNS": "200"}
        return CliRunner(env=environment).invoke(app, list(arguments))

    return invoke


def test_dead_letters_can_be_looked_at(lake: Lake, run: Any) -> None:
    """The list says where, why and which field; one letter is shown with its bytes, raw to be mended."""
    arrive(lake, INTERACTIONS, [b'{"id": 7}', *[b"{"] * 11])

    listed = run("dead-letter", "list").stdout
    assert "$.id" in listed
    assert listed.index("interactions:0:2 ") < listed.index("interactions:0:10 ")
    rows = json.loads(run("dead-letter", "list", "--json", "--limit", "11").stdout)
    assert [row["kafka_offset"] for row in rows] == list(range(1, 12))
    assert not {"key", "value", "headers"} & rows[0].keys()
    assert "12 dead letters, the newest 3 shown" in run("dead-letter", "list", "--limit", "3").stdout
    assert run("dead-letter", "show", "llm.interactions:0:0", "--raw").stdout == '{"id": 7}'


def test_bad_questions_about_dead_letters_have_an_answer(lake: Lake, run: Any) -> None:
    """A letter or a topic that is not there is named; a reason that no letter has leads to those that there are."""
    arrive(lake, INTERACTIONS, [b"{"])

    assert "there is no dead letter" in str(run("dead-letter", "show", "llm.interactions:0:9").exception)
    assert "known are llm.interactions" in str(run("dead-letter", "list", "--topic", "llm.interaction").exception)
    assert "flywheel status" in run("dead-letter", "list", "--reason", "invalid").stdout
    assert run("dead-letter", "list", "--limit", "0").exit_code == 2


def test_a_dead_letter_cannot_command_the_terminal(lake: Lake, run: Any) -> None:
    """Escape sequences in what somebody sent are shown, not obeyed; raw bytes stay as they came."""
    arrive(lake, INTERACTIONS, [b"\x1b[2J[red]gone[/]\xff\n\xe2\x80\xae"])

    shown = run("dead-letter", "show", "llm.interactions:0:0").stdout
    assert r"value: \x1b[2J[red]gone[/]\xff" in shown
    assert r"\u202e" in shown
    assert "\x1b" not in shown


def test_maintain_and_audit_can_be_run_by_hand(lake: Lake, run: Any) -> None:
    """Both say what they did; an incident ends with exit code 5."""
    arrive(lake, INTERACTIONS, [interaction(1)])
    assert "every archived offset is accounted for" in run("maintain").stderr
    assert json.loads(run("audit", "--json").stdout)["incidents"] == []
    assert "interactions" in run("status").stdout
    assert json.loads(run("status", "--json").stdout)["partitions"] == []

    next(Path(lake.uri("interactions")).rglob("*.parquet")).write_bytes(b"gone")
    assert run("audit").exception.exit_code == 5
