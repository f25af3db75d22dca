"""What an application does with the SDK, and what arrives."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import llm_flywheel as fly
from llm_flywheel.events import KINDS
from tests.support.door import Door
from tests.support.sdk import end, turn

SAY: dict[str, Callable[..., str | None]] = {
    "thumb": lambda **about: fly.thumb(True, **about),
    "rating": lambda **about: fly.rating(4, **about),
    "comment": lambda **about: fly.comment("nice", **about),
    "correction": lambda **about: fly.correction("on Monday", **about),
    "label": lambda **about: fly.label("wrong", **about),
    "regenerate": lambda **about: fly.regenerate(new=fly.new_id(), **about),
    "retry": lambda **about: fly.retry(new=fly.new_id(), **about),
    "copy": fly.copy,
    "abandon": fly.abandon,
    "escalate": lambda **about: fly.escalate("second line", **about),
    "guardrail": lambda **about: fly.guardrail("llama", False, category="S1", **about),
    "judge": lambda **about: fly.judge("gpt", 0.25, **about),
    "rule": lambda **about: fly.rule("json", True, **about),
    "reviewer": lambda **about: fly.reviewer("ada", 1.0, **about),
}


@pytest.mark.usefixtures("sdk")
def test_an_interaction_arrives_with_what_is_known_of_its_conversation(door: Door) -> None:
    """The conversation's fields stand in each of its interactions, times and ids are filled in."""
    with fly.conversation("c-1", user_id="u-1", prompt_version="v3", variant="b", shop="eu"):
        made = turn("where is it?")

    assert fly.flush()
    [event] = door.events
    known = {
        "id": made,
        "conversation_id": "c-1",
        "user_id": "u-1",
        "prompt_version": "v3",
        "variant": "b",
        "shop": "eu",
    }
    assert known.items() <= event.items()
    assert event["input_messages"] == [{"role": "user", "content": "where is it?"}]
    assert event["output_messages"] == [{"role": "assistant", "content": "an answer"}]
    assert event["duration_ms"] >= 0


@pytest.mark.usefixtures("sdk")
def test_an_error_goes_on_and_is_told(door: Door) -> None:
    """What the model's code raises reaches the application, and the event says which error it was."""
    with pytest.raises(ZeroDivisionError), fly.interaction(model="m", messages="x"):
        _ = 1 / 0
    with pytest.raises(TimeoutError), fly.interaction(model="m", messages="x"):
        raise TimeoutError

    assert fly.flush()
    assert [event["error_type"] for event in door.events] == ["ZeroDivisionError", "timeout"]


@pytest.mark.usefixtures("sdk")
def test_a_correction_may_be_calls_of_tools(door: Door) -> None:
    """In either form, and as the objects that a client holds; what nobody can read raises nothing."""

    class Call:
        def model_dump(self, **_: Any) -> Any:
            return {"id": "c", "type": "function", "function": {"name": "refund", "arguments": '{"order": 7}'}}

    with fly.conversation("c-1", user_id="u-1"):
        turn()
        fly.correction(tool_calls=[{"name": "refund", "arguments": {"order": 7}}])
        fly.correction(tool_calls=[Call()])
        fly.correction(tool_calls=[])
        fly.correction(tool_calls=7)  # type: ignore[arg-type]

    assert fly.flush()
    said = [json.loads(event["text"]) for event in door.events if event.get("kind") == "correction"]
    assert said[0] == [{"name": "refund", "arguments": {"order": 7}}]
    assert said[1] == [Call().model_dump()]


