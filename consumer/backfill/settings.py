"""The settings of ``neardup backfill``."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from consumer.feeding.settings import STANDARD_INPUT, key_option, pace_option, rate_option, source_option
from consumer.settings import KafkaSettings, delivery_option
from neardup.settings.options import option
from neardup.settings.subjects import FILES, RUNNING

ANY = "any"
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"),
    *(".jp2", ".j2k", ".jpx", ".avif", ".heic", ".heif"),
)
"""What images are called, of the formats that are decoded by default."""


def suffixes(text: str) -> tuple[str, ...]:
    """Parse the ends of names; none for ``any``."""
    if text.strip().lower() == ANY:
        return ()
    names = [name.strip().lower().lstrip(".") for name in text.split(",")]
    if not all(name.isalnum() for name in names):
        raise ValueError(f"it should be ends of names, such as jpg,png, or {ANY}")
    return tuple(f".{name}" for name in names)


@dataclass(frozen=True)
class BackfillSettings(KafkaSettings):
    """All settings of ``neardup backfill``."""

    listings: tuple[str, ...] = option(
        "LISTING",
        "folders, s3:// and gs:// prefixes, manifests (CSV, Parquet, JSON lines, a URI a line), tar shards such as "
        "shards-{000..099}.tar; - is a list on standard input",
        (),
        subject=FILES,
        common=True,
        many=True,
    )
    column: str | None = option(
        "--column", "column or field of a manifest that has the URIs; without it uri, url, path or their like", None,
        subject=FILES, common=True,
    )  # fmt: skip
    id_column: str | None = option(
        "--id-column", "column or field of the image ids; without it image_id or id, if there is one", None,
        subject=FILES,
    )  # fmt: skip
    time_column: str | None = option(
        "--time-column", "column or field of the capture times; without it captured_at, if there is one", None,
        subject=FILES,
    )  # fmt: skip
    suffixes: tuple[str, ...] | None = option(
        "--suffixes",
        "ends of the names that count as images in folders, prefixes and shards, such as jpg,png; any takes every "
        "file; without it those of the usual formats",
        None,
        suffixes,
        subject=FILES,
    )
    state: str | None = option(
        "--state",
        "file that remembers how far it came; without it one for the listings and the topic, of this user",
        None,
        subject=FILES,
    )
    again: bool = option(
        "--again", "begin once more, whatever was published before", default=False, subject=FILES, common=True
    )
    rejects: str | None = option(
        "--rejects", "file to write the refused lines to, as JSON lines, up to 10,000", None, subject=FILES
    )
    dry_run: bool = option("--dry-run", "count and check, publish nothing", default=False, subject=RUNNING, common=True)
    rate: float = rate_option()
    pace: float | None = pace_option()
    key: str | None = key_option()
    source: str | None = source_option()
    delivery: str = delivery_option()

    @classmethod
    def refused(cls, flags: Mapping[str, str], given: Mapping[str, Any]) -> Iterator[str]:
        """Yield a line for what contradicts."""
        del flags
        if given.get("listings", ()).count(STANDARD_INPUT) > 1:
            yield "LISTING: - stands for standard input, which can be read once only"
        if given.get("rate") and given.get("pace") is not None:
            yield "--rate and --pace contradict one another"
