"""The salt that deals the split and names people in datasets: a secret of this installation, the same for good.

Whoever has it and a list of names can find out who is who in a dataset, so it is made of the system's randomness on
first use and lies with the home's other secrets, unless the settings give one. The split and the names have keys of
their own, both made of it (`split.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from msgspec.structs import replace

from flows.versions import Version
from schemas.errors import SettingsError, UsageError
from schemas.secrets import Secret
from schemas.settings import Settings
from streams.keyring import FOLDER, own_secret

NAME = "split"
"""Of the secret below the home."""
PUBLIC = "llm-flywheel"
"""The salt of versions from before there was a secret one: everybody knows it."""


def salt_hash(salt: str) -> str:
    """What the manifest says of a salt."""
    return hashlib.sha256(salt.encode()).hexdigest()[:16]


def with_salt(settings: Settings, known: Sequence[Version]) -> Settings:
    """The settings with the salt in them: their own, else this home's.

    `known` are the application's versions. Raises SettingsError where this home's secret did not deal the newest of
    them: the secret was lost, or is another home's, and nobody said that the split may change.
    """
    if settings.curate.salt:
        return settings
    salt = own_secret(settings.home_path, NAME)
    dealt = [v for v in known if v.status != "withdrawn" and "salt_sha256" in v.manifest.get("split", {})]
    if dealt and max(dealt, key=lambda v: v.made).manifest["split"]["salt_sha256"] != salt_hash(salt):
        newest = max(dealt, key=lambda v: v.made)
        before = f'curate.salt = "{PUBLIC}", which dealt it,' if _public(newest) else "it as curate.salt"
        raise SettingsError(
            f"{newest.dataset}@{newest.version} was dealt with another salt than {settings.home_path / FOLDER / NAME}: "
            f"put that file back from a backup, or give {before} to keep the split; any other curate.salt deals "
            "everybody anew"
        )
    return replace(settings, curate=replace(settings.curate, salt=Secret(salt)))


def salts(settings: Settings) -> list[str]:
    """All that versions of this home may have been dealt with: under each of them a person is looked for."""
    made = (settings.home_path / FOLDER / NAME).exists()  # not made for this: a plan changes nothing
    own = own_secret(settings.home_path, NAME) if made else PUBLIC
    return list(dict.fromkeys([settings.curate.salt.reveal() or own, own, PUBLIC]))


def refuse_public(version: Version) -> None:
    """Raise UsageError where everybody who has a list of names could find out who is who in a version."""
    if _public(version):
        raise UsageError(
            f"{version.dataset}@{version.version} names its people by a salt that everybody knows: set curate.salt to "
            "a secret of yours, build it again and push that"
        )


def _public(version: Version) -> bool:
    return bool(version.manifest.get("split", {}).get("salt_sha256") == salt_hash(PUBLIC))
