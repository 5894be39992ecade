"""Images with little in them, drawn from a seed: what normalised descriptors and hashes mistake for one another.

Two pictures of a class are different *to a person*, and by how much is part of the definition (`CLASSES`): numbers
that are to differ come from a lattice, one place for each picture, and are moved by less than the distance between
places. Noise alone makes no difference: two frames of a covered lens that differ in their noise are the same picture,
so the covered lenses here differ in where light leaks in, and fresh noise is an edit that has to be found.

`DRAWN` holds classes of one layout each: pages, signs and screens that a person reads. In those of `TEMPLATES` most is
the same in every picture.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance

from benchmarks.quality import templates
from benchmarks.quality.drawn import SCENES
from benchmarks.quality.transforms import (
    BLACK,
    WHITE,
    Random,
    font,
    jpeg,
    make_copy,
    photo_seed,
    scaled,
    shifted,
    with_noise,
    words,
)

COUNT = 50
"""Different pictures of a class."""
FRAME_PX = (320, 240)
PAGE_PX = (424, 600)

_LATTICE = np.stack(np.meshgrid(*[[28, 94, 160, 226]] * 3), axis=-1).reshape(-1, 3)
"""64 colours, 66 grey levels apart in at least one channel."""


@dataclass(frozen=True)
class LowTexture:
    """A class of pictures.

    Attributes
    ----------
    scene
        The picture of a number, 0 to 49, without its noise.
    noise
        Standard deviation of the sensor's noise in grey levels; 0 for what no sensor took.
    text
        What tells two of its pictures apart.
    """

    scene: Callable[[int, Random], Image.Image]
    noise: float
    text: str


def picture(
    name: str, number: int, seed: int, take: int = 0, among: Mapping[str, LowTexture] | None = None
) -> Image.Image:
    """Return a picture of a class; another `take` is the same scene with fresh noise.

    `among` holds the class: `EVERY` if not told.
    """
    kind = (among or EVERY)[name]
    scene = kind.scene(number, np.random.default_rng(photo_seed(seed, f"{name}/{number}")))
    if not kind.noise:
        return scene
    return with_noise(scene, kind.noise, np.random.default_rng(photo_seed(seed, f"{name}/{number}/{take}")))


def edits(name: str, number: int, seed: int) -> dict[str, bytes]:
    """Return encoded copies of a picture that a person takes for the same."""
    image = picture(name, number, seed)
    copies = drawn_edits(image, seed) if name in DRAWN else light_edits(image)
    if EVERY[name].noise:
        copies["fresh_noise"] = jpeg(picture(name, number, seed, take=1))
    return copies


def light_edits(image: Image.Image) -> dict[str, bytes]:
    """Return encoded copies of an image that nobody would notice to be copies."""
    return {
        "jpeg80": jpeg(image, 80),
        "brighter5": jpeg(ImageEnhance.Brightness(image).enhance(1.05)),
        "darker5": jpeg(ImageEnhance.Brightness(image).enhance(0.95)),
        "shift1": jpeg(shifted(image)),
    }


def drawn_edits(image: Image.Image, seed: int) -> dict[str, bytes]:
    """Return light edits of what no sensor took: also as PNG, and at half its size."""
    return light_edits(image) | {edit: make_copy(edit, image, seed) for edit in ("png", "half")}


def layout_edits(image: Image.Image, seed: int) -> list[bytes]:
    """Return encoded copies of a drawn picture that a person takes for the same."""
    return [*drawn_edits(image, seed).values(), make_copy("crop5", image, seed), jpeg(scaled(image, 0.7, 0.7))]


def _colour(number: int, random: Random) -> NDArray[np.int64]:
    """Return a colour near the lattice's: two are at least 50 grey levels apart in a channel."""
    order = np.random.default_rng(0).permutation(len(_LATTICE))
    return np.asarray(_LATTICE[order[number]] + random.integers(-8, 9, size=3))


def _place(number: int, random: Random) -> NDArray[np.float64]:
    """Return a place in the frame (x, y in shares of it), at least 4 % of its width from any other's."""
    column, row = number % 10, number // 10
    jitter = random.uniform(-0.3, 0.3, size=2)
    return np.array([(column + 0.5 + jitter[0]) / 10, (row + 0.5 + jitter[1]) / 5])


