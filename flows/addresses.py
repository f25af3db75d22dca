"""Allowed addresses of endpoints (SSRF): public ones, and private ones only where the settings declare their host.

The check is made on the very address that is connected to, after DNS, so that a name cannot be rebound between check
and use. An operator's own machines are declared in `evaluate.private_endpoints`.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from schemas.errors import EndpointError

SPECIAL = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
]  # fmt: skip
"""Special-purpose addresses (IANA's registries, RFC 6890): no machine of the open internet. A table of our own, since
what Python calls global differs between patch releases: 192.0.0.192, a cloud's metadata, was global in 3.11.7."""
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given to machines of the internet (RFC 4291 §2.4)."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""Where networks without IPv4 see it (RFC 6052): the last 32 bits are the address."""
SHOWN = 200
"""Characters of a URL that an error shows."""


def check_url(endpoint: str, declared: Iterable[str]) -> URL:
    """The base URL of an endpoint, if it may be called.

    Raises EndpointError for another scheme than http(s), for credentials in the URL, and for a literal private address
    whose host is not declared. Names are checked when they are resolved.
    """
    try:
        url = URL(endpoint)
    except ValueError as error:
        raise EndpointError(f"endpoint {endpoint[:SHOWN]!r} is not a URL: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise EndpointError(f"endpoint {endpoint[:SHOWN]!r} must begin with http:// or https:// and name a host")
    if url.user or url.password:
        raise EndpointError("an endpoint's URL must hold no credentials: use the setting evaluate.api_keys")
    check_address(url.host, url.host, declared)
    return url


def check_address(host: str, address: str, declared: Iterable[str]) -> None:
    """Raise EndpointError if `address`, which `host` stands for, is private and `host` is not declared."""
    if host.lower() in declared:
        return
    try:
        found = ipaddress.ip_address(address)
    except ValueError as error:
        if address.replace(".", "").isdigit():  # `2130706433` is 127.0.0.1, and no client asks a resolver about it
            raise EndpointError(f"{host}: write the address as four numbers with points between") from error
        return  # a name: the resolver checks what it stands for
    if not _is_public(found):
        raise EndpointError(
            f"{host} is {address}, not a public address. If it is yours, add {host!r} to the setting "
            f"evaluate.private_endpoints."
        )


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether it is a machine of the open internet. An IPv6 address that stands for an IPv4 one is judged as that."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is None and address not in GLOBAL_UNICAST:
            return False
        address = inner or address
    return not any(address in network for network in SPECIAL if network.version == address.version)


def check_host(host: str, declared: Iterable[str]) -> None:
    """Raise EndpointError if a host, or an address that it resolves to now, may not be called.

    For a client that connects by itself, and so resolves again: `CheckedResolver` is the check that nothing slips past.
    """
    hosts = frozenset(declared)
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise EndpointError(f"{host} has no address: {error.strerror or error}") from error
    for address in sorted(map(str, found)):
        check_address(host, address, hosts)


def is_plainly_private(host: str) -> bool:
    """Whether a host says itself that it is no public machine: a literal address, or `localhost`."""
    if host.lower() == "localhost":
        return True
    try:
        return not _is_public(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return False


class CheckedResolver(AbstractResolver):
    """Resolves names as usual, and refuses addresses that `check_address` refuses."""

    def __init__(self, declared: Iterable[str]) -> None:
        self._resolver = ThreadedResolver()
        self._declared = frozenset(declared)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host; raises EndpointError if any of them may not be connected to."""
        found = await self._resolver.resolve(host, port, family)
        for address in found:
            check_address(host, address["host"], self._declared)
        return found

    async def close(self) -> None:
        """Nothing is held open."""
        await self._resolver.close()
