"""Where requests may go."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.abc import ResolveResult

from flows.addresses import CheckedResolver, check_url
from schemas.errors import EndpointError


async def resolve(name: str, declared: list[str]) -> list[ResolveResult]:
    return await CheckedResolver(declared).resolve(name, 80)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1/v1",
        "http://169.254.169.254/v1",
        "http://10.0.0.1:8000/v1",
        "http://192.168.1.1/v1",
        "http://100.64.0.1/v1",
        "http://0.0.0.0/v1",
        "http://[::1]/v1",
        "http://[::ffff:10.0.0.1]/v1",
        "http://[fd00::1]/v1",
        "http://[2002:a00:1::]/v1",
        "http://[64:ff9b::a00:1]/v1",
        "http://[64:ff9b::a9fe:a9fe]/v1",
        "http://[64:ff9b:1::a00:1]/v1",
        "http://[::a00:1]/v1",
        "http://[::ffff:0:a00:1]/v1",
        "http://[2001:0:a00:1::1]/v1",
        "http://[fec0::1]/v1",
        "http://[fe80::1]/v1",
        "http://[ff02::1]/v1",
        "http://224.0.0.1/v1",
        "http://192.0.0.192/v1",
        "http://192.0.0.8/v1",
        "http://192.88.99.1/v1",
        "http://198.18.0.1/v1",
        "http://203.0.113.7/v1",
        "http://255.255.255.255/v1",
        "http://[2001:db8::1]/v1",
        "http://[3fff::1]/v1",
        "http://[2001:10::1]/v1",
        "http://[::ffff:192.0.0.192]/v1",
        "http://2130706433/v1",
        "http://127.1/v1",
        "http://0177.0.0.1./v1",
        "file:///etc/passwd",
        "gopher://example.com/",
        "http:///v1",
        "//example.com/v1",
        "https://user:secret@example.com/v1",
        "http://[::1",
    ],
)
def test_what_nobody_declared_is_refused(endpoint: str) -> None:
    """Private addresses in every spelling, other schemes, and credentials in the URL."""
    with pytest.raises(EndpointError):
        check_url(endpoint, ())


@pytest.mark.parametrize("name", ["0x7f000001", "0x7f.0.0.1", "localhost"])
def test_a_name_for_a_private_address_is_refused_when_it_is_resolved(name: str) -> None:
    """Other spellings of an address are names, and the check is on what they stand for."""
    assert check_url(f"http://{name}/v1", ())

    with pytest.raises((EndpointError, OSError)):
        asyncio.run(resolve(name, []))


def test_declared_hosts_and_public_addresses_pass() -> None:
    """An operator's own machine, and the rest of the world."""
    assert check_url("http://127.0.0.1:8000/v1", ("127.0.0.1",)).port == 8000
    assert check_url("https://8.8.8.8/v1", ()).host == "8.8.8.8"
    assert check_url("http://[2606:4700::1111]/v1", ()).scheme == "http"
    assert check_url("http://[64:ff9b::808:808]/v1", ()).scheme == "http"
    assert asyncio.run(resolve("localhost", ["localhost"]))


def test_the_message_says_what_to_do_and_holds_no_secret() -> None:
    """The host that was refused, and the setting that allows it; never a password."""
    with pytest.raises(EndpointError, match=r"add '10\.0\.0\.1' to the setting evaluate\.private_endpoints"):
        check_url("http://10.0.0.1/v1", ())
    with pytest.raises(EndpointError) as refused:
        check_url("http://me:hunter2@10.0.0.1/v1", ())
    assert "hunter2" not in str(refused.value)
