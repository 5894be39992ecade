from dataclasses import replace

import numpy as np

from bootstrap.generation.job import Outcome
from bootstrap.generation.stopwatch import Stopwatch
from bootstrap.report.summary import summary
from bootstrap.seeds.analyse import analyse_seeds
from bootstrap.seeds.describe import DescribedSeeds, SeedImage, Unreadable
from bootstrap.settings import Settings
from neardup.descriptors.base import unit_float16
from neardup.descriptors.pixels import PixelsDescriptor
from neardup.index.memory import MemoryIndex
from neardup.relation.kept import Parts
from neardup.relation.rule import Relation
from neardup.sources.clip_report import ClipReport

PIXELS = PixelsDescriptor(2)


def described(count: int, unreadable: int = 0) -> DescribedSeeds:
    rows = unit_float16(np.random.default_rng(0).normal(size=(count, PIXELS.dimension)).astype(np.float32))
    bad = [Unreadable(f"{number}.txt", "undecodable", "no\nimage") for number in range(unreadable)]
    return DescribedSeeds([SeedImage(f"{number}.jpg") for number in range(count)], rows, bad)


def summary_of(unreadable: int, stopwatch: Stopwatch | None = None, **settings: str) -> str:
    result = analyse_seeds(described(5, unreadable), PIXELS, clusters=2)
    meta = result.snapshot().meta
    outcome = Outcome(meta, result, result.assembly, np.array([2, 3]), stopwatch or Stopwatch())
    return summary(outcome, Settings(**settings))  # type: ignore[arg-type]


def test_the_first_twenty_unreadable_files_are_listed() -> None:
    lines = summary_of(23).splitlines()
    listed = [line for line in lines if ".txt: undecodable, no image" in line]
    assert len(listed) == 20
    assert any(line.split() == ["and", "3", "more"] for line in lines)
    assert any(line.split() == ["unreadable", "23:", "23", "undecodable"] for line in lines)


def test_clips_are_told_of_where_there_are_any() -> None:
    result = analyse_seeds(described(5), PIXELS, clusters=2)
    outcome = Outcome(result.snapshot().meta, result, result.assembly, np.array([2, 3]))
    assert not [line for line in summary(outcome, Settings()).splitlines() if line.startswith("clips")]
    clips = [ClipReport("a.mkv", frames=20, absent=20), ClipReport("b.mkv", frames=40)]
    told = summary(replace(outcome, clips=clips), Settings()).splitlines()
    assert [" ".join(line.split()) for line in told if line.startswith("clips")] == [
        "clips 2 clips, 1 not whole, with about 20 frames missing"
    ]


def test_what_decides_beside_the_radius_is_told() -> None:
    seeds = replace(described(5), kept=np.zeros((5, (Parts.THUMBNAIL | Parts.LOOK).nbytes), dtype=np.uint8))
    result = analyse_seeds(seeds, PIXELS, clusters=2, relation=Relation(0.1, 2.5, 0.7))
    told = summary(Outcome(result.snapshot().meta, result, result.assembly, np.array([2, 3])), Settings()).splitlines()
    lines = [" ".join(line.split()) for line in told]
    assert "change 2.5 grey levels at most, locally" in lines
    assert "agreement 0.7 at least, by a second look" in lines
    assert not [line for line in summary_of(0).splitlines() if line.startswith(("change ", "agreement "))]


def test_the_rate_is_images_by_seconds_of_describing() -> None:
    stopwatch = Stopwatch()
    stopwatch.seconds["describe"] = 2.5
    assert "describe 2.5 (2 images/s)" in summary_of(0, stopwatch)


def test_the_password_is_masked() -> None:
    assert "redis://:***@host/0" in summary_of(0, redis_url="redis://:secret@host/0")


def test_a_result_makes_an_index_in_memory() -> None:
    result = analyse_seeds(described(40), PIXELS, clusters=3)
    snapshot = result.snapshot()
    index = MemoryIndex(snapshot.meta, snapshot.cells, snapshot.members)
    assert index.stats().members == len(result.assembly.uniques)
    assert index.stats().clusters == snapshot.meta.clusters == 3
