"""Calls to endpoints over HTTP: bounded in time and bytes, to allowed addresses, never on to where they point.

The one way out for whatever a setting or the ledger names: candidates, namer, embedder. A name is resolved once a
session, what it resolves to is checked and is what is connected to. No redirect is followed, so no key reaches a host
that it was not given for; an answer is read up to a limit, unpacked by nobody; the time is that of the whole call. Go
on to `addresses.py`; `flows/evaluate/endpoint.py`, `embed.py` and `ui/notices/notifier.py` are users.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from flows.addresses import SHOWN, CheckedResolver, check_url, is_plainly_private
from schemas.errors import EndpointError, RefusedError
from schemas.secrets import Secret

CONNECT_S = 10.0
"""A host that takes longer to accept a connection is away."""
REFUSED = frozenset({400, 413, 414, 422, 431})
"""What is said of what was sent, not of who sent it or where: the same again would be refused again."""
EXCERPT = 160
"""Bytes of a refusal that are shown to a person."""
PIECE = 8
"""Characters from which on a piece of a secret address is hidden by itself: tokens are longer."""


class Bounds(Struct, frozen=True):
    """What one call may cost."""

    timeout_s: float
    """For all of it: an answer that drips is cut off too."""
    max_bytes: int


def session(declared: Iterable[str], timeout_s: float, connections: int = 1) -> aiohttp.ClientSession:
    """Connections for one piece of work; `declared` are the private hosts that may be called."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, resolver=CheckedResolver(declared), ttl_dns_cache=None),
        timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"content-type": "application/json", "accept-encoding": "identity", "user-agent": "llm-flywheel"},
        auto_decompress=False,  # a compressed answer was not asked for, and may be a bomb
    )


def allowed(url: str, declared: Collection[str] = ()) -> frozenset[str]:
    """The private hosts that an operator's own URL may lead to: those declared, and its host where that says itself.

    `127.0.0.1` or `localhost` in a setting cannot mean another machine; a name can, so it must be declared.
    """
    try:
        host = URL(url).host or ""
    except ValueError:  # `check_url` says what is wrong with it
        host = ""
    return frozenset(declared) | ({host.lower()} if is_plainly_private(host) else frozenset())


def ask(url: str, body: Any, key: Secret, declared: Collection[str], bounds: Bounds) -> Any:
    """The JSON that an operator's endpoint answers to JSON. Raises EndpointError for whatever it does instead."""
    headers = {"authorization": f"Bearer {key.reveal()}"} if key else {}
    hosts = allowed(url, declared)
    check_url(url, hosts)
    raw = asyncio.run(_Call(url, msgspec.json.encode(body), headers, hosts, bounds, (key.reveal(),), url).made())
    return _json(url, raw)


def tell(
    name: str, url: Secret, body: bytes, headers: Mapping[str, str], declared: Collection[str], bounds: Bounds
) -> None:
    """Post to an address that is itself a secret, until it says that it has taken it. Errors call it by its name.

    Raises EndpointError for any answer but 2xx, of these RefusedError where sending the same again is of no use.
    """
    place = url.reveal()
    hosts = allowed(place, declared)
    try:
        check_url(place, hosts)
    except EndpointError as error:
        raise EndpointError(f"{name}: {without(place[:SHOWN], str(error))}") from None
    asyncio.run(_Call(place, body, headers, hosts, bounds, _pieces(place), name).made())


def fetch(
    url: str,
    declared: Collection[str],
    bounds: Bounds,
    form: Mapping[str, str] | None = None,
    key: Secret | None = None,
) -> Any:
    """The JSON at an address, or that is answered to a form; `key` is the `Authorization` that is sent along.

    Raises EndpointError for whatever is answered instead.
    """
    headers = {"accept": "application/json"} | ({"authorization": key.reveal()} if key else {})
    headers |= {} if form is None else {"content-type": "application/x-www-form-urlencoded"}
    hosts = allowed(url, declared)
    check_url(url, hosts)
    body = b"" if form is None else urlencode(form).encode()
    secrets = (key.reveal() if key else "", (form or {}).get("client_secret", ""))
    method = "GET" if form is None else "POST"
    raw = asyncio.run(_Call(url, body, headers, hosts, bounds, secrets, url, method).made())
    return _json(url, raw)


class _Call(Struct, frozen=True):
    """One request, and how its errors speak of it: under a name, without what is secret."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    hosts: Collection[str]
    bounds: Bounds
    secrets: Sequence[str]
    name: str
    method: str = "POST"

    async def made(self) -> bytes:
        try:
            async with (
                session(self.hosts, self.bounds.timeout_s) as opened,
                opened.request(
                    self.method, URL(self.url), data=self.body or None, headers=self.headers, allow_redirects=False
                ) as response,
            ):
                if not 200 <= response.status < 300:
                    error = RefusedError if response.status in REFUSED else EndpointError
                    raise error(f"{self.name}: HTTP {response.status}, {await _why(response, self.secrets)}")
                return await _read(response, self.bounds.max_bytes, self.name)
        except TimeoutError as error:
            raise EndpointError(f"{self.name}: no answer within {self.bounds.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            said = without_all(self.secrets, str(error))[:EXCERPT]
            raise EndpointError(f"{self.name}: {type(error).__name__}: {said}") from error


def _json(url: str, raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EndpointError(f"{url} answers with no JSON that can be read: {type(error).__name__}") from error


async def _read(response: aiohttp.ClientResponse, limit: int, name: str) -> bytes:
    parts, size = [], 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            response.close()
            raise EndpointError(f"{name}: more than {limit} bytes")
        parts.append(chunk)
    return b"".join(parts)


async def _why(response: aiohttp.ClientResponse, secrets: Sequence[str]) -> str:
    if 300 <= response.status < 400:
        return "redirects are not followed"
    return without_all(secrets, (await response.content.read(EXCERPT)).decode(errors="replace"))


def _pieces(place: str) -> list[str]:
    """What an answer or an error may repeat of a secret address, longest first: all of it, its path, its parts."""
    url = URL(place)
    parts = [url.raw_path_qs, url.path_qs, *url.raw_parts, *url.parts, *url.query.values()]
    return sorted({place, str(url), *(part for part in parts if len(part) >= PIECE)}, key=len, reverse=True)


def without_all(secrets: Iterable[str], seen: str) -> str:
    """What was seen, but for any of these."""
    for secret in secrets:
        seen = without(secret, seen)
    return seen


def without(key: str, seen: str) -> str:
    """What was seen, but for the key, and for a beginning of it where the text was cut."""
    if not key:
        return seen
    seen = seen.replace(key, "***")
    cut = next((n for n in range(len(key) - 1, 3, -1) if seen.endswith(key[:n])), 0)
    return seen[:-cut] + "***" if cut else seen
