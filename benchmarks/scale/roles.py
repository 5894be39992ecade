"""Describers and deciders as real processes on a real Kafka: images a second of one, two and four of each."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.real_descriptors import generated
from benchmarks.scale.measure import medians
from benchmarks.throughput.builds import THIS
from benchmarks.throughput.end_to_end import seeds_in
from benchmarks.throughput.images import SIZES, photos, write_images
from benchmarks.throughput.processes import cpu_s
from benchmarks.throughput.running import ANSWER_S, BATCH, bootstrapped, publish
from benchmarks.throughput.servers import Names, Servers, new_names, own_servers, removed_afterwards, topics
from benchmarks.throughput.workers import await_members
from consumer.roles.head import LiveHead
from consumer.settings import DECIDERS
from neardup.index.stored.connection import connect
from neardup.types import Query
from neardup.wire_described import DescribedImage, Place, encode_described, made_for

COUNTS = (1, 2, 4)
ROUNDS = 3
IMAGES, DESCRIPTIONS = 4096, 16_384
UNIQUE = 0.1
"""Share of the descriptions that are unique in the second case; in the first all of them are."""
_PARTITIONS = 4
_EDGE = 0.125
"""Part of the messages before and after those that are timed: more than all consumers have in hand."""

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Group:
    """Consumers of one role at work: what they write to, and their processes."""

    out: str
    pids: tuple[int, ...]


def measure(say: Callable[[str], None]) -> Iterator[Figures]:
    """Yield what one, two and four consumers of a role do in a second, medians of rounds, the numbers in turn."""
    with TemporaryDirectory(prefix="neardup-roles-") as folder, own_servers() as servers:
        place, images = Path(folder), Path(folder) / "images"
        images.mkdir()
        files = write_images(photos(), SIZES[0], IMAGES, images)
        seeds = seeds_in(place)
        yield from _rounds("describe", "photos", partial(_describers, servers, files, seeds), say)
        for name, unique in (("all unique", 1.0), (f"{UNIQUE:.0%} unique", UNIQUE)):
            yield from _rounds("decide", name, partial(_deciders, servers, _rows(unique), seeds), say)


def _rounds(role: str, data: str, run: Callable[[int], Figures], say: Callable[[str], None]) -> Iterator[Figures]:
    runs: dict[int, list[Figures]] = {count: [] for count in COUNTS}
    for number in range(ROUNDS):
        for count in COUNTS[:: 1 if number % 2 == 0 else -1]:
            runs[count].append(run(count))
            say(f"round {number + 1}, {count} that {role}, {data}: {runs[count][-1]}")
    for count, each in runs.items():
        yield {
            "role": role,
            "data": data,
            "consumers": count,
            "rounds": len(each),
            **{name: round(figure, 3) for name, figure in medians(each).items()},
        }


def _describers(servers: Servers, files: Sequence[Path], seeds: Path, count: int) -> Figures:
    names = new_names()
    with _index(servers, names, seeds), _group(servers, names, "describe", names.topic, count) as group:
        return _timed(servers, group, len(files), lambda: publish(servers, names.topic, files, _PARTITIONS))


def _deciders(servers: Servers, rows: Any, seeds: Path, count: int) -> Figures:  # noqa: ANN401 - float16 (n, d)
    names = new_names()
    with _index(servers, names, seeds), _group(servers, names, "decide", _descriptors(names), count) as group:
        wanted = made_for(LiveHead(connect(servers.redis_url), names.index).meta)
        values = [_description(number, row, wanted) for number, row in enumerate(rows)]

        def send() -> None:
            with closing(KafkaProducer(bootstrap_servers=servers.kafka)) as sender:
                for number, value in enumerate(values):
                    sender.send(_descriptors(names), value, partition=number % _PARTITIONS)
                sender.flush()

        return _timed(servers, group, len(values), send)


def _descriptors(names: Names) -> str:
    return f"described-{names.topic}"


def _rows(unique: float) -> Any:  # noqa: ANN401 - float16 (n, d)
    """Return descriptors of which so many are like none before, and each other one is one of those again."""
    from neardup.descriptors import load_descriptor  # noqa: PLC0415 - for its dimension alone

    different = generated(round(DESCRIPTIONS * unique), load_descriptor("dct").dimension)
    return different[np.arange(DESCRIPTIONS) % len(different)]


def _description(number: int, row: Any, wanted: str) -> bytes:  # noqa: ANN401 - float16 (d,)
    place = Place("images", number % _PARTITIONS, number // _PARTITIONS, int(time.time() * 1000), None)
    query = Query(place.coordinates, place.coordinates, row, place.timestamp_ms)
    return encode_described(DescribedImage(place, query, wanted))


@contextmanager
def _index(servers: Servers, names: Names, seeds: Path) -> Iterator[None]:
    with removed_afterwards(servers.redis_url, names.index):
        bootstrapped(THIS, servers, names.index, "dct", seeds)
        yield


@contextmanager
def _group(servers: Servers, names: Names, role: str, reads: str, count: int) -> Iterator[_Group]:
    """Give so many consumers of a role that have their partitions."""
    out = _descriptors(names) if role == "describe" else names.verdicts
    arguments = [
        *("--bootstrap-servers", servers.kafka, "--redis", servers.redis_url, "--index", names.index, "--role", role),
        *("--topic", names.topic, "--descriptors-topic", _descriptors(names), "--verdicts", names.verdicts),
        *("--dead-letters", names.dead_letters, "--group", names.group, "--metrics-port", "0"),
        *("--batch-size", str(BATCH), "--log-level", "WARNING"),
    ]
    with ExitStack() as stack:
        log = Path(stack.enter_context(TemporaryDirectory(prefix="neardup-run-"))) / "log"
        # The first topic is the one with several partitions.
        stack.enter_context(topics(servers.kafka, [reads, out, names.dead_letters], _PARTITIONS))
        # A decider refuses settings of decoding.
        command = THIS.command("consumer", *arguments)
        processes = [THIS.start(command, log, without=("NEARDUP_REPEAT_BYTES",)) for _ in range(count)]
        for process in processes:
            stack.callback(process.wait)
            stack.callback(process.terminate)
        try:
            name = f"{names.group}{DECIDERS}" if role == "decide" else names.group
            await_members(servers.kafka, name, count, _PARTITIONS)
        except SystemExit as exc:
            sys.exit(f"{exc}; they said:\n{log.read_text('utf-8', 'replace')[-3000:]}")
        yield _Group(out, tuple(process.pid for process in processes))


def _timed(servers: Servers, group: _Group, messages: int, send: Callable[[], None]) -> Figures:
    """Send the messages, and return what happens from the first ones that come out, `_EDGE`, to the last, as many."""
    sending = threading.Thread(target=send)
    with closing(KafkaConsumer(bootstrap_servers=servers.kafka, isolation_level="read_committed")) as reader:
        place = TopicPartition(group.out, 0)
        reader.assign([place])
        reader.seek_to_beginning()
        edge = round(messages * _EDGE)
        sending.start()
        seen, marks, heard_s = 0, list[tuple[float, int, float]](), time.monotonic()
        for wanted in (edge, messages - edge, messages):
            while seen < wanted:
                came = len(reader.poll(500).get(place, []))
                seen, heard_s = seen + came, time.monotonic() if came else heard_s
                if time.monotonic() - heard_s > ANSWER_S:
                    sys.exit(f"{seen} of {messages} came out, and no more")
            marks.append((time.perf_counter(), seen, sum(map(cpu_s, group.pids))))
        sending.join()
    (first_s, first, first_cpu_s), (last_s, last, last_cpu_s), _ = marks
    return {
        "images_a_second": (last - first) / (last_s - first_s),
        "cpu_ms": 1e3 * (last_cpu_s - first_cpu_s) / (last - first),
    }
