"""What a clock that a camera burns in costs, and what a mask over it gives back: uniques by the camera's profile.

    python -m benchmarks.camera_mask

The frames of the clips in ``NEARDUP_DATA/camera`` have no clock: one that ticks each second is drawn into them, the way
cameras do it, before they are encoded. The rest is what the service does with ``--profile camera``.
"""

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import neardup
from neardup.settings.profiles import PROFILES
from neardup.sources.mask import blanked, region
from neardup.types import Pixels

CLIPS = {"bottle_detection": 29.8, "car_detection": 12.5}
"""Frames a second of each. Of the others, a square with people and a drive, nearly each frame is unique anyway."""
STEP = 5
_QUALITY = 85
HEIGHTS = (24, 48, 72, 96)
"""Of the clock, in pixels; the frames have 360."""
_MARGIN = 8
"""How much larger the mask is: JPEG carries some of the clock into the blocks beside."""


def with_clock(pixels: Pixels, seconds: float, height: int) -> Pixels:
    """Return a frame with the time in its corner."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, _width(height) - 1, height - 1), fill=(0, 0, 0))
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(seconds=int(seconds))
    draw.text((height // 8, 0), f"{moment:%H:%M:%S}", fill=(255, 255, 255), font_size=height * 0.8)
    return np.asarray(image)


def _width(height: int) -> int:
    return height * 4


def mask_of(height: int) -> str:
    """Return the mask over a clock."""
    return f"0,0,{_width(height) + _MARGIN},{height + _MARGIN}"


def encoded(pixels: Pixels) -> bytes:
    """Return a frame as a camera sends it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def frames(folder: Path, rate: float) -> Iterator[tuple[Pixels, float]]:
    """Iterate over frames of a clip, with their seconds."""
    for number, path in enumerate(sorted(folder.glob("*.jpg"))):
        if number % STEP == 0:
            yield np.asarray(Image.open(path).convert("RGB")), number / rate


def uniques(pictures: Sequence[bytes], mask: str = "") -> int:
    """Return how many of the pictures are unique, each judged against those before."""
    profile = PROFILES["camera"]
    index = neardup.Index(radius=float(str(profile["radius"])), local_change=float(str(profile["local_change"])))
    regions = [region(mask)] if mask else []
    pixels = (np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")) for picture in pictures)
    return sum(index.add(encoded(blanked(each, regions))).verdict == "unique" for each in pixels)


def main(write: Callable[[str], object] = sys.stdout.write) -> None:
    """Print a row for each clip and clock."""
    data = Path(os.environ["NEARDUP_DATA"]) / "camera"
    write("| clip | frames | clock | without it | with it | under a mask | mask without clock |\n")
    write("|---|---:|---:|---:|---:|---:|---:|\n")
    for clip, rate in CLIPS.items():
        found = list(frames(data / clip, rate))
        plain = [encoded(pixels) for pixels, _ in found]
        without = uniques(plain)
        for height in HEIGHTS:
            clocked = [encoded(with_clock(pixels, seconds, height)) for pixels, seconds in found]
            mask = mask_of(height)
            counts = [without, uniques(clocked), uniques(clocked, mask), uniques(plain, mask)]
            write(f"| {clip} | {len(found)} | {height} | {' | '.join(map(str, counts))} |\n")


if __name__ == "__main__":
    main()
