"""Consumers that are killed, stopped and revived, all but the first; and a feed that goes on whatever happens."""

import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests.support.harness import children_of
from tests.support.processes import Program, photo, run, running

STOP_S = 90.0
"""A consumer that was told to stop while servers were away takes 40 s at most; machines may be slow."""
_STATIC = 1
"""The consumer with a name of its own in the group: it comes back to its partitions, others wait for new ones."""
_NEW = 0.15
"""Share of the pictures of a round that were never shown before: what the index learns must stay small beside what
the process itself takes."""


class Consumer:
    """One consumer's place: who is in it may die and be replaced.

    Parameters
    ----------
    number
        Of the place.
    arguments
        Command line of the consumer.
    what
        What to call it.
    """

    def __init__(self, number: int, arguments: Sequence[str], what: str = "consumer") -> None:
        self.what = what
        name = ["--group-instance-id", f"soak-{number}"] if number == _STATIC else []
        self._arguments = [*arguments, *name]
        self._stack = ExitStack()
        self.number = number
        self.program: Program | None = None
        self.told_to_stop_s: float | None = None

    def start(self) -> None:
        """Put a new process into the place."""
        self.told_to_stop_s = None
        self.program = self._stack.enter_context(running(self._arguments))

    @property
    def pid(self) -> int:
        """Process id of who is in the place."""
        assert self.program is not None
        return self.program.process.pid

    def kill(self) -> None:
        """End the process at once, and put another one into its place."""
        self._stack.close()
        self.start()

    def stop(self) -> None:
        """Ask the process to end; `look` puts another one into its place when it has."""
        assert self.program is not None
        if self.told_to_stop_s is None:
            self.told_to_stop_s = time.monotonic()
            self.program.process.send_signal(signal.SIGTERM)

    def look(self, *, revive: bool = True) -> str | None:
        """Revive who ended because it was told to; return what is wrong, if anything."""
        assert self.program is not None
        code = self.program.process.poll()
        if code is None:
            late = self.told_to_stop_s is not None and time.monotonic() > self.told_to_stop_s + STOP_S
            return f"{self.what} {self.number} did not end within {STOP_S:.0f} s of SIGTERM" if late else None
        # Exit code 1 says that a server stayed away beyond the time to shut down, and who has not yet come to put up
        # its handlers dies of the signal.
        expected = self.told_to_stop_s is not None and code in {0, 1, -signal.SIGTERM}
        said = "" if expected else f"{self.what} {self.number} ended with {code}: {self.program.lines[-3:]}"
        if revive:
            self.kill()
        return said or None

    def has_ended(self) -> bool:
        """Say whether nobody is in the place."""
        return self.program is None or self.program.process.poll() is not None

    def close(self) -> None:
        """Kill whoever is there."""
        self._stack.close()


class Feed:
    """Rounds of the real feed, each over a folder of pictures old and new, in a thread.

    Parameters
    ----------
    folder
        Where pictures are written.
    arguments
        Of the feed, but for the folder.
    seed
        Of the pictures.
    pictures
        Of a round.
    """

    def __init__(self, folder: Path, arguments: Sequence[str], seed: int, pictures: int) -> None:
        self._folder, self._arguments, self._pictures = folder, arguments, pictures
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._shown: list[int] = []
        self._painted = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="feed", daemon=True)
        self.rounds = 0
        self.faults: list[str] = []

    @property
    def images(self) -> int:
        """How many pictures there were in the rounds that are over."""
        return self.rounds * self._pictures

    def start(self) -> None:
        """Begin to feed."""
        self._thread.start()

    def end(self) -> None:
        """End with the round that is on its way."""
        self._end.set()
        self._thread.join()

    def _feed(self) -> None:
        folder = self._paint()
        while not self._end.is_set():
            # The next round is painted meanwhile.
            with ThreadPoolExecutor(1) as beside:
                fed = beside.submit(self._feed_round, folder)
                following = self._paint()
                fed.result()
            shutil.rmtree(folder)
            self.rounds, folder = self.rounds + 1, following

    def _feed_round(self, folder: Path) -> None:
        """Feed a folder; what of it is in the topic counts, however the feed ends."""
        try:
            ended = run(["-m", "consumer.feed", str(folder), *self._arguments])
        except subprocess.TimeoutExpired:
            return  # Kafka was away for most of the time that a round is given, and the feed has been killed
        # Exit code 1 says that Kafka is unavailable.
        if ended.returncode not in {0, 1}:
            self.faults.append(f"the feed ended with {ended.returncode}: {ended.stderr[-300:]}")

    def _paint(self) -> Path:
        folder = self._folder / f"round-{self._painted:04}"
        self._painted += 1
        folder.mkdir(parents=True)
        for number in range(self._pictures):
            if not self._shown or self._random.random() < _NEW:
                self._shown.append(1_000_000 + len(self._shown))
                picture = photo(self._shown[-1])
            else:
                picture = photo(self._random.choice(self._shown), quality=self._random.choice((60, 75, 90)))
            (folder / f"{number:04}.jpg").write_bytes(picture)
        (folder / "none.jpg").write_bytes(b"no image")
        return folder


class Memory:
    """Resident memory of a consumer and of the processes that it has started, sampled while it lives.

    Attributes
    ----------
    samples
        Seconds since the beginning, and bytes.
    """

    def __init__(self, pid: Callable[[], int]) -> None:
        self._pid = pid
        self._began_s = time.monotonic()
        self.samples: list[tuple[float, int]] = []

    def sample(self) -> None:
        """Measure once, where /proc tells."""
        if Path("/proc/self/status").exists():
            pids = [self._pid(), *children_of(self._pid())]
            self.samples.append((time.monotonic() - self._began_s, sum(map(_resident_bytes, pids))))

    def between(self, first: float, last: float) -> float:
        """Return the median, in bytes, of the samples between two parts of the whole time; 0 without any."""
        end_s = self.samples[-1][0] if self.samples else 0.0
        held = sorted(size for at_s, size in self.samples if first * end_s <= at_s <= last * end_s)
        return float(held[len(held) // 2]) if held else 0.0


def _resident_bytes(pid: int) -> int:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]
    except (OSError, IndexError):  # it has just ended
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
