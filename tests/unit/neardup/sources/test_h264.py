"""Lost reference frames are noticed by their numbers, whatever the encoder; and none where none is lost."""

from pathlib import Path

import pytest

from neardup.sources.h264 import FrameNumbers

av = pytest.importorskip("av", reason="extra video is not installed")

from tests.support.films import film, numbered  # noqa: E402 - it needs PyAV

FRAMES = 40
LOST = range(14, 17)


@pytest.mark.parametrize("container", ["mp4", "mpegts", "h264"])
@pytest.mark.parametrize(
    "how",
    [
        "bframes=0",
        "bframes=2:b-pyramid=normal",
        "bframes=2:open-gop=1",
        "interlaced=1:bframes=0",
        "intra-refresh=1:bframes=0",
        "cqm=jvt:bframes=2",
        "ref=8:keyint=infinite:bframes=0",
        "slices=4:bframes=0",
    ],
)
def test_only_what_is_lost_is_missed(tmp_path: Path, how: str, container: str) -> None:
    path = tmp_path / "clip"
    film(path, map(numbered, range(FRAMES)), container=container, options={"g": "20", "x264-params": how})
    with av.open(str(path)) as clip:
        stream = clip.streams.video[0]
        extradata = stream.codec_context.extradata
        packets = [memoryview(bytes(packet)) for packet in clip.demux(stream) if packet.size]
    numbers = FrameNumbers(extradata)
    assert not any(map(numbers.is_after_loss, packets))
    numbers = FrameNumbers(extradata)
    kept = [number for number in range(FRAMES) if number not in LOST]
    assert [number for number in kept if numbers.is_after_loss(packets[number])] == [LOST.stop]


def test_frames_that_nothing_builds_upon_are_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    options = {"g": "20", "bf": "2", "x264-params": "b-pyramid=none:b-adapt=0"}
    film(path, map(numbered, range(FRAMES)), options=options)
    with av.open(str(path)) as clip:
        packets = [packet for packet in clip.demux(video=0) if packet.size]
        numbers = FrameNumbers(clip.streams.video[0].codec_context.extradata)
    latest = [max(packet.pts for packet in packets[: number + 1]) for number in range(len(packets))]
    kept = [packet for packet, pts in zip(packets, latest, strict=True) if packet.pts == pts]  # all but the B frames
    assert len(kept) < FRAMES - 10
    assert not any(numbers.is_after_loss(memoryview(packet)) for packet in kept)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0\0\1", b"\0\0\1\x67", b"\0\0\1\x67\0\0\0\0", b"\0\0\1\x61\xff", bytes(40), bytes([1, 0, 0, 0, 255])],
)
def test_of_nonsense_nothing_is_said(data: bytes) -> None:
    numbers = FrameNumbers(data)
    assert not any(numbers.is_after_loss(memoryview(data)) for _ in range(3))
    assert not FrameNumbers(None).is_after_loss(memoryview(data))
