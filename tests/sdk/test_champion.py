"""Who serves: from the door, and from memory while nobody answers."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import llm_flywheel as fly
from llm_flywheel.decisions import CaughtUp, Heard, decided, newest_first
from llm_flywheel.signature import ORDER, Trust, verify
from schemas.signing import Signer
from tests.support.door import Door, serving
from tests.support.waiting import eventually

SEED = "QmFzZTY0IG9mIHRoaXJ0eS10d28gYnl0ZXMgb2Yga2U"
"""A private key's 32 bytes."""


def decision(sequence: int, model: str, application: str = "app", former: str = "") -> dict[str, Any]:
    """What matters of a decision."""
    told = {
        "application": application,
        "sequence": sequence,
        "champion": {"model": model, "prompt_version": f"p{sequence}", "id": f"id-{model}"},
    }
    return {**told, "former": {"model": former}} if former else told


@pytest.fixture
def follow(door: Door, tmp_path: Path) -> Iterator[Any]:
    """A champion of the application `app` at the door, followed quickly; ended after the test."""
    made: list[fly.Champion] = []

    def make(**options: Any) -> fly.Champion:
        given = {"url": door.url, "state_dir": tmp_path, "poll_s": 0.05, "default": "m0", **options}
        made.append(fly.Champion("app", **given))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_promotion_is_seen(door: Door, follow: Any) -> None:
    """The default until somebody is promoted, then whoever serves; the same answer costs a 304."""
    seen: list[str] = []
    champion = follow(on_change=lambda new: seen.append(new["model"]))
    assert champion.wait(5)
    assert champion.model == "m0"

    for n in range(1, 4):
        door.champion = decision(n, f"m{n}")
        eventually(lambda n=n: champion.model == f"m{n}", 30)

    assert (champion.prompt_version, champion.sequence, seen) == ("p3", 3, ["m1", "m2", "m3"])
    eventually(lambda: door.unchanged > 2)


def test_an_older_decision_changes_nothing(door: Door, follow: Any) -> None:
    """Highest sequence wins, in whatever order they come."""
    door.champion = decision(5, "m5")
    champion = follow()
    eventually(lambda: champion.model == "m5", 30)
    door.champion = decision(4, "m4")
    calls = door.calls
    eventually(lambda: door.calls > calls + 2, 30)

    assert champion.model == "m5"


def test_the_last_known_champion_serves_while_nobody_answers(door: Door, follow: Any) -> None:
    """It is kept on disk: an application that starts during an outage serves what served before, not the default."""
    door.champion = decision(1, "m1")
    champion = follow()
    eventually(lambda: champion.model == "m1", 30)
    champion.close()
    door.status = 503

    again = follow()
    assert again.model == "m1"
    assert not again.wait(0.2)

    door.status, door.champion = 200, decision(0, "anew")
    eventually(lambda: again.model == "anew", 30)  # a new ledger begins at 0: what is on disk does not outrank it


def test_the_former_champion_keeps_its_share_of_users(door: Door, follow: Any) -> None:
    """From the door: a sticky tenth stays until the next promotion, which deals anew; after a rollback nobody does."""
    users = [f"u-{n}" for n in range(2000)]
    champion = follow()
    assert (champion.former, {champion.serving(user, former=0.1)["model"] for user in users}) == ({}, {"m0"})

    door.champion = decision(1, "m1", former="m0")
    eventually(lambda: champion.model == "m1", 30)
    kept = {user for user in users if champion.serving(user, former=0.1)["model"] == "m0"}
    assert champion.former == {"model": "m0"}
    assert 140 < len(kept) < 260
    assert kept == {user for user in users if champion.serving(user, former=0.1)["model"] == "m0"}
    assert kept < {user for user in users if champion.serving(user, former=0.2)["model"] == "m0"}
    assert {champion.serving(user, former=0)["model"] for user in users} == {"m1"}
    assert {champion.serving(user, former=1)["model"] for user in users} == {"m0"}

    door.champion = decision(2, "m2", former="m1")
    eventually(lambda: champion.model == "m2", 30)
    assert kept != {user for user in users if champion.serving(user, former=0.1)["model"] == "m1"}

    door.champion = decision(3, "m1")
    eventually(lambda: champion.model == "m1", 30)
    assert (champion.former, {champion.serving(user, former=1)["model"] for user in users}) == ({}, {"m1"})


def test_who_of_the_two_served_is_recorded(door: Door, follow: Any) -> None:
    """The conversation's events say in `variant` whether the former champion answered."""
    door.champion = decision(1, "m1", former="m0")
    champion = follow()
    eventually(lambda: champion.model == "m1", 30)

    for share, arm in ((1, "former"), (0, "champion")):
        with fly.conversation("c") as talk:
            champion.serving("u", former=share)
            assert talk.fields["variant"] == arm


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    """It is a mistake in the program, and says so whoever serves."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        fly.Champion(default="m").serving("u", former=share)


def test_the_former_champion_is_kept_on_disk(door: Door, follow: Any, tmp_path: Path) -> None:
    """An application that starts during an outage deals its users as before; a file of old holds a champion alone."""
    door.champion = decision(1, "m1", former="m0")
    first = follow()
    eventually(lambda: first.model == "m1", 30)
    first.close()
    door.status = 503

    assert (follow().model, follow().former) == ("m1", {"model": "m0"})

    (kept,) = tmp_path.glob("champion-*.json")
    for written, found in (
        ('{"model": "m9", "id": "x"}', ("m9", {})),
        ('{"champion": {"model": "m9"}, "former": 7}', ("m9", {})),
        ('{"champion": 7, "former": {"model": "m8"}}', ("m0", {})),
        ("[]", ("m0", {})),
        ("{", ("m0", {})),
    ):
        kept.write_text(written)
        assert ((again := follow()).model, again.former) == found


def test_nothing_raises_where_nobody_is(tmp_path: Path) -> None:
    """No door, no broker, no such scheme, no settings at all: the default serves."""
    with serving() as closed:
        pass
    for url in (closed.url, "pigeon://x", "file:///nowhere", "http://"):
        champion = fly.Champion("app", {"model": "m", "endpoint": "e"}, url=url, state_dir=tmp_path)
        assert champion.current == {"model": "m", "endpoint": "e"}
        champion.close()
    assert fly.Champion(default="m").model == "m"
    assert fly.Champion().model == ""


def test_a_listener_that_fails_stops_nobody(door: Door, follow: Any) -> None:
    """`on_change` is the application's code: its error is logged, and the next promotion is seen."""
    champion = follow(on_change=lambda new: new["missing"])
    for n in (1, 2):
        door.champion = decision(n, f"m{n}")
        eventually(lambda n=n: champion.model == f"m{n}", 30)


