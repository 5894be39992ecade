"""Wait until there is an index: ``neardup index wait``, for whoever starts before the bootstrap has ended.

It reads the head of the index and nothing else, so a consumer's rights in Redis are enough. Its exit codes are those of
`bootstrap.index`.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from bootstrap.index_settings import WaitSettings
from bootstrap.termination import unwound_by_sigterm
from bootstrap.tool import client_of, table, written
from neardup.errors import IndexMissing, RedisUnavailable, Unavailable

if TYPE_CHECKING:
    from neardup.index.base import IndexMeta

PAUSE_S = 5.0
"""Between two looks: a bootstrap takes minutes, and many may be waiting."""

Document = dict[str, Any]


def wait(settings: WaitSettings) -> int:
    """Wait for the index, print which one it is, and return the exit code."""
    with unwound_by_sigterm():
        meta = awaited(lambda: _meta_of(settings), settings.timeout_s)
    document = {
        "index": meta.name,
        "generation": meta.generation,
        "descriptor": meta.descriptor,
        "radius": meta.radius,
        "created_at": meta.created_at,
    }
    return written(settings, document, _lines)


def awaited(
    look: Callable[[], "IndexMeta"],
    timeout_s: float | None,
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> "IndexMeta":
    """Look until there is an index, and tell on stderr what is waited for, once each time that it is another thing.

    Parameters
    ----------
    look
        Returns what the index is made for.
    timeout_s
        When to give up, in seconds from now; None for never.
    clock, pause
        Stand in for the time in tests.

    Raises
    ------
    Unavailable
        The time is over.
    Misconfigured
        Waiting does not help: Redis refuses the login, or the index is corrupt or of another version.
    """
    until_s = float("inf") if timeout_s is None else clock() + timeout_s
    told = ""
    while True:
        try:
            return look()
        except (IndexMissing, RedisUnavailable) as exc:
            left_s = until_s - clock()
            if left_s <= 0:
                raise Unavailable(f"waited for {timeout_s:g} s: {exc}") from exc
            if str(exc) != told:
                told = str(exc)
                sys.stderr.write(f"waiting: {told}\n")
        pause(min(PAUSE_S, left_s))


def _meta_of(settings: WaitSettings) -> "IndexMeta":
    from neardup.index.live import read_live  # noqa: PLC0415 - numpy and redis-py: not for --help

    with closing(client_of(settings)) as client:
        return read_live(client, settings.index).meta


def _lines(document: Document) -> Iterator[str]:
    yield from table(
        [
            ("index", f"{document['index']}, generation {document['generation']}, made {document['created_at']}"),
            ("descriptor", document["descriptor"]),
            ("radius", f"{document['radius']:g}"),
        ]
    )
