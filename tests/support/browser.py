"""A real browser (Debian's `chromium`), and a page of somebody else's that it has open while it may reach our ports."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_S = 150
_PAGE = """<!doctype html><meta charset="utf-8"><title>foreign</title><pre id="found"></pre><script>
const places = PLACES, found = {};
const told = (place, how, what) => (found[place + " " + how] = what);
const asked = async (place, how, options) => {
  try {
    const got = await fetch(place, options);
    told(place, how, got.type === "opaque" ? "opaque" : await got.text());
  }
  catch (error) { told(place, how, "refused"); }
};
const loaded = (place, how, make) => new Promise(resolve => {
  const element = document.createElement(make);
  element.onload = () => { told(place, how, "loaded"); resolve(); };
  element.onerror = () => { told(place, how, "refused"); resolve(); };
  setTimeout(() => { found[place + " " + how] ??= "refused"; resolve(); }, 4000);
  element.src = place;
  document.body.append(element);
});
(async () => {
  for (const place of places) {
    await asked(place, "fetch", {});
    await asked(place, "patch", {method: "PATCH", headers: {"content-type": "application/json"}, body: "{}"});
    await asked(place, "post", {method: "POST", mode: "no-cors", body: "{}"});
    await loaded(place, "script", "script");
    await loaded(place, "image", "img");
  }
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>"""


@contextmanager
def tabs(
    browser: Any,
    address: str,
    *,
    watch: Callable[[Any], None] = lambda _: None,
    leave: Callable[[Any], None] = lambda _: None,
) -> Iterator[Callable[..., Any]]:
    """Opens pages of the app at an address; at the end each is left and closed, and nothing foreign was asked for."""
    contexts: list[Any] = []
    foreign: list[str] = []

    def open_page(path: str, theme: str = "light", width: int = 1280, **more: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda request: foreign.append(request.url) if not request.url.startswith(address) else None)
        watch(page)
        page.goto(address + path)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            leave(page)
        context.close()
    assert foreign == []


def dom(url: str, profile: Path, *, budget_ms: int = 30_000, switches: tuple[str, ...] = ()) -> str:
    """The page as it stands in the browser after its scripts ran, as HTML."""
    words = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--dump-dom",
        f"--timeout={budget_ms + 15000}",
    ]
    words += [f"--virtual-time-budget={budget_ms}", f"--user-data-dir={profile}", *switches, url]
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False).stdout


def words_of(page: str) -> str:
    """What a person reads of a page."""
    return " ".join(re.sub(r"<(script|style|head).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL).split())


def asked_by_a_stranger(places: list[str], profile: Path, host: str = "127.0.0.2") -> dict[str, Any]:
    """What a page at another address of this machine gets from `places`, by each way that a page has."""
    page = _PAGE.replace("PLACES", json.dumps(places)).encode()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((host, 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        shown = dom(f"http://{host}:{server.server_port}/", profile)
    finally:
        server.shutdown()
        server.server_close()
    found = re.search(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)
    if not found or not found[1]:
        raise AssertionError(f"the foreign page did not end: {shown[-500:]}")
    answers: dict[str, Any] = json.loads(html.unescape(found[1]))
    return answers
