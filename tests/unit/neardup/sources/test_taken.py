"""When pictures were taken: by EXIF, clip and file."""

import io
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from neardup.sources.taken import clip_began_ms, exif_ms, file_ms

CLOCK_MS = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp() * 1000)


def dated(kind: str = "JPEG", **tags: Any) -> bytes:  # noqa: ANN401 - EXIF holds what it likes
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"  # without it Pillow writes none into a PNG or TIFF
    exif.get_ifd(ExifTags.IFD.Exif).update({ExifTags.Base[name]: value for name, value in tags.items()})
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind, exif=exif)
    return buffer.getvalue()


def ms(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_camera_says_when(kind: str) -> None:
    data = dated(kind, DateTimeOriginal="2024:05:01 10:20:30", SubsecTimeOriginal="25", OffsetTimeOriginal="+02:00")
    assert exif_ms(io.BytesIO(data), CLOCK_MS) == ms(2024, 5, 1, 8, 20, 30) + 250


def test_without_a_zone_it_is_this_machines() -> None:
    local = datetime(2024, 5, 1, 10, 20, 30).astimezone()
    assert exif_ms(io.BytesIO(dated(DateTimeDigitized="2024:05:01 10:20:30")), CLOCK_MS) == int(
        local.timestamp() * 1000
    )


@pytest.mark.parametrize(
    "date", ["0000:00:00 00:00:00", "    :  :     :  :  ", "yesterday", "2094:01:01 00:00:00", "1970:01:01 00:00:00"]
)
def test_what_is_no_time_is_unknown(date: str) -> None:
    assert exif_ms(io.BytesIO(dated(DateTimeOriginal=date, OffsetTimeOriginal="+00:00")), CLOCK_MS) == 0


@pytest.mark.parametrize("data", [b"", b"no picture", dated(DateTimeOriginal="2024:05:01 10:20:30")[:60]])
def test_of_what_is_no_picture_nothing_is_known(data: bytes) -> None:
    assert exif_ms(io.BytesIO(data), CLOCK_MS) == 0


def test_a_file_was_written_when_its_picture_was_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.bmp"
    path.write_bytes(b"x")
    os.utime(path, ns=(0, 1_700_000_000_250_000_000))
    assert file_ms(str(path), CLOCK_MS) == 1_700_000_000_250
    assert file_ms(str(tmp_path / "gone"), CLOCK_MS) == file_ms("a\0b", CLOCK_MS) == 0


@pytest.mark.parametrize("said", ["2024-05-01T08:20:30.000000Z", "1904-01-01T00:00:00.000000Z", ""])
def test_a_clip_says_when_it_began_or_its_file_when_it_ended(tmp_path: Path, said: str) -> None:
    av = pytest.importorskip("av", reason="extra video is not installed")
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as clip:
        if said:
            clip.metadata["creation_time"] = said
        stream = clip.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for _ in range(20):
            clip.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        clip.mux(stream.encode(None))
    os.utime(path, ns=(0, 1_700_000_000_000_000_000))
    expected = ms(2024, 5, 1, 8, 20, 30) if said.startswith("2024") else 1_700_000_000_000 - 2000
    assert clip_began_ms(str(path), CLOCK_MS) == expected
