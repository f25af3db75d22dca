"""Scorers that compare texts."""

from __future__ import annotations

import re
import string
import sys
from collections import Counter
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.evaluate.scorers.protocol import Mark, Scorer
from flows.evaluate.scorers.registry import JUDGES, PLAIN, scorer_of
from flows.evaluate.scorers.text import EmbeddingSimilarity, f1, rouge
from flows.testing.scoring import case, marks
from schemas.errors import SettingsError
from schemas.normalise import normalise
from schemas.settings import EvaluateSettings

needs_rouge = pytest.mark.skipif(find_spec("rouge_score") is None, reason="the extra `rouge` is not installed")
WORDS = st.text(alphabet="abcdeé ,.THE\n", max_size=40)


def mark(scorer: Scorer, text: str, reference: str | None) -> Mark:
    """What a scorer says of one answer."""
    return marks(scorer, [case(text, reference)])[0]


@pytest.mark.parametrize(
    ("scorer", "text", "reference", "score"),
    [
        ("exact", "Yes", "Yes", 1.0),
        ("exact", "yes", "Yes", 0.0),
        ("normalised_match", " YES!\n", "yes", 1.0),
        ("normalised_match", "Straße 5", "STRASSE, 5", 1.0),
        ("normalised_match", "cafe\u0301", "café", 1.0),
        ("normalised_match", "ﬁne", "fine", 1.0),
        ("normalised_match", "no", "yes", 0.0),
        ("normalised_match", "", "yes", 0.0),
        ("normalised_match", "?", "!", 0.0),
        ("normalised_match", "5.1", "51", 0.0),
        ("token_f1", "the red car", "red cars", 0.5),
        ("token_f1", "", "red", 0.0),
        ("token_f1", "a the", "the", 1.0),
        pytest.param("rouge", "der rote wagen", "der rote wagen", 1.0, marks=needs_rouge),
        pytest.param("rouge", "красная машина", "красная", 2 / 3, marks=needs_rouge),
    ],
)
def test_texts_are_compared(scorer: str, text: str, reference: str, score: float) -> None:
    """One line a case, for every scorer of texts."""
    assert mark(PLAIN[scorer](), text, reference) == Mark(pytest.approx(score))


@pytest.mark.parametrize("name", sorted(set(PLAIN) - {"pattern", "json_schema", "rouge"}))
def test_no_reference_is_no_score(name: str) -> None:
    """What there is nothing to compare with is neither right nor wrong."""
    assert mark(PLAIN[name](), "text", None) == Mark(None, "no_reference")


@pytest.mark.parametrize(
    ("text", "reference"), [("मेरा बल", "मेरा बिल"), ("ป้า", "ป่า"), ("கால்", "கல்"), ("-3", "3"), ("C#", "C++")]
)
def test_another_vowel_is_another_answer(text: str, reference: str) -> None:
    """Marks that are vowels and tones, and signs, count in every comparison of texts."""
    assert mark(scorer_of(EvaluateSettings(scorer="normalised_match")), text, reference).score == 0
    assert f1(text, reference) < 1


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("上海在中国的东部", "中国的东部有上海"),
        ("กรุงเทพเมืองหลวง", "เมืองหลวงคือกรุงเทพ"),
        ("東京は日本の首都", "日本は東京が首都"),
    ],
)
def test_scripts_without_blanks_share_words(text: str, reference: str) -> None:
    """F1 and ROUGE count characters where a script has no blanks: most of these are the same."""
    assert 0.5 < f1(text, reference) < 1
    assert 0 < (mark(rouge("rouge1"), text, reference).score or 0) < 1


