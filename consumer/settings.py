"""What the service and the feed can be told."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from consumer.claim_checks.schemes import LISTED
from neardup.decode_settings import decode_memory_option, decode_timeout_option, formats_option, truncated_option
from neardup.descriptors.names import DEFAULT, SPECS
from neardup.kafka_settings import KafkaConnection
from neardup.options import auto_or, duration_or_off, integer, number, one_of, option
from neardup.redis_settings import redis_password_option, redis_url_option
from neardup.relation_settings import (
    local_change_option,
    match_flips_option,
    match_rotations_option,
    profile_option,
)
from neardup.relation_settings import profile_defaults as by_profile

MEBIBYTE = 1024 * 1024
MEMORY = "memory"
"""Name of the index that folder mode keeps in memory."""
_MEMORY = "with --index memory: "
EXACTLY_ONCE = "exactly-once"
AT_LEAST_ONCE = "at-least-once"


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
    group_instance_id: str | None = option(
        "--group-instance-id",
        "name of this consumer in its group, kept when it restarts: its partitions wait for it, no rebalance",
        None,
    )
    delivery: str = option(
        "--delivery",
        "exactly-once publishes in Kafka transactions; at-least-once does without, and may publish twice in a crash",
        EXACTLY_ONCE,
        one_of(EXACTLY_ONCE, AT_LEAST_ONCE),
    )
    on_lost_data: str = option(
        "--on-lost-data",
        "when Kafka deleted messages before they were read: go on with the earliest left, with the latest, or stop",
        "earliest",
        one_of("earliest", "latest", "stop"),
    )
    session_timeout_s: float = option(
        "--session-timeout-s",
        "how long the group waits for a consumer that is silent before others get its partitions",
        45.0,
        number(6, 1800),
    )
    max_poll_interval_s: float = option(
        "--max-poll-interval-s",
        "how long the group waits for a consumer that lives and does not ask for more",
        300.0,
        number(1, 86_400),
    )
    redis_url: str = redis_url_option()
    redis_password: str | None = redis_password_option()
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
    batch_bytes: int = option(
        "--batch-bytes",
        "largest total size of the messages in one micro-batch, and of a fetch; a single message may be larger",
        32 * MEBIBYTE,
        integer(1024, 1024 * MEBIBYTE),
    )
    poll_timeout_s: float = option(
        "--poll-timeout-s", "longest wait for the first image of a batch", 0.5, number(0.01, 60)
    )
    decode_workers: int = option("--decode-workers", "processes that decode images", 2, integer(1, 256))
    decode_timeout_s: float | None = decode_timeout_option()
    decode_memory_bytes: int = decode_memory_option()
    formats: tuple[str, ...] = formats_option()
    truncated: str = truncated_option()
    max_image_bytes: int = option(
        "--max-image-bytes", "largest encoded image", 32 * MEBIBYTE, integer(1, 1024 * MEBIBYTE)
    )
    max_image_pixels: int = option(
        "--max-image-pixels", "largest width times height, read from the header", 64_000_000, integer(1, 178_956_970)
    )
    allow_uri: tuple[str, ...] = option(
        "--allow-uri",
        f"prefix of the {LISTED} URIs that envelopes may name, such as file:///data/; may be repeated",
        (),
        many=True,
    )
    uri_timeout_s: float = option(
        "--uri-timeout-s", "longest time to fetch one image that an envelope names", 20.0, number(0.1, 3600)
    )
    uri_patience_s: float = option(
        "--uri-patience-s",
        "how long a store of such images may be away before they become dead letters; the stream waits meanwhile",
        300.0,
        number(0, 365 * 24 * 60 * 60),
    )
    uri_ca_file: str | None = option(
        "--uri-ca-file", "PEM file of the authorities that https: hosts are trusted by, in place of the system's", None
    )
    allow_private_addresses: bool = option(
        "--allow-private-addresses",
        "let https: hosts have addresses of private networks and of this machine",
        default=False,
    )
    shutdown_timeout_s: float = option(
        "--shutdown-timeout-s", "longest time to finish the batch in hand after SIGTERM", 20.0, number(0.1, 3600)
    )
    input: str | None = option("--input", "folder or file to judge without any server, instead of Kafka", None)
    output: str = option("--output", "with --input: file for the verdicts, a JSON document a line", "verdicts.jsonl")
    fps: float = option("--fps", "with --input: frames a second taken from a video clip", 1.0, number(0.001, 1000))
    descriptor: str | None = option(
        "--descriptor",
        f"{SPECS}: with --index memory (default there: {DEFAULT}); else the index's own is taken, and only the PATH of "
        "a file may be another",
        None,
    )
    threshold: float | None = option(
        "--threshold",
        "with --index memory: largest distance that counts as duplicate, or auto for the descriptor's own",
        None,
        auto_or(number(0.0, 2.0)),
    )
    profile: str | None = profile_option(_MEMORY)
    local_change: float | None = local_change_option(_MEMORY)
    match_flips: bool = match_flips_option(_MEMORY)
    match_rotations: bool = match_rotations_option(_MEMORY)
    log_level: str = option(
        "--log-level", "least severity that is logged", "INFO", one_of("DEBUG", "INFO", "WARNING", "ERROR")
    )

    def allowing(self, uri_prefix: str) -> "Settings":
        """Return the same settings with one more allowed prefix."""
        return replace(self, allow_uri=(*self.allow_uri, uri_prefix))


def profile_defaults(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a profile makes of settings that were not given; an index in Redis has had its own."""
    if given.get("index") != MEMORY:
        return {}
    known = {field.name for field in fields(Settings)}
    return {name: value for name, value in by_profile(given).items() if name in known}


@dataclass(frozen=True)
class FeedSettings(KafkaSettings):
    """All settings of ``python -m consumer.feed``."""

    paths: tuple[str, ...] = option("PATH", "images, folders (searched through) or video clips", (), many=True)
    rate: float = option("--rate", "images a second; 0 sends as fast as the broker takes them", 0.0, number(0, 1e6))
    loop: bool = option("--loop", "begin again after the last image, until stopped", default=False)
    fps: float = option("--fps", "frames a second taken from a video clip", 1.0, number(0.001, 1000))
    key: str | None = option("--key", "key of every message, such as a camera's name: keeps their order", None)
    source: str | None = option("--source", "value of the source header", None)
