"""Personal data and secrets: labelled strings, their placeholders, and what only looks like one."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from flows.redact.recognisers import KEY_FORMS
from flows.redact.redact import Redactor, Span
from schemas.errors import SettingsError
from schemas.records import Example
from schemas.settings import CurateSettings
from tests.support.growing import grows

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
    """Prompt, answer, rejected answer, ids and arguments of tool calls, tools, and the text that is compared."""
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

    assert secret not in redacted.answer + redacted.prompt + redacted.text + (redacted.rejected or "") + (
        redacted.tools or ""
    )
    assert redacted.text == "I am <EMAIL_1>"
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


HOSTILE = [
    "a-", "eyJ-", "eyJaaaaaaaa.", "1 ", "a.", "key-", "api-key-", "Aa ", "1:", "@a.", "12 Aa ", "a@b.org ", "\nBest",
    "\n", "-----BEGIN PRIVATE KEY-----", "a://b:", "0x", "password: ", "token token", "1.1.", "::1:", "calle a",
    "1 rue ",
    "\u0300\u0316", "\u200b1", "４", "密1", "_1", "%", "'", "born 1 ", "{", '"a":', "driving licence A1-",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_costs_more_than_its_length(piece: str) -> None:
    """Of every hostile family four times the text costs some four times the time: a square would cost sixteen times."""

    def read(text: str) -> None:
        Redactor(REGIONS, {}).texts([text])

    assert grows(read, piece * (20_000 // len(piece)), piece * (80_000 // len(piece)), 9)


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
    ("AKIA", "ASIA", "AROA"): "AKIA~IOSFODNN7EXAMPLE",
    ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"): "ghp~_16C7e42F292c6912E7710c838347Ae178B4a",
    ("glpat-",): "glpat~-xYz123abc456def789gh",
    ("xox",): "xoxb~-123456789012-abcdefGHIJKL",
    ("k_live_", "k_test_", "whsec_"): "sk_live~_4eC39HqLyjWDarjtT1zdp7dc",
    ("sk-",): "sk~-proj-abcdefghijklmnopqrst1234",
    ("AIza",): "AIza~SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
    ("hf_",): "hf~_abcdefghijklmnopqrstuvwxyz",
    ("npm_", "pypi-"): "npm~_abcdefghijklmnopqrstuvwxyz0123456789",
    ("SG.",): "SG~.abcdefghijklmnopqrst.abcdefghijklmnopqrst",
    ("SK", "AC"): "AC~0123456789abcdef0123456789abcdef",
    ("ya29",): "ya29~.a0AfH6SMBx1234567890abcdef",
}


@pytest.mark.parametrize("maker", KEY_FORMS)
def test_a_key_of_each_maker_is_known_without_a_word_beside_it(maker: tuple[str, ...]) -> None:
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


def redacted(value: Any) -> Any:
    """A JSON value after redaction, as the prompt of an example."""
    example = Example("i", "u", json.dumps(value), "", "", "accepted")
    return json.loads(Redactor(REGIONS, {}).example(example).prompt)


def test_what_ties_messages_together_still_does() -> None:
    """An answer of a tool names its call, also where the id is somebody's address: both get the same placeholder."""
    call = {"id": "a@b.org", "type": "function", "function": {"name": "mail", "arguments": "{}"}}
    answer = {"role": "tool", "tool_call_id": "a@b.org", "content": "mailed c@d.org"}

    asked, said = redacted([{"role": "assistant", "tool_calls": [call]}, answer])

    assert asked["tool_calls"][0]["id"] == said["tool_call_id"] == "<EMAIL_1>"
    assert (asked["tool_calls"][0]["type"], said["role"], said["content"]) == ("function", "tool", "mailed <EMAIL_2>")


