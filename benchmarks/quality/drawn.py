"""What people draw, print and write: pages, signs and screens of one layout, each another one to whoever reads it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.quality.transforms import BLACK, WHITE, Random, font, words

PAPER_PX = (600, 424)
Draw = ImageDraw.ImageDraw


def _sheet(size: tuple[int, int]) -> tuple[Image.Image, Draw]:
    image = Image.new("RGB", size, WHITE)
    return image, ImageDraw.Draw(image)


def _curve(random: Random, points: int) -> NDArray[np.float64]:
    """Return a smooth walk from 0 to 1 across and within -1 and 1 up and down, (points, 2)."""
    waves = np.arange(1, 9)
    phases, sizes = random.uniform(0, 2 * np.pi, 8), random.normal(size=8) / waves
    across = np.linspace(0, 1, points)
    high = np.sin(np.outer(across, 2 * np.pi * waves) + phases) @ sizes
    return np.stack([across, high / np.abs(high).max()], axis=1)


def _sheet_music(_: int, random: Random) -> Image.Image:
    """Write other notes on five systems of five thin lines."""
    image, draw = _sheet(PAPER_PX)
    for system in range(5):
        top = 40 + 76 * system
        for line in range(5):
            draw.line((30, top + 8 * line, 570, top + 8 * line), fill=BLACK)
        for note in range(20):
            x, y = 50 + 26 * note, top + 4 * int(random.integers(0, 9))
            draw.ellipse((x - 5, y - 4, x + 5, y + 4), fill=BLACK if random.random() < 0.7 else WHITE, outline=BLACK)
            draw.line((x + 5, y, x + 5, y - 28), fill=BLACK)
    return image


def _signature(_: int, random: Random) -> Image.Image:
    """Sign with another stroke."""
    image, draw = _sheet((400, 160))
    across, high = _curve(random, 300).T, _curve(random, 300)[:, 1]
    stroke = np.stack([60 + 280 * across[0] + 25 * high, 80 + 55 * across[1]], axis=1)
    draw.line([tuple(point) for point in stroke], fill=(20, 30, 120), width=2)
    return image


def _handwriting(_: int, random: Random) -> Image.Image:
    """Write six lines of other strokes."""
    image, draw = _sheet(PAPER_PX)
    for line in range(6):
        for word in range(5):
            left, wide = 40 + 108 * word, random.uniform(50, 95)
            letters = np.stack([_curve(random, 60)[:, 1] for _ in range(2)])
            x = left + wide * np.linspace(0, 1, 60) + 5 * letters[0]
            draw.line(list(zip(x, 55 + 62 * line + 16 * letters[1], strict=True)), fill=(30, 30, 60), width=2)
    return image


def _plot(_: int, random: Random) -> Image.Image:
    """Draw three other curves on the same axes."""
    image, draw = _sheet((400, 300))
    draw.line((40, 20, 40, 260, 380, 260), fill=BLACK)
    for tick in range(6):
        draw.line((36, 20 + 48 * tick, 40, 20 + 48 * tick), fill=BLACK)
        draw.text((45 + 66 * tick, 270), str(tick), BLACK, font(10))
    for colour in ((31, 119, 180), (255, 127, 14), (44, 160, 44)):
        curve = _curve(random, 120)
        draw.line([(40 + 340 * x, 140 - 110 * y) for x, y in curve], fill=colour, width=1)
    return image


def _ecg(_: int, random: Random) -> Image.Image:
    """Draw four leads on ruled paper: another pulse, other heights, other pauses."""
    image = Image.new("RGB", PAPER_PX, (255, 250, 248))
    draw = ImageDraw.Draw(image)
    for at in range(0, 600, 10):
        draw.line((at, 0, at, 424), fill=(250, 200, 200))
        draw.line((0, at, 600, at), fill=(250, 200, 200))
    heights = random.uniform(20, 42, 4)
    for lead in range(4):
        base, start = 60 + 100 * lead, random.uniform(5, 40)
        points: list[tuple[float, float]] = [(0, base)]
        while start < 560:
            beat = [(0, 0), (8, -6), (14, 0), (20, 4), (24, -heights[lead]), (28, 10), (32, 0), (44, -9), (54, 0)]
            points += [(start + x, base + y) for x, y in beat]
            start += random.uniform(60, 110)
        draw.line([*points, (600, base)], fill=BLACK, width=1)
    return image


def _barcode(_: int, random: Random) -> Image.Image:
    """Print another number as 59 bars and gaps of the same width in all, as EAN codes do."""
    image, draw = _sheet((300, 160))
    units = random.multinomial(36, np.full(59, 1 / 59)) + 1
    edges = 7 + 3 * np.concatenate([[0], np.cumsum(units)])
    for bar in range(0, 59, 2):
        draw.rectangle((edges[bar], 15, edges[bar + 1] - 1, 130), fill=BLACK)
    draw.text((150, 145), "".join(map(str, random.integers(0, 10, 13))), BLACK, font(14), anchor="mm")
    return image


def _qr(_: int, random: Random) -> Image.Image:
    """Print another text as 33 x 33 modules, with the three corners that all have."""
    modules = random.random((33, 33)) < 0.5
    corner = np.zeros((8, 8), dtype=bool)
    corner[:7, :7] = True
    corner[1:6, 1:6] = False
    corner[2:5, 2:5] = True
    modules[:8, :8], modules[:8, -8:], modules[-8:, :8] = corner, corner[:, ::-1], corner[::-1]
    ink = np.pad(np.where(modules, 0, 255).astype(np.uint8), 4, constant_values=255)
    return Image.fromarray(ink.repeat(8, axis=0).repeat(8, axis=1)).convert("RGB")


def _chess(_: int, random: Random) -> Image.Image:
    """Put 20 pieces elsewhere on the same board."""
    image = Image.new("RGB", (320, 320), (240, 217, 181))
    draw = ImageDraw.Draw(image)
    for field in range(0, 64, 2):
        x, y = 40 * ((field + field // 8 % 2) % 8), 40 * (field // 8)
        draw.rectangle((x, y, x + 39, y + 39), fill=(181, 136, 99))
    for place in random.permutation(64)[:20]:
        x, y = 40 * (place % 8), 40 * (place // 8)
        ink, rim = (WHITE, BLACK) if random.random() < 0.5 else (BLACK, WHITE)
        draw.ellipse((x + 9, y + 5, x + 31, y + 27), fill=ink, outline=rim)
        draw.rectangle((x + 9, y + 25, x + 31, y + 34), fill=ink, outline=rim)
    return image


def _identity_card(_: int, random: Random) -> Image.Image:
    """Fill in one card with another face, name and number."""
    image = Image.new("RGB", (428, 270), (205, 222, 235))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 428, 44), fill=(30, 60, 130))
    draw.text((20, 12), "IDENTITY CARD", WHITE, font(20))
    draw.rectangle((20, 64, 140, 224), fill=(225, 225, 225))
    skin = tuple(int(level) for level in np.array([235, 200, 175]) * random.uniform(0.45, 1))
    hair = tuple(int(level) for level in random.integers(10, 160, 3))
    wide, high = random.uniform(30, 42), random.uniform(40, 55)
    draw.ellipse((80 - wide - 6, 140 - high - 14, 80 + wide + 6, 140 + high / 2), fill=hair)
    draw.ellipse((80 - wide, 140 - high, 80 + wide, 140 + high), fill=skin)
    for line, name in enumerate(("Name", "Given names", "Born", "Number")):
        draw.text((165, 64 + 42 * line), name, (80, 80, 80), font(10))
        draw.text((165, 78 + 42 * line), words(random, 2), BLACK, font(16))
    return image


def _messages(_: int, random: Random) -> Image.Image:
    """Show eight other messages in the same app."""
    image = Image.new("RGB", (360, 640), (236, 229, 221))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 360, 56), fill=(7, 94, 84))
    draw.text((60, 18), words(random, 1), WHITE, font(18))
    draw.rectangle((0, 590, 360, 640), fill=WHITE)
    for message in range(8):
        text = words(random, int(random.integers(1, 6)))
        left = 12 if random.random() < 0.5 else 340 - int(draw.textlength(text, font(13)))
        top = 72 + 64 * message
        box = (left - 6, top, left + draw.textlength(text, font(13)) + 12, top + 40)
        draw.rounded_rectangle(box, 8, fill=WHITE if left == 12 else (220, 248, 198))
        draw.text((left, top + 12), text, BLACK, font(13))
    return image


def _product(_: int, random: Random) -> Image.Image:
    """Photograph a bottle of other proportions and label on white."""
    image, draw = _sheet((320, 400))
    colour = tuple(int(level) for level in random.integers(20, 200, 3))
    wide, neck, shoulder = random.uniform(40, 80), random.uniform(12, 30), random.uniform(110, 200)
    draw.rounded_rectangle((160 - wide, shoulder, 160 + wide, 370), 18, fill=colour)
    draw.polygon(
        [
            (160 - wide, shoulder + 18),
            (160 - neck, shoulder - 40),
            (160 + neck, shoulder - 40),
            (160 + wide, shoulder + 18),
        ],
        fill=colour,
    )
    draw.rectangle((160 - neck, 40, 160 + neck, shoulder - 38), fill=colour)
    draw.rectangle((160 - wide, 240, 160 + wide, 320), fill=tuple(int(level) for level in random.integers(80, 256, 3)))
    draw.text((160, 280), words(random, 1), BLACK, font(20), anchor="mm")
    return image


def _receipt(_: int, random: Random) -> Image.Image:
    """Print other items and prices on one shop's paper, 1:2.5."""
    image, draw = _sheet((240, 600))
    draw.text((120, 30), "CORNER SHOP", BLACK, font(18), anchor="mm")
    for item in range(24):
        draw.text((16, 70 + 20 * item), words(random, 2)[:20], BLACK, font(11))
        draw.text((224, 70 + 20 * item), f"{random.uniform(0.5, 99):.2f}", BLACK, font(11), anchor="ra")
    return image


