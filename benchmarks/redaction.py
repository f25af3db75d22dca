"""Precision and recall of redaction on the labelled strings of the tests, by kind and by script.

    python benchmarks/redaction.py

A find counts where kind, start and end are those of the label. Ends with one line of JSON.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

from flows.redact.protocol import Span
from flows.redact.redact import Redactor
from schemas.settings import CurateSettings

LABELLED = Path(__file__).resolve().parents[1] / "tests" / "flows" / "redact" / "pii.txt"
MARK = re.compile(r"\[\[(\w+)\|(.*?)\]\]")


def labelled() -> list[tuple[str, set[Span]]]:
    """The strings with their spans; a tilde, which keeps scanners from made-up keys, is left out."""
    lines = [line.replace("~", "") for line in LABELLED.read_text().splitlines() if line and not line.startswith("#")]
    return [parse(line) for line in lines]


def parse(line: str) -> tuple[str, set[Span]]:
    """A line's text, and what is marked in it."""
    text, spans, end = "", set(), 0
    for match in MARK.finditer(line):
        text += line[end : match.start()]
        spans.add(Span(len(text), len(text) + len(match[2]), match[1]))
        text, end = text + match[2], match.end()
    return text + line[end:], spans


def script(text: str, spans: set[Span]) -> str:
    """The script that most letters beside the labels are of, as Unicode names it."""
    within = {place for span in spans for place in range(span.start, span.end)}
    beside = [char for place, char in enumerate(text) if place not in within and char.isalpha()]
    names = Counter(unicodedata.name(char, "?").split()[0] for char in beside)
    return names.most_common(1)[0][0].lower() if names else "none"


def table(title: str, counts: dict[str, Counter[str]]) -> dict[str, list[float]]:
    """Print one table; its figures as recall, precision and number of labels."""
    figures = {}
    print(f"\n| {title} | labels | recall | precision |\n|---|---|---|---|")
    for name, count in sorted(counts.items()):
        labels, found = count["hit"] + count["missed"], count["hit"] + count["wrong"]
        recall, precision = count["hit"] / max(labels, 1), count["hit"] / max(found, 1)
        figures[name] = [round(recall, 3), round(precision, 3), labels]
        print(f"| {name} | {labels} | {recall:.2f} | {precision:.2f} |")
    return figures


def main() -> None:
    """Measure, print, end."""
    redactor = Redactor(CurateSettings().regions, {})
    kinds: dict[str, Counter[str]] = {}
    scripts: dict[str, Counter[str]] = {}
    for text, expected in labelled():
        found = set(redactor.find(text))
        for what, spans in (("hit", expected & found), ("missed", expected - found), ("wrong", found - expected)):
            for span in spans:
                kinds.setdefault(span.kind, Counter())[what] += 1
                scripts.setdefault(script(text, expected), Counter())[what] += 1
    print(json.dumps({"kinds": table("kind", kinds), "scripts": table("script", scripts)}))


if __name__ == "__main__":
    main()
