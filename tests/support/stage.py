"""One test's place: an index, topics and a group of its own, and consumers that run there."""

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from tests.support.processes import Program, TopicReader, eventually, get, metrics, offsets_of, photo, run, running

SEEDS = 12

_fresh = count(1000)


def fresh() -> int:
    """Return the number of a photo that no test has shown before: an index remembers them all."""
    return next(_fresh)


def seed_folder(folder: Path) -> Path:
    """Write the seed set: twelve photos, and a copy of the first."""
    folder.mkdir(parents=True)
    for number in range(SEEDS):
        (folder / f"seed-{number:02}.jpg").write_bytes(photo(number))
    (folder / "seed-copy.jpg").write_bytes(photo(0, quality=70))
    return folder


def bootstrap(seeds: Path, redis_url: str, index: str) -> None:
    """Build an index by the batch job."""
    ended = run(["-m", "bootstrap", str(seeds), "--redis", redis_url, "--index", index, "--clusters", "3"])
    assert ended.returncode == 0, ended.stderr


@dataclass(frozen=True)
class Service:
    """A consumer that runs."""

    program: Program
    url: str

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        return metrics(f"{self.url}/metrics")

    def images(self) -> int:
        """Return how many verdicts this process has given."""
        return int(sum(value for (name, _), value in self.metrics().items() if name == "neardup_images_total"))

    def status(self, path: str) -> tuple[int, str]:
        status, body = get(f"{self.url}{path}")
        return status, json.loads(body)["detail"]

    def is_ready(self) -> bool:
        return self.status("/readyz")[0] == 200

    def partitions(self) -> set[str]:
        """Return the partitions assigned to this process."""
        return {dict(labels)["partition"] for name, labels in self.metrics() if name == "neardup_consumer_lag_messages"}


class Stage:
    """Topics and a group of one test's own; unique images and descriptors have topics, too, where that is asked for."""

    def __init__(
        self,
        address: str,
        redis_url: str,
        index: str,
        partitions: int,
        *,
        has_unique_topic: bool = False,
        descriptor_partitions: int = 0,
    ) -> None:
        run_id = secrets.token_hex(4)
        self.address, self.redis_url, self.index = address, redis_url, index
        self.images, self.verdicts, self.dead = (f"{name}-{run_id}" for name in ("images", "verdicts", "dead"))
        self.uniques = f"uniques-{run_id}" if has_unique_topic else None
        self.descriptors = f"descriptors-{run_id}"
        self.group = f"group-{run_id}"
        self.partitions = partitions
        self.stack = ExitStack()
        self.admin = self.stack.enter_context(KafkaAdminClient(bootstrap_servers=address))
        images = NewTopic(self.images, partitions, 1, topic_configs={"message.timestamp.after.max.ms": str(2**63 - 1)})
        outputs = [self.verdicts, self.dead, *([self.uniques] if self.uniques else [])]
        between = [NewTopic(self.descriptors, descriptor_partitions, 1)] if descriptor_partitions else []
        self.admin.create_topics([images, *between, *(NewTopic(name, 1, 1) for name in outputs)])
        made = [self.images, *(topic.name for topic in between), *outputs]
        self.stack.callback(self.admin.delete_topics, made)
        self.producer = self.stack.enter_context(KafkaProducer(bootstrap_servers=address))
        self.verdict_reader = self.stack.enter_context(closing(TopicReader(address, self.verdicts)))
        self.dead_reader = self.stack.enter_context(closing(TopicReader(address, self.dead)))
        self.unique_reader = self.stack.enter_context(closing(TopicReader(address, self.uniques or self.verdicts)))
        self.values: dict[str, bytes | None] = {}
        self.published: Counter[int] = Counter()

    def publish(
        self,
        value: bytes | None,
        *,
        partition: int = 0,
        key: bytes | None = b"camera",
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp_ms: int | None = None,
    ) -> str:
        """Send a message, of now unless another time is said, and return its coordinates."""
        self.producer.send(
            self.images, value, key=key, headers=list(headers), partition=partition, timestamp_ms=timestamp_ms
        )
        offset = self.published[partition]
        self.published[partition] += 1
        place = f"{self.images}-{partition}-{offset}"
        self.values[place] = value
        return place

    def flush(self) -> None:
        self.producer.flush(30)

    def arguments(self, *more: str) -> list[str]:
        """Return the command line of a consumer."""
        return [
            *(("-m", "consumer", "--unique-topic", self.uniques) if self.uniques else ("-m", "consumer")),
            *("--bootstrap-servers", self.address, "--redis", self.redis_url, "--index", self.index),
            *("--topic", self.images, "--verdicts", self.verdicts, "--dead-letters", self.dead, "--group", self.group),
            *("--metrics-port", "0", *more),
        ]

    def role(self, role: str, *more: str) -> list[str]:
        """Return the command line of a consumer with a role."""
        return self.arguments("--role", role, "--descriptors-topic", self.descriptors, *more)

    @contextmanager
    def service(self, *more: str) -> Iterator[Service]:
        """Run a consumer."""
        with running(self.arguments(*more)) as program:
            line = json.loads(program.await_line("serving /metrics"))
            yield Service(program, line["message"].split()[-1])

    @contextmanager
    def service_that_ends(self, *more: str) -> Iterator[Program]:
        """Run a consumer that does not get as far as serving."""
        with running(self.arguments(*more)) as program:
            yield program

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return the verdicts by the coordinates of their messages; there is one for each."""
        documents = {}
        for record in self.verdict_reader.read_to_end():
            document = json.loads(record.value)
            source = document["source"]
            place = f"{source['topic']}-{source['partition']}-{source['offset']}"
            assert place not in documents, "two verdicts on one message"
            documents[place] = document
        return documents

    def await_outcomes(self) -> None:
        """Wait until every message published has its verdict or dead letter."""
        wanted = self.published.total()
        eventually(lambda: self.verdict_reader.read() + self.dead_reader.read() >= wanted, f"{wanted} outcomes")

    def committed(self, group: str | None = None) -> dict[int, int]:
        """Return by partition the offsets of the group, or of another one that reads one topic."""

        def ask() -> list[dict[TopicPartition, int]] | None:
            found = offsets_of(self.admin, group or self.group)
            return None if found is None else [found]

        (offsets,) = eventually(ask, "the group's coordinator")
        return {place.partition: offset for place, offset in offsets.items() if offset > 0}
