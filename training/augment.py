"""Copies to learn from, as they turn up in the wild: cut, turned, framed, captioned, graded, compressed.

Each is made of a square of 128 px and ends as the service would see it: bars trimmed, 64 px. The kinds are those of the
quality evaluation; their strengths are drawn anew for each copy, beyond those of the evaluation, and no code is shared.
"""

import io
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from neardup.descriptors import copynet
from neardup.types import Pixels
from training.photos import INPUT_PX
from training.photos import SOURCE_PX as SIDE

Random = np.random.Generator
Colour = tuple[int, ...]
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
_TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
_BUTTONS = ((237, 106, 94), (245, 191, 79), (98, 197, 84))
_SMALLEST_PICTURE = 40


def as_seen(pixels: Pixels) -> Pixels:
    """Return uint8 (64, 64, 3), what the network sees of any uint8 (height, width, 3)."""
    return copynet.as_seen(pixels, INPUT_PX)


def strong_copy(photo: Pixels, random: Random) -> Pixels:
    """Return uint8 (64, 64, 3), a copy of uint8 (128, 128, 3) changed in several ways at once."""
    image = _moved(Image.fromarray(photo), random)
    overlaid, framed = happens(random, 0.4), happens(random, 0.35)
    below_frame = happens(random, 0.5)
    if overlaid and below_frame:
        image = _overlaid(image, random)
    if framed:
        image = _framed(image, random)
    if overlaid and not below_frame:
        image = _overlaid(image, random)
    if happens(random, 0.85):
        image = _regraded(image, random)
    if happens(random, 0.5):
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return as_seen(np.asarray(image))


def light_copy(photo: Pixels, random: Random) -> Pixels:
    """Return uint8 (64, 64, 3), the photo as it is or nearly so."""
    image = Image.fromarray(photo)
    if happens(random, 0.3):
        cut = random.uniform(0, 0.075) * SIDE
        image = _zoomed(image, (cut, cut, SIDE - cut, SIDE - cut))
    if happens(random, 0.3):
        image = ImageEnhance.Brightness(image).enhance(random.uniform(0.8, 1.2))
    return as_seen(np.asarray(image))


def happens(random: Random, chance: float) -> bool:
    """Tell whether something happens that has a chance."""
    return bool(random.random() < chance)


def any_colour(random: Random) -> Colour:
    """Return any colour."""
    return tuple(int(value) for value in random.integers(0, 256, 3))


def _bar_colour(random: Random) -> Colour:
    grey = int(random.integers(256))
    choices = (BLACK, WHITE, (grey, grey, grey), any_colour(random))
    return choices[random.choice(4, p=[0.4, 0.3, 0.15, 0.15])]


