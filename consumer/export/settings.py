"""The settings of ``neardup export``; declarations only."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from consumer.verdicts.settings import SpanSettings
from neardup.settings.options import option, refuse
from neardup.settings.parsers import one_of
from neardup.settings.subjects import FILES

FORMATS = ("csv", "jsonl", "parquet", "coco", "labelstudio", "cvat", "fiftyone")
ALL = "all"
BY_URL = ("csv", "jsonl", "parquet", "coco", "labelstudio")
"""Formats that can name an image by a URL."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings(SpanSettings):
    """All settings of ``neardup export``."""

    run: Path | None = option(  # noqa: RUF009 - a dataclass field, as all of these
        "RUN",
        "file of verdicts that neardup folder wrote; without it, verdicts come from the verdict topic",
        None,
        Path,
        subject=FILES,
        common=True,
        env="",
    )
    format: str = option("--format", "what to write", parse=one_of(*FORMATS), subject=FILES, common=True, env="")
    output: Path = option(  # noqa: RUF009
        "--output", "file to write; of fiftyone, folder", parse=Path, subject=FILES, common=True, env=""
    )
    which: str = option(
        "--which",
        "verdicts to export: on unique images, on duplicates, or all",
        "unique",
        one_of("unique", "duplicate", ALL),
        subject=FILES,
        common=True,
        env="",
    )
    images: Path | None = option(  # noqa: RUF009
        "--images",
        "folder to write the images themselves to, as far as the image topic or the folder still has them",
        None,
        Path,
        subject=FILES,
        common=True,
        env="",
    )
    image_url: str | None = option(
        "--image-url",
        "with --images: URL that this folder is served at, to name images by",
        None,
        subject=FILES,
        env="",
    )

    def check(self) -> None:
        """Refuse settings that contradict one another, or whose output would take the place of something else."""
        refuse(self._contradictions())

    def _contradictions(self) -> Iterator[str]:
        if self.image_url is not None and self.images is None:
            yield "--image-url works only with --images"
        if self.image_url is not None and self.format not in BY_URL:
            yield f"--image-url: --format {self.format} names images by their files"
        if self.run is not None and _same(self.run, self.output):
            yield f"--output {self.output}: it is the file that is read"
        if self.run is not None and (self.since or self.until):
            yield "--from and --to are of the verdict topic: a run is exported whole"
        if self.images is not None and _same(self.images, self.output):
            yield f"--images {self.images}: it is --output, too"


def _same(one: Path, other: Path) -> bool:
    return one.absolute() == other.absolute() or (one.exists() and other.exists() and one.samefile(other))
