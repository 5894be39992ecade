"""What exactly-once costs: the whole consumer on a real Kafka and a real Redis, both ways in turn on the same images.

Each round publishes the same images to a new topic for each way and each batch size, and times the consumer from its
first verdict to its last; what is compared stands side by side in time. Run: ``make bench-delivery``.
"""

import argparse
import io
import os
import secrets
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kafka import KafkaProducer

from benchmarks.throughput.images import drawn
from benchmarks.throughput.servers import removed_afterwards, topics
from bootstrap.__main__ import main as bootstrap
from consumer.health import Health
from consumer.messages import ImageMessage, OutgoingMessage
from consumer.metrics import Metrics
from consumer.service import kafka_transport, open_redis_index, output_topics, run
from consumer.settings import AT_LEAST_ONCE, EXACTLY_ONCE, ServiceSettings
from demo.services import open_kafka, open_redis

WAYS = (AT_LEAST_ONCE, EXACTLY_ONCE)
PICTURES = 256
"""Different images; the others are duplicates of them."""
WARM_UP_BATCHES = 4
"""Not timed: connections, the group, the producer's first transaction."""


def main(arguments: Sequence[str]) -> int:
    """Measure, and print a table in Markdown."""
    options = _options(arguments)
    with open_kafka(os.environ, _say) as address, open_redis(os.environ, _say) as redis_url:
        runs: dict[tuple[int, str], list[_Run]] = {}
        for number in range(options.rounds):
            for size in options.batch_sizes:
                # Whoever is first in one round is second in the next.
                for way in WAYS[:: 1 if number % 2 == 0 else -1]:
                    images = max(options.images_least, size * options.batches)
                    settings = _settings(address, redis_url, way, size)
                    runs.setdefault((size, way), []).append(_run(settings, images))
                    _say(f"round {number + 1}, batches of {size}, {way}: {runs[size, way][-1]}")
    _print_table(runs, options.batch_sizes)
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("--batches", type=int, default=24, help="timed batches of each size")
    parser.add_argument("--images-least", type=int, default=200, help="images at least, where batches are small")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args(arguments)


def _settings(address: str, redis_url: str, way: str, batch_size: int) -> ServiceSettings:
    run_id = secrets.token_hex(4)
    return ServiceSettings(
        bootstrap_servers=address,
        redis_url=redis_url,
        delivery=way,
        batch_size=batch_size,
        topic=f"images-{run_id}",
        verdicts_topic=f"verdicts-{run_id}",
        dead_letters_topic=f"dead-{run_id}",
        group=f"group-{run_id}",
        index=f"delivery-{run_id}",
    )


def _picture(number: int) -> bytes:
    return drawn(number, (640, 480))


@contextmanager
def _index(settings: ServiceSettings) -> Iterator[None]:
    with TemporaryDirectory() as folder:
        for number in range(3):
            (Path(folder) / f"{number}.jpg").write_bytes(_picture(PICTURES + number))
        arguments = [folder, "--redis", settings.redis_url, "--index", settings.index, "--clusters", "2"]
        with redirect_stdout(io.StringIO()):
            code = bootstrap(arguments, {})
    if code != 0:
        raise SystemExit("no index could be built")
    with removed_afterwards(settings.redis_url, settings.index):
        yield


@dataclass(frozen=True)
class _Run:
    """From the end of the warm-up on; a delivery is the median one, the CPU is that of the process an image."""

    images_s: float
    deliver_ms: float
    cpu_ms: float


def _run(settings: ServiceSettings, images: int) -> _Run:
    warm_up = WARM_UP_BATCHES * settings.batch_size
    names = [settings.topic, settings.verdicts_topic, settings.dead_letters_topic]
    with topics(settings.bootstrap_servers, names), _index(settings):
        with KafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
            for number in range(warm_up + images):
                producer.send(settings.topic, _picture(number % PICTURES))
        return _timed(settings, warm_up, images)


def _timed(settings: ServiceSettings, warm_up: int, images: int) -> _Run:
    metrics, health, stop = Metrics(), Health(), threading.Event()
    index = open_redis_index(settings, stop, health, metrics)
    if index is None:
        raise SystemExit("stopped")
    source, delivery = kafka_transport(settings, metrics)
    deliver, ends, took_s = delivery.deliver, {0: time.perf_counter()}, {0: 0.0}
    cpu_s = {0: time.process_time()}

    def timed(messages: Sequence[ImageMessage], outgoing: Sequence[Sequence[OutgoingMessage]]) -> list[bool]:
        began = time.perf_counter()
        answered = deliver(messages, outgoing)
        done = max(ends) + len(messages)
        ends[done] = time.perf_counter()
        took_s[done] = ends[done] - began
        cpu_s[done] = time.process_time()
        if done >= warm_up + images:
            stop.set()
        return answered

    delivery.deliver = timed  # type: ignore[method-assign]
    run(
        settings,
        index,
        source,
        delivery,
        topics=output_topics(settings),
        claim_checks=settings,
        metrics=metrics,
        health=health,
        stop=stop,
    )
    first, last = min(count for count in ends if count >= warm_up), max(ends)
    counted = [seconds for count, seconds in took_s.items() if count > first]
    images = last - first
    return _Run(
        images_s=images / (ends[last] - ends[first]),
        deliver_ms=1000 * statistics.median(counted),
        cpu_ms=1000 * (cpu_s[last] - cpu_s[first]) / images,
    )


def _print_table(runs: dict[tuple[int, str], list[_Run]], sizes: Sequence[int]) -> None:
    print("| batch | at-least-once: a delivery | exactly-once: a delivery | images/s: ratio (of the rounds) |")
    print("|---|---|---|---|")
    for size in sizes:
        once, exactly = (runs[size, way] for way in WAYS)
        ratios = sorted(b.images_s / a.images_s for a, b in zip(once, exactly, strict=True))
        ms = [statistics.median(one.deliver_ms for one in way) for way in (once, exactly)]
        print(
            f"| {size} | {ms[0]:.1f} ms | {ms[1]:.1f} ms | "
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"
        )


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