def _scroll(times: int) -> Callable[[int, Random], Image.Image]:
    """Return what captures another text in paragraphs, so many times as high as it is wide."""

    def scene(_: int, random: Random) -> Image.Image:
        image, draw = _sheet((300, 300 * times))
        left = 0
        for top in range(15, 300 * times - 15, 10):
            left = left - 1 if left > 0 else int(random.integers(4, 12))
            wide = 70 if left > 1 else int(random.integers(5, 70)) if left else 0  # the last but one is a gap
            letters = np.array([*"abcdefghijklmnopqrstuvwxyz   "])[random.integers(0, 29, 70)]
            draw.text((15, top), "".join(letters[:wide]), BLACK, font(7))
        return image

    return scene


def _halves(_: int, random: Random) -> Image.Image:
    """Draw a light and a dark half, with another thirty small things in each."""
    image, draw = _sheet((320, 320))
    draw.rectangle((0, 160, 320, 320), fill=(20, 20, 24))
    for half, ink in enumerate(((200, 200, 204), (70, 70, 74))):
        for x, y, side in random.uniform((0, 0, 6), (300, 140, 22), size=(30, 3)):
            draw.rectangle((x, y + 160 * half, x + side, y + 160 * half + side / 2), fill=ink)
    return image


SCENES: dict[str, tuple[Callable[[int, Random], Image.Image], str]] = {
    "sheet_music": (_sheet_music, "other notes on the same five systems"),
    "signature": (_signature, "another stroke"),
    "handwriting": (_handwriting, "other strokes on six lines"),
    "plot": (_plot, "three other thin curves on the same axes"),
    "ecg": (_ecg, "another pulse on the same ruled paper"),
    "barcode": (_barcode, "another number in bars of the same width in all"),
    "qr": (_qr, "another text in 33 x 33 modules"),
    "chess": (_chess, "twenty pieces elsewhere on the same board"),
    "identity_card": (_identity_card, "another face, name and number on the same card"),
    "messages": (_messages, "eight other messages in the same app"),
    "product": (_product, "a bottle of other proportions, colour and label on white"),
    "receipt": (_receipt, "other items and prices, 1:2.5"),
    "scroll3": (_scroll(3), "another text, 1:3"),
    "scroll10": (_scroll(10), "another text, 1:10"),
    "halves": (_halves, "thirty other things in a light and a dark half"),
}
"""What draws a picture of a class, and what tells two of its pictures apart."""
