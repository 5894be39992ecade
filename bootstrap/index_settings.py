"""The settings of the tools for a live index; each has only those that it reads."""

from dataclasses import dataclass
from pathlib import Path

from bootstrap.settings import DryRunSettings, KeepingSettings, allow_dropping_option
from neardup.settings.kafka import KafkaConnection, verdicts_topic_option
from neardup.settings.options import option, refuse
from neardup.settings.parsers import duration_or_off, integer, number
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
class WaitSettings(StatsSettings):
    """All settings of ``neardup index wait``."""

    timeout_s: int | None = option(
        "--timeout",
        "give up after so long, with exit code 1: 10s, 5m (default: off)",
        None,
        duration_or_off,
        subject=RUNNING,
        common=True,
        env="",
    )


@dataclass(frozen=True, kw_only=True)
class ShowSettings(StatsSettings):
    """All settings of ``neardup index show``."""

    target: str = option("TARGET", "an image id or a key", subject=FILES, common=True)


@dataclass(frozen=True, kw_only=True)
class DescribingSettings:
    """What the tools share that describe image files as the index does."""

    descriptor: str | None = option(
        "--descriptor", "file:PATH, if the index's model is elsewhere on this machine", None, subject=DUPLICATES
    )
    weights: str | None = option(
        "--weights", "weights file of the index's descriptor, if it has one", None, subject=DUPLICATES
    )


@dataclass(frozen=True, kw_only=True)
class NeighboursSettings(DescribingSettings, StatsSettings):
    """All settings of ``neardup index neighbours``."""

    target: str = option("TARGET", "an image file", subject=FILES, common=True)
    limit: int = option("--limit", "how many members to list", 10, integer(1, 10_000), subject=RUNNING, common=True)


@dataclass(frozen=True, kw_only=True)
class ExplainSettings(DescribingSettings, StatsSettings):
    """All settings of ``neardup index explain``."""

    image: str = option("A", "the later image: an image id, a key or a file", subject=FILES, common=True)
    other: str = option("B", "the earlier image: an image id, a key or a file", subject=FILES, common=True)
    picture: Path | None = option(  # noqa: RUF009 - a dataclass field, as all of these
        "--picture",
        "PNG file to draw both side by side; needs the extra report",
        None,
        Path,
        subject=FILES,
        common=True,
    )
    image_a: str | None = option("--image-a", "image file to draw for A, when A does not name one", None, subject=FILES)
    image_b: str | None = option("--image-b", "image file to draw for B, when B does not name one", None, subject=FILES)

    def check(self) -> None:
        """Refuse files of which nothing would be drawn."""
        given = {"--image-a": self.image_a, "--image-b": self.image_b}
        refuse(f"{flag} works only with --picture" for flag, file in given.items() if file and self.picture is None)


@dataclass(frozen=True, kw_only=True)
class RemoveSettings(DryRunSettings, StatsSettings):
    """All settings of ``neardup index remove``."""

    names: tuple[str, ...] = option(
        "ID", "image ids or keys of the members to remove", (), subject=FILES, common=True, env="", many=True
    )
    save: Path | None = option(  # noqa: RUF009
        "--save",
        "JSON file for what is removed, which bootstrap --import puts back",
        None,
        Path,
        subject=FILES,
        common=True,
    )
    by: str | None = option(
        "--by", "who asks for it, for the record: by default this user and machine", None, subject=RUNNING, common=True
    )

    def check(self) -> None:
        """Refuse to remove nothing."""
        refuse(["ID: name the image ids or keys to remove"] if not self.names else [])


@dataclass(frozen=True, kw_only=True)
class SetRadiusSettings(KeepingSettings, DryRunSettings, StatsSettings):
    """All settings of ``neardup index set-radius``."""

    radius: float = option(
        "RADIUS",
        "largest distance that counts as duplicate, 0 to 2",
        parse=number(0.0, 2.0),
        subject=DUPLICATES,
        common=True,
    )
    allow_dropping: bool = allow_dropping_option("go ahead where members are left out, as they duplicate others by it")


@dataclass(frozen=True, kw_only=True)
class ExportSettings(StatsSettings):
    """All settings of ``neardup index export``."""

    file: Path = option(  # noqa: RUF009
        "FILE", "JSON file to write, for bootstrap --import", parse=Path, subject=FILES, common=True
    )


@dataclass(frozen=True, kw_only=True)
class CopySettings(KeepingSettings, StatsSettings):
    """All settings of ``neardup index copy-to``."""

    target_url: str = option("URL", "the other Redis, as for --redis", subject=REDIS, common=True, env="", secret=True)
    target_password: str | None = option(
        "--to-password", "password for the other Redis, if its URL has none", None, subject=REDIS, secret=True
    )
    target_index: str | None = option(
        "--to-index", "name of the copy (without it, the same name)", None, subject=REDIS, common=True
    )
    overwrite: bool = option(
        "--overwrite", "replace an index that has this name there", default=False, subject=REDIS, common=True
    )


@dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    """What verify, repair, rollback and rebuild share: a setting that should match the consumers'."""

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
class RepairSettings(KafkaConnection, RetentionSettings, ClusterSettings, DryRunSettings, StatsSettings):
    """All settings of ``neardup index repair``."""

    verdicts_topic: str = verdicts_topic_option()
    since: str = option(
        "--since",
        "how far back to read verdicts: 30m, 24h, 7d",
        "24h",
        duration,
        subject=TOPICS,
        common=True,
    )

    @property
    def since_s(self) -> int:
        """How far back to read the verdicts, in seconds."""
        return duration_or_off(self.since) or 0


@dataclass(frozen=True, kw_only=True)
class RollbackSettings(KeepingSettings, RetentionSettings, DryRunSettings, StatsSettings):
    """All settings of ``neardup index rollback``."""

    allow_dropping: bool = allow_dropping_option(
        "go ahead where unique images that consumers added meanwhile cannot be carried over"
    )


@dataclass(frozen=True, kw_only=True)
class RebuildSettings(KafkaConnection, KeepingSettings, RetentionSettings, DryRunSettings, StatsSettings):
    """All settings of ``neardup index rebuild``."""

    from_topic: str = option(
        "--from-topic",
        "topic that consumers with --role describe have written",
        "descriptors",
        bare="descriptors",
        subject=TOPICS,
        common=True,
    )
    radius: float | None = option(
        "--radius",
        "judge the images of the topic anew, in their order, by this largest distance of a duplicate, 0 to 2",
        None,
        number(0.0, 2.0),
        subject=DUPLICATES,
        common=True,
        env="",
    )
    allow_dropping: bool = allow_dropping_option("go ahead where members are left out, as they duplicate others now")
