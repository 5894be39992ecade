"""What the tools for a live index can be told: each has the settings that it reads, and no others."""

from dataclasses import dataclass

from neardup.settings.kafka import KafkaConnection
from neardup.settings.options import option
from neardup.settings.parsers import duration_or_off, integer
from neardup.settings.redis import RedisSettings
from neardup.settings.subjects import DUPLICATES, FILES, REDIS, RUNNING, TOPICS

_MILLION = 1_000_000


def duration(text: str) -> str:
    """Return a time such as ``24h`` as it is; refuse what is none."""
    try:
        seconds = duration_or_off(text)
    except ValueError:
        seconds = None
    if seconds is None:
        raise ValueError("it should be a whole number with s, m, h or d, such as 24h")
    return text


@dataclass(frozen=True, kw_only=True)
class StatsSettings(RedisSettings):
    """All settings of ``neardup index stats``, and what the other tools have as well."""

    as_json: bool = option(
        "--json", "print one JSON document in place of lines", default=False, subject=RUNNING, common=True
    )


@dataclass(frozen=True, kw_only=True)
class ShowSettings(StatsSettings):
    """All settings of ``neardup index show``."""

    target: str = option("TARGET", "an image id or a key", subject=FILES, common=True)


@dataclass(frozen=True, kw_only=True)
class NeighboursSettings(StatsSettings):
    """All settings of ``neardup index neighbours``."""

    target: str = option("TARGET", "an image file", subject=FILES, common=True)
    limit: int = option("--limit", "how many members to list", 10, integer(1, 10_000), subject=RUNNING, common=True)
    descriptor: str | None = option(
        "--descriptor", "file:PATH when the model of the index lies elsewhere on this machine", None, subject=DUPLICATES
    )
    weights: str | None = option(
        "--weights", "weights file of the index's descriptor, when it has weights", None, subject=DUPLICATES
    )


@dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    """What verify and repair share: how the consumers were told to keep the index."""

    max_cluster: int = option(
        "--max-cluster",
        "members above which a cluster is called large by verify, and divided by repair",
        300,
        integer(2, _MILLION),
        subject=REDIS,
    )
    retention_s: int | None = option(
        "--retention",
        "how long a member counts, as the consumers are told: 90m, 12h, 30d (default: off)",
        None,
        duration_or_off,
        subject=REDIS,
        env="NEARDUP_RETENTION",
    )


@dataclass(frozen=True, kw_only=True)
class VerifySettings(RetentionSettings, StatsSettings):
    """All settings of ``neardup index verify``."""

    sample: int | None = option(
        "--sample",
        "compare this many members with all others, in place of every member",
        None,
        integer(1, _MILLION),
        subject=RUNNING,
        common=True,
    )


@dataclass(frozen=True, kw_only=True)
class RepairSettings(KafkaConnection, RetentionSettings, StatsSettings):
    """All settings of ``neardup index repair``."""

    verdicts_topic: str = option(
        "--verdicts-topic", "topic of the verdicts", "verdicts", subject=TOPICS, common=True, aliases=("--verdicts",)
    )
    since: str = option(
        "--since",
        "how far back to read the verdicts: 30m, 24h, 7d",
        "24h",
        duration,
        subject=TOPICS,
        common=True,
    )
    dry_run: bool = option("--dry-run", "only say what would be done", default=False, subject=RUNNING, common=True)

    @property
    def since_s(self) -> int:
        """How far back to read the verdicts, in seconds."""
        return duration_or_off(self.since) or 0