@pytest.mark.parametrize("key", ["id", "type", "role", "name", "tool_call_id", "anything"])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_people_stand_under_any_key(key: str, depth: int) -> None:
    """What is structure in a message is a person's data within arguments, as an object and as text, at any depth."""
    arguments: Any = {key: "reach me at li.wei@example.cn"}
    for _ in range(depth):
        arguments = {"inner": [arguments]}
    for given in (arguments, json.dumps(arguments), json.dumps(arguments, ensure_ascii=True, indent=1)):
        (message,) = redacted([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": given}}]}])
        found = message["tool_calls"][0]["function"]["arguments"]
        assert "li.wei" not in json.dumps(found)
        assert "<EMAIL_1>" in json.dumps(found)


@pytest.mark.parametrize(
    "said",
    [
        {"body": "Dear Sir,\nmax@example.org\nbye"},
        {"path": "C:\\new\\max@example.org"},
        {"quote": 'he said "max@example.org"', "tab": "a\tmax@example.org\tb"},
        {"card": 4111111111111111},
        {"rows": [["max@example.org", 1, None, True], {"max@example.org": {"max@example.org": 2.5}}]},
        {"json in json": json.dumps({"to": "max@example.org", "n": [1, {"deep": "\u00fcber max@example.org"}]})},
    ],
    ids=str,
)
def test_json_stays_json(said: Any) -> None:
    """Redaction is of values and keys, never of the text they are written in: escapes stay whole, numbers valid."""
    text = json.dumps(said)
    (message,) = redacted([{"role": "tool", "content": text}])
    found = json.loads(message["content"])

    assert type(found) is type(said)
    assert "max@example.org" not in message["content"].replace("\\", "")
    assert "4111111111111111" not in message["content"]
    assert "<EMAIL_1>" in message["content"] or "<CARD_1>" in message["content"]
    as_text = Redactor(REGIONS, {}).texts([json.dumps(found)])[0]
    assert as_text == json.dumps(found), "nothing is left to be found"


def test_json_with_nobody_in_it_stays_as_it_was_written() -> None:
    """Spacing and escapes too: what is not changed is not written anew."""
    text = '{ "a" : 1.50, "b":"\\u00e9" }'

    assert redacted([{"role": "tool", "content": text}]) == [{"role": "tool", "content": text}]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, '{"a": 1', "[1, 2,,]", '{"n": ' + "9" * 500 + "}"])
def test_what_only_begins_like_json_is_text(text: str) -> None:
    """Deep, cut off, or with numbers beyond any parser: it is looked at as text, and stops nobody."""
    hidden = text + " jo@example.org"

    assert redacted([{"role": "tool", "content": hidden}])[0]["content"] == text + " <EMAIL_1>"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"phone": "030 901820"}, {"phone": "<PHONE_1>"}),
        ({"account_number": 123456789}, {"account_number": "<ACCOUNT_1>"}),
        ({"ssn": "123456789"}, {"ssn": "<SSN_1>"}),
        ({"api_key": "q8Zt3vLw0PbX7nR5"}, {"api_key": "<API_KEY_1>"}),
        (
            {"name": "Visa Gold", "amount": 12.5, "order": 4111111},
            {"name": "Visa Gold", "amount": 12.5, "order": 4111111},
        ),
    ],
    ids=str,
)
def test_a_key_speaks_for_its_value(arguments: Any, expected: Any) -> None:
    """Digits that would be nobody's in a text are somebody's under `phone`; a key `name` may name anything."""
    (message,) = redacted([{"role": "assistant", "tool_calls": [{"function": {"arguments": json.dumps(arguments)}}]}])

    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == expected


def test_whoever_speaks_under_a_name_speaks_under_a_placeholder() -> None:
    """The field `name` of a message is a person's, but for a tool's."""
    messages = [
        {"role": "user", "name": "Zoë Quist", "content": "hello"},
        {"role": "user", "name": "zoë quist", "content": "again"},
        {"role": "tool", "name": "lookup", "content": "found"},
    ]

    assert [message["name"] for message in redacted(messages)] == ["<NAME_1>", "<NAME_1>", "lookup"]