@given(WORDS, WORDS)
@settings(max_examples=100)
def test_f1_is_squads(text: str, reference: str) -> None:
    """The formula of the SQuAD script, spelt out as it stands there (but that punctuation parts words)."""

    def words(value: str) -> list[str]:
        lowered = "".join(" " if char in string.punctuation else char for char in value.lower())
        return re.sub(r"\b(a|an|the)\b", " ", lowered).split()

    prediction, truth = words(text), words(reference)
    same = sum((Counter(prediction) & Counter(truth)).values())
    if not prediction or not truth:
        expected = float(prediction == truth)
    elif same == 0:
        expected = 0.0
    else:
        precision, recall = same / len(prediction), same / len(truth)
        expected = 2 * precision * recall / (precision + recall)

    assert f1(text, reference) == pytest.approx(expected)


@needs_rouge
@given(st.lists(st.sampled_from("abcde"), max_size=8), st.lists(st.sampled_from("abcde"), min_size=1, max_size=8))
@settings(max_examples=60)
def test_rouge_l_is_the_longest_common_subsequence(text: list[str], reference: list[str]) -> None:
    """The library's figure is Lin's definition."""
    table = [[0] * (len(reference) + 1) for _ in range(len(text) + 1)]
    for i, ours in enumerate(text):
        for j, theirs in enumerate(reference):
            table[i + 1][j + 1] = table[i][j] + 1 if ours == theirs else max(table[i][j + 1], table[i + 1][j])
    common = table[-1][-1]
    expected = 2 * common / (len(text) + len(reference)) if common else 0.0

    assert mark(rouge(), " ".join(text), " ".join(reference)).score == pytest.approx(expected)


@given(st.text(max_size=60))
@settings(max_examples=200)
def test_normalising_twice_changes_nothing(text: str) -> None:
    """The normal form is normal."""
    assert normalise(normalise(text)) == normalise(text)


@needs_rouge
def test_a_book_is_not_compared_word_by_word() -> None:
    """Longer texts than the library can take in seconds are unscored, not waited for."""
    assert mark(rouge(), "word " * 100_000, "word") == Mark(None, "too_long_to_compare")


def test_rouge_without_its_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra that is missing is named with the command that installs it."""
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)

    with pytest.raises(SettingsError, match=r"llm-flywheel\[rouge\]"):
        rouge()


def test_embeddings_see_nearness() -> None:
    """The same meaning is nearer than another, the same text is 1, and unknown words have no place."""
    near = mark(EmbeddingSimilarity(), "my parcel has not arrived", "the package was never delivered").score
    far = mark(EmbeddingSimilarity(), "my parcel has not arrived", "how do I change my password").score

    assert near is not None
    assert far is not None
    assert near > far >= 0
    assert mark(EmbeddingSimilarity(), "my parcel", "my parcel").score == pytest.approx(1.0, abs=1e-2)
    assert mark(EmbeddingSimilarity(), "", "my parcel") == Mark(None, "no_vector")
    assert mark(EmbeddingSimilarity(threshold=0.999), "my parcel", "your password") == Mark(0.0)


def test_settings_name_a_scorer() -> None:
    """By name and options; a wrong name or option is refused with what is known."""
    assert scorer_of(EvaluateSettings(scorer="exact")).name == "exact"
    options = {"embedder": "wordllama", "threshold": 0.8}
    assert scorer_of(EvaluateSettings(scorer="embedding_similarity", scorer_options=options)).name in PLAIN
    with pytest.raises(SettingsError, match=r"known are auto, exact, .*pairwise_judge"):
        scorer_of(EvaluateSettings(scorer="vibes"))
    with pytest.raises(SettingsError, match="unexpected keyword argument 'speed'"):
        scorer_of(EvaluateSettings(scorer="exact", scorer_options={"speed": 1}))
    with pytest.raises(SettingsError, match="missing a required argument: 'pattern'"):
        scorer_of(EvaluateSettings(scorer="pattern"))
    with pytest.raises(SettingsError, match="judge_endpoint"):
        scorer_of(EvaluateSettings(scorer="judge"))
    assert set(JUDGES) == {"judge", "pairwise_judge"}
