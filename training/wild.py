"""Copies far from their pictures: cut hard, seen askew, covered, redrawn, shown within others, lit and printed anew.

The families are those of public policies for copy detection: AugLy's image module (Papakipos and Bitton, "AugLy: Data
Augmentations for Robustness", 2022) and the advanced policy of SSCD (Pizzi et al., CVPR 2022, section 5). Each is drawn
with wide strengths, and no code is shared with the quality evaluation.
"""

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from neardup.types import Pixels
from training.augment import Random, any_colour, as_seen, font, happens, ink_on, words
from training.photos import SOURCE_PX as SIDE

_SQUARE = (SIDE, SIDE)
_BICUBIC, _BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR
_QUARTERS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
_UNIT = np.linspace(-1, 1, SIDE, dtype=np.float32)


def wild_copy(photo: Pixels, stranger: Pixels, random: Random) -> Pixels:
    """Return uint8 (64, 64, 3), a copy of uint8 (128, 128, 3) that was changed a lot.

    Parameters
    ----------
    photo
        What is copied.
    stranger
        uint8 (128, 128, 3), another picture: what covers a part of the photo, or is seen around it.
    random
        Where everything is drawn from.
    """
    image, other = Image.fromarray(photo), Image.fromarray(stranger)
    # One change is large and up to two more are smaller: several large ones leave nothing to know a picture by.
    large = int(random.choice(5, p=[0.3, 0.15, 0.2, 0.15, 0.2]))
    image = _cut(image, random, 0.35 if large == 0 else 0.85 if happens(random, 0.5) else 1.0)
    if large == 1 or happens(random, 0.12):
        image = _askew(image, random, 0.22 if large == 1 else 0.08)
    if large == 2 or happens(random, 0.15):
        image = _covered(image, other, random, 0.3 if large == 2 else 0.08)
    if large == 4 or happens(random, 0.3):
        image = _relit(image, random)
    if large == 4 or happens(random, 0.1):
        image = _of_other_make(image, random)
    if large == 3:
        image = _within(image, other, random)
    if happens(random, 0.3):
        image = _coarser(image, random)
    if happens(random, 0.5):
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if happens(random, 0.1):
        image = image.transpose(_QUARTERS[random.integers(3)])
    return as_seen(np.asarray(image))


# --- geometry ---


def _cut(image: Image.Image, random: Random, least_area: float) -> Image.Image:
    """Leave at least this share of the area, of any proportions; by a half of the time at one side alone."""
    if least_area >= 1.0:
        return image
    area = random.uniform(least_area, 1.0)
    if happens(random, 0.5):
        width, height = (area, 1.0) if happens(random, 0.5) else (1.0, area)
    else:
        slant = math.exp(random.uniform(-0.4, 0.4))
        width, height = min(1.0, math.sqrt(area) * slant), min(1.0, math.sqrt(area) / slant)
    corner = random.integers(0, 2, 2) if happens(random, 0.6) else random.random(2)
    left, top = SIDE * (1 - width) * corner[0], SIDE * (1 - height) * corner[1]
    return image.resize(_SQUARE, _BILINEAR, box=(left, top, left + SIDE * width, top + SIDE * height))


def _askew(image: Image.Image, random: Random, most: float) -> Image.Image:
    """Turn it, or see it from aside, before any ground; or bend it as a lens does."""
    kind = random.integers(3)
    ground = _ground(random)
    if kind == 0:
        return image.rotate(random.uniform(-1, 1) * most * 140, _BICUBIC, fillcolor=ground)
    if kind == 1:
        corners = np.array([[0, 0], [0, SIDE], [SIDE, SIDE], [SIDE, 0]]) + random.uniform(-most, most, (4, 2)) * SIDE
        return image.transform(_SQUARE, Image.Transform.PERSPECTIVE, _seen_from(corners), _BICUBIC, fillcolor=ground)
    return _bent(image, random.uniform(-1.5, 2.0) * most)


