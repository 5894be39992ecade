"""Clips as cameras leave them: cut off, with holes, joined, with a wrong clock.

All that is whole is had, and nothing else.
"""

import contextlib
import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from neardup.decoding.limits import DecodeLimits
from neardup.errors import UndecodableImage
from neardup.sources.files import find_images
from neardup.sources.images import BrokenImage
from neardup.types import Pixels

av = pytest.importorskip("av", reason="extra video is not installed")

from tests.support.films import (  # noqa: E402 - it needs PyAV
    GROUP,
    RATE,
    REORDERED,
    STEADY,
    film,
    numbered,
    shown_by,
    with_cover,
    with_hole,
    without_packets,
)

FRAMES = 40
CASES = Path(os.environ.get("NEARDUP_DATA") or Path(__file__).parents[4] / "../shared/data").resolve() / "cases"


class Read:
    """A clip, read at so many frames a second."""

    def __init__(self, path: Path, fps: float = RATE) -> None:
        images = find_images([str(path)], fps)
        found = list(images)
        broken = [image for image in found if isinstance(image, BrokenImage)]
        self.error = broken[0].error if broken else None
        self.frames = [image.pixels(None, DecodeLimits()) for image in found if not isinstance(image, BrokenImage)]
        ids = [image.image_id for image in found]
        assert len(set(ids)) == len(ids)
        assert all(image is found[-1] for image in broken)
        self.times = [float(image_id.partition("#t=")[2]) for image_id in ids if "#t=" in image_id]
        (self.report,) = images.clip_reports

    @cached_property
    def numbers(self) -> list[int]:
        """Which frames these are, by what they show; each has to be that clearly."""
        found = []
        for frame in self.frames:
            differences = np.abs(truth() - frame[:, :, 1]).mean(axis=(1, 2))
            assert differences.min() < 3.0, f"a smeared frame, {differences.min():.1f} grey levels off"
            found.append(int(differences.argmin()))
        return found


@cache
def truth() -> NDArray[np.int16]:
    return np.stack([numbered(number)[:, :, 1] for number in range(FRAMES)]).astype(np.int16)


