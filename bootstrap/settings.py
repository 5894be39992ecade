"""What the batch job can be told."""

from dataclasses import dataclass
from pathlib import Path

from neardup.decode_settings import decode_memory_option, decode_timeout_option, formats_option, truncated_option
from neardup.descriptors.names import DEFAULT, SPECS
from neardup.options import auto_or, integer, number, option, refuse
from neardup.redis_settings import redis_password_option, redis_url_option
from neardup.relation_settings import (
    local_change_option,
    match_flips_option,
    match_rotations_option,
    profile_option,
)

MEBIBYTE = 1024 * 1024
_MAX_CLUSTERS = 100_000
_MIN_COMPONENTS = 2
_MAX_COMPONENTS = 4096
AUTO = "auto"
OFF = "off"
AUTO_ABOVE = 4096
"""Numbers of a descriptor above which ``--project auto`` projects it: no pooled feature map has as many."""
AUTO_COMPONENTS = 256


def components(text: str) -> int | str:
    """Parse ``--project``."""
    if text in {AUTO, OFF}:
        return text
    try:
        return integer(_MIN_COMPONENTS, _MAX_COMPONENTS)(text)
    except ValueError as exc:
        raise ValueError(f"{exc}, {AUTO} or {OFF}") from exc


@dataclass(frozen=True)
class Settings:
    """All settings of ``python -m bootstrap``."""

    seeds: tuple[str, ...] = option(
        "SEEDS",
        "folders (with all folders below), image files and video clips",
        (),
        env="NEARDUP_SEEDS",
        many=True,
    )
    redis_url: str = redis_url_option()
    redis_password: str | None = redis_password_option()
    index: str = option("--index", "name of the index in Redis", "default")
    if_missing: bool = option(
        "--if-missing", "do nothing when the index exists already, as on every start of a deployment", default=False
    )
    fresh: bool = option(
        "--fresh",
        "start from the seeds alone: forget the unique images of the stream, which are carried over otherwise",
        default=False,
    )
    clusters: int | None = option(
        "--clusters",
        "number of clusters; auto makes as many as keep a cluster at a few hundred images (default: auto)",
        None,
        auto_or(integer(1, _MAX_CLUSTERS)),
    )
    profile: str | None = profile_option()
    descriptor: str = option(
        "--descriptor",
        SPECS,
        DEFAULT,
    )
    weights: str | None = option("--weights", "weights file of the descriptor, when it has weights", None)
    project: int | str = option(
        "--project",
        f"numbers that the principal components of the seeds leave of a descriptor; auto leaves {AUTO_COMPONENTS} of "
        f"more than {AUTO_ABOVE}",
        OFF,
        components,
    )
    whiten: bool = option("--whiten", "with --project: let each of those numbers vary as much", default=False)
    threshold: float | None = option(
        "--threshold",
        "largest distance that still counts as duplicate, 0 to 2; auto finds it by the seeds: as large as "
        "--false-pairs allows (default: auto)",
        None,
        auto_or(number(0, 2)),
    )
    false_pairs: float = option(
        "--false-pairs",
        "with --threshold auto: at most this part of all pairs of different images may count as duplicates",
        1e-6,
        number(1e-9, 1e-3),
    )
    local_change: float | None = local_change_option()
    match_flips: bool = match_flips_option()
    match_rotations: bool = match_rotations_option()
    report: Path | None = option(  # noqa: RUF009 - a dataclass field, as all of these
        "--report", "folder for pictures of clusters, duplicates and uniques", None, Path
    )
    export: Path | None = option(  # noqa: RUF009
        "--export", "JSON file to write centroids and members to", None, Path
    )
    import_from: Path | None = option(  # noqa: RUF009
        "--import", "JSON file of --export to build the index from", None, Path
    )
    fps: float = option("--fps", "frames a second taken from a video clip", 1.0, number(0.001, 1000))
    workers: int | None = option(
        "--workers",
        "processes that decode images; auto takes one for each processor (default: auto)",
        None,
        auto_or(integer(1, 256)),
    )
    max_image_bytes: int = option(
        "--max-image-bytes", "larger image files are left out", 32 * MEBIBYTE, integer(1, 1024 * MEBIBYTE)
    )
    max_image_pixels: int = option(
        "--max-image-pixels", "images with more pixels are left out", 64_000_000, integer(1, 178_956_970)
    )
    decode_timeout_s: float | None = decode_timeout_option()
    decode_memory_bytes: int = decode_memory_option()
    formats: tuple[str, ...] = formats_option()
    truncated: str = truncated_option()

    def check(self) -> None:
        """Refuse settings that contradict one another.

        Raises
        ------
        Misconfigured
            With every contradiction, a line each.
        """
        refuse(self._contradictions())

    def _contradictions(self) -> list[str]:
        if self.whiten and self.project == OFF:
            return ["--whiten: goes with --project"]
        if self.import_from is None:
            return [] if self.seeds else ["SEEDS: name a folder, an image or a video clip, or say --import FILE"]
        without: dict[str, object] = {"SEEDS": self.seeds, "--clusters": self.clusters, "--report": self.report}
        # A file brings its own projection, and its own relation.
        without["--project"] = self.project != OFF
        without["--profile"] = self.profile
        if self.profile is None:
            without["--local-change"] = self.local_change is not None
            without |= {"--match-flips": self.match_flips, "--match-rotations": self.match_rotations}
        return [f"{name}: does not go together with --import" for name, value in without.items() if value]
