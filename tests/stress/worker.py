"""A consumer without Kafka and without images: takes messages, has them decided, notes it, commits its offset.

The order is that of `consumer.loop`: decide (the index commits), publish (a line in a file of its own), commit the
offset. Killed anywhere between, its successor takes the same messages again.
"""

import json
import os
import random
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from threadpoolctl import threadpool_limits

from neardup.capture_time import capture_time, now_ms
from neardup.errors import IndexMismatch, RedisUnavailable
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.stored.connection import connect
from neardup.types import Decision, Query
from tests.stress.history import told_of
from tests.stress.material import Material, captured_at_ms, sent_at_ms

LARGEST_BATCH = 48
FAR_OFF_MS = 2**62
"""What a clock shows that lets any time pass."""
_ATTEMPTS = 50
AGAIN = 0.02
"""Share of batches after which a worker goes back a little, as after a rebalance."""


class Worker:
    """Works off one partition."""

    def __init__(self, order: "Order") -> None:
        self._order = order
        self._material = Material.load(order.folder, order.relation)
        self._count = self._material.shown.shape[1]
        self._partition = order.partition
        self._believing = order.believing
        self._index = open_index(order)
        self._offset_path = order.folder / f"offset-{order.partition}"
        self._random = random.Random(order.seed)  # noqa: S311 - no secret
        self._notes = order.notes.open("ab", buffering=0)

    def run(self) -> None:
        position = self._committed()
        while position < self._count:
            end = min(position + self._random.randint(1, LARGEST_BATCH), self._count)
            queries = [self._query(offset) for offset in range(position, end)]
            self._note(queries, *self._decide(queries))
            self._commit(end)
            position = max(0, end - self._random.randint(1, 100)) if self._random.random() < AGAIN else end

    def _query(self, offset: int) -> Query:
        known_ms = time_ms(self._partition, offset, believing=self._believing)
        return self._material.query(self._partition, offset, known_ms)

    def _decide(self, queries: list[Query]) -> tuple[list[Decision], int]:
        """Return the decisions, and how many commits were repeated until now."""
        for _ in range(_ATTEMPTS):
            try:
                return self._index.decide(queries), self._index.stats().retries
            except RedisUnavailable:  # a process that was stopped finds its connection timed out
                time.sleep(0.1)
            except IndexMismatch:  # another descriptor: a consumer stops, and is started again
                self._index = open_index(self._order)
        raise SystemExit("Redis is gone, and whoever started this worker may be, too")

    def _note(self, queries: list[Query], decisions: list[Decision], retries: int) -> None:
        verdicts = [[query.key, *told_of(decision)] for query, decision in zip(queries, decisions, strict=True)]
        # One write: a line is there or it is not.
        self._notes.write(json.dumps({"retries": retries, "verdicts": verdicts}).encode() + b"\n")

    def _committed(self) -> int:
        return int(self._offset_path.read_text("utf-8")) if self._offset_path.exists() else 0

    def _commit(self, offset: int) -> None:
        partial = self._offset_path.with_name(f"{self._offset_path.name}.{os.getpid()}")
        partial.write_text(str(offset), "utf-8")
        partial.replace(self._offset_path)


def time_ms(partition: int, offset: int, *, believing: bool) -> int:
    """Return when a message's image was captured, or what the message says of that."""
    said_ms = captured_at_ms(partition, offset)
    return said_ms if believing else capture_time(said_ms, sent_at_ms(offset), now_ms()).ms


def switch_off_the_check(index: RedisIndex) -> None:
    """Have commits accept whatever a client compared with, however old: what the stress must not survive."""
    text = files("neardup.index.stored").joinpath("commit.lua").read_text("utf-8")
    unchecked = text.replace("if #unseen == 0 then\n    return false", "if true then\n    return false")
    assert unchecked != text
    index._scripts._commit = index._client.register_script(unchecked)


@dataclass(frozen=True)
class Order:
    """What one worker is to do."""

    folder: Path
    redis_url: str
    index: str
    partition: int
    seed: int
    options: RedisIndexOptions
    checked: bool
    believing: bool
    relation: str

    @property
    def notes(self) -> Path:
        """Where it writes its verdicts."""
        return self.folder / f"notes-{self.seed}"

    @property
    def ready(self) -> Path:
        """Made when it could begin."""
        return self.folder / f"ready-{self.seed}"

    @property
    def go(self) -> Path:
        """Made when all may begin: they start at the same moment, so that what is to collide does."""
        return self.folder / "go"


def open_index(order: Order) -> RedisIndex:
    """Return the index as the worker is to see it."""
    options = replace(order.options, now_ms=lambda: FAR_OFF_MS) if order.believing else order.options
    while True:
        with suppress(IndexMismatch):  # another descriptor came meanwhile
            index = RedisIndex(connect(order.redis_url), order.index, options=options)
            break
    if not order.checked:
        switch_off_the_check(index)
    return index


def work(order: Order) -> None:
    """Be a worker, from the first message that is not committed to the last of the partition."""
    threadpool_limits(1)
    worker = Worker(order)
    order.ready.touch()
    while not order.go.exists():
        time.sleep(0.005)
    worker.run()
