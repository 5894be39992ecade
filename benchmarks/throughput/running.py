"""One consumer of a build on real servers: what it is given, and what is seen from outside while it works."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.throughput.builds import Build
from benchmarks.throughput.processes import cpu_s, memory_mib, own_cpu_s
from benchmarks.throughput.servers import (
    LARGEST_BYTES,
    Names,
    Servers,
    new_names,
    redis_cpu_s,
    removed_afterwards,
    topics,
)

BATCH = 64
ANSWER_S = 120.0
"""Without a new verdict for so long, a run has failed."""
SEEDS = 16
PROFILES = {"dct": (), "scraper": ("--profile", "scraper")}
"""What an index is bootstrapped with, by the name that results have for it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What had been used by the moment at which so many verdicts had come; CPU in seconds."""

    at_s: float
    verdicts: int
    consumer_s: float
    kafka_s: float
    redis_s: float
    ours_s: float
    memory_mib: float


class Running:
    """A consumer at work.

    Attributes
    ----------
    notes
        File that `inside.py` writes to, if it watches.
    uniques
        Of the verdicts so far.
    arrived_s
        When each verdict came, by the partition and the offset of its image.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", servers: Servers, names: Names, notes: Path) -> None:
        self.notes = notes
        self.names = names
        self.servers = servers
        self.process = process
        self.uniques = 0
        self.arrived_s: dict[tuple[int, int], float] = {}
        self._log = notes.with_suffix(".log")
        self._verdicts = TopicPartition(names.verdicts, 0)
        self._reader = KafkaConsumer(
            bootstrap_servers=servers.kafka, isolation_level="read_committed", fetch_max_bytes=2 * LARGEST_BYTES
        )
        self._reader.assign([self._verdicts])
        self._reader.seek_to_beginning()

    def await_verdicts(self, count: int) -> Mark:
        """Read on until so many have come; return what had been used by then."""
        seen_s = time.monotonic()
        while len(self.arrived_s) < count:
            came = self._reader.poll(1000).get(self._verdicts, [])
            now_s = time.perf_counter()
            for record in came:
                verdict = json.loads(record.value)
                self.uniques += verdict["verdict"] == "unique"
                source = verdict["source"]
                self.arrived_s[source["partition"], source["offset"]] = now_s
            seen_s = time.monotonic() if came else seen_s
            if self.process.poll() is not None or time.monotonic() - seen_s > ANSWER_S:
                tail = self._log.read_text("utf-8", "replace")[-3000:]
                sys.exit(f"{len(self.arrived_s)} of {count} verdicts came, and no more; the consumer said:\n{tail}")
        return self._mark()

    def _mark(self) -> Mark:
        pid, servers = self.process.pid, self.servers
        return Mark(
            time.perf_counter(),
            len(self.arrived_s),
            cpu_s(pid),
            own_cpu_s(servers.kafka_pid) if servers.kafka_pid else 0.0,
            redis_cpu_s(servers.redis_url),
            time.process_time(),
            memory_mib(pid),
        )

    def close(self) -> None:
        """End the consumer, as an operator would."""
        self._reader.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def publish(servers: Servers, topic: str, files: Sequence[Path], partitions: int = 1) -> None:
    """Publish images in order, to each partition in turn, as fast as the broker takes them."""
    with producer(servers) as sender:
        for number, file in enumerate(files):
            sender.send(topic, file.read_bytes(), partition=number % partitions)
        sender.flush()


@contextmanager
def producer(servers: Servers) -> Iterator[KafkaProducer]:
    """Give a client that sends one partition's messages in order."""
    with closing(KafkaProducer(bootstrap_servers=servers.kafka, max_request_size=LARGEST_BYTES)) as sender:
        yield sender


def bootstrapped(build: Build, servers: Servers, index: str, profile: str, seeds: Path) -> None:
    """Make an index of the seeds in a folder."""
    options = ["--redis", servers.redis_url, "--index", index, "--clusters", "2", *PROFILES[profile]]
    build.run(*build.command("bootstrap", str(seeds), *options))


@contextmanager
def consuming(
    build: Build,
    servers: Servers,
    profile: str,
    seeds: Path,
    *,
    before: Callable[[Names], None] = lambda _: None,
    watched: bool = False,
    workers: int = 1,
    partitions: int = 1,
) -> Iterator[Running]:
    """Give a consumer at work on new topics and a new index.

    Parameters
    ----------
    build, servers
        What runs, and on what.
    profile, seeds
        What its index is bootstrapped with.
    before
        Called before it starts, to publish.
    watched
        Whether `inside.py` looks into it, which costs time.
    workers, partitions
        How many share the work, and how many partitions its images have.
    """
    names = new_names()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="neardup-run-")))
        stack.enter_context(removed_afterwards(servers.redis_url, names.index))
        stack.enter_context(topics(servers.kafka, names.topics, partitions))
        bootstrapped(build, servers, names.index, profile, seeds)
        before(names)
        notes = folder / "notes.jsonl"
        arguments = _arguments(servers, names)
        if workers > 1:  # an older build knows no such setting
            arguments += ["--workers", str(workers)]
        command = (
            build.watched(notes, _ports(servers), *arguments) if watched else build.command("consumer", *arguments)
        )
        process = build.start(command, notes.with_suffix(".log"))
        yield stack.enter_context(closing(Running(process, servers, names, notes)))


def _arguments(servers: Servers, names: Names) -> list[str]:
    given = {
        "bootstrap-servers": servers.kafka,
        "redis": servers.redis_url,
        "index": names.index,
        "topic": names.topic,
        "verdicts": names.verdicts,
        "dead-letters": names.dead_letters,
        "group": names.group,
        "metrics-port": "0",
        "batch-size": str(BATCH),
        "max-message-bytes": str(LARGEST_BYTES),
        "log-level": "WARNING",
    }
    return [part for name, value in given.items() for part in (f"--{name}", value)]


def _ports(servers: Servers) -> dict[str, int]:
    kafka, redis = servers.kafka.rpartition(":")[2], servers.redis_url.rpartition(":")[2].partition("/")[0]
    return {"kafka": int(kafka), "redis": int(redis)}