def _seen_from(corners: NDArray[np.float64]) -> list[float]:
    """Return Pillow's eight numbers of the map that takes the square's corners to these."""
    square = np.array([[0, 0], [0, SIDE], [SIDE, SIDE], [SIDE, 0]], dtype=float)
    rows, values = [], []
    for (x, y), (u, v) in zip(square, corners, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return list(np.linalg.solve(np.array(rows), np.array(values)))


def _bent(image: Image.Image, strength: float) -> Image.Image:
    x, y = np.meshgrid(_UNIT, _UNIT)
    longer = 1 + strength * (x * x + y * y - 1)
    places = [np.rint((1 + axis * longer) / 2 * (SIDE - 1)).astype(int).clip(0, SIDE - 1) for axis in (y, x)]
    return Image.fromarray(np.asarray(image)[places[0], places[1]])


def _ground(random: Random) -> tuple[int, ...]:
    kind = random.random()
    return (0, 0, 0) if kind < 0.35 else (255, 255, 255) if kind < 0.65 else any_colour(random)


# --- what covers it, and what it is shown within ---


def _covered(image: Image.Image, other: Image.Image, random: Random, most: float) -> Image.Image:
    """Cover up to a share of the area by one thing, or by several smaller ones."""
    image = image.copy()
    area, many = random.uniform(0.02, most), happens(random, 0.4)
    for _ in range(int(random.integers(3, 9)) if many else 1):
        share = area / 4 if many else area
        slant = math.exp(random.uniform(-0.7, 0.7))
        width, height = (max(4, round(min(SIDE, SIDE * math.sqrt(share) * by))) for by in (slant, 1 / slant))
        left, top = (int(random.integers(0, SIDE - side + 1)) for side in (width, height))
        _cover(image, other, (left, top, left + width, top + height), random)
    return image


def _cover(image: Image.Image, other: Image.Image, box: tuple[int, int, int, int], random: Random) -> None:
    draw, kind = ImageDraw.Draw(image), random.random()
    left, top, right, bottom = box
    if kind < 0.25:
        draw.rectangle(box, fill=any_colour(random))
        if happens(random, 0.6):
            text, middle = words(random, 2), ((left + right) / 2, (top + bottom) / 2)
            draw.text(middle, text, any_colour(random), font((bottom - top) // 2), anchor="mm")
    elif kind < 0.5:
        draw.ellipse(box, fill=any_colour(random), outline=any_colour(random), width=2)
        for x in (0.33, 0.66):
            draw.circle((left + x * (right - left), top + 0.4 * (bottom - top)), (right - left) / 12, fill=(20, 20, 20))
    elif kind < 0.65:
        points = np.array(box[:2]) + random.random((int(random.integers(3, 9)), 2)) * [right - left, bottom - top]
        draw.polygon([tuple(point) for point in points], fill=any_colour(random))
    elif kind < 0.85:
        image.paste(other.resize((right - left, bottom - top), _BILINEAR), box[:2])
    else:
        part = image.crop(box)
        image.paste(part.filter(ImageFilter.GaussianBlur(6)), box[:2])


def _within(image: Image.Image, other: Image.Image, random: Random) -> Image.Image:
    """Show it within something larger: a page, an application, another picture, its own enlargement."""
    kind, long = random.integers(4), random.uniform(0.55, 0.95)
    slant = math.exp(random.uniform(-0.45, 0.45))
    width, height = (round(min(0.97, long * by) * SIDE) for by in (min(1, slant), min(1, 1 / slant)))
    left, top = (int(random.integers(0, SIDE - side + 1)) for side in (width, height))
    if kind == 0:
        canvas = other.filter(ImageFilter.GaussianBlur(random.uniform(0, 6)))
    elif kind == 1:
        canvas = image.resize(_SQUARE, _BILINEAR, box=(24, 24, 104, 104)).filter(ImageFilter.GaussianBlur(8))
    else:
        canvas = _page(random)
    canvas.paste(image.resize((width, height), _BILINEAR), (left, top))
    return canvas


def _page(random: Random) -> Image.Image:
    """Return a page or an application: bars of a few colours and lines of words."""
    ground = _ground(random)
    canvas = Image.new("RGB", _SQUARE, ground)
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(random.integers(0, 3))):
        first, long = int(random.integers(0, SIDE)), int(random.integers(6, 30))
        draw.rectangle((0, first, SIDE, first + long), fill=any_colour(random))
    size = int(random.integers(5, 12))
    for line in range(0, SIDE, size + int(random.integers(2, 8))):
        draw.text(
            (int(random.integers(0, 12)), line), words(random, int(random.integers(1, 6))), ink_on(ground), font(size)
        )
    return canvas


# --- light, and what it is made of ---


def _relit(image: Image.Image, random: Random) -> Image.Image:
    """Change light and colour by a lot, evenly or from place to place."""
    values = np.asarray(image, dtype=np.float32) / 255
    if happens(random, 0.5):
        values = values ** np.float32(math.exp(random.uniform(-0.9, 0.9)))
    if happens(random, 0.5):
        values = values * random.uniform(0.6, 1.4, 3).astype(np.float32) + np.float32(random.uniform(-0.15, 0.25))
    if happens(random, 0.4):
        angle, strength = random.uniform(0, 2 * math.pi), random.uniform(0.2, 0.6)
        slope = math.cos(angle) * _UNIT[None, :] + math.sin(angle) * _UNIT[:, None]
        values = values * (1 + strength * slope)[:, :, None].astype(np.float32)
    if happens(random, 0.3):
        middle, wide = random.uniform(-0.7, 0.7, 2), random.uniform(0.2, 1.0)
        away = (_UNIT[None, :] - middle[0]) ** 2 + (_UNIT[:, None] - middle[1]) ** 2
        spot = np.exp(-away / (2 * wide * wide))[:, :, None].astype(np.float32)
        # A lamp's reflection, or a vignette.
        values = values + random.uniform(0.2, 0.6) * spot if happens(random, 0.5) else values * (0.4 + 0.6 * spot)
    return _image(values)


def _of_other_make(image: Image.Image, random: Random) -> Image.Image:
    makes = (
        _drawn, _few_colours, _tinted, _striped, _noisy, _dithered, _creased, _channels_moved,
    )  # fmt: skip
    return makes[random.integers(len(makes))](image, random)


def _drawn(image: Image.Image, random: Random) -> Image.Image:
    """Keep mostly the edges."""
    filters = (ImageFilter.CONTOUR, ImageFilter.EMBOSS, ImageFilter.FIND_EDGES, ImageFilter.EDGE_ENHANCE_MORE)
    soft = image.filter(ImageFilter.GaussianBlur(random.uniform(0, 1.5)))
    edges = soft.filter(filters[random.integers(len(filters))])
    if happens(random, 0.5):
        edges = ImageOps.grayscale(edges).convert("RGB")
    return Image.blend(image, edges, random.uniform(0.4, 1.0))


def _few_colours(image: Image.Image, random: Random) -> Image.Image:
    kind = random.random()
    if kind < 0.4:
        return ImageOps.posterize(image, int(random.integers(1, 4)))
    if kind < 0.6:
        return ImageOps.solarize(image, int(random.integers(64, 256)))
    if kind < 0.8:
        return image.quantize(int(random.integers(4, 40))).convert("RGB")
    return ImageOps.equalize(image)


def _tinted(image: Image.Image, random: Random) -> Image.Image:
    grey = ImageOps.grayscale(image)
    if happens(random, 0.15):
        grey = ImageOps.invert(grey)
    darkest, lightest = sorted((any_colour(random), any_colour(random)), key=sum)
    tinted = ImageOps.colorize(grey, black=darkest, white=lightest)
    return Image.blend(image, tinted, random.uniform(0.5, 1.0))


def _striped(image: Image.Image, random: Random) -> Image.Image:
    """Lay stripes of any width and direction over it."""
    turns, angle = random.uniform(4, 60), random.uniform(0, math.pi)
    waves = np.sin(turns * (math.cos(angle) * _UNIT[None, :] + math.sin(angle) * _UNIT[:, None]) * math.pi)
    if happens(random, 0.4):
        waves = np.sign(waves)
    colours = random.uniform(0.3, 1, 3) * random.uniform(0.05, 0.3)
    return _image(np.asarray(image, np.float32) / 255 + waves[:, :, None] * colours)


def _noisy(image: Image.Image, random: Random) -> Image.Image:
    values = np.asarray(image, dtype=np.float32) / 255
    coarse = int(random.choice([1, 1, 2, 4]))
    fine = (SIDE // coarse, SIDE // coarse)
    if happens(random, 0.7):
        grains = random.standard_normal((*fine, 3 if happens(random, 0.6) else 1), dtype=np.float32)
        noise = np.kron(grains, np.ones((coarse, coarse, 1), np.float32)) * random.uniform(0.05, 0.25)
        return _image(values + noise)
    struck = np.kron(random.random(fine) < random.uniform(0.02, 0.15), np.ones((coarse, coarse), bool))
    return _image(np.where(struck[:, :, None], np.float32(random.integers(2)), values))


def _dithered(image: Image.Image, random: Random) -> Image.Image:
    side = int(random.integers(48, SIDE + 1))
    small = image.resize((side, side), _BILINEAR)
    printed = small.convert("1") if happens(random, 0.5) else small.quantize(8, dither=Image.Dither.FLOYDSTEINBERG)
    return printed.convert("RGB").resize(_SQUARE, _BILINEAR)


def _creased(image: Image.Image, random: Random) -> Image.Image:
    """Draw scratches, folds or wires over it."""
    image = image.copy()
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(1, 12))):
        ends = [tuple(point) for point in random.uniform(0, SIDE, (int(random.integers(2, 5)), 2))]
        draw.line(ends, fill=_ground(random), width=int(random.integers(1, 4)))
    return image


def _channels_moved(image: Image.Image, random: Random) -> Image.Image:
    """Swap the channels, or move them against one another."""
    values = np.asarray(image)[:, :, random.permutation(3)]
    if happens(random, 0.5):
        values = np.stack([np.roll(values[:, :, one], random.integers(-4, 5, 2), (0, 1)) for one in range(3)], axis=2)
    return Image.fromarray(values)


def _coarser(image: Image.Image, random: Random) -> Image.Image:
    kind = random.random()
    if kind < 0.35:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(random.integers(5, 40)))
        with Image.open(buffer) as decoded:
            decoded.load()
            return decoded
    if kind < 0.6:
        return image.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 2.5)))
    if kind < 0.75:
        return ImageEnhance.Sharpness(image).enhance(random.uniform(2, 6))
    small = image.resize((int(random.integers(14, 64)),) * 2, _BILINEAR)
    return small.resize(_SQUARE, Image.Resampling.NEAREST if happens(random, 0.5) else _BILINEAR)


def _image(values: NDArray[np.floating[Any]]) -> Image.Image:
    return Image.fromarray((values * 255).clip(0, 255).astype(np.uint8))
