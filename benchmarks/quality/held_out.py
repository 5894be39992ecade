"""Edits that no choice has seen: nothing trains on them, nothing is tuned by them, and only the evaluation opens them.

They differ in kind from those of `transforms` and `widened`. A test looks through the whole repository for whoever
imports this module, so that a figure measured by these edits says how a setting does on what nobody prepared for.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from benchmarks.quality.canvas import (
    Box,
    Draw,
    Size,
    colour,
    draw_text,
    filled,
    image_of,
    inside,
    pasted,
    shares_of,
    stranger,
    values_of,
)
from benchmarks.quality.transforms import BLACK, WHITE, Random, Transform, font, jpeg, placed, scaled, with_noise, words

# --- parts of a photo ---


def _corner_crop(image: Image.Image, random: Random) -> bytes:
    """Keep 60 % of the area, shifted towards one of the corners."""
    wide, high = (round(side * 0.6**0.5) for side in image.size)
    towards = random.integers(0, 2, size=2) + random.uniform(-0.15, 0.15, size=2)
    left, top = (np.clip(towards, 0, 1) * (image.width - wide, image.height - high)).round().astype(int).tolist()
    return jpeg(image.crop((left, top, left + wide, top + high)))


def _story_strip(image: Image.Image, random: Random) -> bytes:
    """Cut the photo to 4:5 upright, or to 16:9 where it is upright already, not always at the middle."""
    wide, high = image.size
    size = (max(1, round(0.8 * high)), high) if wide > high else (wide, max(1, round(wide * 9 / 16)))
    across, down = random.uniform(0.3, 0.7, size=2).tolist()
    return jpeg(ImageOps.fit(image, size, Image.Resampling.LANCZOS, centering=(across, down)))


# --- how it looks ---


def _halftone(image: Image.Image, random: Random) -> bytes:
    """Print it as black dots, 80 to 130 across."""
    across = int(random.integers(80, 131))
    down = max(1, round(across * image.height / image.width))
    grey = np.asarray(image.convert("L").resize((across, down), Image.Resampling.BOX), dtype=np.float32) / 255
    offsets = np.abs(np.linspace(-1, 1, 8))
    reach = np.add.outer(offsets**2, offsets**2)
    paper = reach[None, :, None, :] > 2 * (1 - grey)[:, None, :, None] ** 1.2
    dots = Image.fromarray(np.where(paper, 245, 25).astype(np.uint8).reshape(8 * down, 8 * across))
    return jpeg(dots.resize(image.size, Image.Resampling.LANCZOS))


def _posterised(image: Image.Image, random: Random) -> bytes:
    return jpeg(ImageOps.posterize(image, int(random.integers(2, 4))))


def _pixelated(image: Image.Image, random: Random) -> bytes:
    """Shrink it to 72 to 96 px and enlarge that without smoothing."""
    share = random.integers(72, 97) / max(image.size)
    return jpeg(scaled(image, share, share).resize(image.size, Image.Resampling.NEAREST))


def _pencil(image: Image.Image, random: Random) -> bytes:
    """Draw it with a pencil: edges alone, and some of the shade."""
    grey = values_of(image.convert("L").convert("RGB"))
    soft = values_of(image_of(255 - grey).filter(ImageFilter.GaussianBlur(max(image.size) / 120)))
    lines = 255 * grey / np.maximum(255 - soft, 1)
    shade = random.uniform(0.15, 0.35)
    return jpeg(image_of((1 - shade) * lines.clip(0, 255) + shade * grey))


def _iso_noise(image: Image.Image, random: Random) -> bytes:
    """Take it in the dark: coarse blotches of colour, fine grain, less contrast."""
    small = (max(1, image.width // 4), max(1, image.height // 4))
    blotches = image_of(128 + random.normal(0, 26, size=(small[1], small[0], 3))).resize(image.size)
    coarse = values_of(ImageEnhance.Contrast(image).enhance(0.8)) + values_of(blotches) - 128
    return jpeg(with_noise(image_of(coarse), float(random.uniform(20, 32)), random), 80)


def _duotone(image: Image.Image, random: Random) -> bytes:
    return jpeg(ImageOps.colorize(image.convert("L"), colour(random, 0, 90), colour(random, 170)))


def _night(image: Image.Image, random: Random) -> bytes:
    """Turn day into a film's night: blue, dark, in black bars at the left and the right."""
    blue = values_of(image) * np.array([0.35, 0.45, 0.75]) * random.uniform(0.7, 1.0)
    bar = round(image.width * random.uniform(0.1, 0.2))
    return jpeg(placed(image_of(blue), (image.width + 2 * bar, image.height), (bar, 0), BLACK))


