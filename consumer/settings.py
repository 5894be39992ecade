"""The settings of the service, and what it shares with the feed and with folder mode."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from consumer.claim_checks.schemes import LISTED
from consumer.roles.foreign import ALL, DECIDE, DESCRIBE, cut_off, foreign_flags
from neardup.settings.decoding import DecodingSettings
from neardup.settings.kafka import KafkaConnection, dead_letters_topic_option, verdicts_topic_option
from neardup.settings.options import option, refuse
from neardup.settings.parsers import auto_or, duration_or_off, header_names, integer, number, one_of
from neardup.settings.redis import RedisSettings
from neardup.settings.subjects import CLAIM_CHECKS, DUPLICATES, KAFKA, REDIS, RUNNING, TOPICS

MEBIBYTE = 1024 * 1024
EXACTLY_ONCE = "exactly-once"
AT_LEAST_ONCE = "at-least-once"
POLL_TIMEOUT_S = 0.5
MAX_WAIT_MS = 20.0
BATCHES_IN_HAND = 3
"""At most: one that is described, one that is decided, one that is delivered."""
DECIDERS = "-deciders"
"""Ends the name of the deciders' group: members that read other topics are in a group of their own."""
VERDICT_HEADERS = ("verdict", "member")
"""A verdict's own, as `neardup.wire` writes them, which is not imported here: it would delay ``--help``."""


def delivery_option() -> Any:  # noqa: ANN401 - stands where a field's default stands
    """Declare how what is published goes together with where we are."""
    return option(
        "--delivery",
        "exactly-once publishes in Kafka transactions; at-least-once does not and may publish twice after a crash",
        EXACTLY_ONCE,
        one_of(EXACTLY_ONCE, AT_LEAST_ONCE),
        subject=TOPICS,
    )


@dataclass(frozen=True)
class KafkaSettings(KafkaConnection):
    """What the service and the feed share: Kafka, and the topic of the images."""

    topic: str = option(
        "--images-topic", "topic of the images", "images", subject=TOPICS, common=True, aliases=("--topic",)
    )


@dataclass(frozen=True)
class ClaimCheckSettings:
    """Which images envelopes may name, and how to fetch them."""

    allow_uri: tuple[str, ...] = option(
        "--allow-uri",
        f"prefix of the {LISTED} URIs that envelopes may name, such as file:///data/; may be repeated",
        (),
        subject=CLAIM_CHECKS,
        common=True,
        many=True,
    )
    uri_timeout_s: float = option(
        "--uri-timeout-s",
        "longest time to fetch one image that an envelope names",
        20.0,
        number(0.1, 3600),
        subject=CLAIM_CHECKS,
    )
    uri_patience_s: float = option(
        "--uri-patience-s",
        "how long an image store may be away before its images become dead letters; the stream waits",
        300.0,
        number(0, 365 * 24 * 60 * 60),
        subject=CLAIM_CHECKS,
    )
    uri_ca_file: str | None = option(
        "--uri-ca-file",
        "PEM file of certificate authorities to trust for https: hosts, instead of the system's",
        None,
        subject=CLAIM_CHECKS,
    )
    allow_private_addresses: bool = option(
        "--allow-private-addresses",
        "allow https: hosts on private networks and on this machine",
        default=False,
        subject=CLAIM_CHECKS,
    )


@dataclass(frozen=True)
class JudgingSettings(RedisSettings, DecodingSettings):
    """What the service and folder mode share: the index, and how images are decoded and judged."""

    descriptor: str | None = option(
        "--descriptor",
        "must match the index's own descriptor; only the PATH of a file:PATH may differ on this machine",
        None,
        subject=DUPLICATES,
    )
    weights: str | None = option(
        "--weights", "weights file of the index's descriptor, if it has one", None, subject=DUPLICATES
    )
    decision_ttl_s: int = option(
        "--decision-ttl-s",
        "seconds to remember a message's verdict; must exceed the time until Kafka redelivers",
        2 * 60 * 60,
        integer(60, 365 * 24 * 60 * 60),
        subject=REDIS,
    )
    probe: str = option(
        "--probe",
        "exact compares with every member that can be within the radius, nearest only with the nearest cluster's",
        "exact",
        one_of("exact", "nearest"),
        subject=REDIS,
    )
    max_cluster: int = option(
        "--max-cluster", "clusters with more members are split in two", 300, integer(2, 1_000_000), subject=REDIS
    )
    wait_replicas: int = option(
        "--wait-replicas",
        "replicas of Redis that have to have what was decided before its verdicts are published",
        0,
        integer(0, 16),
        subject=REDIS,
    )
    cache_bytes: int = option(
        "--cache-bytes",
        "bytes of members' records kept in memory; the rest is read from Redis when needed",
        1024 * MEBIBYTE,
        integer(0, 1024 * 1024 * MEBIBYTE),
        subject=REDIS,
    )
    retention_s: int | None = option(
        "--retention",
        "how long a member counts, by capture time: 90m, 12h, 30d; off keeps members for ever (default: off)",
        None,
        duration_or_off,
        subject=REDIS,
        env="NEARDUP_RETENTION",
    )
    batch_size: int = option("--batch-size", "most images in one micro-batch", 64, integer(1, 10_000), subject=RUNNING)
    decode_workers: int | None = option(
        "--decode-workers",
        "number of processes that decode and describe images; auto starts one per core (default: auto)",
        None,
        auto_or(integer(1, 256)),
        subject=RUNNING,
    )
    repeat_bytes: int = option(
        "--repeat-bytes",
        "bytes of memory for what described images came to, so that the same file is decoded once; 0 decodes each",
        64 * MEBIBYTE,
        integer(0, 1024 * 1024 * MEBIBYTE),
        subject=RUNNING,
    )
    shutdown_timeout_s: float = option(
        "--shutdown-timeout-s",
        "longest time to finish what is in hand after SIGTERM",
        20.0,
        number(0.1, 3600),
        subject=RUNNING,
    )
    log_level: str = option(
        "--log-level",
        "lowest level that is logged",
        "INFO",
        one_of("DEBUG", "INFO", "WARNING", "ERROR"),
        subject=RUNNING,
        common=True,
    )


