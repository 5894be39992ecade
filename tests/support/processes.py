"""Our command lines as processes, and pictures for them."""

import io
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

Result = TypeVar("Result")
ROOT = Path(__file__).parents[2]
DEADLINE_S = 150.0


def photo(seed: int, quality: int = 90, size: tuple[int, int] = (160, 120)) -> bytes:
    """Return a JPEG that looks like no other: a smooth random field. Another quality gives a near-duplicate."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def eventually(ask: Callable[[], Result | None], what: str, deadline_s: float = DEADLINE_S) -> Result:
    """Return the first answer that is true."""
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        if answer := ask():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"not in time: {what}")


def offsets_of(admin: KafkaAdminClient, group: str) -> dict[TopicPartition, int] | None:
    """Return the offsets that a group has committed; None while no broker knows its coordinator, having just begun."""
    try:
        found = admin.list_group_offsets([group])[group]
    except (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError):
        return None
    return {place: at.offset for place, at in found.items() if at.offset >= 0}


class Program:
    """A command line that runs; what it writes to stderr is read by a thread, line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []
        self._came: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        written = self.process.stderr or self.process.stdout
        if written is not None:
            with written:
                for line in written:
                    self.lines.append(line)
                    self._came.put(line)
        self._came.put(None)

    def log(self) -> list[dict[str, Any]]:
        """Return the log so far; every line must be JSON."""
        return [json.loads(line) for line in tuple(self.lines)]

    def complaints(self) -> list[dict[str, Any]]:
        """Return warnings and errors of ours; kafka-python warns of a broker that has only just started."""
        lines = [line for line in self.log() if not line["logger"].startswith("kafka.")]
        return [line for line in lines if line["level"] in {"warning", "error"}]

    def await_line(self, text: str, deadline_s: float = DEADLINE_S) -> str:
        """Wait for a line that holds the text."""
        until = time.monotonic() + deadline_s
        try:
            while (line := self._came.get(timeout=max(0.0, until - time.monotonic()))) is not None:
                if text in line:
                    return line
        except queue.Empty:
            pass
        raise AssertionError(f"no line with {text!r} in time; there was:\n{''.join(self.lines)}")

    def stop(self, number: signal.Signals = signal.SIGTERM, deadline_s: float = DEADLINE_S) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.wait(deadline_s)

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for the end and return the exit code."""
        try:
            code = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end in time; it wrote:\n{''.join(self.lines)}") from None
        self._reader.join(deadline_s)
        return code


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this environment without our own settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NEARDUP_")}
    return {**inherited, "PYTHONUNBUFFERED": "1", **(extra or {})}


@contextmanager
def running(
    arguments: Sequence[str], environ: Mapping[str, str] | None = None, *, with_output: bool = False
) -> Iterator[Program]:
    """Run ``python ARGUMENTS``; what still runs at the end is killed. With output: what it prints is read, too."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if with_output else subprocess.DEVNULL,
        stderr=subprocess.STDOUT if with_output else subprocess.PIPE,
        text=True,
    )
    program = Program(process)
    try:
        yield program
    finally:
        process.kill()
        program.wait()


def run(arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run ``python ARGUMENTS`` to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def get(url: str) -> tuple[int, str]:
    """Return status and body of a page."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own http:// address
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def metrics(url: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the samples of a /metrics page by name and sorted labels."""
    _, text = get(url)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class TopicReader:
    """Reads one partition of a topic from its beginning, and of transactions what is committed unless told otherwise.

    Attributes
    ----------
    records
        What has been read.
    """

    def __init__(self, address: str, topic: str, *, committed: bool = True, partition: int = 0) -> None:
        self.records: list[Any] = []
        self._partition = TopicPartition(topic, partition)
        self._consumer = KafkaConsumer(
            bootstrap_servers=address,
            isolation_level="read_committed" if committed else "read_uncommitted",
            fetch_max_bytes=2**26,
            max_partition_fetch_bytes=2**26,
        )
        self._consumer.assign([self._partition])
        self._consumer.seek_to_beginning()

    def read(self) -> int:
        """Read on, waiting a moment for more; return how many records there are by now."""
        self.records += self._consumer.poll(50).get(self._partition, [])
        return len(self.records)

    def end(self) -> int:
        """Return how far the topic goes at this moment."""
        return int(self._consumer.end_offsets([self._partition])[self._partition])

    def read_to_end(self) -> list[Any]:
        """Read all that is there at this moment, and return the records."""
        end = self.end()
        eventually(lambda: self.read() >= 0 and self._consumer.position(self._partition) >= end, "the topic's end")
        return self.records

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()


def read_topic(address: str, topic: str, *, committed: bool = True, partition: int = 0) -> list[Any]:
    """Return what one partition of a topic holds at this moment."""
    with closing(TopicReader(address, topic, committed=committed, partition=partition)) as reader:
        return reader.read_to_end()
