"""Events of the SDK are events of the contract, whatever the application hands over."""

from __future__ import annotations

import datetime
import decimal
import json
import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import llm_flywheel as fly
from llm_flywheel import events, ids
from llm_flywheel.events import consent
from llm_flywheel.plain import plain
from llm_flywheel.record import from_line, record
from llm_flywheel.settings import VARIABLES
from schemas.codec import decode, json_schemas
from schemas.loading import load
from schemas.topics import DECISIONS, FEEDBACK, INTERACTIONS
from tests.support.door import Door
from tests.support.sdk import turn

ROOT = Path(__file__).resolve().parents[2]
VECTORS = json.loads((ROOT / "schemas" / "json" / "interaction_ids.json").read_text())
ARMS = json.loads((ROOT / "schemas" / "json" / "variants.json").read_text())
SCHEMAS = json_schemas()

HOSTILE: dict[str, Any] = {
    "half a surrogate pair": "\ud83d",
    "a null character": "a\x00b",
    "not a number": float("nan"),
    "infinity": [float("inf")],
    "a huge number": 10**400,
    "bytes": b"\xff\xfe",
    "a date": datetime.datetime(2026, 1, 5, tzinfo=datetime.UTC),
    "a set": {1, 2},
    "a decimal": decimal.Decimal("1.5"),
    "an id": uuid.UUID(int=1),
    "an object": object(),
    "keys that are no text": {1: 2, None: 3},
    "deep nesting": [[[[[[[[[[]]]]]]]]]],
    "an iterator": iter([1]),
    "nothing": None,
}


def check(event: dict[str, Any], event_type: str = events.INTERACTION) -> dict[str, Any]:
    """The event after all that happens to it, valid by both of the contract's readers; as plain JSON."""
    made, _ = record(event_type, events.tidy(event_type, plain(event)), 2**20 - 2**13)
    decode(made.value, event_type)
    value: dict[str, Any] = json.loads(made.value)
    jsonschema.validate(value, SCHEMAS[event_type])
    assert from_line(made.cloud_event()).value == made.value
    return value


def interaction(**fields: Any) -> dict[str, Any]:
    return {
        "id": fly.new_id(), "time": events.now(), "application": "app", "conversation_id": "c", "request_model": "m",
        "input_messages": [{"role": "user", "content": "x"}], **fields,
    }  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("field", ["input_messages", "output_messages", "request_parameters", "user_id", "own", "text"])
def test_whatever_is_handed_over_becomes_valid(field: str, name: str) -> None:
    """Values that JSON or the contract does not know are mended in any field."""
    value = HOSTILE[name]
    messages = [{"role": "user", "content": value, "tool_calls": value, "name": value}]
    check(interaction(**{field: value if field in {"user_id", "own", "text"} else {"a": value}}))
    check(interaction(**{field: messages}))
    check(interaction(input_messages=[{"role": value, "parts": value}, value]))


