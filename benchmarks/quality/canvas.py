"""What copies are put together from: pictures fitted, bent and shaded, text in columns, and a stranger beside them."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from benchmarks.quality.transforms import BLACK, Random, font, words

Colour = tuple[int, int, int]
Size = tuple[int, int]
Box = tuple[float, float, float, float]
Draw = ImageDraw.ImageDraw


def colour(random: Random, low: int = 0, high: int = 255) -> Colour:
    """Return a colour whose channels lie from `low` to `high`."""
    red, green, blue = random.integers(low, high + 1, size=3).tolist()
    return red, green, blue


def filled(image: Image.Image, size: Size) -> Image.Image:
    """Return the image cut and scaled so that it fills a size."""
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)


def inside(image: Image.Image, size: Size) -> Image.Image:
    """Return the whole image, scaled so that it just fits into a size."""
    return ImageOps.contain(image, (max(1, size[0]), max(1, size[1])), Image.Resampling.LANCZOS)


def pasted(ground: Image.Image, image: Image.Image, at: tuple[float, float]) -> Image.Image:
    """Return the ground with the image on it, the image's middle at a place given in shares of the ground."""
    whole = ground.copy()
    whole.paste(image, (round(at[0] * ground.width - image.width / 2), round(at[1] * ground.height - image.height / 2)))
    return whole


def values_of(image: Image.Image) -> NDArray[np.float32]:
    """Return float32 (height, width, 3), 0 to 255."""
    return np.asarray(image, dtype=np.float32)


def image_of(values: NDArray[np.floating]) -> Image.Image:
    """Return an RGB image of (height, width, 3) values, cut to 0 to 255."""
    return Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8))


def shares_of(size: Size) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return how far each pixel lies across and down, from -1 to 1, float32 (height, width, 1) each."""
    across, down = (np.linspace(-1, 1, length, dtype=np.float32) for length in size)
    x, y = np.meshgrid(across, down)
    return x[..., np.newaxis], y[..., np.newaxis]


def vignetted(image: Image.Image, strength: float) -> Image.Image:
    """Return the image darkened towards its corners, there by the share `strength`."""
    x, y = shares_of(image.size)
    return image_of(values_of(image) * (1 - strength * (x**2 + y**2) / 2))


def seen_askew(image: Image.Image, random: Random, share: float, ground: Colour) -> Image.Image:
    """Return the image in perspective: each corner moved inwards by up to `share` of the sides."""
    wide, high = image.size
    moved = random.uniform(0, share, size=(4, 2)) * image.size
    corners = np.array([(0, 0), (wide, 0), (wide, high), (0, high)], dtype=float)
    inwards = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])
    return projected(image, corners + moved * inwards, ground)


def projected(image: Image.Image, corners: NDArray[np.floating], ground: Colour) -> Image.Image:
    """Return a canvas of the image's size that shows it between four corners (4, 2), clockwise from the upper left."""
    wide, high = image.size
    targets = [(0, 0), (wide, 0), (wide, high), (0, high)]
    rows, known = [], []
    for (x, y), (u, v) in zip(corners.tolist(), targets, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        known += [u, v]
    way = tuple(np.linalg.solve(np.array(rows), np.array(known)).tolist())
    return image.transform(image.size, Image.Transform.PERSPECTIVE, way, Image.Resampling.BICUBIC, fillcolor=ground)


def draw_text(draw: Draw, box: Box, random: Random, size_px: float, ink: Colour = BLACK) -> None:
    """Fill a box with lines of made-up words."""
    size = max(6, round(size_px))
    left, top, right, bottom = box
    while top + size <= bottom:
        line = words(random, 14)[: round(2 * (right - left) / size)]  # letters are about half as wide as high
        while line and draw.textlength(line, font(size)) > right - left:
            line = line[:-2]
        draw.text((left, top), line, ink, font(size))
        top += 1.4 * size


def stranger(random: Random, size: Size) -> Image.Image:
    """Return a made-up picture that stands beside a photo: light from above, ground, things, and texture over all."""
    wide, high = 160, max(40, round(160 * size[1] / size[0]))
    _, y = shares_of((wide, high))
    top, bottom = np.array(colour(random, 60)), np.array(colour(random, 20, 200))
    scene = image_of(np.broadcast_to(top + (bottom - top) * (y + 1) / 2, (high, wide, 3)))
    draw = ImageDraw.Draw(scene)
    for _ in range(int(random.integers(6, 14))):
        x, at, across, down = random.uniform((0, 0.2, 0.05, 0.05), (1, 1, 0.3, 0.3)) * (wide, high, wide, high)
        shape = (x - across / 2, at - down / 2, x + across / 2, at + down / 2)
        (draw.ellipse if random.random() < 0.6 else draw.rectangle)(shape, fill=colour(random, 30, 210))
    coarse = random.normal(0, 12, size=(high, wide, 1))
    rough = image_of(values_of(scene.filter(ImageFilter.GaussianBlur(1))) + coarse)
    return rough.resize(size, Image.Resampling.BICUBIC)
