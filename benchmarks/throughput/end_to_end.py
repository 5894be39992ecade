"""From Kafka to Kafka: images a second and CPU an image of two builds, in turn on the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.throughput.builds import Build
from benchmarks.throughput.images import DRAWN_PX, SIZES, Photos, Say, Size, drawn, write_images
from benchmarks.throughput.members import fill
from benchmarks.throughput.running import BATCH, SEEDS, Mark, Running, consuming, publish
from benchmarks.throughput.servers import Names, Servers, bytes_kept

LEAST = 24


@dataclass(frozen=True, slots=True)
class Case:
    """What both builds do in turn.

    Attributes
    ----------
    profile
        See `running.PROFILES`.
    size
        Of the images.
    base
        The build before.
    timed
        Images that are timed; as many as `edge` come before and after them, so that batches in hand are as many at
        the first as at the last.
    members
        What the index is filled with first; 0 for the seeds alone.
    """

    profile: str
    size: Size
    base: Build
    timed: int
    members: int = 0

    @property
    def name(self) -> str:
        """In results and tables."""
        return f"{self.profile}, {self.size.name}" + (f", {self.members:,} members" if self.members else "")

    @property
    def images(self) -> int:
        """All that are published."""
        return self.timed + 2 * self.size.edge


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one build.

    CPU in milliseconds an image; memory of the consumer in MiB after the first images, halfway and at the end; bytes in
    Redis of a member and of a decision.
    """

    images_s: float
    cpu_ms: float
    kafka_ms: float
    redis_ms: float
    harness_ms: float
    wall_s: float
    unique: int
    memory_mib: tuple[float, float, float]
    member_bytes: float
    decision_bytes: float


def cases(bases: Mapping[str, Build], images: int) -> list[Case]:
    """Return what is measured: every size with `dct`, photos with the scraper's profile, which takes much longer."""
    scraper = max(2 * BATCH, images // 2)
    return [
        *(Case("dct", size, bases["dct"], max(LEAST, round(images * size.share))) for size in SIZES),
        Case("scraper", SIZES[0], bases["scraper"], scraper),
    ]


def measure(
    case: Case, this: Build, servers: Servers, given: tuple[Sequence[Path], Path], *, rounds: int, say: Say
) -> dict[str, Any]:
    """Run both builds in turn; whoever is first in one round is second in the next.

    Parameters
    ----------
    case, this, servers
        What is measured, this build, and what both run on.
    given
        The images' files, and the folder with the seeds.
    rounds, say
        How often; told each run.
    """
    files, _ = given
    runs: dict[str, list[Run]] = {"before": [], "this": []}
    for number in range(rounds):
        order = [("before", case.base), ("this", this)][:: 1 if number % 2 == 0 else -1]
        for name, build in order:
            runs[name].append(run(case, build, servers, given))
            say(f"round {number + 1}, {case.name}, {name}: {told(runs[name][-1])}")
    return {
        "before_commit": case.base.name,
        "timed_images": case.timed,
        "bytes_an_image": round(sum(file.stat().st_size for file in files) / len(files)),
        "ratio": ratios(runs),
        **{name: medians(each) for name, each in runs.items()},
        "runs": {name: [asdict(one) for one in each] for name, each in runs.items()},
    }


def files_of(case: Case, source: Photos, folder: Path) -> tuple[list[Path], Path]:
    """Return the images of a case as files, and the folder with its seeds."""
    place = folder / case.size.name.replace(" ", "-")
    place.mkdir(exist_ok=True)
    return write_images(source, case.size, case.images, place), seeds_in(folder)


def seeds_in(folder: Path) -> Path:
    """Return the folder with the seeds of every index: drawn pictures, none of which is in the stream."""
    seeds = folder / "seeds"
    if not seeds.exists():
        seeds.mkdir()
        for number in range(SEEDS):
            (seeds / f"{number}.jpg").write_bytes(drawn(1_000_000 + number, DRAWN_PX))
    return seeds


def run(case: Case, build: Build, servers: Servers, given: tuple[Sequence[Path], Path]) -> Run:
    """Run a build once."""
    files, seeds = given

    def prepare(names: Names) -> None:
        if case.members:
            fill(servers.redis_url, names.index, case.members)
        publish(servers, names.topic, files)

    with consuming(build, servers, case.profile, seeds, before=prepare) as running:
        return timed(running, case.images, case.size.edge)


def timed(running: Running, images: int, edge: int) -> Run:
    """Read the verdicts of so many images; return what was used between the first ones and the last, `edge` each."""
    first, half, last = (running.await_verdicts(count) for count in (edge, images // 2, images - edge))
    running.await_verdicts(images)
    return _between(first, half, last, running.uniques, bytes_kept(running.servers.redis_url, running.names.index))


def _between(first: Mark, half: Mark, last: Mark, unique: int, kept: tuple[float, float]) -> Run:
    """Return what was used between the first of three moments and the last."""
    images = last.verdicts - first.verdicts
    return Run(
        images_s=images / (last.at_s - first.at_s),
        cpu_ms=1000 * (last.consumer_s - first.consumer_s) / images,
        kafka_ms=1000 * (last.kafka_s - first.kafka_s) / images,
        redis_ms=1000 * (last.redis_s - first.redis_s) / images,
        harness_ms=1000 * (last.ours_s - first.ours_s) / images,
        wall_s=last.at_s - first.at_s,
        unique=unique,
        memory_mib=(first.memory_mib, half.memory_mib, last.memory_mib),
        member_bytes=kept[0],
        decision_bytes=kept[1],
    )


def told(one: Run) -> str:
    """Return a run in words."""
    return (
        f"{one.images_s:.0f} images/s, CPU an image {one.cpu_ms:.2f} ms, Kafka {one.kafka_ms:.2f}, "
        f"Redis {one.redis_ms:.2f}; {one.unique} unique"
    )


def ratios(runs: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Return this build over the one before, of the rounds: the median, the least and the most."""
    pairs = list(zip(runs["this"], runs["before"], strict=True))
    return {
        name: spread([getattr(this, name) / getattr(before, name) for this, before in pairs])
        for name in ("images_s", "cpu_ms")
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and most."""
    return {"median": round(median(values), 3), "least": round(min(values), 3), "most": round(max(values), 3)}


def medians(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the median of each figure of some runs."""
    figures = {
        name: round(median(getattr(one, name) for one in runs), 3)
        for name in (
            "images_s",
            "cpu_ms",
            "kafka_ms",
            "redis_ms",
            "harness_ms",
            "unique",
            "member_bytes",
            "decision_bytes",
        )
    }
    memory = [round(median(column), 1) for column in zip(*(one.memory_mib for one in runs), strict=True)]
    return {**figures, "memory_mib": memory}
