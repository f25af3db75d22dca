"""Names from what most members share, in every script, and from nobody's personal data."""

from __future__ import annotations

import itertools

import pytest

from flows.cluster.catalogue.naming import name_of
from flows.cluster.catalogue.terms import Said, readable, terms
from flows.redact.redact import Redactor

REDACTOR = Redactor(("US", "DE"), {})
SIGNED = "\n\nBest regards,\nJohn Example\nHead of Procurement\nSmith Trading"


def people(*texts: str, times: int = 3) -> list[Said]:
    """Each text said by so many people."""
    return [Said(f"{text}{n}", text) for n, text in itertools.product(range(times), texts)]


def test_words_name_what_sets_a_cluster_apart() -> None:
    """Each name holds its own topic and not the words that all share."""
    groups = [people(f"please help me: {topic}") for topic in ("card", "parcel", "refund")]

    found = terms(groups, REDACTOR, 1)

    assert [names[0] for names in found] == ["card", "parcel", "refund"]


def test_a_few_long_texts_name_nothing() -> None:
    """Two bank statements of 100 kB among sums: the sums name the cluster."""
    statement = "card purchase pos merchant eur " * 3_000
    sums = [Said(f"p{n}", f"what is the remainder of {n} divided by seven") for n in range(300)]
    groups = [[*sums, Said("a", statement), Said("b", statement)], people("my parcel is late")]

    (sums_terms, _) = terms(groups, REDACTOR, 3)

    assert {"remainder", "divided"} <= {word for term in sums_terms for word in term.split()}
    assert "purchase" not in " ".join(sums_terms)


def test_one_loud_account_names_nothing() -> None:
    """Three hundred messages of one person weigh what one message weighs."""
    loud = [Said("loud", f"acme is a fraud {n}") for n in range(300)]
    groups = [[*loud, *people("my card is lost", times=4)], people("my parcel is late")]

    assert "acme" not in " ".join(terms(groups, REDACTOR, 3)[0])


@pytest.mark.parametrize(
    "signature",
    [
        SIGNED,
        "\n\nMit freundlichen Grüßen\nJohn Example",
        "\n-- \nJohn Example\nsmith.example",
        "\n\nThanks,\nJohn Example",
        "\n- John Example",
        "\nSent from my Phone\nJohn Example",
    ],
)
def test_a_signature_names_nothing(signature: str) -> None:
    """Everybody signs with the same name: it is in no term and in no typical example."""
    groups = [people(*(f"{text}{signature}" for text in ("my card is lost", "a card was stolen", "card gone")))]

    said = " ".join(terms([*groups, people("where is the parcel")], REDACTOR, 1)[0])

    assert "card" in said
    assert not {"john", "example", "smith", "regards", "grüßen"} & set(said.split())
    assert readable(f"my card is lost{signature}", REDACTOR).strip() == "my card is lost"


def test_personal_data_is_in_no_name() -> None:
    """An address that everybody quotes, and a number, are placeholders before words are counted."""
    text = "invoice sent to mail@example.org and +49 30 901820 was wrong"

    (found, _) = terms([people(text), people("where is the parcel")], REDACTOR, 1)

    assert "invoice" in " ".join(found)
    assert not {"mail", "example", "org", "email"} & set(" ".join(found).split())


def test_a_word_of_too_few_people_is_no_term() -> None:
    """A word is a term from as many people on as the setting says; a cluster of fewer has none."""
    alike = [Said(f"p{n}", f"card lost {'gnarlsworth' if n < 2 else ''}") for n in range(10)]

    assert "gnarlsworth" not in " ".join(terms([alike, people("parcel")], REDACTOR, 3)[0])
    two = [Said("a", "lost card"), Said("b", "card stolen")]
    assert [terms([two, people("parcel")], REDACTOR, least)[0] for least in (2, 3)] == [("card",), ()]


@pytest.mark.parametrize(
    ("texts", "others", "word"),
    [
        (["返金してください", "返金はいつですか", "返金がまだです"], ["荷物が届きません", "荷物はどこですか"], "返金"),
        (["我要退款", "退款什么时候到", "申请退款"], ["包裹在哪里", "包裹没有到"], "退款"),
        (["ขอเงินคืนหน่อย", "เงินคืนเมื่อไหร่", "ยังไม่ได้เงินคืน"], ["พัสดุอยู่ที่ไหน", "พัสดุไม่มา"], "เงินคืน"),
        (["환불 해주세요", "환불 언제 되나요", "환불 요청"], ["택배 어디 있나요", "택배 안 왔어요"], "환불"),
        (["मुझे रिफंड चाहिए", "रिफंड कब मिलेगा", "रिफंड नहीं आया"], ["पार्सल कहाँ है", "पार्सल नहीं आया"], "रिफंड"),
        (["où est mon remboursement", "un remboursement, s'il vous plaît"], ["où est mon colis"], "remboursement"),
        (["wo ist die Erstattung", "ich warte auf die Erstattung"], ["wo ist das Paket"], "erstattung"),
        (["где мой возврат", "возврат не пришёл"], ["где моя посылка", "посылка не пришла"], "возврат"),
        (["أين استرداد المبلغ", "لم يصل استرداد"], ["أين الطرد", "لم يصل الطرد"], "استرداد"),
    ],
)
def test_every_script_has_words(texts: list[str], others: list[str], word: str) -> None:
    """What everybody asks for is the first term, whole: with its vowel signs, and parted where no blank parts it."""
    found, _ = terms([people(*texts), people(*others)], REDACTOR, 1)

    assert found[0] == word


def test_a_cluster_without_words_has_a_name() -> None:
    """Emoji and empty texts still give something to read."""
    assert terms([people("😀"), people("")], REDACTOR, 1) == [(), ()]
    assert name_of((), "😀 🎉") == "😀 🎉"
    assert name_of((), "") == "(no readable text)"


def test_the_order_of_arrival_changes_no_term() -> None:
    """The same texts in another order give the same terms."""
    group = people("my card is lost", "a card was stolen", "card gone", "the card is swallowed")

    assert terms([group, people("parcel")], REDACTOR, 1) == terms([group[::-1], people("parcel")], REDACTOR, 1)


def test_no_name_of_a_planted_set_holds_personal_data() -> None:
    """Twelve clusters in which everybody quotes the same person's data: the topic names them, no planted value does."""
    topics = ("card", "parcel", "refund", "password", "invoice", "delivery", "voucher", "address", "return", "size",
              "battery", "newsletter")  # fmt: skip
    planted = (
        "write to quentin.zabel@example.org", "call +49 30 901820", "the IBAN is DE89 3704 0044 0532 0130 00",
        "it was paid with 4111 1111 1111 1111", "from 192.168.17.23", "my name is Quentin Zabel",
    )  # fmt: skip
    values = {"quentin", "zabel", "example", "901820", "de89", "3704", "4111", "192"}
    groups = [
        [Said(f"{topic}-{n}", f"my {topic} is wrong, {planted[(n + i) % len(planted)]}") for n in range(30)]
        for i, topic in enumerate(topics)
    ]

    named = [name_of(words, "").lower() for words in terms(groups, REDACTOR, 3)]

    assert [topic for topic, name in zip(topics, named, strict=True) if topic not in name] == []
    assert not [name for name in named if any(value in name for value in values)]
