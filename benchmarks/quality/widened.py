"""More ways in which copies differ, beside those of `transforms`: training and tuning may use these, too.

    make_copy("collage", image, photo_seed(0, "imagenet_0001.jpg"), WIDENED)

What nobody may train on or tune by is in another module, and only an evaluation opens it.
"""

import io
import math

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from benchmarks.quality.canvas import (
    colour,
    draw_text,
    filled,
    image_of,
    inside,
    pasted,
    seen_askew,
    shares_of,
    stranger,
    values_of,
    vignetted,
)
from benchmarks.quality.transforms import (
    BLACK,
    WHITE,
    Random,
    Transform,
    font,
    jpeg,
    placed,
    saved,
    scaled,
    with_noise,
    words,
)


def _side_cut(image: Image.Image, random: Random) -> bytes:
    return jpeg(one_side_cut(image, int(random.integers(4)), 0.3))


def one_side_cut(image: Image.Image, side: int, share: float) -> Image.Image:
    """Return the image without a share of it at the left, the top, the right or the bottom (0 to 3)."""
    wide, high = round(image.width * share), round(image.height * share)
    boxes = [
        (wide, 0, image.width, image.height),
        (0, high, image.width, image.height),
        (0, 0, image.width - wide, image.height),
        (0, 0, image.width, image.height - high),
    ]
    return image.crop(boxes[side])


def _screen_photo(image: Image.Image, random: Random) -> bytes:
    """Photograph a screen: askew, with the stripes of its pixels and a lamp's reflection."""
    shown = seen_askew(image, random, 0.08, (18, 18, 20))
    x, y = shares_of(shown.size)
    across, down = random.uniform(20, 60, size=2) * random.choice([-1, 1], size=2)
    stripes = 9 * np.sin(across * x + down * y + 4 * x * y)
    place = random.uniform(-0.8, 0.8, size=2)
    glare = 90 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * random.uniform(0.15, 0.35) ** 2))
    return jpeg(image_of(0.9 * values_of(shown) + stripes + glare), 85)


def _filter_vignette(image: Image.Image, random: Random) -> bytes:
    tint = values_of(image) * random.uniform(0.8, 1.15, size=3) + random.uniform(0, 25, size=3)
    faded = ImageEnhance.Contrast(image_of(tint)).enhance(random.uniform(0.75, 1.2))
    return jpeg(vignetted(faded, random.uniform(0.45, 0.75)))


def _sticker(image: Image.Image, random: Random) -> bytes:
    """Stick a face of one colour over a tenth of the area, anywhere."""
    radius = min(math.sqrt(0.1 * image.width * image.height / math.pi), 0.48 * min(image.size))
    x, y = (random.uniform(radius, side - radius) for side in image.size)
    covered = image.copy()
    draw = ImageDraw.Draw(covered)
    draw.circle((x, y), radius, fill=colour(random, 60), outline=WHITE, width=max(1, round(radius / 12)))
    for side in (-1, 1):
        draw.circle((x + 0.35 * side * radius, y - 0.25 * radius), radius / 8, fill=BLACK)
    mouth = (x - 0.5 * radius, y - 0.3 * radius, x + 0.5 * radius, y + 0.55 * radius)
    draw.arc(mouth, 20, 160, fill=BLACK, width=max(1, round(radius / 10)))
    return jpeg(covered)


def _caption_bars(image: Image.Image, random: Random) -> bytes:
    above, below = (max(8, round(share * image.height)) for share in random.uniform(0.12, 0.22, size=2))
    paper, ink = (WHITE, BLACK) if random.random() < 0.5 else (BLACK, WHITE)
    barred = placed(image, (image.width, image.height + above + below), (0, above), paper)
    draw = ImageDraw.Draw(barred)
    for middle, bar in ((above / 2, above), (barred.height - below / 2, below)):
        size = max(6, round(min(0.5 * bar, image.width / 14)))
        draw.text((image.width / 2, middle), words(random, 3), ink, font(size), anchor="mm")
    return jpeg(barred)


def _picture_in_picture(image: Image.Image, random: Random) -> bytes:
    """Show the photo small before its own blurred enlargement, as feeds fill a frame."""
    side = max(image.size)
    size = (side, round(side * 9 / 16)) if random.random() < 0.5 else (round(side * 9 / 16), side)
    ground = filled(image, size).filter(ImageFilter.GaussianBlur(side / 25))
    share = random.uniform(0.6, 0.8)
    small = inside(image, (round(share * size[0]), round(share * size[1])))
    return jpeg(pasted(ImageEnhance.Brightness(ground).enhance(0.8), small, (0.5, 0.5)))


def _webp_jpeg_third(image: Image.Image, _: Random) -> bytes:
    with Image.open(io.BytesIO(saved(scaled(image, 1 / 3, 1 / 3), "WEBP", quality=50))) as once:
        return jpeg(once.convert("RGB"), 50)


def _turned5(image: Image.Image, random: Random) -> bytes:
    return jpeg(turned_and_cut(image, 5 * float(random.choice([-1, 1]))))


