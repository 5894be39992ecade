"""What the service and the feed can be told."""

from dataclasses import dataclass, replace

from neardup.kafka_settings import KafkaConnection
from neardup.options import auto_or, duration_or_off, integer, number, one_of, option
from neardup.redis_settings import redis_url_option

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class KafkaSettings(KafkaConnection):
    """What the service and the feed share: Kafka, and the topic of the images."""

    topic: str = option("--topic", "topic of the images", "images")


@dataclass(frozen=True)
class Settings(KafkaSettings):
    """All settings of ``python -m consumer``."""

    verdicts: str = option("--verdicts", "topic of the verdicts", "verdicts")
    dead_letters: str = option("--dead-letters", "topic of the messages that are no image", "images.dead")
    group: str = option("--group", "Kafka consumer group", "neardup")
    redis_url: str = redis_url_option()
    index: str = option("--index", "name of the index in Redis; with --input also memory", "default")
    weights: str | None = option("--weights", "weights file of the index's descriptor, when it has weights", None)
    decision_ttl_s: int = option(
        "--decision-ttl-s",
        "seconds that a verdict is remembered by its message; longer than Kafka may take to deliver again",
        2 * 60 * 60,
        integer(60, 365 * 24 * 60 * 60),
    )
    probe: str = option(
        "--probe",
        "exact compares with every member that can be within the radius, nearest with the nearest cluster's alone",
        "exact",
        one_of("exact", "nearest"),
    )
    max_cluster: int = option(
        "--max-cluster", "members above which a cluster is divided in two", 300, integer(2, 1_000_000)
    )
    cache_bytes: int = option(
        "--cache-bytes",
        "memory for members' records; what does not fit is read from Redis when it is needed",
        1024 * MEBIBYTE,
        integer(0, 1024 * 1024 * MEBIBYTE),
    )
    retention_s: int | None = option(
        "--retention",
        "how long a member counts, by the images' own time: 90m, 12h, 30d; off keeps members for ever (default: off)",
        None,
        duration_or_off,
        env="NEARDUP_RETENTION",
    )
    metrics_host: str = option("--metrics-host", "address that /metrics, /healthz and /readyz listen on", "127.0.0.1")
    metrics_port: int = option("--metrics-port", "their port; 0 takes a free one", 9108, integer(0, 65535))
    batch_size: int = option("--batch-size", "largest number of images in one micro-batch", 64, integer(1, 10_000))
    poll_timeout_s: float = option(
        "--poll-timeout-s", "longest wait for the first image of a batch", 0.5, number(0.01, 60)
    )
    decode_threads: int = option("--decode-threads", "threads that decode images", 2, integer(1, 256))
    max_image_bytes: int = option(
        "--max-image-bytes", "largest encoded image", 32 * MEBIBYTE, integer(1, 1024 * MEBIBYTE)
    )
    max_image_pixels: int = option(
        "--max-image-pixels", "largest width times height, read from the header", 64_000_000, integer(1, 178_956_970)
    )
    allow_uri: tuple[str, ...] = option(
        "--allow-uri",
        "prefix of file: URIs that envelopes may name, such as file:///data/; may be repeated",
        (),
        many=True,
    )
    shutdown_timeout_s: float = option(
        "--shutdown-timeout-s", "longest time to finish the batch in hand after SIGTERM", 20.0, number(0.1, 3600)
    )
    input: str | None = option("--input", "folder or file to judge without any server, instead of Kafka", None)
    output: str = option("--output", "with --input: file for the verdicts, a JSON document a line", "verdicts.jsonl")
    fps: float = option("--fps", "with --input: frames a second taken from a video clip", 1.0, number(0.001, 1000))
    descriptor: str | None = option(
        "--descriptor",
        "dct, dct:notrim, pixels, pixels:SIDE, vgg16, keras:NAME, keras:NAME:flat or file:PATH: with --index memory "
        "(default there: dct); else the index's own is taken, and only the PATH of a file may be another",
        None,
    )
    threshold: float | None = option(
        "--threshold",
        "with --index memory: largest distance that counts as duplicate, or auto for the descriptor's own",
        None,
        auto_or(number(0.0, 2.0)),
    )
    log_level: str = option(
        "--log-level", "least severity that is logged", "INFO", one_of("DEBUG", "INFO", "WARNING", "ERROR")
    )

    def allowing(self, uri_prefix: str) -> "Settings":
        """Return the same settings with one more allowed prefix."""
        return replace(self, allow_uri=(*self.allow_uri, uri_prefix))


@dataclass(frozen=True)
class FeedSettings(KafkaSettings):
    """All settings of ``python -m consumer.feed``."""

    paths: tuple[str, ...] = option("PATH", "images, folders (searched through) or video clips", (), many=True)
    rate: float = option("--rate", "images a second; 0 sends as fast as the broker takes them", 0.0, number(0, 1e6))
    loop: bool = option("--loop", "begin again after the last image, until stopped", default=False)
    fps: float = option("--fps", "frames a second taken from a video clip", 1.0, number(0.001, 1000))
    key: str | None = option("--key", "key of every message, such as a camera's name: keeps their order", None)
    source: str | None = option("--source", "value of the source header", None)
