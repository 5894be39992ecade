"""One worker of several: a program that its parent starts, with a socket to it as standard input."""

import contextlib
import pickle
import signal
import socket
import sys
import threading
from typing import IO, TYPE_CHECKING, cast

from neardup.errors import Misconfigured
from neardup.processes import die_with_parent, read_message

if TYPE_CHECKING:
    from pathlib import Path

    from consumer.settings import ServiceSettings


def main() -> int:
    """Judge images until the parent closes its side; return the exit code."""
    # The terminal's and the orchestrator's signals are meant for the parent, which says when to finish.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    die_with_parent()
    with socket.socket(fileno=0) as channel, contextlib.suppress(ConnectionError):
        stream = cast("IO[bytes]", channel.makefile("rb"))
        if (order := read_message(stream)) is not None:
            number, settings, folder = pickle.loads(order)  # noqa: S301 - from the process that started us
            return _work(number, settings, folder, channel, stream)
    return 0


def _work(
    number: int, settings: "ServiceSettings", folder: "Path | None", channel: socket.socket, stream: IO[bytes]
) -> int:
    from consumer.ending import logged  # noqa: PLC0415 - all of it takes seconds to load, and may fail
    from consumer.health import Health  # noqa: PLC0415 - as above
    from consumer.metrics import Metrics  # noqa: PLC0415 - as above
    from consumer.service import judge_stream  # noqa: PLC0415 - as above
    from consumer.workers.report import Reporter  # noqa: PLC0415 - as above
    from neardup.cli.running import EXIT_MISCONFIGURED  # noqa: PLC0415 - as above
    from neardup.index.shared.views import SharedViews  # noqa: PLC0415 - as above

    shared = None if folder is None else SharedViews(folder)
    metrics, health, stop = Metrics(), Health(), threading.Event()
    threading.Thread(target=_await_end, args=(stream, stop), name="parent", daemon=True).start()
    with Reporter(channel, metrics, health) as reporter:
        try:
            return logged(lambda: judge_stream(settings, metrics, health, stop, shared), settings.log_level, number)
        except Misconfigured as error:
            reporter.refused = str(error)
            return EXIT_MISCONFIGURED


def _await_end(stream: IO[bytes], stop: threading.Event) -> None:
    with contextlib.suppress(OSError):
        stream.read(1)
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
