"""What the Kafka client costs: ours, on kafka-python, beside confluent-kafka (librdkafka) on the same topic in turns.

Each reads a topic of images in batches and answers each batch with its verdicts and offsets in one transaction, with
nothing in between. CPU is that of this process with all of its threads. The topics, the order of the clients and the
verdicts are the same for both.

    make bench-kafka [ARGS="--batch-sizes 64 --rounds 3"]
"""

import argparse
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.pages import table
from benchmarks.throughput.images import photos
from benchmarks.throughput.running import producer
from benchmarks.throughput.servers import Servers, new_names, own_servers, topics
from consumer.messages import ImageMessage, OutgoingMessage, last_offsets, verdict_message
from consumer.metrics import Metrics
from consumer.service import kafka_transport
from consumer.settings import BATCHES_IN_HAND, ServiceSettings
from neardup.index.base import IndexMeta
from neardup.types import Decision, Member, Verdict
from neardup.wire import Judged

DIMENSION = 128
WARM_UP_BATCHES = 4
"""Not timed: connections, the group, the first transaction."""
LEAST_BYTES, MOST_BYTES = 60_000, 125_000
"""Of a photo; those of the evaluation set have 89 kB on average."""
ANSWER_S = 30.0


class KafkaClient(Protocol):
    """Reads batches, and answers each in a transaction."""

    def poll(self, size: int) -> Sequence[ImageMessage]:
        """Return up to so many messages."""

    def answer(self, messages: Sequence[ImageMessage], verdicts: Sequence[OutgoingMessage]) -> None:
        """Commit the messages' offsets with a verdict for each."""

    def close(self) -> None:
        """Leave the group."""


class Ours:
    """The service's own transport."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._source, self._delivery = kafka_transport(settings, Metrics())
        self._source.connect()
        self._delivery.connect()

    def poll(self, size: int) -> Sequence[ImageMessage]:
        """Return up to so many messages."""
        return self._source.poll(size, 1.0)

    def answer(self, messages: Sequence[ImageMessage], verdicts: Sequence[OutgoingMessage]) -> None:
        """Commit the messages' offsets with a verdict for each."""
        self._delivery.deliver(messages, [(verdict,) for verdict in verdicts])

    def close(self) -> None:
        """Leave the group."""
        self._delivery.close()
        self._source.close()


class Confluent:
    """confluent-kafka, set to do the same."""

    def __init__(self, settings: ServiceSettings) -> None:
        fetch_bytes = settings.batch_bytes // BATCHES_IN_HAND
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                "group.id": settings.group,
                "partition.assignment.strategy": "cooperative-sticky",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "check.crcs": True,
                "fetch.max.bytes": fetch_bytes,
                "max.partition.fetch.bytes": fetch_bytes,
            }
        )
        self._consumer.subscribe([settings.topic])
        name = f"bench-{settings.group}"
        self._producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "transactional.id": name})
        self._producer.init_transactions(ANSWER_S)

    def poll(self, size: int) -> Sequence[ImageMessage]:
        """Return up to so many messages."""
        return [
            ImageMessage(
                topic=record.topic(),
                partition=record.partition(),
                offset=record.offset(),
                timestamp_ms=record.timestamp()[1],
                key=record.key(),
                value=record.value(),
                headers=tuple(record.headers() or ()),
            )
            for record in self._consumer.consume(size, 1.0)
        ]

    def answer(self, messages: Sequence[ImageMessage], verdicts: Sequence[OutgoingMessage]) -> None:
        """Commit the messages' offsets with a verdict for each."""
        self._producer.begin_transaction()
        offsets = [TopicPartition(*place, offset) for place, offset in last_offsets(messages).items()]
        self._producer.send_offsets_to_transaction(offsets, self._consumer.consumer_group_metadata(), ANSWER_S)
        for verdict in verdicts:
            self._producer.produce(verdict.topic, verdict.value, verdict.key, headers=list(verdict.headers))
        self._producer.commit_transaction(ANSWER_S)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()


