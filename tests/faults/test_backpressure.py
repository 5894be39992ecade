"""Memory stays flat, however much waits and however fast more comes."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.dying import Consumer, Consumers
from tests.support.harness import audit
from tests.support.processes import eventually, photo
from tests.support.stage import Stage, fresh

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]

MEBIBYTE = 2**20
BACKLOG_MIB = int(os.environ.get("BACKLOG_MIB", "160"))
"""What is published. The long form of the test: BACKLOG_MIB=2048 SLOW_S=1.2."""
BATCH_BYTES = 8 * MEBIBYTE
SLOW_S = float(os.environ.get("SLOW_S", "0.5"))
"""How long a batch of eight takes, besides: what is published meanwhile waits."""
LONGEST_S = 120 + BACKLOG_MIB / 2
MOST_BYTES = 12 * BATCH_BYTES
"""The batch, what waits of the same poll, a fetch that has come and one under way, each perhaps twice on its way
through kafka-python; and what the allocator keeps."""


@pytest.fixture
def stage(make_stage: Callable[[int], Stage]) -> Stage:
    return make_stage(2)


def memory(consumer: Consumer, what: str) -> int:
    """Return a line of /proc/PID/status in bytes: VmRSS is the memory now, VmHWM the most there ever was."""
    status = Path(f"/proc/{consumer.process.pid}/status")
    if not status.exists():
        pytest.skip("memory is read from /proc, which only Linux has")
    found = re.search(rf"{what}:\s+(\d+) kB", status.read_text("ascii", "replace"))
    assert found
    return 1024 * int(found[1])


def large(number: int) -> bytes:
    """Return an image of a mebibyte: behind its end there may be anything."""
    return photo(number) + bytes(MEBIBYTE - 16384)


def feed(stage: Stage, mebibytes: int) -> float:
    """Publish that much; return the mebibytes a second."""
    pictures = [large(fresh()) for _ in range(8)]
    began_s = time.monotonic()
    for place in range(mebibytes):
        stage.publish(pictures[place % len(pictures)], partition=place % 2)
    stage.flush()
    return mebibytes / (time.monotonic() - began_s)


def test_memory_is_flat_under_a_backlog_and_a_fast_producer(
    stage: Stage, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    stage.publish(photo(fresh()))
    arguments = stage.arguments("--batch-bytes", str(BATCH_BYTES))
    with Consumers(tmp_path).run(arguments, slow_s=SLOW_S) as consumer:
        stage.await_outcomes()
        before = memory(consumer, "VmRSS")
        began_s = time.monotonic()
        fed_mib_s = feed(stage, BACKLOG_MIB)
        wanted = stage.published.total()
        eventually(lambda: stage.verdict_reader.read() >= wanted, f"{wanted} verdicts", deadline_s=LONGEST_S)
        judged_mib_s = BACKLOG_MIB / (time.monotonic() - began_s)
        grown = memory(consumer, "VmHWM") - before
        eventually(lambda: stage.committed() == stage.published, "all offsets committed")
        assert consumer.stop() == 0, consumer.said()
    audit(stage)
    print(  # noqa: T201 - for the long form: pytest -s
        f"backlog {BACKLOG_MIB} MiB, published at {fed_mib_s:.0f} MiB/s, judged at {judged_mib_s:.0f} MiB/s; "
        f"memory {before / MEBIBYTE:.0f} MiB, at most {grown / MEBIBYTE:.0f} MiB more"
    )
    record_property("grown_mib", grown / MEBIBYTE)
    assert grown < MOST_BYTES
