"""The settings of the batch job."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from neardup.descriptors.names import DEFAULT, SPECS
from neardup.settings.decoding import DecodingSettings
from neardup.settings.options import option, options_of, refuse
from neardup.settings.parsers import auto_or, duration_or_off, integer, number, one_of
from neardup.settings.redis import RedisSettings
from neardup.settings.relation import RelationSettings, radius_option
from neardup.settings.subjects import DUPLICATES, FILES, REDIS, RUNNING

_MAX_CLUSTERS = 100_000
_MIN_COMPONENTS = 2
_MAX_COMPONENTS = 4096
AUTO = "auto"
OFF = "off"
HERE = "here"
RAY = "ray"
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


def duration_text(text: str) -> str:
    """Return a duration such as ``24h``, or ``off``, unchanged; refuse anything else."""
    duration_or_off(text)
    return text


@dataclass(frozen=True, kw_only=True)
class KeepingSettings:
    """Shared by what makes another generation the live one."""

    keep_previous: str = option(
        "--keep-previous",
        "how long the generation that stops being live stays in Redis, for neardup index rollback: 90m, 24h, 7d; off "
        "removes it at once",
        "24h",
        duration_text,
        subject=REDIS,
    )

    @property
    def keep_ms(self) -> int:
        """How long it stays, in milliseconds; 0 for not at all."""
        return 1000 * (duration_or_off(self.keep_previous) or 0)


def allow_dropping_option(text: str) -> Any:  # noqa: ANN401 - stands where a field's default stands, as `option` does
    """Declare the field `allow_dropping` of a settings dataclass; `text` says what may be dropped there."""
    return option("--allow-dropping", text, default=False, subject=REDIS)


@dataclass(frozen=True, kw_only=True)
class DryRunSettings:
    """Shared by what may change an index."""

    dry_run: bool = option("--dry-run", "only report what would be done", default=False, subject=RUNNING, common=True)


@dataclass(frozen=True)
class Settings(KeepingSettings, DryRunSettings, RelationSettings, RedisSettings, DecodingSettings):
    """All settings of the batch job, ``neardup bootstrap``.

    On an index that exists, what is not given is inherited from its live generation: see
    `bootstrap.generation.inheritance`.

    Attributes
    ----------
    given
        Names of the fields that were given, on the command line or in the environment; None for settings made in code.
    """

    seeds: tuple[str, ...] = option(
        "SEEDS",
        "folders (searched recursively), image files and video clips",
        (),
        subject=FILES,
        common=True,
        env="NEARDUP_SEEDS",
        many=True,
    )
    if_missing: bool = option(
        "--if-missing",
        "do nothing if the index already exists; for jobs that run at every deployment",
        default=False,
        subject=REDIS,
    )
    fresh: bool = option(
        "--fresh",
        "start from the seeds alone: forget the unique images of the stream, which are otherwise carried over",
        default=False,
        subject=REDIS,
        common=True,
    )
    allow_dropping: bool = allow_dropping_option(
        "go ahead where members of the live index cannot be carried over, or are alike by the new settings"
    )
    clusters: int | None = option(
        "--clusters",
        "number of clusters; auto keeps clusters at a few hundred images each (default: auto)",
        None,
        auto_or(integer(1, _MAX_CLUSTERS)),
        subject=REDIS,
    )
    descriptor: str = option("--descriptor", SPECS, DEFAULT, subject=DUPLICATES, common=True)
    weights: str | None = option("--weights", "weights file of the descriptor, if it has one", None, subject=DUPLICATES)
    project: int | str = option(
        "--project",
        f"shorten descriptors to this many principal components of the seeds; auto: to {AUTO_COMPONENTS} if they have "
        f"more than {AUTO_ABOVE} numbers",
        OFF,
        components,
        subject=DUPLICATES,
    )
    whiten: bool = option(
        "--whiten", "with --project: scale each component to the same variance", default=False, subject=DUPLICATES
    )
    radius: float | None = radius_option(
        "largest distance that counts as duplicate, 0 to 2; auto calibrates it on the seeds: as large as "
        "--false-pairs allows (default: auto)"
    )
    false_pairs: float = option(
        "--false-pairs",
        "with --radius auto: largest share of all pairs of different images that may count as duplicates",
        1e-6,
        number(1e-9, 1e-3),
        subject=DUPLICATES,
    )
    report: Path | None = option(  # noqa: RUF009 - a dataclass field, as all of these
        "--report", "folder for pictures of clusters, duplicates and uniques", None, Path, subject=FILES, common=True
    )
    export: Path | None = option(  # noqa: RUF009
        "--export", "JSON file to write centroids and members to", None, Path, subject=FILES
    )
    import_from: Path | None = option(  # noqa: RUF009
        "--import", "JSON file from --export to build the index from", None, Path, subject=FILES
    )
    fps: float = option("--fps", "frames per second taken from a video clip", 1.0, number(0.001, 1000), subject=FILES)
    largest_first: bool = option(
        "--largest-first",
        "take pictures with more pixels first and clips last, so that of several copies the largest is the member",
        default=False,
        subject=FILES,
    )
    workers: int | None = option(
        "--workers",
        "number of processes that decode images, or of tasks with --engine ray; auto starts one per processor "
        "(default: auto)",
        None,
        auto_or(integer(1, 256)),
        subject=RUNNING,
    )
    engine: str = option(
        "--engine",
        "where seeds are described, compared, clustered and written: here, or ray, a cluster of many machines",
        HERE,
        one_of(HERE, RAY),
        subject=RUNNING,
    )
    ray_address: str | None = option(
        "--ray-address",
        "with --engine ray: the cluster, as HOST:PORT or ray://HOST:PORT (default: that of RAY_ADDRESS, or the one on "
        "this machine)",
        None,
        subject=RUNNING,
    )
    given: frozenset[str] | None = field(default=None, compare=False, repr=False)

    def says(self, name: str) -> bool:
        """Return whether a setting was given; one that was made in code is, where it differs from the default."""
        if self.given is not None:
            return name in self.given
        default = next(each.default for each in fields(self) if each.name == name)
        return bool(getattr(self, name) != default)

    def check(self) -> None:
        """Refuse settings that contradict one another.

        Raises
        ------
        Misconfigured
            With a line for each contradiction.
        """
        refuse(self._contradictions())

    def _contradictions(self) -> list[str]:
        if self.whiten and self.project == OFF:
            return ["--whiten: works only with --project"]
        if self.dry_run and self.export is not None:
            return ["--export: cannot be combined with --dry-run"]
        if self.ray_address is not None and self.engine != RAY:
            return ["--ray-address: works only with --engine ray"]
        if self.import_from is None:
            return [] if self.seeds else ["SEEDS: name a folder, an image or a video clip, or use --import FILE"]
        without: dict[str, object] = {"SEEDS": self.seeds, "--clusters": self.clusters, "--report": self.report}
        # A file brings its own projection, and its own relation.
        without |= {"--project": self.project != OFF, "--largest-first": self.largest_first}
        without["--profile"] = self.profile
        if self.profile is None:
            held = [(declared.flag, getattr(self, name)) for name, declared in options_of(RelationSettings)]
            without |= {flag: value is not None and value is not False for flag, value in held}
        return [f"{name}: cannot be combined with --import" for name, value in without.items() if value]
