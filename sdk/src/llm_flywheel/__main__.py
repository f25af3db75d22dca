"""Store and forward: `python -m llm_flywheel forward FOLDER URL` delivers the files of a `file://` transport.

The bearer token of a door is read from FLYWHEEL_TOKEN.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from llm_flywheel.transports import Unavailable, open_transport
from llm_flywheel.transports.file import forward


def main(arguments: list[str] | None = None) -> int:
    """0: all delivered. 1: some refused, kept beside as `.refused`. 2: nobody answers; run it again later."""
    parser = argparse.ArgumentParser(prog="python -m llm_flywheel", description="Deliver stored events.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("forward", help="deliver the finished files of a folder, and remove them")
    command.add_argument("folder", type=Path)
    command.add_argument("url", help="kafka://host:9092 or http(s)://host:port")
    given = parser.parse_args(arguments)
    try:
        transport = open_transport(given.url, os.environ.get("FLYWHEEL_TOKEN", ""))
        sent, refused = forward(given.folder, transport)
    except (Unavailable, OSError, ValueError, ImportError) as error:
        sys.stderr.write(f"not delivered, nothing is removed: {error}\n")
        return 2
    transport.close()
    sys.stdout.write(f"{sent} events delivered, {refused} refused\n")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
