"""`python -m ui`: the web app as a process, as `flywheel ui` and `flywheel up` start it."""

from __future__ import annotations

import gc
from typing import Any

import uvicorn

from flows.context import lake_of, settings_from_environment
from streams.logs import to_stderr
from ui import metrics
from ui.app import make_app


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    to_stderr("ui")
    settings = settings_from_environment()
    app: Any = make_app(lake_of(settings), settings)
    metrics.serve(app.flywheel, settings.ui)
    gc.collect()
    gc.freeze()  # modules and routes stay: looked at by each full collection, they made one page in ten twice as slow
    uvicorn.run(
        app,
        host=settings.ui.host,
        port=settings.ui.port,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # who a proxy is believed to be is the guard's own question
    )


if __name__ == "__main__":
    main()
