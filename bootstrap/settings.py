"""What the batch job can be told."""

from dataclasses import dataclass
from pathlib import Path

from neardup.errors import Misconfigured
from neardup.options import auto_or, integer, number, option
from neardup.redis_settings import redis_url_option

MEBIBYTE = 1024 * 1024
_MAX_CLUSTERS = 100_000


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
    descriptor: str = option("--descriptor", "dct, pixels, pixels:SIDE or vgg16", "dct")
    weights: str | None = option("--weights", "weights file of the descriptor, when it has weights", None)
    threshold: float | None = option(
        "--threshold",
        "largest distance that still counts as duplicate, 0 to 2; auto takes the descriptor's own default, which "
        "does not look at your images (default: auto)",
        None,
        auto_or(number(0, 2)),
    )
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
        "threads that decode images; auto takes one for each processor (default: auto)",
        None,
        auto_or(integer(1, 256)),
    )
    max_image_bytes: int = option(
        "--max-image-bytes", "larger image files are left out", 32 * MEBIBYTE, integer(1, 1024 * MEBIBYTE)
    )
    max_image_pixels: int = option(
        "--max-image-pixels", "images with more pixels are left out", 64_000_000, integer(1, 178_956_970)
    )

    def check(self) -> None:
        """Refuse settings that contradict one another.

        Raises
        ------
        Misconfigured
            With every contradiction, a line each.
        """
        wrong = list(self._contradictions())
        if wrong:
            raise Misconfigured("\n".join(wrong))

    def _contradictions(self) -> list[str]:
        if self.import_from is None:
            return [] if self.seeds else ["SEEDS: name a folder, an image or a video clip, or say --import FILE"]
        without = {"SEEDS": self.seeds, "--clusters": self.clusters, "--report": self.report}
        return [f"{name}: does not go together with --import" for name, value in without.items() if value]
