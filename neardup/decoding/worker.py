"""A process that decodes and describes images, for `neardup.decoding.pool`: killed when it takes too long or too much.

It reads from a socket, which is its standard input: the limits, then work. Work is what to make of images (empty when
that is as before) and a number of images; the answer is a list that has for each what it came to, or what is wrong
with it. A model comes with what to make of images, and the memory that it takes is no image's. Which image it is at
stands in memory that the other side sees, too (`Progress`): to say so costs nothing, and whoever waits for too long
knows for which one. The process ends when the other side does.
"""

import contextlib
import mmap
import os
import pickle
import signal
import socket
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from neardup.errors import BadInput, DecodeMemory
from neardup.processes import die_with_parent, framed, read_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neardup.decoding.limits import DecodeLimits
    from neardup.relation.describing import Preparation, PreparedImage

    Answer = PreparedImage | BadInput | RuntimeError
    """What an image came to; what is our own fault is raised over there."""

READY = b"ready"
_PROGRESS_FILE = 1
"""Its standard output, until both have it in memory: that is the one file that a process is given besides its input."""
_BUFFER_BYTES = 256 * 1024
_SINCE, _IMAGE, _PROGRESS = struct.Struct("<d"), struct.Struct("<q"), struct.Struct("<dq")
_PAGES_FILE = Path("/proc/self/statm")


class Progress:
    """Which of the images that were asked for a process is at, and since when; one writes, one reads.

    Parameters
    ----------
    file
        Descriptor of a file of `SIZE` bytes, which both have open.
    """

    SIZE = _PROGRESS.size

    def __init__(self, file: int) -> None:
        self._shared = mmap.mmap(file, self.SIZE)

    def at(self, image: int) -> None:
        """Begin with an image, by its number."""
        # The time first: whoever reads in between finds the image before, and that it has only just begun.
        _SINCE.pack_into(self._shared, 0, time.monotonic())
        _IMAGE.pack_into(self._shared, _SINCE.size, image)

    def read(self) -> tuple[int, float]:
        """Return the number of the image, and when it was begun, by the monotonic clock that all processes share."""
        (image,) = _IMAGE.unpack_from(self._shared, _SINCE.size)
        return image, _SINCE.unpack_from(self._shared, 0)[0]

    def close(self) -> None:
        """Let go of the file."""
        self._shared.close()


def main() -> None:
    """Serve on standard input until it ends."""
    # The terminal's and the orchestrator's signals are meant for the service, which ends us when it is done.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    die_with_parent()
    # Nothing here computes in parallel: images are decoded side by side.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.putenv(name, "1")
    with socket.socket(fileno=0) as channel, contextlib.suppress(ConnectionError):
        _serve(channel, Progress(_PROGRESS_FILE))


def _serve(channel: socket.socket, progress: Progress) -> None:
    from neardup.decoding.decode import limit_pillow  # noqa: PLC0415 - after the number of threads is set

    stream = cast("IO[bytes]", channel.makefile("rb", _BUFFER_BYTES))
    if (settings := read_message(stream)) is None:
        return
    limits, memory_bytes = pickle.loads(settings)  # noqa: S301 - from the process that started us
    limit_pillow(limits)
    channel.sendall(b"".join(framed(READY)))
    # What decoders print would stand among the service's lines, or in the file that both have open.
    with Path(os.devnull).open("w") as nowhere:
        for output in (1, 2):
            os.dup2(nowhere.fileno(), output)
    preparation: Preparation | RuntimeError = RuntimeError("received an image before a preparation")
    while (plan := read_message(stream)) is not None and (count := read_message(stream)) is not None:
        if plan:
            preparation = _loaded(plan, limits.max_bytes + memory_bytes)
        prepared = []
        for number in range(int(count)):
            if (data := read_message(stream)) is None:
                return
            progress.at(number)
            prepared.append(_prepared(data, preparation, limits))
        progress.at(len(prepared))
        answers = _described(prepared, preparation)
        channel.sendall(b"".join(framed(pickle.dumps(answers, pickle.HIGHEST_PROTOCOL))))


def _loaded(plan: bytes, memory_bytes: int) -> "Preparation | RuntimeError":
    """Return what to make of images, which may take so much more memory than is in use then."""
    _limit_memory(None)
    try:
        preparation: Preparation = pickle.loads(plan)  # noqa: S301 - as above
    except Exception:  # noqa: BLE001 - whatever it is, it is raised over there
        return _fault()
    _limit_memory(memory_bytes)
    return preparation


def _prepared(data: bytes, preparation: "Preparation | RuntimeError", limits: "DecodeLimits") -> "Answer":
    from neardup.decoding.decode import decode_file  # noqa: PLC0415 - as above

    if isinstance(preparation, RuntimeError):
        return preparation
    try:
        decoded = decode_file(data, reduce_to_px=preparation.reduce_to_px, limits=limits)
        return preparation.prepare(decoded.pixels, decoded.frames)
    except BadInput as error:
        return error
    except MemoryError:
        return DecodeMemory("preparing asked for more memory than it may have")
    except Exception:  # noqa: BLE001 - as above
        return _fault()


def _described(prepared: "Sequence[Answer]", preparation: "Preparation | RuntimeError") -> "list[Answer]":
    if isinstance(preparation, RuntimeError):
        return list(prepared)
    try:
        described = iter(preparation.described([each for each in prepared if not isinstance(each, Exception)]))
    except MemoryError:
        return [DecodeMemory("describing asked for more memory than it may have")] * len(prepared)
    except Exception:  # noqa: BLE001 - as above
        return [_fault()]
    return [each if isinstance(each, Exception) else next(described) for each in prepared]


def _fault() -> RuntimeError:
    """Return the error that is being handled as one to raise over there, with its traceback."""
    fault = RuntimeError("".join(traceback.format_exception_only(sys.exception())).strip())
    fault.add_note(traceback.format_exc())
    return fault


def _limit_memory(memory_bytes: int | None) -> None:
    """Allow so much more than what is in use by now, None for as much as we could have; a crash leaves no core file."""
    import resource  # noqa: PLC0415 - not on every platform, and the pool imports this module

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if _PAGES_FILE.exists():
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        allowed = most
        if memory_bytes is not None:
            wanted = int(_PAGES_FILE.read_text().split()[0]) * resource.getpagesize() + memory_bytes
            allowed = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        # The soft limit alone: the next model may take more.
        resource.setrlimit(resource.RLIMIT_AS, (allowed, most))


if __name__ == "__main__":
    main()
