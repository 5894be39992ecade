"""Read neardup's verdicts, and keep only what is worth labelling: unique pictures go to a queue, repeats do not.

    pip install kafka-python
    export NEARDUP_BOOTSTRAP_SERVERS=127.0.0.1:9092
    python examples/labelling_queue.py to-label.jsonl

It runs until Ctrl-C. Two things make it safe to stop and to kill at any moment: it reads only what was committed
(`read_committed`), and it commits its own place only after the queue has the verdict. What a crash repeats is known
again by the place of the picture's message, which stays the same (docs/wire-contracts.md).
"""

import json
import os
import sys
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from kafka import KafkaConsumer

Place = tuple[str, int, int]


def place_of(verdict: dict[str, Any]) -> Place:
    """Return where the picture's message stands in Kafka: what tells two verdicts apart."""
    source = verdict["source"]
    return source["topic"], source["partition"], source["offset"]


def keep(record: Any, queue: TextIO, queued: set[Place]) -> None:  # noqa: ANN401 - kafka-python has no types
    """Add a unique picture to the queue, unless it is there already."""
    if ("verdict", b"unique") not in record.headers:
        return
    verdict = json.loads(record.value)
    if place_of(verdict) not in queued:
        queued.add(place_of(verdict))
        queue.write(json.dumps(verdict) + "\n")
        print(f"to label: {verdict['image_id']}", flush=True)


def follow(consumer: KafkaConsumer, path: Path) -> None:
    """Handle a batch, make it last, commit, and so on."""
    with path.open("a+", buffering=1, encoding="utf-8") as queue:  # by the line: none is ever written in part
        queue.seek(0)
        queued = {place_of(json.loads(line)) for line in queue}
        while True:
            batch = consumer.poll(timeout_ms=1000)
            for record in chain.from_iterable(batch.values()):
                keep(record, queue, queued)
            if batch:
                os.fsync(queue.fileno())
                consumer.commit()


def main() -> None:
    """Follow the verdicts until Ctrl-C."""
    consumer = KafkaConsumer(
        os.environ.get("NEARDUP_VERDICTS", "verdicts"),
        bootstrap_servers=os.environ.get("NEARDUP_BOOTSTRAP_SERVERS", "127.0.0.1:9092"),
        group_id="labelling",
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        follow(consumer, Path(sys.argv[1]))
    except KeyboardInterrupt:
        consumer.close()


if __name__ == "__main__":
    main()
