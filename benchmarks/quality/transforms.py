"""Copies of a photo as they turn up in the wild: every transform takes an RGB image and gives encoded bytes.

The bytes go through the path of the service, decoding included. A copy is saved as JPEG of quality 95 unless the
encoding is the point. What is drawn at random (text, places, noise) depends on the seed and on the transform alone:

    make_copy("crop10", image, photo_seed(0, "imagenet_0001.jpg"))
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from neardup.decoding.decode import EXIF_ORIENTATION

COPY_QUALITY = 95
"""JPEG quality of copies whose edit is not the quality."""
BLACK, WHITE = (0, 0, 0), (255, 255, 255)

Random = np.random.Generator
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Transform:
    """One way in which a copy differs from its original.

    Attributes
    ----------
    kind
        ``compression``, ``photometric``, ``geometric``, ``overlay``, ``symmetric`` (mirrored or turned: the content is
        the same, the layout is not) or ``beyond``. All but the last make the core list. Other modules have lists of
        other kinds.
    make
        RGB image and random numbers in, encoded bytes out.
    text
        What it does, for people.
    """

    kind: str
    make: Callable[[Image.Image, Random], bytes]
    text: str


def make_copy(name: str, image: Image.Image, seed: int, among: Mapping[str, Transform] | None = None) -> bytes:
    """Return the encoded copy of an RGB image that the transform `name` makes; the image is left alone.

    `among` is the list that has this transform: `TRANSFORMS` if not told.
    """
    key = int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big")
    return (among or TRANSFORMS)[name].make(image, np.random.default_rng(key))


def photo_seed(seed: int, photo: str) -> int:
    """Return the seed of one photo of a run: the same whatever other photos are in it."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{photo}".encode()).digest()[:8], "big")


def jpeg(image: Image.Image, quality: int = COPY_QUALITY) -> bytes:
    """Return the image as JPEG."""
    return saved(image, "JPEG", quality=quality)


def saved(image: Image.Image, encoding: str, **options: object) -> bytes:
    """Return the image in one of Pillow's formats, with the options of its writer."""
    buffer = io.BytesIO()
    image.save(buffer, encoding, **options)
    return buffer.getvalue()


# --- compression and size ---


def _jpeg80(image: Image.Image, _: Random) -> bytes:
    return jpeg(image, 80)


def _jpeg50(image: Image.Image, _: Random) -> bytes:
    return jpeg(image, 50)


def _jpeg30(image: Image.Image, _: Random) -> bytes:
    return jpeg(image, 30)


def _half(image: Image.Image, _: Random) -> bytes:
    return jpeg(scaled(image, 0.5, 0.5))


def scaled(image: Image.Image, by_width: float, by_height: float) -> Image.Image:
    """Return the image with its width and height multiplied by these."""
    size = (max(1, round(image.width * by_width)), max(1, round(image.height * by_height)))
    return image.resize(size, Image.Resampling.LANCZOS)


# --- photometric ---


def _brighter20(image: Image.Image, _: Random) -> bytes:
    return jpeg(ImageEnhance.Brightness(image).enhance(1.2))


def _darker20(image: Image.Image, _: Random) -> bytes:
    return jpeg(ImageEnhance.Brightness(image).enhance(0.8))


def _contrast_up20(image: Image.Image, _: Random) -> bytes:
    return jpeg(ImageEnhance.Contrast(image).enhance(1.2))


def _contrast_down20(image: Image.Image, _: Random) -> bytes:
    return jpeg(ImageEnhance.Contrast(image).enhance(0.8))


def _grey(image: Image.Image, _: Random) -> bytes:
    return jpeg(image.convert("L"))


def _blur2(image: Image.Image, _: Random) -> bytes:
    return jpeg(image.filter(ImageFilter.GaussianBlur(2)))


def _noise8(image: Image.Image, random: Random) -> bytes:
    return jpeg(with_noise(image, 8.0, random))


