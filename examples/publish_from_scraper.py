"""Publish pictures to neardup as a scraper does: the bytes as they came, an id, and the site as the key.

    pip install kafka-python
    export NEARDUP_BOOTSTRAP_SERVERS=127.0.0.1:9092
    python examples/publish_from_scraper.py https://example.org/1.jpg https://example.org/2.jpg

A publisher needs nothing of neardup: a message is an encoded picture, and the headers are optional
(docs/wire-contracts.md). Messages of one key keep their order. What is no picture comes back as a dead letter, so there
is no need to check here. A picture that Kafka refuses, because it is too large for the topic, is told and left out.
"""

import os
import sys
from urllib.parse import urlsplit
from urllib.request import urlopen

from kafka import KafkaProducer
from kafka.errors import BrokerResponseError, RetriableError

MAX_BYTES = 32 * 2**20
"""As the consumer's --max-image-bytes; the topic has to take it, too."""


class Publisher:
    """Publishes one picture at a time, and goes on after one that Kafka refuses.

    A producer of kafka-python does not: once a broker has refused a record (too large, or dated more than an hour
    ahead), it fails with the same error for ever. So it is replaced (docs/delivery.md).
    """

    def __init__(self, servers: str, topic: str) -> None:
        self._settings = {"bootstrap_servers": servers, "acks": "all", "max_request_size": MAX_BYTES + 2**16}
        self._topic = topic
        self._producer = KafkaProducer(**self._settings)

    def publish(self, url: str, picture: bytes) -> bool:
        """Publish a picture, and return whether Kafka has it; an outage is raised."""
        headers = [("image_id", url.encode()), ("source", b"scraper")]
        site = urlsplit(url).netloc.encode()
        try:
            self._producer.send(self._topic, picture, key=site, headers=headers).get(timeout=30)
        except BrokerResponseError as error:
            if isinstance(error, RetriableError):
                raise
            print(f"{url}: {len(picture)} bytes, refused: {error}", file=sys.stderr)
            self.close()
            self._producer = KafkaProducer(**self._settings)
            return False
        return True

    def close(self) -> None:
        """Let go of Kafka."""
        self._producer.close(timeout=5)


def fetched(url: str) -> bytes | None:
    """Return what stands at an address; None if it cannot be fetched."""
    try:
        with urlopen(url, timeout=20) as answer:  # noqa: S310 - whoever runs this names the addresses
            picture: bytes = answer.read(MAX_BYTES)
            return picture
    except OSError as error:
        print(f"{url}: {error}", file=sys.stderr)
        return None


def main() -> None:
    """Publish what the command line names."""
    topic = os.environ.get("NEARDUP_TOPIC", "images")
    publisher = Publisher(os.environ.get("NEARDUP_BOOTSTRAP_SERVERS", "127.0.0.1:9092"), topic)
    pictures = ((url, fetched(url)) for url in sys.argv[1:])
    published = sum(publisher.publish(url, picture) for url, picture in pictures if picture is not None)
    print(f"{published} pictures published to {topic}")
    publisher.close()


if __name__ == "__main__":
    main()
