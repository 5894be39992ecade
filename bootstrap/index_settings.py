"""The settings of the tools for a live index; each has only those that it reads."""

from dataclasses import dataclass

from bootstrap.settings import KeepingSettings, allow_dropping_option, dry_run_option
from neardup.settings.kafka import KafkaConnection
from neardup.settings.options import option
from neardup.settings.parsers import duration_or_off, integer
from neardup.settings.redis import RedisSettings
from neardup.settings.subjects import DUPLICATES, FILES, REDIS, RUNNING, TOPICS

_MILLION = 1_000_000


def duration(text: str) -> str:
    """Return a duration such as ``24h`` unchanged; refuse anything else."""
    try:
        seconds = duration_or_off(text)
    except ValueError:
        seconds = None
    if seconds is None:
        raise ValueError("it should be a whole number with s, m, h or d, such as 24h")
    return text


@dataclass(frozen=True, kw_only=True)
class StatsSettings(RedisSettings):
    """All settings of ``neardup index stats``, which the other tools share."""

    as_json: bool = option(
        "--json", "print one JSON document instead of lines", default=False, subject=RUNNING, common=True
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
        "--descriptor", "file:PATH, if the index's model is elsewhere on this machine", None, subject=DUPLICATES
    )
    weights: str | None = option(
        "--weights", "weights file of the index's descriptor, if it has one", None, subject=DUPLICATES
    )


@dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    """What verify, repair and rollback share: a setting that should match the consumers'."""

    retention_s: int | None = option(
        "--retention",
        "how long a member counts, as for the consumers: 90m, 12h, 30d (default: off)",
        None,
        duration_or_off,
        subject=REDIS,
        env="NEARDUP_RETENTION",
    )


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """What verify and repair share: a setting that should match the consumers'."""

    max_cluster: int = option(
        "--max-cluster",
        "verify reports, and repair splits, clusters with more members",
        300,
        integer(2, _MILLION),
        subject=REDIS,
    )


@dataclass(frozen=True, kw_only=True)
class VerifySettings(RetentionSettings, ClusterSettings, StatsSettings):
    """All settings of ``neardup index verify``."""

    sample: int | None = option(
        "--sample",
        "compare only this many members with all others, instead of every member",
        None,
        integer(1, _MILLION),
        subject=RUNNING,
        common=True,
    )


@dataclass(frozen=True, kw_only=True)
class RepairSettings(KafkaConnection, RetentionSettings, ClusterSettings, StatsSettings):
    """All settings of ``neardup index repair``."""

    verdicts_topic: str = option(
        "--verdicts-topic", "topic of the verdicts", "verdicts", subject=TOPICS, common=True, aliases=("--verdicts",)
    )
    since: str = option(
        "--since",
        "how far back to read verdicts: 30m, 24h, 7d",
        "24h",
        duration,
        subject=TOPICS,
        common=True,
    )
    dry_run: bool = dry_run_option()

    @property
    def since_s(self) -> int:
        """How far back to read the verdicts, in seconds."""
        return duration_or_off(self.since) or 0


@dataclass(frozen=True, kw_only=True)
class RollbackSettings(KeepingSettings, RetentionSettings, StatsSettings):
    """All settings of ``neardup index rollback``."""

    allow_dropping: bool = allow_dropping_option(
        "go ahead where unique images that consumers added meanwhile cannot be carried over"
    )
    dry_run: bool = dry_run_option()
