"""Decoding under limits of time and memory: in processes that can be killed and replaced.

A thread cannot be killed, and a decoder that crashes takes its process with it. So each image goes to one of a few
processes (`neardup.decoding.worker`), which returns its descriptors, or the small form that a large model makes them
of. docs/operations.md says what it costs.
"""

import contextlib
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from neardup.decoding.decode import check_bytes, decode_file
from neardup.decoding.limits import DecodeLimits, WorkLimits
from neardup.decoding.worker import READY, Progress
from neardup.errors import BadInput, DecodeMemory, DecoderCrashed, DecodeTimeout, Misconfigured
from neardup.processes import LENGTH_BYTES, framed, length_of
from neardup.relation.describing import Preparation, PreparedImage

START_TIMEOUT_S = 120.0
"""A process usually starts in a fraction of a second; on a machine that is just booting it may take long."""
_ENDING_S = 5.0
"""A process closes its socket before it is gone; a core dump would take a while."""
_JOINED_BYTES = 1024 * 1024
_ATTEMPTS = 2
"""A crash may have another cause, so an image gets a second attempt in a fresh process."""

_MOST_TOGETHER = 16
"""Images sent to a process together: one by one, small images take 50 % longer."""
_MOST_BYTES_TOGETHER = 1024 * 1024

Answer = PreparedImage | BadInput
PrepareAll = Callable[[Iterable[bytes]], list[Answer]]
"""Decodes images and prepares them, or says what is wrong with one, in order; describes them, too, where that is light.

Images are taken one after another, and few are held at a time.
"""
_Left = Callable[[], float]
"""Returns how many seconds it may still take; raises TimeoutError when there are none."""


class Decoder(Protocol):
    """Makes prepared images out of encoded ones; may be called from several threads."""

    def preparing(self, preparation: Preparation) -> PrepareAll:
        """Return what decodes images and prepares them so."""

    def share(self, images: int) -> int:
        """Return how many of so many images a thread should ask for at once."""

    @property
    def has_idle(self) -> bool:
        """Whether a process has nothing to do; never where there are none."""


@dataclass(frozen=True, slots=True)
class DecodeHere:
    """Decodes in the thread that asks, without limits of time and memory."""

    limits: DecodeLimits

    def preparing(self, preparation: Preparation) -> PrepareAll:
        """See `Decoder`."""
        return lambda images: [self._prepared(preparation, data) for data in images]

    def share(self, images: int) -> int:
        """See `Decoder`."""
        del images
        return 1

    @property
    def has_idle(self) -> bool:
        """See `Decoder`."""
        return False

    def _prepared(self, preparation: Preparation, data: bytes) -> Answer:
        try:
            decoded = decode_file(data, reduce_to_px=preparation.reduce_to_px, limits=self.limits)
            return preparation.prepare(decoded.pixels, decoded.frames)
        except BadInput as error:
            return error


