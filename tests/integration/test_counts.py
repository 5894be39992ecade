"""What the consumer asks of Redis, Kafka and its decoding processes does not grow unnoticed."""

import json
from pathlib import Path

import pytest

from benchmarks.throughput.counts import BASELINE, counted, grown
from benchmarks.throughput.servers import Servers


@pytest.mark.kafka
@pytest.mark.redis
@pytest.mark.slow
def test_counts_are_those_of_the_baseline(kafka_address: str, redis_url: str, tmp_path: Path) -> None:
    # `make bench-check` tells all of them, and `make bench-check ARGS=--write` makes them the baseline.
    counts = counted("dct", Servers(kafka_address, redis_url), tmp_path)
    assert min(counts.values()) > 0
    assert grown(counts, json.loads(BASELINE.read_text("utf-8"))["counts"]["dct"]) == {}