MANDATORY = {"id", "time", "application", "conversation_id", "input_messages"}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
message_fields = st.sampled_from(["role", "content", "parts", "name", "tool_calls", "tool_call_id", "other"])
event_fields = st.sampled_from([*SCHEMAS[events.INTERACTION]["$defs"]["Interaction"]["properties"], "other"])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(event_fields, json_values, max_size=5),
    st.lists(st.dictionaries(message_fields, json_values, max_size=4), min_size=1, max_size=3),
)
def test_any_values_in_any_fields_become_valid(fields: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    """An event is valid, or refused before it is sent with the field named; never a dead letter."""
    event = {**interaction(), **fields, "output_messages": messages}
    refused: ValueError | None = None
    try:
        check(event)
    except ValueError as error:
        refused = error
    assert refused is None or str(refused).partition(" ")[0] in MANDATORY


def test_nesting_beyond_the_contract_is_cut() -> None:
    """64 levels is the contract's limit; deeper values become a remark."""
    deep: Any = "bottom"
    for _ in range(500):
        deep = {"x": [deep]}

    assert "nested too deeply" in json.dumps(check(interaction(own=deep)))


def test_different_long_names_stay_different() -> None:
    """A name is cut to 256 characters without two becoming one."""
    names = {check(interaction(conversation_id="x" * 300 + str(n)))["conversation_id"] for n in range(3)}

    assert len(names) == 3
    assert all(len(name) == 256 for name in names)


@pytest.mark.parametrize(
    "field", ["input_messages", "output_messages", "system_instructions", "request_parameters", "own"]
)
def test_a_too_long_event_is_cut_marked_and_not_trained_on(field: str) -> None:
    """Its texts go, its figures stay, and no data set takes it."""
    long = "x" * 3_000_000
    value = [{"role": "user", "content": long}] if field.endswith("messages") else {"a": long}
    made, was_cut = record(events.INTERACTION, events.tidy(events.INTERACTION, interaction(**{field: value})), 2**20)

    assert was_cut
    event = json.loads(made.value)
    decode(made.value, events.INTERACTION)
    assert len(made.value) < 2**20
    assert event["cut"] is True
    assert event["training_consent"] is False
    assert event["request_model"] == "m"


def test_a_text_beyond_the_contracts_limit_is_cut_too() -> None:
    """A million characters in one text is the limit, however few bytes the event has."""
    event = events.tidy(
        events.INTERACTION, interaction(output_messages=[{"role": "assistant", "content": "x" * 1_000_001}])
    )

    assert record(events.INTERACTION, event, 2**24)[1]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"kind": "thumb"}, "value"), ({"kind": "thumb", "value": 0.5}, "0 or 1"),
        ({"kind": "rating", "value": 7}, "value"),
        ({"kind": "comment", "text": " "}, "text"), ({"kind": "label"}, "label"), ({"kind": "cheer"}, "kind"),
        ({"kind": "copy", "interaction_id": "no"}, "interaction_id"),
    ],
)  # fmt: skip
def test_feedback_that_says_nothing_is_refused_here(fields: dict[str, Any], why: str) -> None:
    """What would be a dead letter is refused with its reason before it is sent."""
    event = {"id": fly.new_id(), "time": events.now(), "application": "a", "conversation_id": "c"}

    with pytest.raises(ValueError, match=why):
        events.tidy(events.FEEDBACK, {**event, "interaction_id": fly.new_id(), **fields})


@pytest.mark.usefixtures("sdk")
def test_a_mistake_in_feedback_is_counted_and_breaks_nothing(door: Door) -> None:
    """The application goes on; the counter and the log say what was wrong."""
    turn()
    fly.rating(9)
    fly.judge("x", 3.0)
    fly.comment("")
    fly.thumb(True, interaction="no uuid")

    assert fly.flush()
    assert door.kinds() == []
    assert fly.stats()["dropped_invalid"] == 4


def test_ids_grow_with_time_and_do_not_repeat() -> None:
    """A UUIDv7: valid by the contract, sorted by the millisecond."""
    made = [ids.new_id() for _ in range(2000)]

    assert len(set(made)) == 2000
    assert all(uuid.UUID(each).version == 7 and uuid.UUID(each).variant == uuid.RFC_4122 for each in made)
    assert [each[:13] for each in made] == sorted(each[:13] for each in made)


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: repr(vector["response_id"])[:30])
def test_interaction_ids_are_those_of_the_contract(vector: dict[str, Any]) -> None:
    """Every vector, those that have no id too."""
    arguments = (vector["application"], vector["response_id"], vector["created"])
    if vector["id"] is None:
        with pytest.raises(ValueError, match=r"needs|too short"):
            ids.interaction_id(*arguments)
    else:
        assert ids.interaction_id(*arguments) == vector["id"]


