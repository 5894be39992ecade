from pathlib import Path

import numpy as np
import pytest

from bootstrap.seeds.describe import describe_seeds
from neardup.decoding.limits import DecodeLimits
from neardup.descriptors.pixels import PixelsDescriptor
from neardup.sources.files import find_images

av = pytest.importorskip("av", reason="extra video is not installed")

FRAMES = 20
RATE = 10


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Two seconds, from black to white in 20 steps."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.full((32, 64, 3), number * 12, dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def ids(path: Path, fps: float) -> list[str]:
    return [seed.image_id for seed in find_images([str(path)], fps)]


def test_every_frame_at_the_rate_of_the_clip(clip: Path) -> None:
    assert ids(clip, RATE) == [f"clip.mp4#t={number / RATE:.3f}" for number in range(FRAMES)]


def test_fewer_frames_at_a_lower_rate(clip: Path) -> None:
    assert ids(clip, 2) == [f"clip.mp4#t={time_s}" for time_s in ("0.000", "0.500", "1.000", "1.500")]
    assert ids(clip, 0.1) == ["clip.mp4#t=0.000"]


def test_no_frame_twice_at_a_higher_rate(clip: Path) -> None:
    assert len(ids(clip, 1000)) == FRAMES


def test_frames_are_what_was_filmed(clip: Path) -> None:
    frames = [seed.pixels(None, DecodeLimits()) for seed in find_images([str(clip)], RATE)]
    assert {frame.shape for frame in frames} == {(32, 64, 3)}
    greys = np.array([frame.mean() for frame in frames])
    assert np.abs(greys - 12 * np.arange(FRAMES)).max() < 4


def test_frames_have_the_pixel_limit_too(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "good.ppm").write_bytes(b"P6 1 1 255 abc")
    seeds = find_images([str(tmp_path)], fps=1)
    described = describe_seeds(seeds, PixelsDescriptor(4), limits=DecodeLimits(max_pixels=100))
    assert [image.image_id for image in described.images] == ["good.ppm"]
    assert [item.reason for item in described.unreadable] == ["too-many-pixels"] * 2
    assert clip.exists()


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.7])
def test_a_damaged_clip_is_counted(clip: Path, kept: float) -> None:
    data = clip.read_bytes()
    clip.write_bytes(data[: int(kept * len(data))])
    (clip.parent / "good.ppm").write_bytes(b"P6 1 1 255 abc")
    described = describe_seeds(find_images([str(clip.parent)]), PixelsDescriptor(4))
    assert [(item.image_id, item.reason) for item in described.unreadable] == [("clip.mp4", "undecodable")]


def test_a_file_without_pictures_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), dtype=np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    (seed,) = find_images([str(path)])
    with pytest.raises(Exception, match="no video stream"):
        seed.pixels(None, DecodeLimits())


def test_seeds_may_be_iterated_over_again(clip: Path) -> None:
    seeds = find_images([str(clip)], RATE)
    assert [seed.image_id for seed in seeds] == [seed.image_id for seed in seeds]