@pytest.mark.usefixtures("sdk")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_feedback_is_said_replaced_and_taken_back(door: Door, kind: str) -> None:
    """One function a kind; `supersedes` and `retract` name the event that they are about."""
    with fly.conversation("c-1", user_id="u-1"):
        about = turn()
        said = SAY[kind]()
        again = SAY[kind](supersedes=said)
        gone = fly.retract(str(again), kind)

    assert fly.flush()
    told = {event["id"]: event for event in door.events if "kind" in event}
    assert list(told) == [said, again, gone]
    assert {
        (each["interaction_id"], each["conversation_id"], each["user_id"], each["kind"]) for each in told.values()
    } == {(about, "c-1", "u-1", kind)}
    assert told[str(again)]["supersedes"] == said
    assert told[str(gone)]["retracts"] == again


@pytest.mark.usefixtures("sdk")
def test_feedback_finds_the_interaction_that_it_is_about(door: Door) -> None:
    """By its id, by the model's response id, or the last one of the conversation; its conversation comes along."""
    with fly.conversation("c-1", user_id="u-1"):
        first = turn()
        second = turn()
        with fly.conversation("c-2"):
            fly.copy()  # nothing was said in this conversation yet
    fly.thumb(True, interaction=first)
    fly.thumb(True)
    fly.thumb(False, response_id="chatcmpl-0123456789abcdef", comment="no")
    fly.thumb(False, response_id="chatcmpl-7", created=1795882083)
    fly.thumb(False, response_id="chatcmpl-7")  # too short to be unique without its time

    assert fly.flush()
    far = fly.interaction_id("app", "chatcmpl-0123456789abcdef")
    near = fly.interaction_id("app", "chatcmpl-7", 1795882083)
    assert [(each["interaction_id"], each["conversation_id"]) for each in door.events if "kind" in each] == [
        (first, "c-1"), (second, "c-1"), (far, far), (far, far), (near, near),
    ]  # fmt: skip
    assert fly.stats()["dropped_no_target"] == 2


@pytest.mark.usefixtures("sdk")
def test_a_comment_beside_a_thumb_is_an_event_of_its_own(door: Door) -> None:
    """A thumb has no text in the contract."""
    turn()
    fly.thumb(up=False, comment="wrong day")

    assert fly.flush()
    assert door.kinds() == ["thumb", "comment"]
    assert door.events[-1]["text"] == "wrong day"


@pytest.mark.usefixtures("sdk")
def test_conversations_do_not_mix(door: Door) -> None:
    """Tasks and threads each have their own conversation, and feedback within it is about its own interaction."""

    async def talk(n: int) -> None:
        async with fly.conversation(f"c-{n}"):
            turn()
            await asyncio.sleep(0.001 * (n % 3))
            await asyncio.gather(asyncio.to_thread(fly.thumb, True))

    async def all_of_them() -> None:
        await asyncio.gather(*(talk(n) for n in range(20)))

    asyncio.run(all_of_them())
    assert fly.flush()
    interactions = {event["id"]: event["conversation_id"] for event in door.events if "kind" not in event}
    thumbs = [event for event in door.events if "kind" in event]
    assert len(interactions) == len(thumbs) == 20
    assert all(interactions[each["interaction_id"]] == each["conversation_id"] for each in thumbs)


@pytest.mark.usefixtures("sdk")
def test_a_conversation_may_end_in_another_context(door: Door) -> None:
    """A streaming response ends where its framework likes; that is no error, and what comes later is not in it."""

    def begin_here_and_end_there() -> None:
        with fly.conversation("around"):
            within = fly.conversation("c")
            within.__enter__()
            contextvars.Context().run(within.__exit__, None, None, None)
            turn()
        turn()

    contextvars.Context().run(begin_here_and_end_there)
    assert fly.flush()
    inside, after = (event["conversation_id"] for event in door.events)
    assert inside == "around"
    assert after not in ("c", "around")


