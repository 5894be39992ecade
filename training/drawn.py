"""Drawn pictures to learn from beside photos: pages, forms, charts, gradients, shapes, nights and fogs.

Photos alone teach a network that paper is paper and dark is dark. Forms of one layout that differ in what was filled in
are told apart by what is learned here. No code is shared with the pictures that the quality evaluation draws.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from neardup.types import Pixels
from training.augment import Random, any_colour, font, words
from training.photos import SOURCE_PX as SIDE

_DRAWN_PX = 2 * SIDE
_LAYOUTS = 24
"""Forms of as many layouts: several hundred of each, so that many differ in their contents alone."""


def drawn_squares(count: int, seed: int) -> Pixels:
    """Return uint8 (count, 128, 128, 3): the kinds in turn, each picture by its own number and the seed."""
    return np.stack([_drawn(number, seed) for number in range(count)])


def _drawn(number: int, seed: int) -> Pixels:
    random = np.random.default_rng([seed, number])
    image = _KINDS[number % len(_KINDS)](random)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), dtype=np.uint8)


def _ground(random: Random) -> Image.Image:
    """Return a gradient between two colours, in any direction; sometimes one colour."""
    first, last = np.array(any_colour(random)), np.array(any_colour(random))
    if random.random() < 0.3:
        last = first
    angle = random.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : _DRAWN_PX * 1j, -1 : 1 : _DRAWN_PX * 1j]
    share = np.clip(0.5 + 0.5 * (x * np.cos(angle) + y * np.sin(angle)), 0, 1)[..., np.newaxis]
    return _with_grain(first + (last - first) * share, random)


def _with_grain(values: NDArray[np.float64], random: Random) -> Image.Image:
    grain = random.standard_normal((*values.shape[:2], 1)) * random.choice([0.0, 2.0, 6.0])
    return Image.fromarray((values + grain).clip(0, 255).astype(np.uint8))


def _box(random: Random, least: float, most: float) -> tuple[float, float, float, float]:
    width, height = random.uniform(least, most, 2) * _DRAWN_PX
    left, top = random.uniform(0, _DRAWN_PX - width), random.uniform(0, _DRAWN_PX - height)
    return left, top, left + width, top + height


def _shapes(random: Random) -> Image.Image:
    image = _ground(random)
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(1, 12))):
        box, fill = _box(random, 0.05, 0.5), any_colour(random)
        kind = random.integers(4)
        if kind == 0:
            draw.ellipse(box, fill=fill)
        elif kind == 1:
            draw.rectangle(box, fill=fill)
        elif kind == 2:
            draw.line(box, fill=fill, width=int(random.integers(2, 16)))
        else:
            middle, radius = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), (box[2] - box[0]) / 2
            draw.regular_polygon((*middle, radius), int(random.integers(3, 8)), int(random.integers(90)), fill)
    return image


def _page(random: Random) -> Image.Image:
    """Return a page of text: a heading, one or two columns, now and then a picture."""
    paper = int(random.integers(225, 256))
    image = Image.new("RGB", (_DRAWN_PX, _DRAWN_PX), (paper, paper, int(random.integers(215, 256))))
    draw, ink = ImageDraw.Draw(image), (int(random.integers(70)),) * 3
    margin, size = random.uniform(0.05, 0.15) * _DRAWN_PX, int(random.integers(6, 13))
    draw.text((margin, margin / 2), words(random, 3), ink, font(2 * size))
    columns = int(random.integers(1, 3))
    width, top = (_DRAWN_PX - margin * (columns + 1)) / columns, margin + 2 * size
    for column in range(columns):
        left, y = margin + column * (width + margin), top
        while y < _DRAWN_PX - margin:
            ends = random.random() < 0.15
            draw.text(
                (left, y), _line(random, width * (random.uniform(0.2, 0.9) if ends else 1), size), ink, font(size)
            )
            y += size * (2.2 if ends else 1.3)
    if random.random() < 0.4:
        draw.rectangle(_box(random, 0.15, 0.45), fill=any_colour(random))
    return image


def _line(random: Random, width: float, size: int) -> str:
    return words(random, 14)[: max(1, int(width / (0.55 * size)))]


def _form(random: Random) -> Image.Image:
    """Return a form of one of a few layouts, its fields filled in by chance."""
    layout = np.random.default_rng(int(random.integers(_LAYOUTS)))
    image = Image.new("RGB", (_DRAWN_PX, _DRAWN_PX), (255, 255, int(layout.integers(225, 256))))
    draw, rows, ink = ImageDraw.Draw(image), int(layout.integers(5, 11)), (20, 20, 60)
    draw.text((12, 8), words(layout, 3), (0, 0, 0), font(int(layout.integers(12, 20))))
    height, split = (_DRAWN_PX - 40) / rows, layout.uniform(0.25, 0.5) * _DRAWN_PX
    for row in range(rows):
        top = 34 + row * height
        draw.text((12, top + 3), words(layout, 1), (90, 90, 90), font(8))
        box = (split, top, _DRAWN_PX - 12, top + 0.75 * height)
        if layout.random() < 0.25:
            boxes = int(layout.integers(2, 5))
            for number in range(boxes):
                left = split + number * 30
                place = (left, top, left + 12, top + 12)
                draw.rectangle(place, outline=(60, 60, 60), fill=ink if random.random() < 0.4 else None)
        else:
            draw.rectangle(box, outline=(150, 150, 150))
            if random.random() < 0.85:
                draw.text((split + 4, top + 2), words(random, int(random.integers(1, 4))), ink, font(11))
    return image


def _chart(random: Random) -> Image.Image:
    image = Image.new("RGB", (_DRAWN_PX, _DRAWN_PX), (255, 255, 255) if random.random() < 0.7 else any_colour(random))
    draw, low, left = ImageDraw.Draw(image), _DRAWN_PX - 28, 28
    draw.text((40, 6), words(random, 2), (40, 40, 40), font(13))
    kind, count = random.integers(3), int(random.integers(4, 12))
    heights = random.uniform(0.05, 0.9, count) * (low - 24)
    if kind == 2:
        edges = np.concatenate([[0.0], np.cumsum(heights) / heights.sum()]) * 360
        for first, last in pairwise(edges):
            draw.pieslice((40, 40, _DRAWN_PX - 40, _DRAWN_PX - 40), first, last, fill=any_colour(random))
        return image
    draw.line((left, 24, left, low, _DRAWN_PX - 12, low), fill=(60, 60, 60), width=2)
    step, fill = (_DRAWN_PX - left - 16) / count, any_colour(random)
    places = [(left + step * (number + 0.5), low - height) for number, height in enumerate(heights)]
    if kind == 0:
        for x, y in places:
            draw.rectangle((x - 0.35 * step, y, x + 0.35 * step, low), fill=fill)
    else:
        draw.line(places, fill=fill, width=3)
    return image


def _night(random: Random) -> Image.Image:
    """Return a dark picture with a few lights, or what little light a covered lens lets in."""
    y, x = np.mgrid[0 : 1 : _DRAWN_PX * 1j, 0 : 1 : _DRAWN_PX * 1j]
    values = np.full((_DRAWN_PX, _DRAWN_PX, 3), random.uniform(0, 25, 3))
    for _ in range(int(random.integers(1, 6))):
        place, width = random.uniform(0, 1, 2), 10 ** random.uniform(-2.2, -0.5)
        light = np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / width**2)
        values += light[..., np.newaxis] * random.uniform(20, 255, 3)
    return _with_grain(values, random)


def _fog(random: Random) -> Image.Image:
    """Return soft forms of little contrast."""
    coarse = random.standard_normal((int(random.integers(3, 9)),) * 2)
    soft = np.asarray(Image.fromarray(coarse.astype(np.float32)).resize((_DRAWN_PX,) * 2, Image.Resampling.BICUBIC))
    values = random.uniform(90, 230, 3) + soft[..., np.newaxis] * random.uniform(3, 25)
    return _with_grain(values.astype(np.float64), random).filter(ImageFilter.GaussianBlur(1))


_KINDS: tuple[Callable[[Random], Image.Image], ...] = (_ground, _shapes, _page, _form, _chart, _night, _fog)
