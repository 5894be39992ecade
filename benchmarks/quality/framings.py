"""Larger pictures that show a photo, and where in them it is: what finding insets may be tuned by.

    shown, box = FRAMINGS["page"].make(image, np.random.default_rng(0))

Beside those of `widened`, of which only the picture is known. They come upright and whole; two have a neighbour at its
edge, so that nothing but that edge tells them apart.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.quality.canvas import Box, Colour, Size, colour, draw_text, image_of, inside, shares_of, stranger
from benchmarks.quality.transforms import BLACK, WHITE, Random, font, words

Framed = tuple[Image.Image, Box]
"""The larger picture, and left, top, right and bottom of the photo in it, from 0 to 1."""


@dataclass(frozen=True)
class Framing:
    """One way to show a photo in a larger picture.

    Attributes
    ----------
    make
        RGB photo and random numbers in, larger picture and the photo's place in it out.
    text
        What it is, for people.
    """

    make: Callable[[Image.Image, Random], Framed]
    text: str


def _laid(ground: Image.Image, image: Image.Image, at: tuple[float, float]) -> Framed:
    """Lay the image on the ground, its upper left corner at a place in pixels; the ground is changed."""
    left, top = map(round, at)
    ground.paste(image, (left, top))
    wide, high = ground.size
    return ground, (left / wide, top / high, (left + image.width) / wide, (top + image.height) / high)


def _paper(random: Random) -> Colour:
    kinds: list[Colour] = [WHITE, (244, 244, 240), (200, 204, 208), colour(random, 90)]
    return kinds[int(random.integers(4))]


def _page(image: Image.Image, random: Random) -> Framed:
    """Print it at the head of a page or down in it, over the whole width or beside text."""
    wide = 640
    high = round(wide * random.uniform(0.9, 1.4))
    sheet = Image.new("RGB", (wide, high), _paper(random))
    photo = inside(image, (round(wide * random.uniform(0.5, 0.9)), round(high * random.uniform(0.4, 0.65))))
    left = float(random.choice([0.05 * wide, 0.95 * wide - photo.width, (wide - photo.width) / 2]))
    top = random.uniform(0.08, 0.92) * (high - photo.height)
    draw, size = ImageDraw.Draw(sheet), wide / random.uniform(30, 50)
    draw_text(draw, (0.05 * wide, 0.03 * high, 0.95 * wide, top - 8), random, size)
    draw_text(draw, (0.05 * wide, top + photo.height + 10, 0.95 * wide, 0.97 * high), random, size)
    for side in ((0.05 * wide, left - 10), (left + photo.width + 10, 0.95 * wide)):
        if side[1] - side[0] > 0.15 * wide:
            draw_text(draw, (side[0], top, side[1], top + photo.height), random, size)
    return _laid(sheet, photo, (left, top))


def _window(image: Image.Image, random: Random) -> Framed:
    """Show it in a window with a title bar, on a desktop."""
    wide, high = 800, 520
    x, y = shares_of((wide, high))
    first, second = np.array(colour(random)), np.array(colour(random))
    desktop = image_of(first + (second - first) * (x * random.uniform(-1, 1) + y + 2) / 4)
    photo = inside(image, (round(wide * random.uniform(0.55, 0.85)), round(high * random.uniform(0.6, 0.8))))
    bar, edge = 26, int(random.integers(1, 6))
    left, top = random.uniform(10, wide - photo.width - 10), random.uniform(bar + 6, high - photo.height - 10)
    draw = ImageDraw.Draw(desktop)
    skin: Colour = (236, 236, 236) if random.random() < 0.5 else (45, 45, 48)
    frame = (left - edge, top - bar, left + photo.width + edge - 1, top + photo.height + edge - 1)
    draw.rectangle(frame, fill=skin)
    draw.text((left + 8, top - bar / 2), words(random, 2), (120, 120, 120), font(12), anchor="lm")
    return _laid(desktop, photo, (left, top))


def _desk(image: Image.Image, random: Random) -> Framed:
    """Lay a print, with a white edge or none, on a table of grained wood, with its shadow."""
    wide, high = 720, round(720 * random.uniform(0.7, 1.2))
    grain = random.normal(0, 1, size=(high, 1, 1)) * 10 + random.normal(0, 6, size=(high, wide, 1))
    table = image_of(np.array(colour(random, 60, 190)) + grain).filter(ImageFilter.GaussianBlur(1))
    photo = inside(image, (round(wide * random.uniform(0.55, 0.8)), round(high * random.uniform(0.55, 0.8))))
    edge = int(random.choice([0, 0, 10]))
    left, top = random.uniform(15, wide - photo.width - 20), random.uniform(15, high - photo.height - 20)
    outer = (left - edge, top - edge, left + photo.width + edge, top + photo.height + edge)
    shade = Image.new("L", table.size)
    ImageDraw.Draw(shade).rectangle([side + 6 for side in outer], fill=130)
    table.paste(BLACK, (0, 0), shade.filter(ImageFilter.GaussianBlur(6)))
    ImageDraw.Draw(table).rectangle([*outer[:2], outer[2] - 1, outer[3] - 1], fill=WHITE)
    return _laid(table, photo, (left, top))


def _dark_app(image: Image.Image, random: Random) -> Framed:
    """Show it across an app with bars above and below, some of them not quite dark, and a name and a heart below it."""
    wide = 480
    high = round(wide * random.uniform(1.6, 2.2))
    screen = Image.new("RGB", (wide, high), colour(random, 0, 30))
    photo = inside(image, (wide, round(0.6 * high)))
    top = random.uniform(0.1, 0.3) * high
    draw = ImageDraw.Draw(screen)
    draw.rectangle((0, 0, wide, 0.06 * high), fill=colour(random, 20, 70))
    draw.rectangle((0, 0.93 * high, wide, high), fill=colour(random, 20, 70))
    draw.circle((0.08 * wide, top - 22), 14, fill=colour(random, 80))
    draw.text((0.15 * wide, top - 22), words(random, 2), WHITE, font(16), anchor="lm")
    draw_text(draw, (0.05 * wide, top + photo.height + 50, 0.9 * wide, 0.9 * high), random, 16, (210, 210, 210))
    draw.circle((0.08 * wide, top + photo.height + 24), 11, outline=WHITE, width=2)
    return _laid(screen, photo, ((wide - photo.width) / 2, top))


def _grid(image: Image.Image, random: Random, gap: int, across: int, down: int) -> Framed:
    cell = (360, round(360 * image.height / image.width))
    size = (across * cell[0] + (across - 1) * gap, down * cell[1] + (down - 1) * gap)
    sheet, own = Image.new("RGB", size, _paper(random)), int(random.integers(across * down))
    for number in range(across * down):
        at = ((number % across) * (cell[0] + gap), (number // across) * (cell[1] + gap))
        sheet.paste(image.resize(cell) if number == own else stranger(random, cell), at)
    left, top = ((own % across) * (cell[0] + gap), (own // across) * (cell[1] + gap))
    return sheet, (left / size[0], top / size[1], (left + cell[0]) / size[0], (top + cell[1]) / size[1])


def _pair_tight(image: Image.Image, random: Random) -> Framed:
    return _grid(image, random, 0, *((2, 1) if random.random() < 0.5 else (1, 2)))


def _four_tight(image: Image.Image, random: Random) -> Framed:
    return _grid(image, random, 0, 2, 2)


def _four_apart(image: Image.Image, random: Random) -> Framed:
    return _grid(image, random, int(random.integers(4, 16)), 2, 2)


def _rounded(image: Image.Image, random: Random) -> Framed:
    """Show it with round corners, on a plain card."""
    wide, high = 600, round(600 * random.uniform(0.8, 1.3))
    card = Image.new("RGB", (wide, high), _paper(random))
    photo = inside(image, (round(wide * random.uniform(0.6, 0.9)), round(high * random.uniform(0.5, 0.8))))
    left, top = (wide - photo.width) / 2, random.uniform(0.05, 0.4) * (high - photo.height)
    draw_text(ImageDraw.Draw(card), (left, top + photo.height + 14, 0.9 * wide, 0.96 * high), random, 18)
    mask = Image.new("L", photo.size)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, *photo.size), 0.08 * min(photo.size), fill=255)
    under = card.crop((round(left), round(top), round(left) + photo.width, round(top) + photo.height))
    return _laid(card, Image.composite(photo, under, mask), (left, top))


def _framed(image: Image.Image, random: Random) -> Framed:
    """Hang it on a wall, in a frame, mostly with a mat between."""
    wide, high = 700, round(700 * random.uniform(0.8, 1.2))
    x, y = shares_of((wide, high))
    wall = image_of(
        np.array(colour(random, 110)) - 25 * (x * random.uniform(-1, 1) + y) + random.normal(0, 2, (high, wide, 1))
    )
    photo = inside(image, (round(wide * random.uniform(0.45, 0.65)), round(high * random.uniform(0.45, 0.65))))
    left, top = (wide - photo.width) * random.uniform(0.3, 0.7), (high - photo.height) * random.uniform(0.3, 0.7)
    draw, mat, bar = ImageDraw.Draw(wall), float(random.choice([0, 18, 36])), random.uniform(4, 20)
    for width, ink in ((mat + bar, colour(random, 0, 120)), (mat, (246, 244, 238))):
        draw.rectangle((left - width, top - width, left + photo.width + width - 1, top + photo.height + width - 1), ink)
    return _laid(wall, photo, (left, top))


def _slide(image: Image.Image, random: Random) -> Framed:
    """Set it beside the points of a slide, under its title."""
    wide, high = 800, 450
    sheet = Image.new("RGB", (wide, high), _paper(random))
    photo = inside(image, (round(wide * random.uniform(0.42, 0.55)), round(0.72 * high)))
    left, top = wide - photo.width - 24, 0.22 * high + (0.72 * high - photo.height) / 2
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((0, 0, wide, 0.16 * high), fill=colour(random, 30, 160))
    draw.text((24, 0.08 * high), words(random, 3), WHITE, font(28), anchor="lm")
    draw_text(draw, (24, 0.28 * high, left - 30, 0.9 * high), random, 22)
    return _laid(sheet, photo, (left, top))


def _over_picture(image: Image.Image, random: Random) -> Framed:
    """Lay it over another picture, from the middle to a corner, with a thin border or none."""
    ground = stranger(random, (720, 480))
    photo = inside(image, (round(720 * random.uniform(0.5, 0.75)), round(480 * random.uniform(0.5, 0.8))))
    at = random.uniform(8, ground.width - photo.width - 8), random.uniform(8, ground.height - photo.height - 8)
    edge = float(random.choice([0, 2, 4]))
    box = (at[0] - edge, at[1] - edge, at[0] + photo.width + edge - 1, at[1] + photo.height + edge - 1)
    ImageDraw.Draw(ground).rectangle(box, fill=WHITE)
    return _laid(ground, photo, at)


def _blurred_ground(image: Image.Image, random: Random) -> Framed:
    """Show it whole before its own blur, as feeds and video players do: touching two sides of the frame."""
    size: Size = (640, 360) if image.height > image.width * 0.6 else (480, 480)
    ground = image.resize(size).filter(ImageFilter.GaussianBlur(random.uniform(10, 25)))
    photo = inside(image, size)
    return _laid(ground, photo, ((size[0] - photo.width) / 2, (size[1] - photo.height) / 2))


FRAMINGS: dict[str, Framing] = {
    "page": Framing(_page, "on a page, with text"),
    "window": Framing(_window, "in a window, on a desktop"),
    "desk": Framing(_desk, "a print on a table, with its shadow"),
    "dark_app": Framing(_dark_app, "in a dark app with bars"),
    "pair_tight": Framing(_pair_tight, "beside another picture, without a gap"),
    "four_tight": Framing(_four_tight, "one of four, without gaps"),
    "four_apart": Framing(_four_apart, "one of four, with gaps"),
    "rounded": Framing(_rounded, "with round corners, on a card"),
    "framed": Framing(_framed, "framed, on a wall"),
    "slide": Framing(_slide, "on a slide, beside text"),
    "over_picture": Framing(_over_picture, "over another picture"),
    "blurred_ground": Framing(_blurred_ground, "whole, before its own blur"),
}
"""By name."""
