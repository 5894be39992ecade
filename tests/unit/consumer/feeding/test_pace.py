"""When each picture is sent, by a clock that only sleeping moves."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from consumer.feeding.feeder import Feeder
from consumer.feeding.outgoing import Outgoing
from consumer.feeding.pace import Pace
from consumer.feeding.settings import FeedSettings, speed
from neardup.sources.files import find_images
from neardup.sources.images import BytesImage, SourceImage
from neardup.sources.mask import region
from tests.support.feeding import UnlimitedSink
from tests.unit.neardup.sources.test_taken import dated

NOW_MS = 1_780_000_000_000
LONG_AGO_MS = 1_700_000_000_000


class Clock:
    """Seconds, which pass while somebody sleeps, and while something is sent."""

    def __init__(self, sending_s: float = 0.0) -> None:
        self.now_s = 100.0
        self.sending_s = sending_s
        self.sent_s: list[float] = []

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds

    def sent(self, outgoing: Sequence[Outgoing]) -> None:
        self.sent_s += [self.now_s - 100.0] * (len(outgoing) - 1)
        self.sent_s.append(self.now_s - 100.0)
        self.now_s += self.sending_s


def sent_at(images: list[SourceImage], clock: Clock, **settings: Any) -> list[float]:  # noqa: ANN401 - of any setting
    made = FeedSettings(**settings)
    pace = Pace(made, lambda: clock.now_s, clock.sleep, lambda: NOW_MS)
    Feeder(made, UnlimitedSink(), clock.sent, pace).publish(images)
    return [round(second, 3) for second in clock.sent_s]


def taken(*seconds: float | None) -> list[SourceImage]:
    times = [0 if second is None else LONG_AGO_MS + int(second * 1000) for second in seconds]
    return [BytesImage(f"{number}", b"x", ms) for number, ms in enumerate(times)]


@pytest.mark.parametrize(("pace", "expected"), [(1.0, [0, 2, 2.5, 10]), (2.0, [0, 1, 1.25, 5]), (0.5, [0, 4, 5, 20])])
def test_pictures_are_sent_as_fast_as_they_were_taken(pace: float, expected: list[float]) -> None:
    assert sent_at(taken(0, 2, 2.5, 10), Clock(), pace=pace) == expected


def test_time_that_sending_takes_is_made_up_for() -> None:
    assert sent_at(taken(0, 1, 2, 10), Clock(sending_s=1.5), pace=1.0) == [0, 1.5, 3, 10]


def test_what_was_taken_earlier_or_at_no_known_time_goes_at_once() -> None:
    assert sent_at(taken(0, None, 5, 1, 6), Clock(), pace=1.0) == [0, 0, 5, 5, 6]


def test_a_time_in_the_future_holds_nothing_up() -> None:
    future = BytesImage("2036", b"x", 2_090_000_000_000)
    assert sent_at([*taken(0), future, *taken(3)], Clock(), pace=1.0) == [0, 0, 3]


@pytest.mark.parametrize("settings", [{}, {"mask": (region("0,0,1,1"),)}])
def test_the_camera_s_own_time_comes_before_the_file_s(tmp_path: Path, settings: dict[str, Any]) -> None:
    for name, second, minute in (("a.jpg", "00", 0), ("b.jpg", "07", 50)):
        when = f"2024:05:01 10:20:{second}"
        (tmp_path / name).write_bytes(dated(DateTimeOriginal=when, OffsetTimeOriginal="+00:00"))
        os.utime(tmp_path / name, ns=(0, (LONG_AGO_MS + minute * 60_000) * 1_000_000))
    assert sent_at(list(find_images([str(tmp_path)])), Clock(), pace=1.0, **settings) == [0, 7]
    archived: list[SourceImage] = [BytesImage(path.name, path.read_bytes(), 1) for path in sorted(tmp_path.iterdir())]
    assert sent_at(archived, Clock(), pace=1.0, **settings) == [0, 7]


def test_files_without_one_go_by_the_file_s_time(tmp_path: Path) -> None:
    for name, second in (("a.bmp", 0), ("b.bmp", 3)):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, ns=(0, (LONG_AGO_MS + second * 1000) * 1_000_000))
    assert sent_at(list(find_images([str(tmp_path)])), Clock(), pace=1.0) == [0, 3]


def test_a_clip_runs_as_fast_as_it_was_filmed(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="extra video is not installed")
    from tests.support.films import film, numbered  # noqa: PLC0415 - it needs PyAV

    film(tmp_path / "a.mkv", [numbered(number) for number in range(40)])
    os.utime(tmp_path / "a.mkv", ns=(0, LONG_AGO_MS * 1_000_000))
    images = find_images([str(tmp_path)])
    images.timed = True
    assert sent_at(list(images), Clock(), pace=1.0) == [0, 1, 2, 3]


def test_a_long_pause_is_told_and_can_be_longer_than_a_sleep(capsys: pytest.CaptureFixture[str]) -> None:
    assert sent_at(taken(0, 50 * 3600), Clock(), pace=1.0) == [0, 50 * 3600]
    assert capsys.readouterr().err == (
        "feed: 1 was taken at 2023-11-17T00:13:20.000+00:00: waiting 180,000 s for its turn\n"
    )


def test_a_rate_is_kept_whatever_sending_takes() -> None:
    assert sent_at(taken(*[0.0] * 4), Clock(sending_s=0.1), rate=2.0) == [0, 0.5, 1, 1.5]


def test_without_a_pace_nothing_is_waited_for() -> None:
    assert sent_at(taken(0, 100, 200), Clock()) == [0, 0, 0]


@pytest.mark.parametrize(("text", "expected"), [("1x", 1), ("2", 2), ("0.25x", 0.25), ("max", None)])
def test_paces(text: str, expected: float | None) -> None:
    assert speed(text) == expected
