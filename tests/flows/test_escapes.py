"""One escape for each form of page: strangers through Markdown, HTML and XML, by the parsers that read these."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from flows import markdown
from flows.cluster.flow import _table
from flows.promote.gate import Finding
from flows.promote.report import junit
from schemas.records import Cluster
from streams.triage.report import page

CORPUS = {
    "image": "![p](http://evil.example/p.png)",
    "link": "[click](javascript:alert(1)) <http://evil.example>",
    "html": "<img src=x onerror=alert(1)><script>alert(1)</script><b>",
    "table": "a | b |\n|---|---|\n| c",
    "heading": "# big\n\n- item\n> quote\n    code",
    "fence": "```\nrm -rf /\n```",
    "reference": "[x]: http://evil.example\n![x]",
    "attribute": '" onmouseover="alert(1)" \' x=\'',
    "entity": "&lt;b&gt; &#x3c;b&#x3e; ]]> <!-- --> <?xml?>",
    "controls": "\x1b]8;;http://evil.example\x1b\\\\x \x00 \x9b2J \u202e rl \ud800",
    "formula": "=cmd|' /C calc'!A1 +1 -1 @SUM(1)",
}
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
PLAIN = {"paragraph_open", "paragraph_close", "inline"}


def marks(source: str) -> set[str]:
    """What a reader of Markdown makes of a text, beside text."""
    tokens = READER.parse(source)
    inner = {child.type for token in tokens for child in token.children or ()}
    return ({token.type for token in tokens} - PLAIN) | (inner - {"text", "softbreak"})


def cluster(name: str) -> Cluster:
    return Cluster(
        cluster_id="c", name=name, size=1, size_total=1, rate=None, rate_low=None, rate_high=None, status="new"
    )


@pytest.mark.parametrize("name", CORPUS)
def test_markdown_is_text(name: str) -> None:
    """No image, link, tag, table, heading nor code: also in a cell, where Prefect's UI renders Markdown."""
    written = markdown.text(CORPUS[name])

    assert marks(f"said: {written}") == set()
    assert marks(f"| a | b |\n|---|---|\n| {written} | c |") <= {
        f"{part}_{end}" for part in ("table", "thead", "tbody", "tr", "th", "td") for end in ("open", "close")
    }
    assert str(_table([cluster(CORPUS[name])])[0]["name"]) == written


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, ...]] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.add((tag, *sorted(name for name, _ in attributes)))


def tags(name: str) -> set[tuple[str, ...]]:
    """Of triage's page over a group that is called so."""
    group = {"application": name, "model": name, "prompt_version": name, "variant": name}
    row = {**group, "interactions": 1, "judged": 1, "failed": 1, "rate": 1.0}
    reader = Tags()
    reader.feed(
        page({
            "window_s": 300, "groups": [{**row, "alarm": False}], "windows": [{**row, "start": 0}], "champions": [],
            "events": {name: 1},
        })
    )  # fmt: skip
    return reader.found


@pytest.mark.parametrize("name", CORPUS)
def test_html_is_text(name: str) -> None:
    """A page has the same tags and attributes whatever a group is called."""
    assert tags(CORPUS[name]) == tags("plain")


@pytest.mark.parametrize("name", CORPUS)
def test_xml_is_text(name: str) -> None:
    """A reader of JUnit finds the elements that were written, and the words in them."""
    finding = Finding(answer="block", reason=CORPUS[name], about=CORPUS[name])

    suite = ElementTree.fromstring(junit([finding], CORPUS[name]))

    assert [each.tag for each in suite.iter()] == ["testsuite", "properties", "property", "testcase", "failure"]
