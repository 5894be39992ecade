"""Take unique pictures from neardup's topic for them, and lay each where a labelling tool looks.

    pip install kafka-python
    export NEARDUP_BOOTSTRAP_SERVERS=127.0.0.1:9092
    python examples/labelling_worker.py to-label

`neardup consume --unique-topic uniques` fills the topic. It runs until Ctrl-C. It is safe to kill at any moment: it
reads only what was committed, a file is called by the place of its message, and its own place is committed only after
the files are there. So what a crash repeats is written once more over itself.
"""

import json
import os
import sys
from itertools import chain
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer

PREFIX = "unique."


def lay_out(record: Any, folder: Path) -> None:  # noqa: ANN401 - kafka-python has no types
    """Write a picture and, last, the JSON file beside it that says what is known of it."""
    headers = dict(record.headers)
    told = {name.removeprefix(PREFIX): text.decode() for name, text in headers.items() if name.startswith(PREFIX)}
    picture = folder / told["source"]
    if headers.get("content-type", b"").startswith(b"application/json"):
        told["uri"] = json.loads(record.value)["uri"]  # a claim check: the picture lies elsewhere
    else:
        _write(picture, record.value)
    _write(picture.with_name(f"{picture.name}.json"), json.dumps(told).encode())
    print(f"to label: {told['image_id']}", flush=True)


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)


def follow(consumer: KafkaConsumer, folder: Path) -> None:
    """Lay out a batch, commit, and so on."""
    while True:
        batch = consumer.poll(timeout_ms=1000)
        for record in chain.from_iterable(batch.values()):
            lay_out(record, folder)
        if batch:
            consumer.commit()


def main() -> None:
    """Follow the unique pictures until Ctrl-C."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    consumer = KafkaConsumer(
        os.environ.get("NEARDUP_UNIQUE_TOPIC", "uniques"),
        bootstrap_servers=os.environ.get("NEARDUP_BOOTSTRAP_SERVERS", "127.0.0.1:9092"),
        group_id="labelling-worker",
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=2**25,
    )
    try:
        follow(consumer, folder)
    except KeyboardInterrupt:
        consumer.close()


if __name__ == "__main__":
    main()
