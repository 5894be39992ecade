"""How the commands of this package end: exit codes, and a line on stderr for what went wrong."""

import sys
from collections.abc import Callable

from neardup.errors import Misconfigured, Unavailable

EXIT_UNAVAILABLE = 1
EXIT_MISCONFIGURED = 2
EXIT_INTERRUPTED = 130


def exit_code_of(command: Callable[[], int]) -> int:
    """Run a command and return its exit code; what can be expected to fail is told in place of a traceback."""
    try:
        return command()
    except Misconfigured as exc:
        return _failed(exc, EXIT_MISCONFIGURED)
    except Unavailable as exc:
        return _failed(exc, EXIT_UNAVAILABLE)
    except KeyboardInterrupt:
        return _failed("interrupted", EXIT_INTERRUPTED)


def _failed(why: object, code: int) -> int:
    sys.stderr.write(f"{why}\n")
    return code