def test_a_forked_child_follows_too(door: Door, follow: Any) -> None:
    """A prefork server's champion is made in the parent; its workers see promotions."""
    door.champion = decision(1, "m1")
    champion = follow()
    eventually(lambda: champion.model == "m1", 30)
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        assert champion.model == "m1"
        os.write(write, b"." if eventually(lambda: champion.model == "m2", 10) else b"x")
        os._exit(0)
    door.champion = decision(2, "m2")

    assert os.read(read, 1) == b"."
    os.waitpid(pid, 0)


def test_of_a_compacted_topic_only_the_newest_counts() -> None:
    """Nobody serves history: what lies there is read to its end first; then each promotion as it comes."""
    signer = Signer(SEED)

    def heard(sequence: int, model: str, application: str = "app", by: Signer | None = signer) -> Heard:
        value = json.dumps(decision(sequence, model, application, former=f"before-{model}")).encode()
        return Heard(value, by.headers("llm.decision.v1", value) if by else [])

    forger = Signer(SEED[::-1])
    stream = [
        heard(3, "m3"), heard(1, "m1"), Heard(None, []), Heard(b"{", []), Heard(b"[]", []),
        heard(9, "other", "another"), heard(7, "forged", by=forger), heard(8, "unsigned", by=None), CaughtUp(),
        heard(2, "m2"), heard(5, "forged", by=forger), heard(4, "m4"), heard(4, "twice"),
    ]  # fmt: skip

    trust = Trust([signer.public_key])
    found = [each for each in newest_first(iter(stream), "app", trust) if each]

    assert [(each.sequence, each.champion["model"]) for each in found] == [(3, "m3"), (4, "m4")]
    assert [each.former for each in found] == [{"model": "before-m3"}, {"model": "before-m4"}]
    assert [*newest_first(iter([CaughtUp()]), "app", trust)] == [None]
    assert decided(b'{"application": "app", "champion": null}', "app") is None
    assert decided(b'{"application": "app", "champion": {"model": "m"}, "former": 7}', "app") is None


def test_with_keys_the_doors_answer_must_be_signed(door: Door, follow: Any) -> None:
    """The body as it was signed, its signature beside it; anything else changes nobody."""
    signer = Signer(SEED)
    champion = follow(trusted_keys=[signer.public_key])
    door.champion = decision(1, "m1")
    assert not champion.wait(0.4)
    assert champion.model == "m0"

    door.sign = lambda body: dict(signer.headers("llm.decision.v1", body))["ce_signature"].decode()
    door.champion = decision(2, "m2")
    eventually(lambda: champion.model == "m2", 10)


def test_without_keys_nothing_on_kafka_is_believed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And a key that is none is said to be."""
    for keys, why in (([], "trusted_keys"), (["abc"], "trusted key must be")):
        champion = fly.Champion("app", "m", url="kafka://127.0.0.1:9", trusted_keys=keys, state_dir=tmp_path)
        eventually(lambda why=why: why in caplog.text, 10)
        assert champion.model == "m"
        champion.close()


@pytest.mark.parametrize("seed", range(12))
def test_signatures_are_checked_as_the_library_checks_them(seed: int) -> None:
    """Any message; no flipped bit of message, key or signature passes; nor does nonsense of any length."""
    at = random.Random(seed)
    key = Ed25519PrivateKey.from_private_bytes(at.randbytes(32))
    public, message = key.public_key().public_bytes_raw(), at.randbytes(seed * 11)
    good = key.sign(message)

    def flipped(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[at.randrange(len(data))] ^= 1 << at.randrange(8)
        return bytes(changed)

    assert verify(public, message, good)
    assert not verify(public, message + b"x", good)
    assert not verify(flipped(public), message, good)
    assert not verify(public, message, flipped(good))
    assert not verify(public, message, good[:32] + (int.from_bytes(good[32:], "little") + ORDER).to_bytes(32, "little"))
    assert not verify(public, message, at.randbytes(64))
    assert not verify(public[:31], message, good)
    assert not verify(public, message, good[:63])


@pytest.mark.parametrize(
    ("key", "message", "signature"),
    [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ],
)  # fmt: skip
def test_signatures_of_the_standard_hold(key: str, message: str, signature: str) -> None:
    """RFC 8032, section 7.1, tests 1 and 2."""
    assert verify(*map(bytes.fromhex, (key, message, signature)))
