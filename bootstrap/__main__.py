"""Build an index from a seed set: ``python -m bootstrap SEEDS...``.

Exit codes

    0    the new index is live
    1    Redis cannot be reached, or cannot serve right now: the same command may succeed later
    2    wrong arguments, settings, files or seeds: a line on stderr for each
    130  interrupted (Ctrl-C)
    143  terminated (SIGTERM)

Whatever the code but 0, the index that was live before is live still, unless the interruption came after the new
one had taken its place, while the old one was being removed.
"""

import logging
import os
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import NoReturn

from bootstrap.exits import exit_code_of
from bootstrap.settings import Settings
from neardup.settings.options import read_settings
from neardup.settings.relation import profile_defaults

EXIT_TERMINATED = 143
_DESCRIPTION = "Describe, cluster and compare a seed set, and store it in Redis as a new generation of an index."


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run the job and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    environ = os.environ if environ is None else environ

    def command() -> int:
        settings = read_settings(
            Settings,
            arguments,
            environ,
            prog="python -m bootstrap",
            description=_DESCRIPTION,
            defaults=profile_defaults,
        )
        settings.check()
        _run(settings)
        return 0

    return exit_code_of(command)


def _run(settings: Settings) -> None:
    from bootstrap.job import run  # noqa: PLC0415 - numpy, Pillow and redis-py: --help does not wait for them
    from bootstrap.summary import summary  # noqa: PLC0415

    # Pillow warns of odd metadata in images that it reads well.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    outcome = run(settings)
    if outcome is None:
        sys.stdout.write(f"index {settings.index} exists already: nothing done\n")
    else:
        sys.stdout.write(summary(outcome, settings) + "\n")


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    # Unwinds like an interrupt, so that what was being built is removed.
    del number, frame
    raise SystemExit(EXIT_TERMINATED)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main())
