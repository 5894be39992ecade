"""Two real scenes that scikit-learn ships, seen by a panning, zooming camera; the same bytes each time.

`clip` has the shape of the article's: 73 frames, two scenes. `stream` is a second visit of the same camera.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neardup.types import Pixels

SCENES = ("china", "flower")
FRAME_SIZE_PX = (480, 320)
_JPEG_QUALITY = 92
_NOISE_GREY_LEVELS = 1.2
"""Standard deviation of the sensor's noise: what keeps two frames of a still camera from being the same bytes."""


class Shot(NamedTuple):
    """One message: a file name that says what it shows, and the encoded image."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class View:
    """Where the camera looks.

    Attributes
    ----------
    x, y
        Centre of the view, in [0, 1] of what the scene leaves room for.
    zoom
        At least 1; 1 is the widest view.
    """

    x: float
    y: float
    zoom: float


_TOUR = (View(0.3, 0.4, 1.35), View(0.7, 0.45, 1.35), View(0.5, 0.5, 1.1), View(0.45, 0.6, 1.5))
"""Where the camera rests; it pans and zooms from each to the next."""
_NEW_VIEWS = (
    View(0.0, 1.0, 3.0),
    View(1.0, 0.9, 2.6),
    View(0.9, 0.1, 3.2),
    View(0.1, 0.0, 2.8),
    View(0.55, 0.45, 3.6),
    View(0.75, 0.7, 1.9),
)
"""Where the camera never looked in the clip."""
_REST_FRAMES = 4


def clip(frames: int = 73) -> list[Shot]:
    """Return the frames of a clip, the first half of one scene and the second half of the other.

    In each scene the camera rests at four places, and pans and zooms from one to the next.

    Parameters
    ----------
    frames
        How many; two scenes share them, the first gets the odd one.
    """
    noise = np.random.default_rng(0)
    views = [(scene, view) for scene, count in zip(SCENES, _halves(frames), strict=True) for view in _path(count)]
    return [
        Shot(f"frame-{number:03d}-{scene}.jpg", _jpeg(_seen(scene, view, noise)))
        for number, (scene, view) in enumerate(views)
    ]


def _halves(frames: int) -> tuple[int, int]:
    return frames - frames // 2, frames // 2


def _path(frames: int) -> list[View]:
    """Return the views of one scene: rest, move, rest, ... with the same number of frames in each move."""
    rests = len(_TOUR) * _REST_FRAMES
    moves = np.diff(np.linspace(0, max(0, frames - rests), len(_TOUR)).astype(int))
    views = [_TOUR[0]] * _REST_FRAMES
    for start, end, steps in zip(_TOUR, _TOUR[1:], moves.tolist(), strict=False):
        views += [_between(start, end, step / (steps + 1)) for step in range(1, steps + 1)]
        views += [end] * _REST_FRAMES
    return views[:frames]


def _between(start: View, end: View, part: float) -> View:
    return View(*(a + (b - a) * part for a, b in zip(_numbers(start), _numbers(end), strict=True)))


def _numbers(view: View) -> tuple[float, float, float]:
    return view.x, view.y, view.zoom


def stream() -> list[Shot]:
    """Return what the camera sends on its second visit, in an order as of a camera network.

    Views of the clip again (with other noise), the same as edited copies (JPEG quality 40, half the size, brighter,
    darker), views that are new, each of these once more, and one broken JPEG.
    """
    noise = np.random.default_rng(1)
    shots = [*_repeats(noise), *_edited(noise), *_new(noise)]
    order = np.random.default_rng(2).permutation(len(shots))
    mixed = [shots[place] for place in order]
    mixed.insert(len(mixed) // 2, _broken(mixed[0]))
    return [Shot(f"visit-{number:03d}-{shot.name}", shot.data) for number, shot in enumerate(mixed)]


def _clip_views() -> Iterator[tuple[str, View]]:
    for scene, count in zip(SCENES, _halves(73), strict=True):
        for view in _path(count):
            yield scene, view


def _repeats(noise: np.random.Generator) -> Iterator[Shot]:
    for scene, view in list(_clip_views())[::2]:
        yield Shot(f"{scene}-again.jpg", _jpeg(_seen(scene, view, noise)))


def _edited(noise: np.random.Generator) -> Iterator[Shot]:
    places = list(_clip_views())[1::9]
    for scene, view in places:
        for name, edit in _EDITS.items():
            yield Shot(f"{scene}-{name}.jpg", edit(_seen(scene, view, noise)))


def _new(noise: np.random.Generator) -> Iterator[Shot]:
    for _ in range(2):
        for scene in SCENES:
            for view in _NEW_VIEWS:
                yield Shot(f"{scene}-new-view.jpg", _jpeg(_seen(scene, view, noise)))


def _broken(shot: Shot) -> Shot:
    return Shot("broken.jpg", shot.data[: len(shot.data) // 3])


@cache
def _scene(name: str) -> Pixels:
    from sklearn.datasets import load_sample_image  # noqa: PLC0415 - a second to import

    return np.asarray(load_sample_image(f"{name}.jpg"), dtype=np.uint8)


def _seen(scene: str, view: View, noise: np.random.Generator) -> Pixels:
    """Return uint8 (320, 480, 3): what the camera sees, with the noise of its sensor."""
    whole = Image.fromarray(_scene(scene))
    width = whole.width / view.zoom
    height = width * FRAME_SIZE_PX[1] / FRAME_SIZE_PX[0]
    left, top = view.x * (whole.width - width), view.y * (whole.height - height)
    frame = whole.resize(FRAME_SIZE_PX, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
    return _clipped(np.asarray(frame) + noise.normal(0, _NOISE_GREY_LEVELS, (*FRAME_SIZE_PX[::-1], 3)))


def _clipped(values: NDArray[np.floating[Any]]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def _jpeg(pixels: Pixels, quality: int = _JPEG_QUALITY) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _half_size(pixels: Pixels) -> bytes:
    width, height = FRAME_SIZE_PX
    return _jpeg(np.asarray(Image.fromarray(pixels).resize((width // 2, height // 2), Image.Resampling.LANCZOS)))


_EDITS: dict[str, Callable[[Pixels], bytes]] = {
    "jpeg40": lambda pixels: _jpeg(pixels, 40),
    "half-size": _half_size,
    "brighter": lambda pixels: _jpeg(_clipped(pixels * 1.15)),
    "darker": lambda pixels: _jpeg(_clipped(pixels * 0.85)),
}
