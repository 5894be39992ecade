"""Runs the service and folder mode: sets up the log, and turns what goes wrong into an exit code."""

import logging
import sys
from collections.abc import Callable
from typing import TypeVar

from consumer.settings import FolderSettings, JudgingSettings, ServiceSettings
from neardup.errors import Misconfigured

Settings = TypeVar("Settings", bound=JudgingSettings)
EXIT_SHUTDOWN_TIMEOUT = 1
EXIT_UNEXPECTED = 3


def consume(settings: ServiceSettings) -> int:
    """Run the service, or several workers of it; return the exit code."""
    from consumer.workers.shares import shares_of  # noqa: PLC0415 - --help must not wait for numpy and kafka

    shares = shares_of(settings)
    if len(shares) > 1:
        from consumer.workers.parent import supervise  # noqa: PLC0415 - as above

        return logged(lambda: supervise(settings, shares), settings.log_level)
    from consumer.service import serve  # noqa: PLC0415 - as above

    return logged(lambda: serve(settings), settings.log_level)


def judge(settings: FolderSettings) -> int:
    """Run folder mode; return the exit code."""
    from consumer.folder import judge_folder  # noqa: PLC0415 - as above

    return logged(lambda: judge_folder(settings), settings.log_level)


def logged(work: Callable[[], int | None], log_level: str, worker: int | None = None) -> int:
    """Set up the log of this process, work, and return the exit code.

    Raises
    ------
    Misconfigured
        From the work: whoever calls says it.
    """
    from consumer.logs import configure_logging  # noqa: PLC0415 - as above

    configure_logging(log_level, worker=worker)
    prefix = "consumer: " if worker is None else f"consumer: worker {worker}: "
    try:
        return work() or 0
    except Misconfigured:
        raise
    except Exception as error:
        from consumer.loop import ShutdownTimeout  # noqa: PLC0415 - as above

        if isinstance(error, ShutdownTimeout):
            sys.stderr.write(f"{prefix}{error}\n")
            return EXIT_SHUTDOWN_TIMEOUT
        # A bug, ours or a library's: the traceback is in the log, and the last line sums it up.
        logging.getLogger(__name__).exception("unexpected error")
        sys.stderr.write(
            f"{prefix}unexpected error, {type(error).__name__}: {error}; what was not committed will be "
            "delivered again\n"
        )
        return EXIT_UNEXPECTED