def _aged(image: Image.Image, random: Random) -> bytes:
    """Let a print yellow: brown tones, scratches, specks."""
    brown = ImageOps.colorize(image.convert("L"), (45, 28, 14), (238, 219, 180))
    draw = ImageDraw.Draw(brown)
    for _ in range(int(random.integers(8, 16))):
        x, y, run = random.uniform(0, 1, size=3) * (image.width, image.height, image.height)
        draw.line((x, y, x + random.normal(0, 0.02) * image.width, y + run), fill=(240, 230, 205))
    for x, y, radius in random.uniform((0, 0, 0.002), (1, 1, 0.012), size=(25, 3)):
        draw.circle((x * image.width, y * image.height), radius * max(image.size), fill=(225, 205, 165))
    return jpeg(brown)


# --- bent ---


def _barrel(image: Image.Image, random: Random) -> bytes:
    """Take it through a wide lens."""
    x, y = (each[..., 0] for each in shares_of(image.size))
    bent = 1 + random.uniform(0.15, 0.25) * (x**2 + y**2 - 1)
    columns, rows = (
        ((each * bent + 1) / 2 * (length - 1)).round().astype(int)
        for each, length in ((x, image.width), (y, image.height))
    )
    seen = (columns >= 0) & (columns < image.width) & (rows >= 0) & (rows < image.height)
    pixels = np.asarray(image)[rows.clip(0, image.height - 1), columns.clip(0, image.width - 1)]
    return jpeg(Image.fromarray(pixels * seen[..., np.newaxis].astype(np.uint8)))


def _stretched(image: Image.Image, _: Random) -> bytes:
    return jpeg(scaled(image, 4 / 3, 1.0))


def _creased_print(image: Image.Image, random: Random) -> bytes:
    """Photograph a print on a table that was folded twice, under a shadow from one side."""
    shade = np.ones((image.height, image.width, 1), dtype=np.float32)
    x, y = shares_of(image.size)
    for across in (x, y):
        away = across - random.uniform(-0.4, 0.4)
        shade *= 1 - 0.45 * np.exp(-((away / 0.012) ** 2)) + 0.12 * np.tanh(away / 0.05)
    shade *= 1 + random.uniform(-0.35, 0.35) * x
    margin = round(0.05 * max(image.size))
    size = (image.width + 2 * margin, image.height + 2 * margin)
    folded = placed(image_of(values_of(image) * shade), size, (margin, margin), (236, 232, 224))
    return jpeg(folded.rotate(random.uniform(-4, 4), Image.Resampling.BICUBIC, expand=True, fillcolor=(96, 70, 48)))


def _polaroid(image: Image.Image, random: Random) -> bytes:
    """Pin an instant print to a wall, about 8 degrees askew."""
    side = max(image.size)
    frame = round(0.07 * side)
    size = (image.width + 2 * frame, image.height + frame + round(0.25 * side))
    card = placed(image, size, (frame, frame), (248, 246, 240))
    place = (size[0] / 2, image.height + frame + 0.12 * side)
    ImageDraw.Draw(card).text(place, words(random, 2), (40, 40, 70), font(max(6, round(side / 16))), anchor="mm")
    degrees = random.uniform(6, 10) * random.choice([-1, 1])
    return jpeg(card.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=colour(random, 60, 200)))


# --- drawn over ---


