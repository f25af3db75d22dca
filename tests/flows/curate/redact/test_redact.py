"""Personal data and secrets: labelled strings, their placeholders, and what only looks like one."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import pytest

from flows.curate.redact.recognisers import KEY_FORMS
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


def kinds(text: str) -> list[str]:
    """What is found in a text."""
    return [span.kind for span in Redactor(REGIONS, {}).find(text)]


def changed(text: str) -> list[str]:
    """The text with each of its digits replaced by each other one."""
    return [
        text[:at] + digit + text[at + 1 :]
        for at, own in enumerate(text)
        if own.isdigit()
        for digit in "0123456789"
        if digit != own
    ]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("4532 0151 1283 0366", "card"),
        ("DE89 3704 0044 0532 0130 00", "iban"),
        ("2341 2341 2346", "national_id"),  # India
        ("529.982.247-25", "national_id"),  # Brazil
    ],
)
def test_a_wrong_digit_is_no_number_of_the_kind(number: str, kind: str) -> None:
    """That is what check digits are for: each of these finds every single wrong digit, wherever it stands."""
    assert kinds(number) == [kind]
    assert [text for text in changed(number) if kind in kinds(text)] == []


def test_two_digits_exchanged_are_found_by_the_check_of_a_pentagon() -> None:
    """Verhoeff's check, of India's numbers, also finds every exchange of neighbours."""
    number = "234123412346"
    for at in range(1, 11):
        swapped = number[:at] + number[at + 1] + number[at] + number[at + 2 :]
        spaced = " ".join(swapped[start : start + 4] for start in (0, 4, 8))
        assert ("national_id" in kinds(spaced)) == (swapped == number), spaced


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it is 665-12-3456", ["ssn"]),
        ("it is 899-12-3456", ["ssn"]),
        ("it is 666-12-3456", []),
        ("it is 900-12-3456", []),
        ("it is 000-12-3456", []),
        ("it is 123-00-4567", []),
        ("it is 123-45-0000", []),
        ("my card 4532015112830366", ["card"]),
        ("my order 4532015112830366", []),
        ("the server 10.2.3.4 is away", ["ip"]),
        ("since version 10.2.3.4 it is slow", []),
        ("it listens on 127.0.0.1", []),
        ("it listens on 0.0.0.0", []),
        ("my password is Sunshine4", ["password"]),
        ("my password is sunshine", []),
        ("the password: ${DB_PASSWORD}", []),
    ],
)
def test_what_only_looks_like_one_is_left_alone(text: str, expected: list[str]) -> None:
    """Numbers that were never issued, orders, versions, this machine itself, plain words and placeholders."""
    assert kinds(text) == expected


KEYS = {
    r"A[KSR][IO]A": "AKIA~IOSFODNN7EXAMPLE",
    r"gh[pousr]_|github_pat_": "ghp~_16C7e42F292c6912E7710c838347Ae178B4a",
    r"glpat-": "glpat~-xYz123abc456def789gh",
    r"xox": "xoxb~-123456789012-abcdefGHIJKL",
    r"k_live_|k_test_|whsec_": "sk_live~_4eC39HqLyjWDarjtT1zdp7dc",
    r"sk-": "sk~-proj-abcdefghijklmnopqrst1234",
    r"AIza": "AIza~SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
    r"hf_": "hf~_abcdefghijklmnopqrstuvwxyz",
    r"npm_|pypi-": "npm~_abcdefghijklmnopqrstuvwxyz0123456789",
    r"SG\.": "SG~.abcdefghijklmnopqrst.abcdefghijklmnopqrst",
    r"SK|AC": "AC~0123456789abcdef0123456789abcdef",
    r"ya29": "ya29~.a0AfH6SMBx1234567890abcdef",
}


@pytest.mark.parametrize("maker", KEY_FORMS)
def test_a_key_of_each_maker_is_known_without_a_word_beside_it(maker: str) -> None:
    """By its form alone, on a line of its own and within a text; every maker of the table has an example here."""
    key = KEYS[maker].replace("~", "")

    assert Redactor(REGIONS, {}).texts([key, f"it says ({key}), why?"]) == [
        "<API_KEY_1>",
        "it says (<API_KEY_1>), why?",
    ]


def test_of_two_that_overlap_the_surer_wins_however_short_it_is() -> None:
    """A recogniser of one's own is asked first, and what it takes nobody else takes."""
    redactor = Redactor(REGIONS, {"staff": r"\bann\b", "case": r"\b\d{3}-\d{2}-\d{4}\b"})

    assert redactor.texts(["ann@x.org has 123-45-6789"]) == ["<STAFF_1>@x.org has <CASE_1>"]


def test_what_ties_messages_together_is_kept() -> None:
    """An answer of a tool names its call: that id stays as it is, what the tool said does not."""
    said = '{"content":"mail a@b.org","role":"tool","tool_call_id":"a@b.org"}'
    example = Example("i", "u", f"[{said}]", "", "", "accepted")

    assert Redactor(REGIONS, {}).example(example).prompt == (
        '[{"content":"mail <EMAIL_1>","role":"tool","tool_call_id":"a@b.org"}]'
    )
