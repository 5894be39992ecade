import io
import logging
from dataclasses import replace

import numpy as np
import pytest

from bootstrap.generation.job import Outcome
from bootstrap.generation.stopwatch import Stopwatch
from bootstrap.report.summary import summary
from bootstrap.seeds.analyse import analyse_seeds
from bootstrap.seeds.describe import DescribedSeeds, SeedImage, Unreadable
from bootstrap.seeds.progress import _Lines, shown_progress
from bootstrap.settings import Settings
from neardup.descriptors.base import unit_float16
from neardup.descriptors.pixels import PixelsDescriptor
from neardup.index.memory import MemoryIndex
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


def test_lines_come_every_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 100.0
    lines = _Lines("describe", 1000, clock=lambda: now_s)
    with caplog.at_level(logging.INFO):
        for step in range(1, 5):
            now_s = 100.0 + 6 * step
            lines.advance(64)
    assert [record.getMessage() for record in caplog.records] == [
        "describe: 128 of 1000 images, 11 images/s",
        "describe: 256 of 1000 images, 11 images/s",
    ]


def test_a_terminal_gets_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with shown_progress("describe", 128, terminal) as advance:
        advance(64)
        advance(64)
    assert "describe" in terminal.getvalue()
    assert "128/128" in terminal.getvalue()


def test_a_file_gets_no_bar() -> None:
    stream = io.StringIO()
    with shown_progress("describe", 128, stream) as advance:
        advance(64)
    assert not stream.getvalue()