def _image(values: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def _solid(number: int, random: Random) -> Image.Image:
    return Image.new("RGB", FRAME_PX, tuple(int(value) for value in _colour(number, random)))


def _sky(number: int, random: Random) -> Image.Image:
    top, bottom = _colour(number, random), _colour((7 * number + 3) % COUNT, random)
    down = np.linspace(0, 1, FRAME_PX[1])[:, np.newaxis, np.newaxis]
    return _image(np.broadcast_to(top + (bottom - top) * down, (FRAME_PX[1], FRAME_PX[0], 3)))


def _squared_distance(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each pixel is from a place, in squared widths of the frame, (height, width, 1)."""
    x, y = np.arange(FRAME_PX[0]) / FRAME_PX[0], np.arange(FRAME_PX[1]) / FRAME_PX[0]
    high = FRAME_PX[1] / FRAME_PX[0]
    squared = np.add.outer((y - place[1] * high) ** 2, (x - place[0]) ** 2)
    return np.asarray(squared[..., np.newaxis])


def _night_lamp(number: int, random: Random) -> Image.Image:
    far = _squared_distance(_place(number, random))
    size = random.uniform(0.01, 0.02)
    light = 240 * np.exp(-far / (2 * size**2)) + 25 * np.exp(-far / (2 * (6 * size) ** 2))
    return _image(6 + light * np.array([1.0, 0.9, 0.7]))


def _fog(number: int, random: Random) -> Image.Image:
    """Draw shapes 12 grey levels darker than the fog around them: another pair of them each time."""
    image = Image.new("RGB", FRAME_PX, (180, 182, 184))
    draw = ImageDraw.Draw(image)
    for x, y in (_place(number, random), _place((11 * number + 5) % COUNT, random)):
        left, top = x * FRAME_PX[0] - 20, y * FRAME_PX[1] - 25
        draw.ellipse((left, top, left + 40, top + 50 + 60 * random.random()), fill=(168, 170, 172))
    return image


def _text_page(_: int, random: Random) -> Image.Image:
    image = Image.new("RGB", PAGE_PX, WHITE)
    draw = ImageDraw.Draw(image)
    for line in range(38):
        if random.random() > 0.1:
            text = words(random, int(random.integers(3, 12)))
            while draw.textlength(text, font(11)) > PAGE_PX[0] - 80:
                text = text.rsplit(" ", 1)[0]
            draw.text((40, 40 + 14 * line), text, BLACK, font(11))
    return image


def _form(_: int, random: Random) -> Image.Image:
    """Fill in one and the same form: 12 fields with other words, 12 boxes of which others are ticked."""
    image = Image.new("RGB", PAGE_PX, WHITE)
    draw = ImageDraw.Draw(image)
    draw.text((PAGE_PX[0] / 2, 40), "APPLICATION FORM", BLACK, font(18), anchor="mm")
    ticked = random.random(12) < 0.5
    for field in range(12):
        top = 70 + 42 * field
        draw.text((30, top + 8), f"Field {field + 1}", BLACK, font(11))
        draw.rectangle((100, top, 340, top + 28), outline=BLACK)
        draw.text((108, top + 6), words(random, 2), (20, 30, 120), font(15))
        draw.rectangle((370, top + 6, 386, top + 22), outline=BLACK)
        if ticked[field]:
            draw.line((370, top + 6, 386, top + 22), fill=BLACK, width=2)
            draw.line((386, top + 6, 370, top + 22), fill=BLACK, width=2)
    return image


def _chart(_: int, random: Random) -> Image.Image:
    """Draw ten bars of other heights on the same axes."""
    image = Image.new("RGB", FRAME_PX, WHITE)
    draw = ImageDraw.Draw(image)
    draw.line((30, 15, 30, 215, 305, 215), fill=BLACK, width=2)
    for bar, height in enumerate(random.uniform(10, 190, size=10)):
        left = 40 + 26 * bar
        draw.rectangle((left, 215 - height, left + 18, 214), fill=(52, 101, 164))
        draw.text((left + 9, 226), str(bar + 1), BLACK, font(10), anchor="mm")
    return image


def _dark_indoor(number: int, random: Random) -> Image.Image:
    """Draw a dark room: wall, floor, three pieces of furniture, each elsewhere, 5 to 20 grey levels over the rest."""
    image = Image.new("RGB", FRAME_PX, (10, 10, 12))
    draw = ImageDraw.Draw(image)
    floor = random.uniform(0.55, 0.8) * FRAME_PX[1]
    draw.rectangle((0, floor, *FRAME_PX), fill=(15, 14, 13))
    for piece in range(3):
        x, y = _place((number * (piece + 1) * 3 + 17 * piece + number) % COUNT, random) * FRAME_PX
        wide, high = random.uniform(25, 90, size=2)
        level = int(random.integers(20, 31))
        draw.rectangle((x - wide / 2, y - high / 2, x + wide / 2, y + high / 2), fill=(level, level, level))
    return image


def _lens_covered(number: int, random: Random) -> Image.Image:
    """Draw a covered lens: nearly black, a broad leak of reddish light of 12 to 20 grey levels somewhere."""
    far = _squared_distance(_place(number, random))
    leak = random.uniform(12, 20) * np.exp(-far / (2 * random.uniform(0.1, 0.2) ** 2))
    return _image(5 + leak * np.array([1.0, 0.6, 0.5]))


CLASSES: dict[str, LowTexture] = {
    "solid": LowTexture(_solid, 0, "colours at least 50 grey levels apart in a channel"),
    "solid_noise": LowTexture(_solid, 6, "the same, with noise"),
    "sky_gradient": LowTexture(_sky, 0, "colours at the top, and at the bottom, at least 50 grey levels apart"),
    "night_lamp": LowTexture(_night_lamp, 2, "the lamp stands at least 4 % of the width elsewhere"),
    "fog": LowTexture(_fog, 1.5, "two faint shapes (12 grey levels), at least 4 % of the width elsewhere"),
    "text_page": LowTexture(_text_page, 0, "another text"),
    "form": LowTexture(_form, 0, "one form, filled in with other words, other boxes ticked"),
    "chart": LowTexture(_chart, 0, "ten bars of other heights on the same axes"),
    "dark_indoor": LowTexture(_dark_indoor, 4, "three dark pieces of furniture elsewhere"),
    "lens_covered": LowTexture(_lens_covered, 3, "a leak of light at least 4 % of the width elsewhere"),
}
DRAWN = {name: LowTexture(scene, 0, text) for name, (scene, text) in SCENES.items()}
TEMPLATES = {name: LowTexture(scene, 0, text) for name, (scene, text) in templates.SCENES.items()}
MEASURED = CLASSES | DRAWN
"""Those that descriptors alone are measured by."""
EVERY = MEASURED | TEMPLATES
LAYOUTS = {name: kind for name, kind in EVERY.items() if name in {"text_page", "form", "chart", *DRAWN, *TEMPLATES}}
"""Classes of one layout each: what may be chosen so that it tells such pictures apart may be chosen by these."""