@cache
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font that Pillow brings, in a size of 5 px at least."""
    return ImageFont.load_default(max(5, size_px))


def words(random: Random, count: int) -> str:
    """Return words of random letters."""
    lengths = random.integers(2, 9, count)
    return " ".join("".join(chr(ord("a") + letter) for letter in random.integers(0, 26, length)) for length in lengths)


def _zoomed(image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)


# --- geometry ---


def _moved(image: Image.Image, random: Random) -> Image.Image:
    """Turn by a few degrees, cut, turn by a quarter: each now and then."""
    if happens(random, 0.25):
        corner = _bar_colour(random) if happens(random, 0.3) else BLACK
        image = image.rotate(random.uniform(-6, 6), Image.Resampling.BILINEAR, fillcolor=corner)
    if happens(random, 0.75):
        image = _zoomed(image, _cut(random))
    if happens(random, 0.12):
        image = image.transpose(_TURNS[random.integers(3)])
    return image


def _cut(random: Random) -> tuple[float, float, float, float]:
    """Return what is left after up to a third of each side is gone, more rather than less; of both alike in half."""
    alike = happens(random, 0.5)
    width, height = np.full(2, 0.33 * random.random() ** 0.5) if alike else 0.33 * random.random(2) ** 0.5
    left, top = (0.5, 0.5) if happens(random, 0.5) else random.random(2)
    return (
        SIDE * left * width,
        SIDE * top * height,
        SIDE * (1 - (1 - left) * width),
        SIDE * (1 - (1 - top) * height),
    )


# --- frames ---


def _framed(image: Image.Image, random: Random) -> Image.Image:
    makers = (_with_bars, _with_caption, _in_window, _in_frame)
    return makers[random.choice(4, p=[0.35, 0.25, 0.25, 0.15])](image, random)


def _with_bars(image: Image.Image, random: Random) -> Image.Image:
    first = round(random.uniform(0.03, 0.3) * SIDE)
    last = first if happens(random, 0.8) else round(random.uniform(0, 0.3) * SIDE)
    left = max(_SMALLEST_PICTURE, SIDE - first - last)
    canvas = Image.new("RGB", (SIDE, SIDE), _bar_colour(random))
    if happens(random, 0.5):
        canvas.paste(image.resize((SIDE, left)), (0, first))
    else:
        canvas.paste(image.resize((left, SIDE)), (first, 0))
    return canvas


def _with_caption(image: Image.Image, random: Random) -> Image.Image:
    """Put a band with lines of text above, below, or both."""
    band = round(random.uniform(0.1, 0.3) * SIDE)
    above, both = happens(random, 0.7), happens(random, 0.15)
    ground = WHITE if happens(random, 0.7) else _bar_colour(random)
    canvas = Image.new("RGB", (SIDE, SIDE), ground)
    height = SIDE - band * (2 if both else 1)
    canvas.paste(image.resize((SIDE, height)), (0, band if above or both else 0))
    draw, lines = ImageDraw.Draw(canvas), int(random.integers(1, 4))
    for top in ([0] if above or both else []) + ([SIDE - band] if both or not above else []):
        for line in range(lines):
            place = (SIDE * (0.5 if happens(random, 0.7) else 0.4), top + band * (line + 0.5) / lines)
            size = round(band * 0.7 / lines)
            draw.text(place, words(random, int(random.integers(2, 6))), ink_on(ground), font(size), anchor="mm")
    return canvas


def ink_on(ground: Colour) -> Colour:
    """Return black or white, whichever is legible."""
    return BLACK if sum(ground) > 380 else WHITE


def _in_window(image: Image.Image, random: Random) -> Image.Image:
    """Show it in a window: title bar with text and buttons, a frame around, sometimes a bar below."""
    bar, frame = round(random.uniform(0.04, 0.15) * SIDE), round(random.uniform(0, 0.06) * SIDE)
    below = round(random.uniform(0, 0.12) * SIDE) if happens(random, 0.3) else frame
    grey = int(random.integers(180, 256) if happens(random, 0.7) else random.integers(0, 80))
    ground = (grey, grey, min(255, grey + 3))
    canvas = Image.new("RGB", (SIDE, SIDE), ground)
    canvas.paste(image.resize((SIDE - 2 * frame, SIDE - bar - below)), (frame, bar))
    draw = ImageDraw.Draw(canvas)
    left, usual = happens(random, 0.6), happens(random, 0.6)
    for number, colour in enumerate(_BUTTONS if usual else [any_colour(random)] * 3):
        x = frame + bar * (0.5 + 0.7 * number)
        draw.circle((x if left else SIDE - x, bar / 2), bar * 0.2, fill=colour)
    draw.text((SIDE / 2, bar / 2), words(random, 2), ink_on(ground), font(bar // 2), anchor="mm")
    if below > bar // 2:
        draw.text((SIDE / 2, SIDE - below / 2), words(random, 3), ink_on(ground), font(below // 2), anchor="mm")
    return canvas


def _in_frame(image: Image.Image, random: Random) -> Image.Image:
    width = round(random.uniform(0.02, 0.12) * SIDE)
    canvas = Image.new("RGB", (SIDE, SIDE), _bar_colour(random))
    canvas.paste(image.resize((SIDE - 2 * width, SIDE - 2 * width)), (width, width))
    return canvas


# --- overlays ---


def _overlaid(image: Image.Image, random: Random) -> Image.Image:
    image = image.copy()
    makers = (_stamp, _logo, _watermark, _write)
    makers[random.choice(4, p=[0.2, 0.3, 0.25, 0.25])](image, random)
    return image


def _stamp(image: Image.Image, random: Random) -> None:
    year, month, day, hour, minute = random.integers([2010, 1, 1, 0, 0], [2030, 13, 29, 24, 60])
    place = (SIDE * random.choice([0.3, 0.7]), SIDE * random.choice([0.08, 0.98]))
    ink = any_colour(random) if happens(random, 0.3) else WHITE
    size = round(random.uniform(0.04, 0.09) * SIDE)
    text = f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}"
    ImageDraw.Draw(image).text(place, text, ink, font(size), anchor="ms")


def _logo(image: Image.Image, random: Random) -> None:
    """Draw a disc, a box, a polygon or a smiling face with a letter, in a corner or anywhere."""
    side, margin = random.uniform(0.1, 0.3) * SIDE, 0.03 * SIDE
    if happens(random, 0.6):
        left, top = random.choice([margin, SIDE - side - margin], 2)
    else:
        left, top = random.uniform(0, SIDE - side, 2)
    draw, colour, middle = ImageDraw.Draw(image), any_colour(random), (left + side / 2, top + side / 2)
    kind = random.choice(4, p=[0.4, 0.2, 0.2, 0.2])
    if kind == 0:
        draw.ellipse((left, top, left + side, top + side), fill=colour, outline=WHITE)
    elif kind == 1:
        draw.rectangle((left, top, left + side, top + side * random.uniform(0.3, 1)), fill=colour)
    elif kind == 2:
        draw.regular_polygon((*middle, side / 2), int(random.integers(3, 8)), fill=colour)
    else:
        _smile(draw, left, top, side)
        return
    draw.text(middle, chr(ord("A") + int(random.integers(26))), WHITE, font(round(side * 0.6)), anchor="mm")


def _smile(draw: ImageDraw.ImageDraw, left: float, top: float, side: float) -> None:
    dark, eye = (60, 40, 10), 0.1 * side
    draw.ellipse((left, top, left + side, top + side), fill=(255, 205, 60))
    for share in (0.33, 0.67):
        draw.circle((left + side * share, top + side * 0.35), eye, fill=dark)
    draw.arc((left + side * 0.25, top + side * 0.3, left + side * 0.75, top + side * 0.8), 20, 160, fill=dark, width=2)


def _watermark(image: Image.Image, random: Random) -> None:
    """Write a half-transparent word across."""
    text, diagonal = words(random, 1).upper(), round(1.41 * SIDE)
    size = round(1.2 * diagonal / max(6, len(text)) * random.uniform(0.6, 1.2))
    layer = Image.new("L", (diagonal, diagonal))
    strength = int(random.uniform(60, 170))
    ImageDraw.Draw(layer).text((diagonal / 2, diagonal / 2), text, strength, font(size), anchor="mm")
    turned = layer.rotate(float(random.choice([45, -45, 0]) + random.uniform(-15, 15)))
    edge = (diagonal - SIDE) // 2
    ink = WHITE if happens(random, 0.8) else any_colour(random)
    image.paste(ink, mask=turned.crop((edge, edge, edge + SIDE, edge + SIDE)))


def _write(image: Image.Image, random: Random) -> None:
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(1, 4))):
        ink = any_colour(random) if happens(random, 0.5) else WHITE
        size, stroke = round(random.uniform(0.06, 0.16) * SIDE), int(random.integers(2))
        place = tuple(random.uniform(0, SIDE, 2))
        text = words(random, int(random.integers(1, 4)))
        draw.text(place, text, ink, font(size), anchor="mm", stroke_width=stroke, stroke_fill=BLACK)


# --- light, colour and encoding ---


def _regraded(image: Image.Image, random: Random) -> Image.Image:
    if happens(random, 0.5):
        image = ImageEnhance.Brightness(image).enhance(random.uniform(0.65, 1.45))
    if happens(random, 0.4):
        image = ImageEnhance.Contrast(image).enhance(random.uniform(0.65, 1.45))
    colour = random.random()
    if colour < 0.2:
        image = image.convert("L").convert("RGB")
    elif colour < 0.45:
        image = ImageEnhance.Color(image).enhance(random.uniform(0.3, 1.7))
    if happens(random, 0.35):
        image = _toned(image, random)
    focus = random.random()
    if focus < 0.18:
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.2, 1.6)))
    elif focus < 0.28:
        image = image.filter(ImageFilter.UnsharpMask(1, int(random.uniform(50, 200)), 0))
    if happens(random, 0.15):
        image = _with_noise(image, random)
    if happens(random, 0.25):
        image = _compressed(image, random)
    return image


def _toned(image: Image.Image, random: Random) -> Image.Image:
    """Apply a gain and a gamma to each channel."""
    gains, gammas = random.uniform(0.75, 1.25, (3, 1)), random.uniform(0.75, 1.3, (3, 1))
    tones = 255 * np.linspace(0, 1, 256) ** gammas * gains
    return image.point(tones.clip(0, 255).astype(int).ravel().tolist())


def _with_noise(image: Image.Image, random: Random) -> Image.Image:
    noise = random.standard_normal((SIDE, SIDE, 3), dtype=np.float32) * random.uniform(1, 12)
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def _compressed(image: Image.Image, random: Random) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(random.integers(30, 90)))
    with Image.open(buffer) as decoded:
        decoded.load()
        return decoded