CLIENTS: dict[str, Callable[[ServiceSettings], KafkaClient]] = {"kafka-python": Ours, "confluent-kafka": Confluent}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a message: CPU and time; of a batch: the time of its transaction. The last is the median."""

    cpu_ms: float
    message_ms: float
    transaction_ms: float


def main(arguments: Sequence[str]) -> int:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--messages", type=int, default=2000, help="of a run, or 300 batches if that is less")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    with own_servers() as servers, _images(servers, options.messages) as topic:
        costs: dict[tuple[int, str], list[Cost]] = {}
        for number in range(options.rounds):
            for size in options.batch_sizes:
                # Whoever is first in one round is second in the next.
                for name in list(CLIENTS)[:: 1 if number % 2 == 0 else -1]:
                    cost = _run(servers, topic, name, size, min(options.messages, 300 * size))
                    costs.setdefault((size, name), []).append(cost)
                    sys.stderr.write(f"round {number + 1}, batches of {size}, {name}: {cost}\n")
    print(table(["batch", "client", "CPU a message", "a message", "a transaction"], list(_rows(costs))))
    return 0


@contextmanager
def _images(servers: Servers, count: int) -> Iterator[str]:
    """Give a topic of so many photos."""
    files = [file for file in photos().files if LEAST_BYTES < len(file) < MOST_BYTES] or photos().files
    topic = new_names().topic
    with topics(servers.kafka, [topic]):
        with producer(servers) as sender:
            for number in range(count):
                headers = [("image_id", b"camera-%d" % number), ("captured_at", b"1763000000000")]
                sender.send(topic, files[number % len(files)], headers=headers)
            sender.flush()
        yield topic


def _run(servers: Servers, topic: str, name: str, size: int, count: int) -> Cost:
    names = replace(new_names(), topic=topic)
    settings = ServiceSettings(
        bootstrap_servers=servers.kafka,
        topic=topic,
        group=names.group,
        verdicts_topic=names.verdicts,
        dead_letters_topic=names.dead_letters,
        group_instance_id=secrets.token_hex(4),
    )
    with topics(servers.kafka, [names.verdicts, names.dead_letters]):
        client = CLIENTS[name](settings)
        try:
            return _timed(client, partial(_verdict, names.verdicts), size, count)
        finally:
            client.close()


def _timed(client: KafkaClient, verdict: Callable[[ImageMessage], OutgoingMessage], size: int, count: int) -> Cost:
    done, batches, took_s, heard_s = 0, 0, [], time.monotonic()
    encoding_s = cpu_s = began_s = 0.0
    first = 0
    while done < count:
        messages = client.poll(min(size, count - done))
        if not messages:
            if time.monotonic() - heard_s > ANSWER_S:
                sys.exit(f"{done} of {count} messages came, and no more")
            continue
        heard_s = time.monotonic()
        before_s = time.thread_time()
        verdicts = [verdict(message) for message in messages]
        encoding_s += time.thread_time() - before_s
        before_s = time.perf_counter()
        client.answer(messages, verdicts)
        took_s.append(time.perf_counter() - before_s)
        done, batches = done + len(messages), batches + 1
        if batches == WARM_UP_BATCHES:
            first, encoding_s, cpu_s, began_s = done, 0.0, time.process_time(), time.perf_counter()
    counted = done - first
    return Cost(
        cpu_ms=1000 * (time.process_time() - cpu_s - encoding_s) / counted,
        message_ms=1000 * (time.perf_counter() - began_s) / counted,
        transaction_ms=1000 * statistics.median(took_s[WARM_UP_BATCHES:]),
    )


def _verdict(topic: str, message: ImageMessage) -> OutgoingMessage:
    """Return the verdict of a unique, which is the largest."""
    meta = IndexMeta("default", 1, "dct", "dct/1:0a0b0c0d", DIMENSION, 0.3)
    member = Member(message.coordinates, "camera", np.ones(DIMENSION, np.float16), message.timestamp_ms)
    decision = Decision(Verdict.UNIQUE, None, 0.7123, 3, 1)
    judged = Judged(message, "camera", message.timestamp_ms, decision, meta, datetime.now(UTC), member)
    return verdict_message(topic, judged)


def _rows(costs: dict[tuple[int, str], list[Cost]]) -> Iterator[list[str]]:
    for (size, name), found in costs.items():
        theirs = costs[size, "confluent-kafka"]
        ratio = statistics.median(ours.cpu_ms / other.cpu_ms for ours, other in zip(found, theirs, strict=True))
        cpu_ms, message_ms, transaction_ms = (
            statistics.median(getattr(each, field) for each in found)
            for field in ("cpu_ms", "message_ms", "transaction_ms")
        )
        yield [
            str(size),
            name,
            f"{cpu_ms:.3f} ms ({ratio:.1f} times)",
            f"{message_ms:.2f} ms",
            f"{transaction_ms:.1f} ms",
        ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
