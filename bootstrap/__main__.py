"""Build an index from a seed set: ``neardup bootstrap SEEDS...``.

Exit codes

    0    the new index is live; or there is one (--if-missing), or it was told what would be done (--dry-run)
    1    Redis cannot be reached, or cannot serve right now: the same command may succeed later
    2    wrong arguments, settings, files or seeds, or members of the live index would be dropped: a line on stderr each
    130  interrupted (Ctrl-C)
    143  terminated (SIGTERM)

With any code but 0 the index that was live before is still live, unless the interruption came after the switch to the
new one, while earlier ones were being removed. `neardup index rollback` makes it live again.
"""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from bootstrap.settings import Settings
from neardup.cli.commands import command
from neardup.cli.running import run_command

EXIT_TERMINATED = 143


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run the job and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    environ = os.environ if environ is None else environ
    return run_command(command("bootstrap"), arguments, environ, "python -m bootstrap")


def bootstrap(settings: Settings) -> int:
    """Run the job and return the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    with _unwound_by_sigterm():
        _run(settings)
    return 0


def _run(settings: Settings) -> None:
    from bootstrap.generation.job import run  # noqa: PLC0415 - numpy, Pillow and redis-py: --help does not wait for them
    from bootstrap.report.summary import summary  # noqa: PLC0415

    # Pillow warns of odd metadata even in images that it reads well.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    outcome = run(settings)
    if outcome is None:
        sys.stdout.write(f"index {settings.index} already exists: nothing done\n")
    else:
        sys.stdout.write(summary(outcome, settings) + "\n")


@contextmanager
def _unwound_by_sigterm() -> Iterator[None]:
    """Make SIGTERM unwind like an interrupt, so that an unfinished generation is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can handle signals
        return
    earlier = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise SystemExit(EXIT_TERMINATED)


if __name__ == "__main__":
    sys.exit(main())