def turned_and_cut(image: Image.Image, degrees: float) -> Image.Image:
    """Return the image turned, and the largest upright part of its proportions that has no empty corner."""
    angle, long = math.radians(abs(degrees)), max(image.size) / min(image.size)
    share = 1 / (math.cos(angle) + long * math.sin(angle))
    x, y = ((1 - share) / 2 * side for side in image.size)
    whole = image.rotate(degrees, Image.Resampling.BICUBIC)
    return whole.crop((round(x), round(y), round(image.width - x), round(image.height - y)))


def _squeezed15(image: Image.Image, random: Random) -> bytes:
    return jpeg(scaled(image, 0.85, 1.0) if random.random() < 0.5 else scaled(image, 1.0, 0.85))


def _white_balance(image: Image.Image, random: Random) -> bytes:
    """Take the photo for one by daylight when it was by lamps, or the other way round."""
    warm = random.uniform(1.3, 1.5)
    red, blue = (warm, 1 / warm) if random.random() < 0.5 else (1 / warm, warm)
    return jpeg(image_of(values_of(image) * np.array([red, random.uniform(0.92, 1.08), blue])))


def _gif32(image: Image.Image, _: Random) -> bytes:
    return saved(image.quantize(32), "GIF")


def _scan(image: Image.Image, random: Random) -> bytes:
    """Scan a print that lies a little askew on white: paler, with the scanner's noise."""
    margin = round(0.06 * max(image.size))
    paper = placed(image, (image.width + 2 * margin, image.height + 2 * margin), (margin, margin), (250, 249, 245))
    degrees = random.uniform(1.5, 3.5) * random.choice([-1, 1])
    laid = paper.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(250, 249, 245))
    pale = image_of(20 + 0.88 * values_of(laid))
    return jpeg(with_noise(pale, 4.0, random), 85)


def _collage(image: Image.Image, random: Random) -> bytes:
    """Set the photo beside another one of the same size, with a white gap."""
    gap = max(2, round(0.02 * max(image.size)))
    first, second = (image, stranger(random, image.size))
    if random.random() < 0.5:
        first, second = second, first
    beside = image.width <= image.height
    at = (image.width + gap, 0) if beside else (0, image.height + gap)
    both = placed(first, (image.width + at[0], image.height + at[1]), (0, 0), WHITE)
    both.paste(second, at)
    return jpeg(both)


def _phone_screenshot(image: Image.Image, random: Random) -> bytes:
    """Capture a telephone that shows the photo across its dark screen, with clock, title and buttons."""
    wide = max(160, min(image.width, 720))
    high = round(wide * random.uniform(1.9, 2.1))
    screen = Image.new("RGB", (wide, high), colour(random, 0, 24))
    screen = pasted(screen, inside(image, (wide, round(0.75 * high))), (0.5, random.uniform(0.45, 0.52)))
    draw = ImageDraw.Draw(screen)
    hour, minute = random.integers([0, 0], [24, 60])
    draw.text((0.08 * wide, 0.02 * high), f"{hour}:{minute:02}", WHITE, font(max(6, round(wide / 22))), anchor="lm")
    draw_text(draw, (0.08 * wide, 0.05 * high, 0.8 * wide, 0.09 * high), random, wide / 20, (220, 220, 220))
    for number in range(4):
        draw.circle((wide * (0.14 + 0.24 * number), 0.95 * high), wide / 36, outline=WHITE, width=max(1, wide // 160))
    return jpeg(screen, 90)


WIDENED: dict[str, Transform] = {
    "side_cut30": Transform("widened", _side_cut, "30 % cut away at one side"),
    "screen_photo": Transform("widened", _screen_photo, "photo of a screen: askew, stripes, a reflection"),
    "filter_vignette": Transform("widened", _filter_vignette, "tint, other contrast, dark corners"),
    "sticker": Transform("widened", _sticker, "a face over a tenth of the area"),
    "caption_bars": Transform("widened", _caption_bars, "bars with captions above and below"),
    "picture_in_picture": Transform("widened", _picture_in_picture, "60 to 80 % of the frame, before its own blur"),
    "webp_jpeg_third": Transform("widened", _webp_jpeg_third, "a third of the size as WebP 50, then JPEG 50"),
    "turned5": Transform("widened", _turned5, "turned by 5 degrees, cut so that no corner is empty"),
    "squeezed15": Transform("widened", _squeezed15, "squeezed by 15 % across or down"),
    "white_balance": Transform("widened", _white_balance, "red and blue 30 to 50 % stronger and weaker"),
    "gif32": Transform("widened", _gif32, "saved as GIF of 32 colours"),
    "scan": Transform("widened", _scan, "scan of a print, 1.5 to 3.5 degrees askew on white paper"),
    "collage": Transform("widened", _collage, "beside, above or below another picture of its size"),
    "phone_screenshot": Transform("widened", _phone_screenshot, "across the dark screen of a telephone"),
}
"""By name; none of them is in `TRANSFORMS`."""
