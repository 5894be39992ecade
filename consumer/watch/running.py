"""``neardup watch``: from settings to exit code.

Exit codes: 0 stopped, 2 wrong settings or no right to read.
"""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from io import TextIOWrapper

from consumer.watch.settings import WatchSettings
from neardup.errors import Misconfigured


def watch(settings: WatchSettings) -> int:
    """Show what comes until interrupted; return the exit code."""
    # What kafka-python has to say about a broker that is away is told in our own words.
    logging.getLogger("kafka").addHandler(logging.NullHandler())
    if settings.page is not None and find_spec("aiohttp") is None:
        raise Misconfigured("--page needs aiohttp: pip install neardup[watch]")
    if isinstance(sys.stdout, TextIOWrapper):  # names come from strangers, and not every encoding has them
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with _ended_by_sigterm():
            _shown(settings)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Whoever read our lines has seen enough; nothing is left for the interpreter to flush at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    earlier = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _shown(settings: WatchSettings) -> None:
    # Imported where they are used: --help must wait for none of them.
    if settings.page is not None:
        from consumer.watch.page.server import show_page  # noqa: PLC0415 - aiohttp, an extra

        show_page(settings, settings.page)
    elif sys.stdout.isatty() and _has_rich():
        from consumer.watch.terminal import show_terminal  # noqa: PLC0415 - rich, an extra

        show_terminal(settings)
    else:
        from consumer.watch.lines import show_lines  # noqa: PLC0415 - numpy

        show_lines(settings)


def _has_rich() -> bool:
    if find_spec("rich") is not None:
        return True
    sys.stderr.write("watch: plain lines, as rich is not installed: pip install neardup[watch]\n")
    return False
