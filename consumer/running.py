"""Runs the service and folder mode: sets up the log, and turns what goes wrong into an exit code."""

import logging
import sys
from collections.abc import Callable
from typing import TypeVar

from consumer.settings import FolderSettings, JudgingSettings, ServiceSettings, UndoSettings
from neardup.errors import Misconfigured

Settings = TypeVar("Settings", bound=JudgingSettings)
EXIT_SHUTDOWN_TIMEOUT = 1
EXIT_UNEXPECTED = 3


def consume(settings: ServiceSettings) -> int:
    """Run the service; return the exit code."""
    from consumer.service import serve  # noqa: PLC0415 - --help must not wait for numpy and kafka

    return _logged(serve, settings)


def judge(settings: FolderSettings) -> int:
    """Run folder mode; return the exit code."""
    from consumer.folder.judge import judge_folder  # noqa: PLC0415 - as above

    return _logged(judge_folder, settings)


def undo(settings: UndoSettings) -> int:
    """Undo what folder mode did; return the exit code."""
    from consumer.folder.tidying import undo_file  # noqa: PLC0415 - as above

    return undo_file(settings)


def _logged(work: Callable[[Settings], int | None], settings: Settings) -> int:
    from consumer.logs import configure_logging  # noqa: PLC0415 - as above
    from consumer.loop import ShutdownTimeout  # noqa: PLC0415 - as above

    configure_logging(settings.log_level)
    try:
        return work(settings) or 0
    except Misconfigured:
        raise
    except ShutdownTimeout as error:
        sys.stderr.write(f"consumer: {error}\n")
        return EXIT_SHUTDOWN_TIMEOUT
    except Exception as error:
        # A bug, ours or a library's: the traceback is in the log, and the last line sums it up.
        logging.getLogger(__name__).exception("unexpected error")
        sys.stderr.write(
            f"consumer: unexpected error, {type(error).__name__}: {error}; what was not committed will be "
            "delivered again\n"
        )
        return EXIT_UNEXPECTED
