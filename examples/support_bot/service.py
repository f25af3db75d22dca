"""The bot's endpoint as a supervised child process, for the demo and its tests."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from streams.broker.broker import free_port
from streams.processes.supervise import Child, Supervisor

START_TIMEOUT_S = 180.0
"""Starting imports scikit-learn: seconds, and a minute or two where the machine is busy."""


class Service:
    """Serves every model folder under `models`; one more is found when it is first asked for."""

    def __init__(self, models: Path, run_folder: Path) -> None:
        models.mkdir(parents=True, exist_ok=True)
        self.models = models
        self._port = free_port()
        argv = (sys.executable, "-m", f"{__package__}.server", "--models", str(models), "--port", str(self._port))
        child = Child(
            name="support-bot", argv=argv, folder=run_folder, ready=self._answers, ready_timeout_s=START_TIMEOUT_S
        )
        self._supervisor = Supervisor([child])

    @property
    def endpoint(self) -> str:
        """Base URL of its OpenAI-compatible API."""
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> Self:
        self._supervisor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._supervisor.stop()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/healthz", timeout=1) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False
