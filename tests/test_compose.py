"""The containers run what `flywheel up` runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from flows.cli import COMMANDS
from schemas.loading import load
from streams.__main__ import PROCESSES

ROOT = Path(__file__).resolve().parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_every_container_runs_a_command_that_exists() -> None:
    """Each service of our image names a command of `flywheel`, but for two light processes and Prefect's own."""
    ours = {name: each for name, each in COMPOSE["services"].items() if each.get("image") == "llm-flywheel"}

    commands = {name: each["command"] for name, each in ours.items()}

    assert commands.keys() == {"archiver", "triage", "door", "prefect", "flows"}
    assert (commands["triage"], commands["flows"]) == (["flywheel", "triage"], ["flywheel", "serve"])
    assert {commands["triage"][1], commands["flows"][1]} <= COMMANDS.keys()
    for name in ("archiver", "door"):
        assert commands[name][:3] == ["python", "-m", "streams"]  # 124 MiB instead of 225
        assert commands[name][3] in PROCESSES
    assert "ENTRYPOINT" not in (ROOT / "Dockerfile").read_text()


def test_the_settings_of_the_containers_are_settings() -> None:
    """No variable in the file is unknown or has a value that cannot work."""
    environment = COMPOSE["services"]["triage"]["environment"]
    given = {name: str(value) for name, value in environment.items() if value is not None}

    settings = load({}, given | {"FLYWHEEL_APPLICATION": "support-bot"})

    assert settings.kafka.bootstrap_servers == "kafka:19092"


def test_nothing_is_published_beyond_this_machine() -> None:
    """Kafka and triage have no password, so every published port is bound to loopback."""
    ports = [port for each in COMPOSE["services"].values() for port in each.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_prefect_asks_for_a_password_that_the_flows_alone_know() -> None:
    """Compose does not start without the secret; the server wants it, the flows have it, no other container does."""
    needed = "${PREFECT_API_AUTH_STRING:?}"
    given = {name: each.get("environment", {}) for name, each in COMPOSE["services"].items()}

    assert given["prefect"]["PREFECT_SERVER_API_AUTH_STRING"] == needed
    assert given["prefect"]["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4200"
    assert [name for name, each in given.items() if needed in map(str, each.values())] == ["prefect", "flows"]


def test_the_image_is_given_all_that_the_wheel_is_built_from() -> None:
    """The demo too: what the build names is copied, and not ignored; the tool that installs it is pinned."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    needed = {name.partition("/")[0] for name in [*wheel["packages"], *wheel["force-include"]]}
    copied = {name for line in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE) for name in line.split()}
    let_in = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))

    assert needed | {"pyproject.toml", "README.md", "LICENSE", "constraints.txt", "installer.txt"} <= copied
    assert copied == let_in
    assert "pip install --no-cache-dir --require-hashes -r installer.txt" in dockerfile
    installs = re.findall(r"uv pip install.*$", dockerfile, re.MULTILINE)
    assert len(installs) == 2
    assert all("--compile-bytecode" in line for line in installs)  # processes that may write none would each make it


def test_our_containers_write_in_their_volume_alone() -> None:
    """Not root, a file system to read, no capability, and none to be had."""
    ours = [each for each in COMPOSE["services"].values() if each.get("image") == "llm-flywheel"]

    assert len(ours) >= 5
    for each in ours:
        assert (each["read_only"], each["tmpfs"], each["cap_drop"]) == (True, ["/tmp"], ["ALL"])
        assert each["security_opt"] == ["no-new-privileges:true"]
        assert {volume.partition(":")[2] for volume in each["volumes"]} == {"/data"}
    assert re.findall(r"^USER (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE) == ["flywheel"]
