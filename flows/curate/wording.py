"""Do two near texts ask for the same? Word by word: a typo is no other word, and `card` is no `email`.

Letters alone cannot tell `change the email on my account` from `change the card on my account`: nearly all of them are
the same. What the words that are left over mean is not asked, only whether any is more than a typo, an ending or a
small word. Go back to `dedup.py`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

from rapidfuzz.distance import OSA

from schemas.normalise import has_blanks

TYPO = 8
"""Letters of a word for each that may be wrong, missing, too many or exchanged with its neighbour; one always may:
`increase` and `decrease` are two words, `recieve` and `receive` one; `lost` and `last` cannot be told apart."""
ENDING = 3
"""Letters, but no more than half a word, that may follow it: `card` and `cards`, `cancel` and `cancelled` are one."""
SMALL = frozenset({
    "a", "an", "the", "this", "that", "these", "my", "your", "our", "me", "i", "we", "you", "it", "its", "am", "is",
    "are", "was", "were", "be", "been", "do", "does", "did", "will", "would", "can", "could", "may", "should", "have",
    "has", "had", "just", "really", "very", "so", "still", "yet", "then", "now", "there", "some", "any", "to", "of",
    "for", "at", "in", "on", "by", "please", "kindly", "pls", "plz", "thanks", "thank", "thx", "hi", "hello", "hey",
    "asap", "m", "s", "ll", "ve", "re", "d",
})  # fmt: skip
"""Words that can come, go or be exchanged while a request stays what it was; `not`, `off`, `from`, `without` cannot.
English only: in other languages a small word counts as any other, and a few more texts are kept."""
_COURTESY = re.compile(r"\b(?:thank you|thanks?|thx|please|kindly|pls|plz|hi|hello|hey|asap)\b ?")
LEFT_OVER = 0.05
"""Share of the longer text's words from which what is left over makes two texts. Of twenty words one does; in a page
of text one other word makes no other page."""
MAX_LEFT = 40
"""Words of either text that the other lacks, from which two texts are two: each is compared with each."""

_DIGIT = re.compile(r"\d")


def plain(text: str) -> str:
    """A normalised text without its courtesies: `where is my order please` asks what `where is my order` asks."""
    kept = _COURTESY.sub("", text)
    return text if kept == text else kept.strip() or text


def same_wording(a: str, b: str, frequency: Mapping[str, int]) -> bool:
    """Whether two normalised texts say the same word for word, but for typos, endings and SMALL words.

    `frequency`: in how many texts each word stands. What stands in one alone is more likely mistyped than what others
    say.
    """
    ours, theirs = a.split(), b.split()
    mine, other = _without(ours, theirs), _without(theirs, ours)
    if max(len(mine), len(other)) > MAX_LEFT:
        return False
    if _joined(mine, other):  # `don t` and `do not`
        return True
    for word in list(mine):
        if (twin := next((known for known in other if alike(word, known, frequency)), None)) is not None:
            mine.remove(word)
            other.remove(twin)
    if _joined(mine, other):  # `log in` and `login`, beside a typo
        return True
    left = max(sum(not _small(word) for word in words) for words in (mine, other))
    return left < LEFT_OVER * max(len(ours), len(theirs))


def _without(words: list[str], others: list[str]) -> list[str]:
    """The words but those of the others, each as often as it stands more often."""
    known, distinct = set(others), set(words)
    if len(known) == len(others) and len(distinct) == len(words):  # as in most texts
        return [word for word in words if word not in known]
    return list((Counter(words) - Counter(others)).elements())


def _joined(mine: Sequence[str], other: Sequence[str]) -> bool:
    """Whether words are the same but for where they are parted, and a letter, of longer ones two."""
    if len(mine) + len(other) < 3 or not (mine and other):
        return False
    one, two = "".join(mine), "".join(other)
    least = min(len(one), len(two))
    if least < 3 or _DIGIT.search(one + two):
        return False
    wrong = 2 if least >= TYPO and len(mine) != len(other) else 1
    return OSA.distance(one, two, score_cutoff=wrong) <= wrong


def alike(one: str, other: str, frequency: Mapping[str, int]) -> bool:
    """Whether two words are one, mistyped or with another ending. Numbers are alike where they are equal."""
    short, long = (one, other) if len(one) <= len(other) else (other, one)
    more = len(long) - len(short)
    if more > max(ENDING, len(long) // 4):  # than any of what follows allows
        return False
    if _DIGIT.search(long + short):
        return short == long
    if more <= min(ENDING, len(short) // 2) and long.startswith(short):
        return True
    if (wrong := _typos_of_script(long + short, len(long))) is None:
        known = sorted((frequency.get(one, 1), frequency.get(other, 1)))
        mistyped = known[0] == 1 < known[1] and one[:1] == other[:1]
        wrong = max(2, len(long) // 4) if mistyped else max(1, len(long) // TYPO)
        if len(long) <= 2:
            return False
    return more <= wrong and OSA.distance(short, long, score_cutoff=wrong) <= wrong


def _typos_of_script(letters: str, long: int) -> int | None:
    """How many letters of a word may be wrong where its script decides that, and not how often others say it."""
    if letters.isascii():
        return None
    if not has_blanks(letters):  # a word is a sentence, and a character a word
        return int(LEFT_OVER * long)
    if any(unicodedata.category(char)[0] == "M" for char in letters):  # one vowel sign is another word
        return long // TYPO
    return None


def _small(word: str) -> bool:
    return word in SMALL or (len(word) <= 2 and word.isascii() and word.isalpha() and word not in {"no", "t"})
