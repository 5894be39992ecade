"""Small drawn pictures of one layout each, of which those of another seed say something else."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from neardup.types import Pixels

_LETTERS = np.array([*"abcdefghijklmnopqrstuvwxyz    "])


def page(seed: int) -> Pixels:
    """Return a printed page of 20 lines."""
    random = np.random.default_rng([1, seed])
    image = Image.new("L", (360, 480), 255)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    for line in range(20):
        draw.text((30, 40 + 20 * line), "".join(_LETTERS[random.integers(0, len(_LETTERS), 36)]), 30, font)
    return rgb(image)


def qr_code(seed: int) -> Pixels:
    """Return a code of 29 x 29 modules with three marked corners."""
    modules = np.random.default_rng([2, seed]).integers(0, 2, (29, 29), dtype=np.uint8)
    ring = np.minimum.outer(*[np.minimum(np.arange(8), 6 - np.arange(8))] * 2)
    corner = np.isin(ring, (0, 2, 3)).astype(np.uint8)
    modules[:8, :8], modules[:8, -8:], modules[-8:, :8] = corner, corner[:, ::-1], corner[::-1]
    return rgb(Image.fromarray(255 * (1 - np.pad(modules, 3)).repeat(8, axis=0).repeat(8, axis=1)))


def chess_board(seed: int) -> Pixels:
    """Return a board with 28 pieces, half of them of either side."""
    image = Image.new("L", (320, 320), 210)
    draw = ImageDraw.Draw(image)
    for row, column in np.ndindex(8, 8):
        if (row + column) % 2:
            draw.rectangle((40 * column, 40 * row, 40 * column + 39, 40 * row + 39), 130)
    for number, place in enumerate(np.random.default_rng([3, seed]).permutation(64)[:28].tolist()):
        left, top = 40 * (place % 8), 40 * (place // 8)
        draw.polygon([(left + 20, top + 4), (left + 8, top + 35), (left + 32, top + 35)], 255 * (number % 2), 60)
    return rgb(image)


def form(seed: int) -> Pixels:
    """Return one form of 12 lines, in which numbers are filled in."""
    random = np.random.default_rng([5, seed])
    image = Image.new("L", (400, 400), 250)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(15)
    draw.rectangle((0, 0, 400, 44), 60)
    draw.text((20, 12), "STATEMENT OF ACCOUNT", 255, ImageFont.load_default(20))
    for line in range(12):
        top = 60 + 27 * line
        draw.text((20, top), "".join(_LETTERS[np.random.default_rng([6, line]).integers(0, 26, 14)]), 20, font)
        draw.text((380, top), f"{random.uniform(100, 999):.2f}", 20, font, anchor="ra")
        draw.line((20, top + 22, 380, top + 22), 150)
    return rgb(image)


def photo(seed: int, width: int = 240, height: int = 180) -> Pixels:
    """Return a picture of coloured patches of all sizes, as full of detail as a photo."""
    random = np.random.default_rng([4, seed])
    plane = np.zeros((height, width, 3))
    for cells in (3, 8, 20, 50):
        coarse = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        plane += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / 4.0
    return np.clip((plane - 128) * 2 + 128, 0, 255).astype(np.uint8)


def rgb(image: Image.Image) -> Pixels:
    """Return the pixels of an image."""
    return np.asarray(image.convert("RGB"), dtype=np.uint8)


def dark_photo(seed: int) -> Pixels:
    """Return a picture as `photo` does, a little blurred and in dark colours: photos are calmer than that is."""
    soft = Image.fromarray(photo(seed)).filter(ImageFilter.GaussianBlur(1))
    return (np.asarray(soft) // 2).astype(np.uint8)


def pale_photo(seed: int) -> Pixels:
    """Return the same in light colours: beside a dark one it stands out without a gap."""
    return dark_photo(seed) + np.uint8(128)


def jpeg_of(pixels: Pixels, quality: int = 60) -> Pixels:
    """Return the pixels after a JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return rgb(Image.open(file))


def cropped(pixels: Pixels, share: float) -> Pixels:
    """Return the pixels without this share of the width and of the height, half of it on either side."""
    down, across = (round(side * share / 2) for side in pixels.shape[:2])
    return pixels[down : pixels.shape[0] - down, across : pixels.shape[1] - across]


def scaled(pixels: Pixels, scale: float) -> Pixels:
    """Return the pixels at another size."""
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return rgb(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