def _meme_over(image: Image.Image, random: Random) -> bytes:
    """Write large white letters with a black rim over the photo, above and below."""
    said = image.copy()
    draw = ImageDraw.Draw(said)
    size = max(8, round(min(image.height / 8, image.width / 9)))
    for high, anchor in ((0.03, "ma"), (0.97, "md")):
        text = words(random, 2).upper()
        while draw.textlength(text, font(size)) > 0.96 * image.width:
            text = text[:-1]
        rim = max(1, size // 12)
        draw.text(
            (image.width / 2, high * image.height), text, WHITE, font(size), anchor, stroke_width=rim, stroke_fill=BLACK
        )
    return jpeg(said)


def _tv_overlay(image: Image.Image, random: Random) -> bytes:
    """Show it in the news: the channel's mark, LIVE, a headline and a running line."""
    shown = image.copy()
    draw = ImageDraw.Draw(shown)
    wide, high = image.size
    size, theme = max(6, round(high / 16)), colour(random, 0, 180)
    draw.rectangle((0.82 * wide, 0.04 * high, 0.97 * wide, 0.15 * high), fill=theme)
    draw.text((0.895 * wide, 0.095 * high), words(random, 1)[:3].upper(), WHITE, font(size), anchor="mm")
    draw.rectangle((0.03 * wide, 0.04 * high, 0.18 * wide, 0.12 * high), fill=(200, 20, 20))
    draw.text((0.105 * wide, 0.08 * high), "LIVE", WHITE, font(size), anchor="mm")
    draw.rectangle((0, 0.74 * high, wide, 0.88 * high), fill=theme)
    draw_text(draw, (0.04 * wide, 0.77 * high, 0.97 * wide, 0.88 * high), random, size, WHITE)
    draw.rectangle((0, 0.88 * high, wide, high), fill=(235, 235, 235))
    draw_text(draw, (0, 0.9 * high, wide, high), random, 0.8 * size)
    return jpeg(shown)


def _emoji_scatter(image: Image.Image, random: Random) -> bytes:
    """Throw hearts, stars and faces over it."""
    thrown = image.copy()
    draw = ImageDraw.Draw(thrown)
    for number in range(int(random.integers(9, 16))):
        radius = random.uniform(0.04, 0.08) * min(image.size)
        x, y = random.uniform(0, 1, size=2) * image.size
        _EMOJI[number % len(_EMOJI)](draw, x, y, radius)
    return jpeg(thrown)


def _heart(draw: Draw, x: float, y: float, radius: float) -> None:
    for side in (-0.5, 0.5):
        draw.circle((x + side * radius, y - 0.3 * radius), 0.55 * radius, fill=(225, 30, 60))
    draw.polygon(((x - radius, y - 0.1 * radius), (x + radius, y - 0.1 * radius), (x, y + radius)), fill=(225, 30, 60))


def _star(draw: Draw, x: float, y: float, radius: float) -> None:
    angles = np.pi * np.arange(10) / 5 - np.pi / 2
    reach = radius * np.where(np.arange(10) % 2, 0.45, 1.0)
    points = np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], axis=1)
    draw.polygon([tuple(point) for point in points.tolist()], fill=(250, 200, 40))


def _face(draw: Draw, x: float, y: float, radius: float) -> None:
    draw.circle((x, y), radius, fill=(255, 215, 70))
    for side in (-1, 1):
        draw.ellipse((x + 0.38 * side * radius - radius / 6, y - radius / 2, x + 0.38 * side * radius + radius / 6, y))
    draw.chord((x - 0.6 * radius, y - 0.3 * radius, x + 0.6 * radius, y + 0.7 * radius), 0, 180, fill=(120, 50, 20))


_EMOJI: tuple[Callable[[Draw, float, float, float], None], ...] = (_heart, _star, _face)