@pytest.mark.parametrize("language", ["js", "go"])
def test_other_languages_make_the_same_ids(language: str, tmp_path: Path) -> None:
    """The functions printed in docs/contracts.md, run on the vectors."""
    program = {"js": "node", "go": "go"}[language]
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    page = (ROOT / "docs" / "contracts.md").read_text()
    code = page.split(f"```{language}\n// interactionI")[1].split("```")[0]
    (tmp_path / "vectors.json").write_text(json.dumps(VECTORS))
    source = tmp_path / {"js": "ids.mjs", "go": "main.go"}[language]
    source.write_text({"js": JS, "go": GO}[language].replace("CODE", "// interactionI" + code))
    command = [program, str(source)] if language == "js" else [program, "run", str(source)]
    done = subprocess.run(
        [*command, str(tmp_path / "vectors.json")], capture_output=True, text=True, timeout=120, check=False,
        env={"PATH": str(Path(shutil.which(program) or "").parent), "HOME": str(tmp_path), "GOFLAGS": "-mod=mod"},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [vector["id"] for vector in VECTORS["vectors"]]


JS = """
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
CODE
const { vectors } = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const made = vectors.map(v => {
  try { return interactionId(v.application, v.response_id, v.created) } catch { return null }
})
console.log(JSON.stringify(made))
"""
GO = """
package main
import ("crypto/sha1"; "encoding/hex"; "encoding/json"; "errors"; "fmt"; "os")
CODE
func main() {
	data, _ := os.ReadFile(os.Args[1])
	var file struct{ Vectors []struct{ Application string; Response_id string; Created *float64 } }
	if err := json.Unmarshal(data, &file); err != nil { panic(err) }
	made := []*string{}
	for _, v := range file.Vectors {
		id, err := interactionID(v.Application, v.Response_id, v.Created)
		if err != nil { made = append(made, nil) } else { made = append(made, &id) }
	}
	out, _ := json.Marshal(made)
	fmt.Println(string(out))
}
"""


def test_the_sdk_knows_the_topics_that_the_contract_names() -> None:
    """Two distributions, one table."""
    assert {topic.event_type: topic.name for topic in (INTERACTIONS, FEEDBACK)} == events.TOPICS
    assert DECISIONS.name == events.DECISIONS
    assert {topic.key for topic in (INTERACTIONS, FEEDBACK)} == {"conversation_id"}


def test_the_sdk_knows_the_kinds_that_the_contract_names() -> None:
    """Every kind has its function."""
    assert set(events.KINDS) == set(SCHEMAS[events.FEEDBACK]["$defs"]["Feedback"]["properties"]["kind"]["enum"])
    assert all(callable(getattr(fly, kind)) for kind in events.KINDS)


def test_the_sdks_variables_do_not_disturb_the_flywheel() -> None:
    """A shell that has FLYWHEEL_URL set for an application can run `flywheel` too."""
    settings_ = load({}, dict.fromkeys(VARIABLES, "x") | {"FLYWHEEL_APPLICATION": "shop"})

    assert settings_.application == "shop"


def test_plain_costs_no_text(begin: Callable[..., None]) -> None:
    """Texts are not copied: the copy of a long chat is its containers."""
    text = "x" * 100_000
    copied = plain([{"role": "user", "content": text}])

    assert copied[0]["content"] is text


@pytest.mark.parametrize("vector", ARMS["vectors"], ids=lambda vector: vector["why"])
def test_arms_are_those_of_the_contract(vector: dict[str, Any]) -> None:
    """Every vector: whoever deals in another language deals alike."""
    assert fly.variant(vector["unit"], dict(vector["shares"]), vector["salt"]) == vector["arm"]


@pytest.mark.parametrize(
    ("said", "heard"),
    [(True, True), ("true", True), (None, None), ("", None), (False, False), ("false", False), ("no", False),
     (0, False)],
)  # fmt: skip
def test_a_refusal_in_other_words_is_a_refusal(said: object, heard: bool | None) -> None:
    """A proxy's metadata are often texts: what was dropped there would count as the default, which is consent."""
    assert consent(said) is heard
