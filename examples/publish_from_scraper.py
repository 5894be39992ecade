"""Publish pictures to neardup as a scraper does: the bytes as they came, an id, and the site as the key.

    pip install kafka-python
    export NEARDUP_BOOTSTRAP_SERVERS=127.0.0.1:9092
    python examples/publish_from_scraper.py https://example.org/1.jpg https://example.org/2.jpg

A publisher needs nothing of neardup: a message is an encoded picture, and the headers are optional
(docs/wire-contracts.md). Messages of one key keep their order. What is no picture comes back as a dead letter, so there
is no need to check here.
"""

import os
import sys
from collections.abc import Iterable
from urllib.parse import urlsplit
from urllib.request import urlopen

from kafka import KafkaProducer

MAX_BYTES = 32 * 2**20
"""As the consumer's --max-image-bytes; the topic has to take it, too."""


def publish(urls: Iterable[str], producer: KafkaProducer, topic: str) -> int:
    """Publish each picture that can be fetched, and wait until Kafka has them all; return how many."""
    sent = []
    for url in urls:
        try:
            with urlopen(url, timeout=20) as answer:  # noqa: S310 - whoever runs this names the addresses
                picture = answer.read(MAX_BYTES)
        except OSError as error:
            print(f"{url}: {error}", file=sys.stderr)
            continue
        headers = [("image_id", url.encode()), ("source", b"scraper")]
        site = urlsplit(url).netloc.encode()
        sent.append(producer.send(topic, picture, key=site, headers=headers))
    for message in sent:
        message.get(timeout=30)  # raises what went wrong: only now is the picture safe
    return len(sent)


def main() -> None:
    """Publish what the command line names."""
    servers = os.environ.get("NEARDUP_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    topic = os.environ.get("NEARDUP_TOPIC", "images")
    producer = KafkaProducer(bootstrap_servers=servers, acks="all", max_request_size=MAX_BYTES + 2**16)
    print(f"{publish(sys.argv[1:], producer, topic)} pictures published to {topic}")
    producer.close()


if __name__ == "__main__":
    main()
