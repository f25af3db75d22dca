"""`python -m examples.real_lm`: the demo with a real language model; `make demo-lm` makes its environment first."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from flows.context import settings_from_environment
from flows.terminal import Terminal
from schemas.errors import FlywheelError

from .demo import SEED, Options, run
from .report import line

HOME = Path(".flywheel") / "demo-lm"


def main() -> int:
    """Play it, and print one line of JSON at the end."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description=__doc__)
    parser.add_argument("--environment", type=Path, required=True, help="virtual environment that has torch")
    parser.add_argument(
        "--home", type=Path, default=HOME, help="everything is written here; one that was begun goes on"
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--requests", type=int, nargs=3, metavar="N", help="customers' requests in each turn")
    parser.add_argument("--untouched", type=int, default=160)
    args = parser.parse_args()
    console, environment = Terminal(), args.environment.absolute()
    more = {"requests": tuple(args.requests)} if args.requests else {}
    options = Options(
        python=environment / "bin" / "python", environment=environment, home=args.home.absolute(), seed=args.seed,
        untouched=args.untouched, now=datetime.now(UTC), **more,
    )  # fmt: skip
    console.say(
        "A language model of 135M parameters is fine-tuned, served and judged here: 25 minutes on two idle cores, some "
        "45 of CPU, 5 GB of memory, 1.2 GB of disk beside the 5 GB of the environment. Killed, it goes on when started "
        "again."
    )
    try:
        result = run(settings_from_environment(), options, console)
    except FlywheelError as error:
        console.say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        console.say(f"Stopped. With --home {options.home} it goes on behind the last step that was finished")
        return 130
    console.say(line(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