def with_noise(image: Image.Image, sigma: float, random: Random) -> Image.Image:
    """Return the image with Gaussian noise of `sigma` grey levels, drawn for each channel of each pixel."""
    values = np.asarray(image, dtype=np.float32)
    noisy = values + sigma * random.standard_normal(values.shape, dtype=np.float32)
    return Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))


# --- geometric ---


def _shift1(image: Image.Image, _: Random) -> bytes:
    return jpeg(shifted(image))


def shifted(image: Image.Image) -> Image.Image:
    """Return the image moved left and up by a pixel; the last column and row appear twice."""
    moved = image.copy()
    moved.paste(image.crop((1, 1, image.width, image.height)), (0, 0))
    return moved


def _crop5(image: Image.Image, _: Random) -> bytes:
    return jpeg(cropped(image, 0.05))


def _crop10(image: Image.Image, _: Random) -> bytes:
    return jpeg(cropped(image, 0.10))


def _crop20(image: Image.Image, _: Random) -> bytes:
    return jpeg(cropped(image, 0.20))


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Return the image without `share` of its width and of its height, half of it at either end."""
    x, y = image.width * share / 2, image.height * share / 2
    return image.crop((round(x), round(y), round(image.width - x), round(image.height - y)))


def _rotate2(image: Image.Image, _: Random) -> bytes:
    return jpeg(image.rotate(2, Image.Resampling.BICUBIC))


def _letterbox(image: Image.Image, _: Random) -> bytes:
    bar = round(image.height / 6)
    return jpeg(placed(image, (image.width, image.height + 2 * bar), (0, bar), BLACK))


def placed(image: Image.Image, size: tuple[int, int], at: tuple[int, int], colour: tuple[int, int, int]) -> Image.Image:
    """Return a canvas of one colour with the image on it, its upper left corner at a place."""
    canvas = Image.new("RGB", size, colour)
    canvas.paste(image, at)
    return canvas


def _combination(image: Image.Image, _: Random) -> bytes:
    brighter = ImageEnhance.Brightness(cropped(image, 0.05)).enhance(1.2)
    return jpeg(scaled(brighter, 0.5, 0.5), 50)


# --- overlay ---


def _timestamp(image: Image.Image, random: Random) -> bytes:
    year, month, day, hour, minute, second = random.integers([2010, 1, 1, 0, 0, 0], [2030, 13, 29, 24, 60, 60])
    text = f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
    stamped = image.copy()
    place = (image.width * 0.98, image.height * 0.98)
    height = max(6, round(0.05 * image.height))
    ImageDraw.Draw(stamped).text(place, text, WHITE, font(height), anchor="rs", stroke_width=1, stroke_fill=BLACK)
    return jpeg(stamped)


def _logo(image: Image.Image, random: Random) -> bytes:
    """Draw a coloured disc with a letter, 15 % of the short side, into one of the corners."""
    side, margin = 0.15 * min(image.size), 0.03 * min(image.size)
    right, low = random.integers(0, 2, size=2)
    left = image.width - margin - side if right else margin
    top = image.height - margin - side if low else margin
    colour = tuple(int(value) for value in random.integers(0, 256, size=3))
    marked = image.copy()
    draw = ImageDraw.Draw(marked)
    draw.ellipse((left, top, left + side, top + side), fill=colour, outline=WHITE, width=max(1, round(side / 20)))
    letter = chr(ord("A") + int(random.integers(26)))
    draw.text((left + side / 2, top + side / 2), letter, WHITE, font(max(6, round(side * 0.6))), anchor="mm")
    return jpeg(marked)


@cache
def font(size_px: int) -> Font:
    """Return the font that comes with Pillow: the same pixels whatever fonts a machine has."""
    return ImageFont.load_default(size_px)


# --- symmetric ---


def _flip(image: Image.Image, _: Random) -> bytes:
    return jpeg(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


def _rotate90(image: Image.Image, _: Random) -> bytes:
    return jpeg(image.transpose(Image.Transpose.ROTATE_90))


# --- beyond ---


def _pad_square(image: Image.Image, _: Random) -> bytes:
    side = max(image.size)
    return jpeg(placed(image, (side, side), ((side - image.width) // 2, (side - image.height) // 2), WHITE))


def _screenshot(image: Image.Image, random: Random) -> bytes:
    """Show the photo in a window: title bar with text and buttons, a frame around."""
    bar, frame = max(8, round(0.08 * image.height)), max(2, round(0.02 * min(image.size)))
    size = (image.width + 2 * frame, image.height + bar + frame)
    window = placed(image, size, (frame, bar), (225, 225, 228))
    draw = ImageDraw.Draw(window)
    for number, colour in enumerate([(237, 106, 94), (245, 191, 79), (98, 197, 84)]):
        centre = frame + bar * (0.5 + 0.6 * number)
        draw.circle((centre, bar / 2), bar * 0.2, fill=colour)
    draw.text((size[0] / 2, bar / 2), f"IMG_{random.integers(10_000):04}.jpg", BLACK, font(round(bar / 2)), anchor="mm")
    return jpeg(window)


def _meme(image: Image.Image, random: Random) -> bytes:
    """Put a white band of a fifth of the height above the photo, with two lines of text."""
    band = round(image.height / 5)
    captioned = placed(image, (image.width, image.height + band), (0, band), WHITE)
    draw = ImageDraw.Draw(captioned)
    for line in range(2):
        place = (image.width / 2, band * (0.3 + 0.4 * line))
        draw.text(place, words(random, 4), BLACK, font(max(6, round(band * 0.3))), anchor="mm", stroke_width=0.5)
    return jpeg(captioned)


def words(random: Random, count: int) -> str:
    """Return made-up words of 3 to 8 letters."""
    letters = [random.integers(0, 26, size=random.integers(3, 9)) for _ in range(count)]
    return " ".join("".join(chr(ord("a") + letter) for letter in word) for word in letters)


def _grading(image: Image.Image, random: Random) -> bytes:
    """Grade as a photo app does: a gain and a gamma for each channel, within 15 %, and more or less colour."""
    values = np.asarray(image, dtype=np.float32) / 255.0
    gains, gammas = random.uniform(0.85, 1.15, size=3), random.uniform(0.85, 1.15, size=3)
    graded = (255.0 * (values**gammas * gains).clip(0, 1)).round().astype(np.uint8)
    return jpeg(ImageEnhance.Color(Image.fromarray(graded)).enhance(random.uniform(0.6, 1.4)))


def _sharpen(image: Image.Image, _: Random) -> bytes:
    return jpeg(image.filter(ImageFilter.UnsharpMask(radius=2, percent=150, threshold=0)))


def _double_jpeg(image: Image.Image, _: Random) -> bytes:
    with Image.open(io.BytesIO(jpeg(shifted(image), 50))) as once:
        return jpeg(once.convert("RGB"), 75)


def _aspect(image: Image.Image, _: Random) -> bytes:
    return jpeg(scaled(image, 0.8, 1.0))


def _watermark(image: Image.Image, random: Random) -> bytes:
    """Write a half-transparent word across the photo, from corner to corner."""
    text, diagonal = words(random, 1).upper(), round(np.hypot(*image.size))
    size = max(6, round(1.2 * diagonal / max(6, len(text))))
    layer = Image.new("L", (diagonal, diagonal))
    ImageDraw.Draw(layer).text((diagonal / 2, diagonal / 2), text, 110, font(size), anchor="mm")
    slope = float(np.degrees(np.arctan2(image.height, image.width)))
    left, top = (diagonal - image.width) // 2, (diagonal - image.height) // 2
    turned = layer.rotate(slope, Image.Resampling.BICUBIC)
    marked = image.copy()
    marked.paste(WHITE, mask=turned.crop((left, top, left + image.width, top + image.height)))
    return jpeg(marked)


_STORED_AS = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
"""EXIF orientations of cameras, and how pixels lie in a file that says so (its reader turns them back)."""


def _exif_twin(image: Image.Image, random: Random) -> bytes:
    orientation = int(random.choice(list(_STORED_AS)))
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    return saved(image.transpose(_STORED_AS[orientation]), "JPEG", quality=COPY_QUALITY, exif=exif)


def _png(image: Image.Image, _: Random) -> bytes:
    return saved(image, "PNG", compress_level=1)


def _webp(image: Image.Image, _: Random) -> bytes:
    return saved(image, "WEBP", quality=75)


def _gif(image: Image.Image, _: Random) -> bytes:
    return saved(image.quantize(256), "GIF")


TRANSFORMS: dict[str, Transform] = {
    "jpeg80": Transform("compression", _jpeg80, "JPEG of quality 80"),
    "jpeg50": Transform("compression", _jpeg50, "JPEG of quality 50"),
    "jpeg30": Transform("compression", _jpeg30, "JPEG of quality 30"),
    "half": Transform("compression", _half, "half the width and height"),
    "brighter20": Transform("photometric", _brighter20, "brightness +20 %, what is too bright is cut"),
    "darker20": Transform("photometric", _darker20, "brightness -20 %"),
    "contrast_up20": Transform("photometric", _contrast_up20, "contrast +20 % about the mean"),
    "contrast_down20": Transform("photometric", _contrast_down20, "contrast -20 % about the mean"),
    "grey": Transform("photometric", _grey, "no colour"),
    "blur2": Transform("photometric", _blur2, "Gaussian blur of 2 px"),
    "noise8": Transform("photometric", _noise8, "Gaussian noise of 8 grey levels in each channel"),
    "shift1": Transform("geometric", _shift1, "moved left and up by 1 px"),
    "crop5": Transform("geometric", _crop5, "5 % of each side's length cut away, half at either end"),
    "crop10": Transform("geometric", _crop10, "10 % of each side's length cut away, half at either end"),
    "crop20": Transform("geometric", _crop20, "20 % of each side's length cut away, half at either end"),
    "rotate2": Transform("geometric", _rotate2, "turned by 2 degrees inside its frame, corners black"),
    "letterbox": Transform("geometric", _letterbox, "black bars above and below, together a quarter of the height"),
    "combination": Transform("geometric", _combination, "crop 5 %, brightness +20 %, half size, JPEG 50"),
    "timestamp": Transform("overlay", _timestamp, "date and time written into the lower right corner"),
    "logo": Transform("overlay", _logo, "a disc with a letter in a corner, 15 % of the short side"),
    "flip": Transform("symmetric", _flip, "mirrored"),
    "rotate90": Transform("symmetric", _rotate90, "turned by a quarter"),
    "pad_square": Transform("beyond", _pad_square, "padded with white to a square"),
    "screenshot": Transform("beyond", _screenshot, "shown in a window with a title bar and a frame"),
    "meme": Transform("beyond", _meme, "a white band with a caption above, a fifth of the height"),
    "grading": Transform("beyond", _grading, "gain and gamma of each channel within 15 %, saturation within 40 %"),
    "sharpen": Transform("beyond", _sharpen, "unsharp mask, 2 px, 150 %"),
    "double_jpeg": Transform("beyond", _double_jpeg, "JPEG 50 of the photo moved by 1 px, then JPEG 75"),
    "aspect": Transform("beyond", _aspect, "squeezed to 80 % of its width"),
    "watermark": Transform("beyond", _watermark, "a half-transparent word from corner to corner"),
    "exif_twin": Transform(
        "beyond", _exif_twin, "pixels stored turned, with the EXIF orientation that turns them back"
    ),
    "png": Transform("beyond", _png, "saved as PNG"),
    "webp": Transform("beyond", _webp, "saved as WebP of quality 75"),
    "gif": Transform("beyond", _gif, "saved as GIF of 256 colours"),
}

CORE = tuple(name for name, transform in TRANSFORMS.items() if transform.kind != "beyond")
"""The 22 transforms of the headline figures."""
CORE_UPRIGHT = tuple(name for name in CORE if TRANSFORMS[name].kind != "symmetric")
"""The 20 of them that keep the layout: "over 20 transforms"."""