def _sale_banner(image: Image.Image, random: Random) -> bytes:
    """Offer it in a shop: a round badge with percents, a band with a price, a slanted ribbon."""
    offered = image.copy()
    draw = ImageDraw.Draw(offered)
    side, theme = min(image.size), colour(random, 0, 200)
    x, radius = (0.16 if random.random() < 0.5 else 0.84) * image.width, 0.14 * side
    draw.circle((x, 0.2 * image.height), radius, fill=theme, outline=WHITE, width=max(1, round(radius / 10)))
    percents = f"-{10 * random.integers(1, 9)}%"
    draw.text((x, 0.2 * image.height), percents, WHITE, font(max(6, round(0.7 * radius))), anchor="mm")
    draw.rectangle((0, 0.8 * image.height, image.width, image.height), fill=theme)
    price = f"{words(random, 1)} {random.uniform(1, 500):.2f}"
    draw.text((image.width / 2, 0.9 * image.height), price, WHITE, font(max(6, round(0.1 * side))), anchor="mm")
    return jpeg(offered)


# --- part of something else ---


def _newspaper(image: Image.Image, random: Random) -> bytes:
    """Print it grey in a newspaper's page, with a headline above and text around."""
    wide = round(1.5 * max(image.size))
    page = Image.new("RGB", (wide, round(1.35 * wide)), (232, 228, 216))
    grey = image_of(30 + 0.75 * values_of(image.convert("L").convert("RGB")))
    photo = inside(grey, (round(0.62 * wide), round(0.62 * wide)))
    page.paste(photo, (round(0.05 * wide), round(0.2 * wide)))
    draw = ImageDraw.Draw(page)
    below, size = 0.22 * wide + photo.height, wide / 55
    right = 0.07 * wide + photo.width
    draw_text(draw, (0.05 * wide, 0.06 * wide, 0.95 * wide, 0.19 * wide), random, wide / 22)
    draw_text(draw, (right, 0.2 * wide, 0.95 * wide, below), random, size)
    for column in range(3):
        left = (0.05 + 0.31 * column) * wide
        draw_text(draw, (left, below, left + 0.28 * wide, 1.3 * wide), random, size)
    return jpeg(page, 85)


def _magazine(image: Image.Image, random: Random) -> bytes:
    """Lay it over one page of an open magazine, with text on the other and the fold between."""
    high = max(image.size)
    page = (round(0.75 * high), high)
    spread = Image.new("RGB", (2 * page[0], high), (250, 250, 248))
    at = int(random.integers(2)) * page[0]
    spread.paste(filled(image, page), (at, 0))
    draw, left = ImageDraw.Draw(spread), page[0] - at + 0.1 * page[0]
    draw_text(draw, (left, 0.08 * high, left + 0.8 * page[0], 0.2 * high), random, high / 20, colour(random, 0, 120))
    for column in range(2):
        start = left + 0.42 * column * page[0]
        draw_text(draw, (start, 0.24 * high, start + 0.38 * page[0], 0.92 * high), random, high / 60)
    x, _ = shares_of(spread.size)
    return jpeg(image_of(values_of(spread) * (1 - 0.4 * np.exp(-((x / 0.05) ** 2)))))


