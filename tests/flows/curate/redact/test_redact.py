"""Personal data and secrets: labelled strings, their placeholders, and what only looks like one."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import pytest

from flows.curate.redact.redact import Redactor, Span
from schemas.errors import SettingsError
from schemas.records import Example
from schemas.settings import CurateSettings

REGIONS = CurateSettings().regions
LOOSE = {"name", "address"}
MARK = re.compile(r"\[\[(\w+)\|(.*?)\]\]")


def labelled() -> list[tuple[str, list[Span]]]:
    """The strings of pii.txt with their spans."""
    lines = (Path(__file__).with_name("pii.txt")).read_text().splitlines()
    return [parse(line.replace("~", "")) for line in lines if line and not line.startswith("#")]


def parse(line: str) -> tuple[str, list[Span]]:
    text, spans, end = "", [], 0
    for match in MARK.finditer(line):
        text += line[end : match.start()]
        spans.append(Span(len(text), len(text) + len(match[2]), match[1]))
        text, end = text + match[2], match.end()
    return text + line[end:], spans


def test_there_are_enough_strings_to_judge_by() -> None:
    """At least 300 labelled strings, of them at least a fifth hard negatives."""
    strings = labelled()

    assert len(strings) >= 300
    assert sum(not spans for _, spans in strings) >= len(strings) / 5


def test_patterned_kinds_are_found_and_little_else() -> None:
    """Recall at least .97 and precision at least .95 for kinds that have a pattern; exact spans, exact kinds."""
    redactor = Redactor(REGIONS, {})
    missed, wrong, hits = [], [], 0
    for text, spans in labelled():
        expected = {span for span in spans if span.kind not in LOOSE}
        found = {span for span in redactor.find(text) if span.kind not in LOOSE}
        hits += len(expected & found)
        missed += [(text, span) for span in expected - found]
        wrong += [(text, span) for span in found - expected]

    assert hits / (hits + len(missed)) >= 0.97, missed
    assert hits / (hits + len(wrong)) >= 0.95, wrong


def test_names_and_addresses_are_found_where_their_surroundings_tell() -> None:
    """More than half of the labelled names and addresses, and none where there is none: no more is promised."""
    redactor = Redactor(REGIONS, {})
    counts = Counter(
        found
        for text, spans in labelled()
        for span in {s for s in spans if s.kind in LOOSE} | {s for s in redactor.find(text) if s.kind in LOOSE}
        for found in [(span in spans, span in redactor.find(text))]
    )

    assert counts[True, True] > counts[True, False] > 0
    assert counts[False, True] == 0


def test_the_same_person_is_the_same_placeholder_within_a_row() -> None:
    """However it is spelled, in whichever message; another person gets another number."""
    texts = Redactor(REGIONS, {}).texts(
        ["write Ann@x.org, not bob@x.org", "ann@x.org, +1 (415) 555-2671, +1 415 555 2671"]
    )

    assert texts == ["write <EMAIL_1>, not <EMAIL_2>", "<EMAIL_1>, <PHONE_1>, <PHONE_1>"]


def test_every_string_of_an_example_is_redacted() -> None:
    """Prompt, answer, rejected answer, tool arguments and the text that is compared; structure stays."""
    secret = "me@example.org"
    call = f'{{"id":"me@example.org","function":{{"name":"mail","arguments":{{"to":"{secret}"}}}}}}'
    example = Example(
        interaction_id="i",
        unit="u",
        prompt=f'[{{"role":"user","content":"I am {secret}"}}]',
        answer=f'[{{"role":"assistant","content":"","tool_calls":[{call}]}}]',
        rejected=f'[{{"role":"assistant","content":"{secret}"}}]',
        text=f"I am {secret}",
        origin="correction",
        tools=f'[{{"description":"mails {secret}"}}]',
    )

    redacted = Redactor(REGIONS, {}).example(example)

    assert secret not in redacted.prompt + redacted.text + (redacted.rejected or "") + (redacted.tools or "")
    assert redacted.text == "I am <EMAIL_1>"
    assert '"id":"me@example.org"' in redacted.answer
    assert '"to":"<EMAIL_1>"' in redacted.answer


def test_a_recogniser_of_ones_own_is_a_line_in_the_settings() -> None:
    """It comes before all others."""
    redactor = Redactor(REGIONS, {"badge": r"\bB-\d{5}\b"})

    assert redactor.texts(["badge B-12345"]) == ["badge <BADGE_1>"]
    assert redactor.counts == {"badge": 1}


@pytest.mark.parametrize(
    ("regions", "extra", "message"),
    [(("XX",), {}, "not a region"), (("US",), {"Bad Name": "x"}, "short lower-case"), (("US",), {"k": "("}, "regular")],
)
def test_a_bad_setting_is_named(regions: tuple[str, ...], extra: dict[str, str], message: str) -> None:
    """The error says which setting cannot work, before any row is read."""
    with pytest.raises(SettingsError, match=message):
        Redactor(regions, extra)


@pytest.mark.parametrize("piece", ["a-", "eyJ-", "1 ", "a.", "key-", "Aa ", "1:", "@a.", "12 Aa "])
def test_no_text_makes_it_hang(piece: str) -> None:
    """A hostile text of 200 kB costs about what a harmless one costs: no pattern backtracks without bound."""
    began = time.process_time()
    Redactor(REGIONS, {}).find(piece * (200_000 // len(piece)))

    assert time.process_time() - began < 20
