"""Extensions: code of your own that the settings name as `module:name`.

`@scorer`, `@embedder` and `@recogniser` say what a function or class makes; a dataset kind is a `Kind` and needs no
mark. Only what says so is called: a settings file alone makes nothing run that was not written to be run by one, though
importing a module runs what stands at its top. Nothing is looked for: no entry points, no folder, and the working
folder is not added to the path. The protocols, and an example of each: docs/extending.md.

Go on to `flows/embed.py`, `flows/evaluate/scorers/own.py`, `flows/redact/own.py` and
`flows/curate/folder/own.py`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from schemas.errors import ExtensionError, FlywheelError, SettingsError

Make = TypeVar("Make", bound=Callable[..., Any])
Role = Literal["scorer", "embedder", "recogniser"]
_REFERENCE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)", re.ASCII)
_MARK = "__flywheel_role__"


def scorer(make: Make) -> Make:
    """Marks what `evaluate.scorer` may name: gives a `Scorer` for `evaluate.scorer_options`, its keyword arguments.

    Called once an evaluation. An argument named `settings` is given the section `evaluate` of the settings.
    """
    return _marked(make, "scorer")


def embedder(make: Make) -> Make:
    """Marks what `cluster.embedder` may name: gives an `Embedder`, without arguments; called once a run."""
    return _marked(make, "embedder")


def recogniser(make: Make) -> Make:
    """Marks what `curate.recognise_with` may name: gives a `Recogniser`, without arguments; called once a build."""
    return _marked(make, "recogniser")


def is_reference(value: str) -> bool:
    """Whether a setting's value means a `module:name`, well formed or not: no name of ours has a colon."""
    return ":" in value


def load(setting: str, reference: str) -> Any:
    """What `module:name` is. Raises SettingsError, a sentence that names the setting and says what to do."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise SettingsError(f"{setting} {reference!r} is not `module:name`, such as 'my_package.scoring:polite'")
    module, name = match.groups()
    try:
        loaded = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever a stranger's module does at its top
        raise SettingsError(f"{setting} {reference!r}: {_why(module, error)}") from error
    if not hasattr(loaded, name):
        raise SettingsError(f"{setting} {reference!r}: the module {module!r} has no {name!r}")
    return getattr(loaded, name)


def maker(setting: str, reference: str, role: Role) -> Callable[..., Any]:
    """The function or class that a `module:name` names. Raises SettingsError where it is not marked as a `role`."""
    value = load(setting, reference)
    if getattr(value, _MARK, None) != role or not callable(value):
        raise SettingsError(
            f"{setting} {reference!r} is not marked as a {role}, and nothing else is called: "
            f"write `@flows.extend.{role}` above it, if it is one (docs/extending.md)"
        )
    made: Callable[..., Any] = value
    return made


@contextmanager
def calling(reference: str) -> Iterator[None]:
    """Around each call of a stranger's code: what it raises becomes an ExtensionError that names code and line."""
    try:
        yield
    except FlywheelError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise ExtensionError(f"{reference} failed at {place.filename}:{place.lineno}: {said}") from error


def checked(reference: str, value: Any, *parts: str) -> Any:
    """The value itself, if it has all parts of its protocol. Raises ExtensionError naming those that it lacks."""
    if lacks := [f"`{part}`" for part in parts if not hasattr(value, part)]:
        raise ExtensionError(f"{reference} gives a {type(value).__name__}, which lacks {' and '.join(lacks)}")
    return value


def fingerprint(*values: str) -> str:
    """Which code the references among some settings' values stand for, for the id of a run; empty where none is one.

    Of each its name, the version of the installed package that it is from, and the SHA-256 of the Python sources of
    its package (or of the module alone, where it is in none). What those import from elsewhere is not seen.
    """
    references = sorted({value for value in values if _REFERENCE.fullmatch(value)})
    return ",".join(f"{reference}@{_version_of(reference.partition(':')[0])}" for reference in references)


def _marked(make: Make, role: Role) -> Make:
    setattr(make, _MARK, role)
    return make


def _why(module: str, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
        return (
            f"there is no module {error.name!r}; install its package into the environment of `flywheel`, "
            "or name its folder in PYTHONPATH"
        )
    return f"importing {module!r} failed with {type(error).__name__}: {error}"


def _version_of(module: str) -> str:
    """Version and hash of the code of a module. Raises SettingsError where it cannot be imported."""
    load("the extension", f"{module}:__name__")
    digest = hashlib.sha256()
    for path in _sources(module):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    top = module.partition(".")[0]
    package = next(iter(importlib.metadata.packages_distributions().get(top, [])), None)
    version = importlib.metadata.version(package) if package else ""
    return f"{version}+{digest.hexdigest()[:16]}"


def _sources(module: str) -> list[Path]:
    """The Python sources of the package that a module is from."""
    top = sys.modules[module.partition(".")[0]]
    file = getattr(top, "__file__", None)
    if file and Path(file).name == "__init__.py":
        return sorted(Path(file).parent.rglob("*.py"))
    own = getattr(sys.modules[module], "__file__", None)
    return [Path(own)] if own and Path(own).is_file() else []