def _social_card(image: Image.Image, random: Random) -> bytes:
    """Show it in a post: the writer's face and name above, buttons and text below."""
    wide = image.width
    head, foot = max(20, round(0.15 * wide)), max(30, round(0.28 * wide))
    paper, ink = (WHITE, (20, 20, 20)) if random.random() < 0.6 else ((24, 26, 30), (230, 230, 230))
    card = placed(image, (wide, image.height + head + foot), (0, head), paper)
    draw = ImageDraw.Draw(card)
    draw.circle((0.09 * wide, head / 2), 0.36 * head, fill=colour(random))
    draw_text(draw, (0.17 * wide, 0.2 * head, 0.7 * wide, 0.9 * head), random, 0.24 * head, ink)
    top = image.height + head
    for number in range(3):
        centre = ((0.07 + 0.11 * number) * wide, top + 0.2 * foot)
        draw.circle(centre, 0.11 * foot, outline=ink, width=max(1, foot // 40))
    draw_text(draw, (0.04 * wide, top + 0.42 * foot, 0.96 * wide, top + foot), random, 0.13 * foot, ink)
    return jpeg(card)


def _video_call(image: Image.Image, random: Random) -> bytes:
    """Show it as one of four people in a call."""
    tile = (max(image.size), round(max(image.size) * 9 / 16))
    gap = round(0.03 * tile[0])
    call = Image.new("RGB", (2 * tile[0] + 3 * gap, 2 * tile[1] + 3 * gap), (28, 28, 32))
    draw, own = ImageDraw.Draw(call), int(random.integers(4))
    for number in range(4):
        left, top = gap + number % 2 * (tile[0] + gap), gap + number // 2 * (tile[1] + gap)
        call.paste(filled(image, tile) if number == own else stranger(random, tile), (left, top))
        name = words(random, 1)
        box: Box = (left, top + 0.88 * tile[1], left + 0.3 * tile[0], top + tile[1])
        draw.rectangle(box, fill=(20, 20, 20))
        draw.text((left + 0.15 * tile[0], top + 0.94 * tile[1]), name, WHITE, font(tile[1] // 14 + 5), anchor="mm")
    return jpeg(scaled(call, 0.6, 0.6), 80)


def _slide(image: Image.Image, random: Random) -> bytes:
    """Put it on a slide with a title, beside its points."""
    size: Size = (round(1.8 * max(image.size)), round(1.8 * max(image.size) * 9 / 16))
    wide, high = size
    slide, theme = Image.new("RGB", size, WHITE), colour(random, 0, 150)
    draw = ImageDraw.Draw(slide)
    draw.rectangle((0, 0, wide, 0.17 * high), fill=theme)
    draw.text((0.05 * wide, 0.085 * high), words(random, 3), WHITE, font(max(8, round(high / 13))), anchor="lm")
    at = 0.27 if random.random() < 0.5 else 0.73
    slide = pasted(slide, inside(image, (round(0.44 * wide), round(0.7 * high))), (at, 0.58))
    draw = ImageDraw.Draw(slide)
    left = (0.56 if at < 0.5 else 0.06) * wide
    for point in range(4):
        top = (0.28 + 0.16 * point) * high
        draw.rectangle((left, top, left + 0.01 * wide, top + 0.02 * high), fill=theme)
        draw_text(draw, (left + 0.03 * wide, top, left + 0.4 * wide, top + 0.1 * high), random, high / 32)
    return jpeg(slide)


_MADE: dict[str, tuple[Callable[[Image.Image, Random], bytes], str]] = {
    "corner_crop": (_corner_crop, "60 % of the area, towards a corner"),
    "story_strip": (_story_strip, "cut to 4:5 upright, upright photos to 16:9, not always at the middle"),
    "halftone": (_halftone, "printed as 80 to 130 black dots across"),
    "posterised": (_posterised, "4 or 8 levels of each channel"),
    "pixelated": (_pixelated, "72 to 96 px, enlarged without smoothing"),
    "pencil": (_pencil, "drawn with a pencil"),
    "iso_noise": (_iso_noise, "blotches and grain of a photo in the dark"),
    "duotone": (_duotone, "two colours for dark and light"),
    "night": (_night, "blue and dark, bars at both sides"),
    "aged": (_aged, "brown, with scratches and specks"),
    "barrel": (_barrel, "bent by a wide lens"),
    "stretched": (_stretched, "a third wider, as 4:3 shown at 16:9"),
    "creased_print": (_creased_print, "photo of a folded print on a table"),
    "polaroid": (_polaroid, "an instant print, 6 to 10 degrees askew"),
    "meme_over": (_meme_over, "large letters over it, above and below"),
    "tv_overlay": (_tv_overlay, "a channel's mark, a headline, a running line"),
    "emoji_scatter": (_emoji_scatter, "9 to 15 hearts, stars and faces"),
    "sale_banner": (_sale_banner, "a badge with percents, a band with a price"),
    "newspaper": (_newspaper, "grey, in a page with a headline and columns"),
    "magazine": (_magazine, "cut to one page of an open magazine"),
    "social_card": (_social_card, "in a post with name, buttons and text"),
    "video_call": (_video_call, "one of the four tiles of a call"),
    "slide": (_slide, "on a slide with a title and points"),
}
HELD_OUT: dict[str, Transform] = {name: Transform("held out", make, text) for name, (make, text) in _MADE.items()}
"""By name; none of them is in `TRANSFORMS` or `WIDENED`."""
