"""Numbers, times and strangers' texts as people read them.

Texts are cut before anything is done with them, what a terminal or browser would obey is written out, and markdown is
rendered without HTML, without images, and with links that say where they lead. Go on to `html.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from flows.visible import visible

LONGEST = 10_000
"""Characters of one text on a page; the rest is behind a link that saves it."""
GLYPHS = {
    "new": '<circle cx="5" cy="5" r="3.5" fill="currentColor"/>',
    "growing": '<path d="M1 8L5 2L9 8Z" fill="currentColor"/>',
    "regressed": '<path d="M2 5a3 3 0 1 1 1 2.3M2 8.5V5h3.5" fill="none" stroke="currentColor" stroke-width="1.5"/>',
    "steady": '<path d="M1 5H9" stroke="currentColor" stroke-width="1.5"/>',
    "shrinking": '<path d="M1 2L9 2L5 8Z" fill="currentColor"/>',
    "good": '<path d="M1.5 5.5L4 8L8.5 2.5" fill="none" stroke="currentColor" stroke-width="1.6"/>',
    "bad": '<path d="M2 2L8 8M8 2L2 8" fill="none" stroke="currentColor" stroke-width="1.6"/>',
    "open": '<circle cx="5" cy="5" r="3.2" fill="none" stroke="currentColor" stroke-width="1.5"/>',
    "dot": '<circle cx="5" cy="5" r="2" fill="currentColor"/>',
}
SAME = {
    "resolved": "good", "promote": "good", "promoted": "good", "ok": "good", "done": "good", "current": "good",
    "block": "bad", "failed": "bad", "rolled_back": "bad", "withdrawn": "bad", "trouble": "bad",
    "inconclusive": "steady", "held": "steady", "stale": "steady", "merged": "steady", "ignored": "steady",
    "unknown": "open", "waiting": "open", "registered": "open",
}  # fmt: skip
"""State → the glyph that it shares with another."""


def glyph(state: str) -> Markup:
    """A 10-pixel sign beside a word, never instead of it."""
    shape = GLYPHS.get(SAME.get(state, state), GLYPHS["dot"])
    return Markup(f'<svg width="10" height="10" viewBox="0 0 10 10" aria-hidden="true">{shape}</svg>')  # noqa: S704 ours


def percent(value: float | None, digits: int = 1) -> str:
    """A share as per cent; a dash where there is none."""
    return "–" if value is None else f"{value * 100:.{digits}f} %"


def points(value: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    if value is None:
        return "–"
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{abs(value) * 100:.1f}"


def count(value: float | None) -> str:
    """A whole number with its thousands apart."""
    return "–" if value is None else f"{value:,.0f}"


def capped(value: int, cap: int = 10_000) -> str:
    """A count that was not taken further than its cap."""
    return f"{cap:,}+" if value > cap else f"{value:,}"


def instant(moment: datetime | None) -> str:
    """A time in UTC: `28 Nov 2026, 13:28`."""
    return "–" if moment is None else f"{moment.astimezone(UTC):%-d %b %Y, %H:%M}"


def at(milliseconds: int) -> datetime:
    """A time of the index."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def span(length: timedelta | float) -> str:
    """How long: `18 s`, `4 min`, `3 h`, `2 days`."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    for least, size, unit in ((172_800, 86_400, "days"), (5400, 3600, "h"), (90, 60, "min")):
        if seconds >= least:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def duration(milliseconds: float | None) -> str:
    """How long an answer took."""
    if milliseconds is None:
        return "–"
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def money(dollars: float | None) -> str:
    """A sum in dollars."""
    return "–" if dollars is None else f"${dollars:,.2f}" if dollars >= 1 else f"${dollars:.4f}"


def many(number: int, one: str, more: str = "") -> str:
    """`1 cluster`, `3 clusters`."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def line(text: str | None, longest: int = 240) -> str:
    """A stranger's text on one line, cut."""
    flat = " ".join((text or "")[: longest * 4].split())
    return visible(flat[: longest - 1] + "…" if len(flat) > longest else flat)


def plain(text: str) -> Markup:
    """A stranger's text as it is, cut, its line breaks kept by the style sheet."""
    return escape(visible(text[:LONGEST]))


def rich(text: str) -> Markup:
    """A stranger's Markdown: no HTML, no image, and links that show where they lead."""
    return Markup(_markdown().render(visible(text[:LONGEST])))  # noqa: S704 markdown-it escapes all that it is given


def _markdown() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False, "linkify": False, "typographer": False, "maxNesting": 20})
    reader.disable(["image", "html_block", "html_inline"]).enable("table")
    reader.validateLink = _is_harmless  # type: ignore[method-assign]
    reader.add_render_rule("link_open", _link_open)
    reader.add_render_rule("link_close", _link_close)
    return reader


def _is_harmless(url: str) -> bool:
    return url.strip().lower().startswith(("http://", "https://", "mailto:"))


def _link_open(renderer: Any, tokens: Any, place: int, options: Any, env: Any) -> str:
    token = tokens[place]
    env.setdefault("links", []).append(str(token.attrGet("href")))
    token.attrSet("rel", "noopener noreferrer nofollow")
    token.attrSet("target", "_blank")
    return str(renderer.renderToken(tokens, place, options, env))


def _link_close(renderer: Any, tokens: Any, place: int, options: Any, env: Any) -> str:
    address = escape(env["links"].pop()[:200])
    return f'{renderer.renderToken(tokens, place, options, env)} <span class="s">({address})</span>'