def pictures(first: int = 0, last: int = FRAMES) -> list[Pixels]:
    return [numbered(number) for number in range(first, last)]


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a clip, changed by a function of its bytes."""

    def make(name: str, change: Callable[[bytes], bytes] = bytes, last: int = FRAMES, **options: object) -> Path:
        path = tmp_path / name
        path.write_bytes(change(film(path, pictures(0, last), **options)))  # type: ignore[arg-type]
        return path

    return make


# Sound clips


@pytest.mark.parametrize("options", [STEADY, REORDERED])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.m2ts", "a.avi", "a.flv", "a.mov"])
def test_a_sound_clip_gives_every_frame_and_the_times_of_its_own_clock(
    made: Callable[..., Path], name: str, options: dict[str, str]
) -> None:
    path = made(name, options=options, start=3)
    with av.open(str(path)) as container:
        decoded = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    read = Read(path)
    assert read.times == [round(time_s - decoded[0][0], 3) for time_s, _ in decoded]
    assert all((frame == truth).all() for frame, (_, truth) in zip(read.frames, decoded, strict=True))
    assert read.numbers == list(range(FRAMES))
    assert (read.error, read.report.frames, read.report.missing) == (None, FRAMES, 0)


def test_a_clip_whose_clock_does_not_begin_at_zero_is_whole(made: Callable[..., Path]) -> None:
    read = Read(made("a.mkv", start=1000))
    assert (read.times[0], read.times[-1], read.error) == (0.0, (FRAMES - 1) / RATE, None)


@pytest.mark.parametrize("name", ["a.ts", "a.TS", "a.h264", "a.264", "a.m2ts"])
def test_transport_streams_and_raw_streams_are_clips(made: Callable[..., Path], name: str) -> None:
    path = made(name, container="h264" if "264" in name else "mpegts")
    assert Read(path, fps=1).times == [0.0, 1.0, 2.0, 3.0]
    assert Read(path).numbers == list(range(FRAMES))


@pytest.mark.parametrize("name", ["a.ts", "a.mts"])
def test_a_text_is_no_clip_and_needs_no_pyav(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_text("export const Greeting = 'G'\n")
    monkeypatch.setitem(sys.modules, "av", None)
    images = find_images([str(tmp_path)])
    assert (images.total, images.clip_reports) == (1, [])


def test_the_first_of_several_streams_is_read_and_the_others_are_told(made: Callable[..., Path]) -> None:
    read = Read(made("a.mkv", streams=3))
    assert read.numbers == list(range(FRAMES))
    assert (read.error, read.report.other_streams) == (None, 2)


def cover() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize("first", [True, False])
def test_a_cover_picture_is_not_the_clip(made: Callable[..., Path], *, first: bool) -> None:
    path = made("a.mp4", lambda data: with_cover(data, cover(), first=first))
    with av.open(str(path)) as container:
        assert [stream.codec_context.name for stream in container.streams.video].index("mjpeg") == (not first)
    read = Read(path)
    assert read.numbers == list(range(FRAMES))
    assert (read.error, read.report.other_streams) == (None, 0)


ORIENTATIONS = {
    (1, 0, 0, 1): lambda frame: frame,
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (-1, 0, 0, -1): lambda frame: np.rot90(frame, 2),
    (0, -1, 1, 0): lambda frame: np.rot90(frame, 1),
    (0, 1, -1, 0): lambda frame: np.rot90(frame, -1),
    (0, 1, 1, 0): lambda frame: frame.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda frame: np.rot90(frame, 2).transpose(1, 0, 2),
}
"""By the a, b, c and d of a display matrix, which shows a point (x, y) at (a x + c y, b x + d y)."""


@pytest.mark.parametrize("matrix", ORIENTATIONS)
def test_a_clip_is_shown_as_its_matrix_says(made: Callable[..., Path], matrix: tuple[int, int, int, int]) -> None:
    plain = Read(made("plain.mp4", last=2))
    turned = Read(made("turned.mp4", lambda data: shown_by(data, matrix), last=2))
    for frame, truth in zip(turned.frames, plain.frames, strict=True):
        assert (frame == ORIENTATIONS[matrix](truth)).all()


# Damaged ones


def test_behind_a_hole_the_clip_goes_on(made: Callable[..., Path]) -> None:
    clusters = {"cluster_time_limit": "1000"}  # where a reader finds its way again
    read = Read(made("a.mkv", lambda data: with_hole(data, 0.5, 200), muxing=clusters))
    lost = FRAMES - len(read.numbers)
    assert 0 < lost < 2 * GROUP
    assert read.numbers[-GROUP:] == list(range(FRAMES - GROUP, FRAMES))
    assert (read.report.frames, read.report.missing) == (FRAMES - lost, lost)
    assert isinstance(read.error, UndecodableImage)
    assert f"from {FRAMES - lost} of about {FRAMES} frames" in str(read.error)


@pytest.mark.parametrize("options", [STEADY, REORDERED])
def test_a_packet_that_cannot_be_decoded_costs_its_group_at_most(
    made: Callable[..., Path], options: dict[str, str]
) -> None:
    path = made("whole.mp4", options=options)
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][GROUP + 4]
    data = path.read_bytes()
    path.write_bytes(data[: packet.pos] + bytes([255]) * packet.size + data[packet.pos + packet.size :])
    read = Read(path)
    # Those before it in the order of decoding, and all from the next key frame on.
    assert set(range(GROUP + 1)) | set(range(2 * GROUP, FRAMES)) <= set(read.numbers)
    assert read.report.undecodable == 1
    assert read.report.frames == len(read.numbers) == FRAMES - 1 - read.report.left_out
    assert f"of {FRAMES} frames" in str(read.error)


@pytest.mark.parametrize("count", [15, 16, 17])  # their numbers begin anew every 16
@pytest.mark.parametrize("codec", ["libx264", pytest.param("libx265", marks=pytest.mark.slow)])
def test_smeared_frames_are_left_out(made: Callable[..., Path], codec: str, count: int) -> None:
    options = {**STEADY, "x265-params": f"keyint={GROUP}:min-keyint={GROUP}:bframes=0:log-level=none", "crf": "10"}
    path = made(
        "a.m2ts", lambda data: without_packets(data, len(data) // 188 // 2, count), codec=codec, options=options
    )
    read = Read(path)
    lost = sorted(set(range(FRAMES)) - set(read.numbers))
    assert 0 < len(lost) <= 2 * GROUP
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert (lost[-1] + 1) % GROUP == 0
    assert read.report.missing == len(lost)
    assert read.report.left_out + read.report.undecodable > 0
    assert f"of about {FRAMES} frames" in str(read.error)


@pytest.mark.parametrize("options", [STEADY, REORDERED])
@pytest.mark.parametrize("name", ["a.mp4", "a.m2ts", "a.h264"])
def test_frames_that_were_lost_before_the_clip_was_written_leave_no_smeared_ones(
    made: Callable[..., Path], name: str, options: dict[str, str]
) -> None:
    lost = range(GROUP + 3, GROUP + 6)  # in the order of decoding
    read = Read(made(name, options=options, lost=lost))
    assert set(range(GROUP)) | set(range(2 * GROUP, FRAMES)) <= set(read.numbers)
    assert read.report.left_out > 0
    assert read.report.frames == len(read.numbers) == FRAMES - len(lost) - read.report.left_out


@pytest.mark.parametrize("options", [STEADY, REORDERED])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.flv"])
def test_a_clip_that_was_cut_off_gives_all_that_is_there(
    made: Callable[..., Path], name: str, options: dict[str, str]
) -> None:
    muxing = {"movflags": "faststart"} if name == "a.mp4" else None
    path = made(name, lambda data: data[: len(data) // 2], options=options, muxing=muxing)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # gives what it has before it meets the cut
        there = 0
        for packet in container.demux(stream):
            with contextlib.suppress(av.FFmpegError):
                there += sum(not frame.is_corrupt for frame in packet.decode())
    read = Read(path)
    assert len(read.numbers) == read.report.frames == there > GROUP // 2
    assert read.report.missing >= FRAMES - there
    assert "not in the file" in str(read.error)


def test_what_comes_before_the_first_key_frame_is_told(made: Callable[..., Path]) -> None:
    path = made(
        "a.m2ts",
        lambda data: data[len(data) // 188 // 8 * 188 :],
        muxing={"mpegts_flags": "pat_pmt_at_frames"},
    )
    read = Read(path)
    assert read.numbers == list(range(GROUP, FRAMES))
    assert 0 < read.report.undecodable < GROUP
    assert read.report.missing >= read.report.undecodable
    assert f"{read.report.undecodable} could not be decoded" in str(read.error)


def test_a_file_that_is_no_clip_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0no clip at all" * 100)
    read = Read(tmp_path / "a.mp4")
    assert "Invalid data" in str(read.error)
    assert (read.frames, read.report.images) == ([], 0)


def test_a_clip_without_a_frame_says_so(made: Callable[..., Path]) -> None:
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    path = made("a.mp4", lambda data: data[: data.index(b"moof") - 4], muxing=fragments)
    assert str(Read(path).error) == "OSError: the file has no frame"


# Clocks


@pytest.mark.parametrize("name", ["a.m2ts", "a.mkv", "a.mpg", "a.h264", "a.mp4", "a,b:c.mov"])
def test_of_recordings_that_were_joined_none_is_lost(tmp_path: Path, name: str) -> None:
    options = {"codec": "mpeg2video"} if name == "a.mpg" else {"container": "mpegts"} if name == "a.m2ts" else {}
    path = tmp_path / name
    one, two = (film(path, pictures(first, first + 20), **options) for first in (0, 20))  # type: ignore[arg-type]
    path.write_bytes(one + two)
    assert Read(path).numbers == list(range(FRAMES))
    read = Read(path, fps=1)
    assert read.numbers == [0, 10, 20, 30]
    assert read.times == [0.0, 1.0, 2.0, 3.0]
    assert read.error is None
    assert ("begins anew" in str(read.report)) == (name != "a.h264")  # which has no clock


@pytest.mark.parametrize("muxing", [{"movflags": "faststart"}, {"movflags": "frag_keyframe+empty_moov"}, {}])
def test_three_joined_mp4_are_read_to_where_the_last_is_cut_off(tmp_path: Path, muxing: dict[str, str]) -> None:
    path = tmp_path / "a.mp4"
    films = [film(path, pictures(first, first + 10), options=REORDERED, muxing=muxing) for first in (0, 10, 20)]
    path.write_bytes(b"".join(films))
    assert Read(path).numbers == list(range(30))
    for kept in (0.1, 0.7, 0.9):
        path.write_bytes(b"".join(films[:2]) + films[2][: int(kept * len(films[2]))])
        read = Read(path)
        assert read.numbers[:20] == list(range(20))
        assert read.error is not None


@pytest.mark.parametrize("ahead", [36_000 * RATE, -15])
def test_a_wrong_stamp_costs_no_other_frame(tmp_path: Path, ahead: int) -> None:
    path = tmp_path / "a.m2ts"
    runs = ((0, 18, 0), (18, 19, 18 + ahead), (19, FRAMES, 19))
    path.write_bytes(
        b"".join(film(path, pictures(first, last), container="mpegts", start=start) for first, last, start in runs)
    )
    read = Read(path, fps=1)
    others = [number for number in read.numbers if number != 18]
    assert others == [0, 10, 20, 30]
    assert read.times[-2:] == [2.0, 3.0]
    assert len(Read(path).numbers) == FRAMES


def test_a_clock_that_jumps_ahead_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.m2ts"
    one = film(path, pictures(0, 20), container="mpegts")
    path.write_bytes(one + film(path, pictures(20, 40), container="mpegts", start=40_000 * RATE))
    read = Read(path, fps=1)
    assert read.numbers == [0, 10, 20, 30]
    assert (read.error, read.report.missing) == (None, 0)


# What is told


def test_each_clip_has_one_line_in_the_log(made: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    made("b.mkv")
    folder = made("a.mkv", lambda data: data[: len(data) // 2]).parent
    images = find_images([str(folder)], fps=1)
    with caplog.at_level(logging.INFO, "neardup.sources"):
        for _ in range(2):
            list(images)
    (damaged, whole) = caplog.records
    assert (damaged.levelname, whole.levelname) == ("WARNING", "INFO")
    assert damaged.getMessage().startswith("a.mkv: 2 images from ")
    assert "of about 40 frames" in damaged.getMessage()
    assert whole.getMessage() == "b.mkv: 4 images from 40 frames"
    assert [report.image_id for report in images.clip_reports] == ["a.mkv", "b.mkv"]


# The cases that are kept beside the project

RIGHT = {
    "clips": {
        "a-whole.ts": (12, 120, 0),
        "a-whole.h264": (12, 120, 0),
        "b-whole.m2ts": (12, 120, 0),
        "c-joined-late.m2ts": (7, 70, 0),
        "d-lost-packets.m2ts": (11, 106, 14),
        "e-hole.mkv": (11, 108, 12),
    },
    "joined_clips": {
        "a-one.m2ts": (12, 60, 0),
        "b-joined.m2ts": (24, 120, 0),
        "c-jump-ahead.m2ts": (12, 60, 0),
        "d-jump-and-back.m2ts": (16, 80, 0),
    },
    "cover_art": {"a-plain.mp4": (12, 120, 0), "b-cover-last.mp4": (12, 120, 0), "c-cover-first.mp4": (12, 120, 0)},
}
"""Images at one a second, frames, and frames that are missing."""


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("case", RIGHT)
def test_the_cases_have_their_right_values(case: str, tmp_path: Path) -> None:
    script = CASES / f"{case}.py"
    if not script.is_file():
        pytest.skip(f"no {script}: NEARDUP_DATA names the folder that cases/ lies in")
    photo = next(iter(sorted((CASES.parent / "photos_eval").iterdir())))
    subprocess.run([sys.executable, str(script), str(tmp_path), str(photo)], check=True, capture_output=True)
    images = find_images([str(tmp_path / "in")])
    assert len([image for image in images if not isinstance(image, BrokenImage)]) == sum(
        images for images, _, _ in RIGHT[case].values()
    )
    found = {each.image_id: (each.images, each.frames, each.missing) for each in images.clip_reports}
    assert found == RIGHT[case]
