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
import sys
import warnings
from collections.abc import Mapping, Sequence

from bootstrap.settings import Settings
from bootstrap.termination import unwound_by_sigterm
from neardup.cli.commands import command
from neardup.cli.running import run_command


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run the job and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    environ = os.environ if environ is None else environ
    return run_command(command("bootstrap"), arguments, environ, "python -m bootstrap")


def bootstrap(settings: Settings) -> int:
    """Run the job and return the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    with unwound_by_sigterm():
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


if __name__ == "__main__":
    sys.exit(main())