@dataclass(frozen=True)
class ServiceSettings(KafkaSettings, JudgingSettings, ClaimCheckSettings):
    """All settings of the service, ``neardup consume``."""

    verdicts_topic: str = verdicts_topic_option()
    dead_letters_topic: str = dead_letters_topic_option()
    unique_topic: str | None = option(
        "--unique-topic",
        "topic that unique images go on to, as they came, with headers of their verdicts; without it, none do",
        None,
        subject=TOPICS,
        common=True,
    )
    role: str = option(
        "--role",
        "describe decodes images and publishes their descriptors, decide judges these; all does both",
        ALL,
        one_of(ALL, DESCRIBE, DECIDE),
        subject=TOPICS,
        common=True,
    )
    descriptors_topic: str = option(
        "--descriptors-topic", "with --role describe or decide: topic of the descriptors", "descriptors", subject=TOPICS
    )
    pass_headers: tuple[str, ...] = option(
        "--pass-headers",
        "headers of image messages that their verdicts get, too: name,name",
        (),
        header_names(*VERDICT_HEADERS),
        subject=TOPICS,
    )
    group: str = option(
        "--group",
        f"Kafka consumer group; with --role decide that of this name with {DECIDERS} at its end",
        "neardup",
        subject=TOPICS,
        common=True,
    )
    group_instance_id: str | None = option(
        "--group-instance-id",
        "fixed name of this consumer in its group: its partitions wait while it restarts, without a rebalance",
        None,
        subject=TOPICS,
    )
    delivery: str = delivery_option()
    on_lost_data: str = option(
        "--on-lost-data",
        "if Kafka deleted messages before they were read: continue with the earliest left, the latest, or stop",
        "earliest",
        one_of("earliest", "latest", "stop"),
        subject=TOPICS,
    )
    session_timeout_s: float = option(
        "--session-timeout-s",
        "seconds without a heartbeat before the group gives a consumer's partitions to others",
        45.0,
        number(6, 1800),
        subject=KAFKA,
    )
    max_poll_interval_s: float = option(
        "--max-poll-interval-s",
        "seconds without a poll before the group gives a live consumer's partitions to others",
        300.0,
        number(1, 86_400),
        subject=KAFKA,
    )
    workers: int | None = option(
        "--workers",
        "members of the group, each a process, under one parent; auto starts one for every six cores",
        1,
        auto_or(integer(1, 64)),
        subject=RUNNING,
        common=True,
        env="NEARDUP_CONSUME_WORKERS",
    )
    metrics_host: str = option(
        "--metrics-host", "address for /metrics, /healthz and /readyz", "127.0.0.1", subject=RUNNING
    )
    metrics_port: int = option(
        "--metrics-port",
        "port for /metrics, /healthz and /readyz; 0 picks a free one",
        9108,
        integer(0, 65535),
        subject=RUNNING,
        common=True,
    )
    index_cache: str | None = option(
        "--index-cache",
        "folder in which what is known of the index is kept, so that a restart goes on from there (default: none)",
        None,
        subject=REDIS,
    )
    batch_bytes: int = option(
        "--batch-bytes",
        "largest total size of the messages in hand, and a third of it that of a micro-batch or a fetch; "
        "a single message may be larger",
        32 * MEBIBYTE,
        integer(1024, 1024 * MEBIBYTE),
        subject=RUNNING,
    )
    poll_timeout_s: float = option(
        "--poll-timeout-s",
        "longest wait for the first image of a batch",
        POLL_TIMEOUT_S,
        number(0.01, 60),
        subject=RUNNING,
    )
    max_wait_ms: float = option(
        "--max-wait-ms",
        "longest that images wait for their batch to fill while another one is in work; otherwise they go at once",
        MAX_WAIT_MS,
        number(0, 60_000),
        subject=RUNNING,
    )

    @classmethod
    def refused(cls, flags: Mapping[str, str], given: Mapping[str, Any]) -> Iterator[str]:
        """Yield a line for each flag that a role has no use for; a variable may be there for the others."""
        return foreign_flags(given.get("role", ALL), flags, ClaimCheckSettings)

    def check(self) -> None:
        """Refuse topics that are one and the same, and unique images that could not go on."""
        refuse([*self._shared_topics(), *cut_off(self.role, self.unique_topic)])

    def _shared_topics(self) -> Iterator[str]:
        own: dict[str, tuple[str | None, str]] = {"--unique-topic": (self.unique_topic, "unique images")}
        if self.role != ALL:
            own["--descriptors-topic"] = (self.descriptors_topic, "descriptors")
        others = {
            "--images-topic": self.topic,
            "--verdicts-topic": self.verdicts_topic,
            "--dead-letters-topic": self.dead_letters_topic,
        }
        for ours, (topic, what) in own.items():
            for flag in (flag for flag, name in others.items() if name == topic):
                yield f"{ours} {topic}: it is also {flag}; {what} need a topic of their own"

    def of_role(self) -> "ServiceSettings":
        """Return the settings as the loop of this role has them: a decider's images are those of another topic."""
        if self.role != DECIDE:
            return self
        return replace(self, topic=self.descriptors_topic, group=f"{self.group}{DECIDERS}")