class DecodePool:
    """Decodes in its own processes, one image at a time in each; serves as many threads at once.

    Parameters
    ----------
    workers
        Number of processes. They are started at once, and end with `close`, or with this process however it ends.
    limits
        What is decoded.
    work_limits
        What it may cost.
    """

    def __init__(self, workers: int, limits: DecodeLimits, work_limits: WorkLimits | None = None) -> None:
        self._limits = limits
        self._workers = [_Worker(limits, work_limits or WorkLimits()) for _ in range(workers)]
        # Last in, first out: surplus processes stay idle, and their memory out of the caches.
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def preparing(self, preparation: Preparation) -> PrepareAll:
        """See `Decoder`.

        What is returned raises `Misconfigured` when no process can be started, and RuntimeError when `preparation`
        cannot be loaded there, or itself fails.
        """
        plan = pickle.dumps(preparation, pickle.HIGHEST_PROTOCOL)

        return lambda images: [
            answer for group in _groups(images, self._limits) for answer in self._prepared(plan, group)
        ]

    def share(self, images: int) -> int:
        """See `Decoder`."""
        return min(_MOST_TOGETHER, -(-images // (2 * len(self._workers))))

    @property
    def has_idle(self) -> bool:
        """See `Decoder`."""
        return not self._idle.empty()

    def _prepared(self, plan: bytes, images: Sequence[bytes | BadInput]) -> list[Answer]:
        worker = self._idle.get()
        try:
            answers = iter(_asked(worker, plan, [each for each in images if isinstance(each, bytes)]))
        finally:
            self._idle.put(worker)
        return [next(answers) if isinstance(each, bytes) else each for each in images]

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextlib.contextmanager
def open_decoder(workers: int, limits: DecodeLimits, work_limits: WorkLimits | None) -> Iterator[Decoder]:
    """Open a `DecodePool`; without limits of work, decode in the threads that ask."""
    if work_limits is None:
        yield DecodeHere(limits)
        return
    with DecodePool(workers, limits, work_limits) as pool:
        yield pool


def _groups(images: Iterable[bytes], limits: DecodeLimits) -> Iterator[list[bytes | BadInput]]:
    """Take images in groups of not much more than what goes together; refuse them by their length."""
    group: list[bytes | BadInput] = []
    size = 0
    for data in images:
        checked = _checked(data, limits)
        group.append(checked)
        size += len(checked) if isinstance(checked, bytes) else 0
        if size >= _MOST_BYTES_TOGETHER:
            yield group
            group, size = [], 0
    yield group


def _checked(data: bytes, limits: DecodeLimits) -> bytes | BadInput:
    try:
        check_bytes(data, limits)
    except BadInput as error:
        return error
    return data


def _asked(worker: "_Worker", plan: bytes, images: Sequence[bytes]) -> list[Answer]:
    """Return an answer for each image: asked for together, or one by one where that did not go well.

    One that takes too long delays the others by that time alone, and is not asked for again.
    """
    if len(images) > 1:
        worker.make_ready(plan)
        try:
            answers = worker.ask(images)
            if not any(isinstance(answer, DecodeMemory) for answer in answers):
                return answers
        except _TookTooLong as error:
            if error.image is not None:
                worker.kill()
                before, after = images[: error.image], images[error.image + 1 :]
                return [*_asked(worker, plan, before), _timeout(worker), *_asked(worker, plan, after)]
        except OSError:
            pass
        worker.kill()
    return [_asked_alone(worker, plan, data) for data in images]


def _timeout(worker: "_Worker") -> DecodeTimeout:
    return DecodeTimeout(f"decoding took longer than {worker.work_limits.timeout_s:g} s")


def _asked_alone(worker: "_Worker", plan: bytes, data: bytes) -> Answer:
    for _ in range(_ATTEMPTS):
        worker.make_ready(plan)
        was_fresh = worker.is_fresh
        try:
            (answer,) = worker.ask([data])
        except TimeoutError:
            worker.kill()
            return _timeout(worker)
        except ConnectionError:
            ending = worker.how_it_ended()
            answer = DecoderCrashed(f"the decoder's process crashed on it twice: {ending}")
            continue
        if not isinstance(answer, DecodeMemory):
            return answer
        worker.kill()
        if was_fresh:
            break
    return answer


class _TookTooLong(TimeoutError):
    """The image of that number did; None where it is not known to be one of them."""

    def __init__(self, image: int | None) -> None:
        super().__init__()
        self.image = image


class _Worker:
    """A process and the socket to it; replaced when it ends."""

    def __init__(self, limits: DecodeLimits, work_limits: WorkLimits) -> None:
        self.work_limits = work_limits
        self._settings = pickle.dumps((limits, work_limits.memory_bytes))
        self._start()

    def _start(self) -> None:
        self.is_fresh, self._is_ready = True, False
        self._plan: bytes | None = None
        ours, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as shared:
            os.truncate(shared.fileno(), Progress.SIZE)
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "neardup.decoding.worker"],
                    stdin=theirs.fileno(),
                    stdout=shared.fileno(),
                    process_group=0,  # a Ctrl-C on the terminal is not for it, from its first moment on
                )
            except OSError as exc:
                ours.close()
                raise Misconfigured(f"the decoding process cannot be started: {exc}") from exc
            self._progress = Progress(shared.fileno())
        self._channel = ours

    def make_ready(self, plan: bytes) -> None:
        """Wait until the process has started and knows what to make of images; start another one if it has ended.

        Raises
        ------
        Misconfigured
            It does not start.
        """
        if self._process.poll() is not None:
            self.kill()
            self._start()
        if plan != self._plan and not self._prepares_for(plan):
            raise Misconfigured(f"the decoding process does not start: {self.how_it_ended()}")

    def _prepares_for(self, plan: bytes) -> bool:
        """Return whether it has started and loaded what to make of images: apart from them, as none is to blame."""
        deadline = time.monotonic() + START_TIMEOUT_S

        def left_s() -> float:
            if (remaining_s := deadline - time.monotonic()) <= 0:
                raise TimeoutError
            return remaining_s

        with contextlib.suppress(OSError):
            if not self._is_ready:
                self._send(left_s, framed(self._settings))
                self._is_ready = self._receive(left_s) == READY
            self._exchange(left_s, plan, [])
            self._plan = plan
        return plan == self._plan

    def ask(self, images: Sequence[bytes]) -> list[Answer]:
        """Return what the process makes of some images.

        Raises
        ------
        TimeoutError, ConnectionError
            It takes too long for one of them; it has ended.
        """
        self.is_fresh = False
        asked_s, count = time.monotonic(), len(images)

        def left_s() -> float:
            image, began_s = self._progress.read()
            remaining_s = max(began_s, asked_s) + self.work_limits.timeout_s - time.monotonic()
            if remaining_s <= 0:
                raise _TookTooLong(image if began_s >= asked_s and image < count else None)
            return remaining_s

        return self._exchange(left_s, b"", images)

    def _exchange(self, left_s: _Left, plan: bytes, images: Sequence[bytes]) -> list[Answer]:
        self._send(left_s, framed(plan, b"%d" % len(images), *images))
        answers: list[Answer | RuntimeError]
        try:
            answers = pickle.loads(self._receive(left_s))  # noqa: S301 - from the process that we started
        except (pickle.UnpicklingError, EOFError, ValueError) as exc:
            raise ConnectionResetError from exc
        for answer in answers:
            if isinstance(answer, RuntimeError):
                raise answer
        return [answer for answer in answers if not isinstance(answer, RuntimeError)]

    def _send(self, left_s: _Left, parts: list[bytes]) -> None:
        # Where it is little, one call is quicker than many.
        for part in [b"".join(parts)] if sum(map(len, parts)) <= _JOINED_BYTES else parts:
            remaining = memoryview(part)
            while remaining:
                self._channel.settimeout(left_s())
                with contextlib.suppress(TimeoutError):  # it may have got on
                    remaining = remaining[self._channel.send(remaining) :]

    def _receive(self, left_s: _Left) -> bytearray:
        return self._read(left_s, length_of(self._read(left_s, LENGTH_BYTES)))

    def _read(self, left_s: _Left, size: int) -> bytearray:
        message = bytearray(size)
        remaining = memoryview(message)
        while remaining:
            self._channel.settimeout(left_s())
            with contextlib.suppress(TimeoutError):
                if not (count := self._channel.recv_into(remaining)):
                    raise ConnectionResetError
                remaining = remaining[count:]
        return message

    def kill(self) -> None:
        """End the process."""
        self._channel.close()
        self._progress.close()
        self._process.kill()
        self._process.wait()

    def how_it_ended(self) -> str:
        """Return how a process ended that has closed its socket, or did not say that it is ready."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDING_S)
        code = self._process.poll()
        self.kill()
        if code is None:
            return "it had to be killed"
        return f"it ended by {signal.Signals(-code).name}" if code < 0 else f"it ended with exit code {code}"