@pytest.mark.usefixtures("sdk")
def test_what_the_application_changes_later_does_not_change_the_event(door: Door) -> None:
    """Messages are copied when they are captured: chat loops append to the same list."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "one"}]}]
    with fly.interaction(model="m", messages=messages) as it:
        messages[0]["content"][0]["text"] = "changed"
        messages.append({"role": "user", "content": "two"})
        it.output("x")

    assert fly.flush()
    assert door.events[0]["input_messages"] == [{"role": "user", "content": [{"type": "text", "text": "one"}]}]


def test_sampling_takes_conversations_whole_and_never_feedback(begin: Callable[..., None], door: Door) -> None:
    """Every interaction of a conversation is kept, or none; all feedback arrives."""
    begin(sample=0.3)
    for n in range(300):
        with fly.conversation(f"c-{n % 100}"):
            turn()
            fly.thumb(True)

    assert fly.flush()
    kept = [event["conversation_id"] for event in door.events if "kind" not in event]
    assert len(door.kinds()) == 300
    assert 15 <= len(set(kept)) <= 45
    assert len(kept) == 3 * len(set(kept))
    assert fly.stats()["sampled_out"] == 300 - len(kept)


def test_redaction_comes_before_everything(begin: Callable[..., None], door: Door, tmp_path: Path) -> None:
    """The hook sees the event as it would be sent; what it gives is what is sent, and what it drops is counted."""

    def hide(event: dict[str, Any]) -> dict[str, Any] | None:
        if event.get("kind") == "copy":
            return None
        for message in event.get("input_messages", []):
            message["content"] = message["content"].replace("secret", "***")
        return event

    begin(redact=hide)
    turn("my secret is x")
    fly.copy()

    assert fly.flush()
    assert [event["input_messages"][0]["content"] for event in door.events] == ["my *** is x"]
    assert fly.stats()["dropped_redacted"] == 1
    assert not [path for path in (tmp_path / "state").rglob("*") if path.is_file() and b"secret" in path.read_bytes()]


@pytest.mark.parametrize("harm", ["raises", "exits", "interrupts", "gives nonsense", "gives an unfit event"])
def test_redaction_never_fails_open(
    begin: Callable[..., None], door: Door, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong in the hook, the event does not leave, and later ones still can."""

    def hook(event: dict[str, Any]) -> Any:
        if "fine" in str(event):
            return event
        match harm:
            case "raises":
                raise KeyError(str(event))
            case "exits":
                raise SystemExit(1)
            case "interrupts":
                raise KeyboardInterrupt
            case "gives nonsense":
                return "secret"
            case _:
                return {"secret": True}

    begin(redact=hook)
    turn("a secret")
    turn("fine")

    assert fly.flush()
    assert [event["input_messages"][0]["content"] for event in door.events] == ["fine"]
    assert fly.stats()["dropped_redact_failed"] == 1
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"url": "pigeon://x"}, "pigeon"),
        ({"url": "no url"}, "no URL"),
        ({"url": "http://"}, "no host"),
        ({"url": "kafka://127.0.0.1:9?plugin.library.paths=x"}, "plugin.library.paths"),
        ({"application": ""}, "application"),
        ({"sample": "many"}, "many"),
        ({"sample": 7}, "from 0 to 1"),
        ({"redact": "drop"}, "redact"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_wrong_setting_switches_off_and_breaks_nothing(
    options: dict[str, Any], why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`init` says what is wrong, and the application runs on without capture."""
    good = {"application": "app", "url": "http://127.0.0.1:9", "state_dir": tmp_path}

    assert not fly.init(**{**good, **options})

    assert why in str(fly.stats()["off"])
    assert why in caplog.text
    assert turn()
    assert fly.thumb(True) is None
    assert not fly.flush()


def test_the_environment_says_it_all(door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`init()` alone reads FLYWHEEL_… variables."""
    for name, value in {"APPLICATION": "env-app", "URL": door.url, "STATE_DIR": str(tmp_path), "TOKEN": "t"}.items():
        monkeypatch.setenv(f"FLYWHEEL_{name}", value)
    door.token = "t"

    assert fly.init()
    turn()

    assert fly.flush()
    assert door.events[0]["application"] == "env-app"
    end()


def test_a_full_memory_drops_by_name_and_does_not_wait(begin: Callable[..., None], door: Door) -> None:
    """Beyond its bounds an event is dropped and counted, and said once."""
    begin(capacity=5, redact=lambda event: threading.Event().wait(0.05) or event)

    for _ in range(50):
        turn()

    assert fly.flush()
    assert fly.stats()["dropped_queue_full"] + len(door.events) == 50
    assert fly.stats()["dropped_queue_full"] > 0


def test_a_drop_is_said_once(begin: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    """The first drop of each kind is a warning with its reason; a million more are a number."""
    begin(memory_bytes=1)
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            turn()

    assert fly.stats()["dropped_queue_full"] == 10
    assert [record.message for record in caplog.records] == [
        "llm_flywheel dropped_queue_full: more events came than memory may hold (`capacity`, `memory_bytes`) "
    ]


def test_variants_are_sticky_and_move_little() -> None:
    """A unit keeps its arm; where a share grows, only units of its neighbour move; shares come out as asked."""
    units = [f"user-{n}" for n in range(2000)]
    before = {unit: fly.variant(unit, {"champion": 0.9, "candidate": 0.1}, salt="exp") for unit in units}
    after = {unit: fly.variant(unit, {"champion": 0.8, "candidate": 0.2}, salt="exp") for unit in units}

    assert before == {unit: fly.variant(unit, {"champion": 9, "candidate": 1}, salt="exp") for unit in units}
    assert 150 < sum(arm == "candidate" for arm in before.values()) < 250
    assert {unit for unit in units if before[unit] == "candidate"} <= {u for u in units if after[u] == "candidate"}
    assert before != {unit: fly.variant(unit, {"champion": 0.9, "candidate": 0.1}, salt="other") for unit in units}


@pytest.mark.usefixtures("sdk")
def test_a_variant_is_recorded(door: Door) -> None:
    """What served stands in the events of the conversation, with nobody having to think of it."""
    with fly.conversation("c"):
        arm = fly.variant("u", {"a": 1, "b": 1}, salt="s")
        turn()

    assert fly.flush()
    assert door.events[0]["variant"] == arm


@pytest.mark.parametrize("shares", [{}, {"a": 0}, {"a": -1, "b": 2}, {"a": float("nan")}])
def test_shares_that_are_none_are_refused(shares: dict[str, float]) -> None:
    """A division of nothing is a mistake in the program, and says so."""
    with pytest.raises(ValueError, match="shares"):
        fly.variant("u", shares)


def test_prompts_have_short_names(tmp_path: Path) -> None:
    """Langfuse's, MLflow's, a file's as git names its content, and a text's hash."""
    langfuse = type("TextPromptClient", (), {"__module__": "langfuse.model", "name": "support", "version": 3})
    mlflow = type("PromptVersion", (), {"__module__": "mlflow.entities", "name": "support", "version": 7})
    file = tmp_path / "support.txt"
    file.write_text("hello\n")

    assert fly.prompt_version(langfuse()) == "langfuse:support@3"
    assert fly.prompt_version(mlflow()) == "mlflow:support/7"
    assert fly.prompt_version(file) == "git:ce013625:support.txt"  # `git hash-object`
    assert fly.prompt_version("You are kind.").startswith("sha256:")
    assert fly.prompt_version(tmp_path / "missing").startswith("sha256:")


def test_messages_of_a_client_are_said_again_as_they_are() -> None:
    """An answer that asked for a tool goes back as the object that the client gave, after the prompt's messages."""
    answer = SimpleNamespace(role="assistant", tool_calls=[])
    told = [{"role": "system", "content": "Old."}, {"role": "user", "content": "where?"}, answer]
    prompt = [{"role": "system", "content": "New."}]

    asked = fly.request({"model": "m", "prompt_messages": prompt}, told)["messages"]

    assert asked == [*prompt, told[1], answer]