GLUE = {
    "Chinese": ("密钥是{}谢谢", "账号{}，谢谢"),
    "Japanese": ("これは{}です", "番号は{}ですか"),
    "Korean": ("키는{}입니다",),
    "Thai": ("รหัส{}ค่ะ",),
    "Arabic": ("هذا{}شكرا",),
    "Cyrillic": ("вот{}спасибо",),
    "Hindi": ("यह{}है",),
    "underscore": ("my_{}_here", "x_{}"),
    "invisible": ("it is\u200b{}\u200b.", "it is \u200b{}\u200b.", "\ufeff{}\u2060"),
}
PERSONAL = {
    "api_key": "sk~-proj-Zk3abcdefghijklmno12pq".replace("~", ""),
    "iban": "GB82WEST12345698765432",
    "card": "5555555555554444",
    "ip": "203.0.114.9",
    "phone": "+66 81 234 5678",
    "email": "nok.s@example.co.th",
}


@pytest.mark.parametrize("script", GLUE)
@pytest.mark.parametrize("kind", PERSONAL)
def test_no_letter_hides_what_stands_beside_it(script: str, kind: str) -> None:
    """In scripts without blanks, beside `_` and beside what nobody sees; what stands around it stays as it was."""
    if script == "underscore" and kind == "email":
        pytest.skip("an underscore belongs to the address")
    for form in GLUE[script]:
        text = form.format(PERSONAL[kind])
        spans = Redactor(REGIONS, {}).find(text)
        assert [span.kind for span in spans] == [kind], text
        assert PERSONAL[kind] in text[spans[0].start : spans[0].end], text
        if script not in {"underscore", "invisible"}:
            assert text[spans[0].start : spans[0].end] == PERSONAL[kind], text


@pytest.mark.parametrize("blank", ["\u00a0", "\u202f", "\u2009", "\u3000", "\u2007"])
@pytest.mark.parametrize(
    ("text", "kind"),
    [("GB82 WEST 1234 5698 7654 32", "iban"), ("5555 5555 5555 4444", "card"), ("+44 20 7946 0958", "phone")],
)
def test_a_blank_is_a_blank(blank: str, text: str, kind: str) -> None:
    """However wide it is, and whether a line may break there."""
    assert kinds(f"it is {text.replace(' ', blank)} thanks") == [kind]


@pytest.mark.parametrize("dash", ["\u2010", "\u2011", "\u2013", "\u2014", "\u2212", "\ufe63", "\uff0d"])
@pytest.mark.parametrize(
    ("text", "kind"), [("219-09-9998", "ssn"), ("415-555-2671", "phone"), ("5555-5555-5555-4444", "card")]
)
def test_a_dash_is_a_dash(dash: str, text: str, kind: str) -> None:
    """However long it is."""
    assert kinds(f"it is {text.replace('-', dash)} thanks") == [kind]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("５５５５ ５５５５ ５５５５ ４４４４", "card"),
        ("٥٥٥٥ ٥٥٥٥ ٥٥٥٥ ٤٤٤٤", "card"),
        ("५५५५ ५५५५ ५५५५ ४४४४", "card"),
        ("＋４４ ２０ ７９４６ ０９５８", "phone"),
        ("ｍｅ＠ｅｘａｍｐｌｅ．ｏｒｇ", "email"),
        ("55\u200b55 5555\u00ad 5555 44\u206044", "card"),
        ("me\u200b@exam\u00adple.org", "email"),
    ],
)
def test_the_same_to_a_reader_is_the_same_to_a_pattern(text: str, kind: str) -> None:
    """Wide forms, digits of other scripts, and characters that nobody sees; the whole of it is cut out."""
    assert Redactor(REGIONS, {}).texts([f"see {text}!"]) == [f"see <{kind.upper()}_1>!"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("It never came.\n\nThanks,\nPriya Raman", "Priya Raman"),
        ("Es kam nie an.\nViele Grüße\nJörg Vögele\nBerlin", "Jörg Vögele"),
        ("No llegó.\nSaludos,\nInés Prado\n", "Inés Prado"),
        ("Please refund me.\n-- \nTom Okafor", None),
        ("Please refund me.\n— Tom Okafor", "Tom Okafor"),
        ("I need:\n- Apples\n- Pears\nand more", None),
        ("Thanks\nplease do it today", None),
    ],
)
def test_a_signature_is_a_name(text: str, name: str | None) -> None:
    """Below a closing formula, or a dash in the last line; a list is no signature."""
    found = [text[span.start : span.end] for span in Redactor(REGIONS, {}).find(text) if span.kind == "name"]

    assert found == ([name] if name else [])
