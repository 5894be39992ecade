"""Drawn classes of one layout that no choice has seen, and only the evaluation opens; see `held_out`.

Two pictures of a class differ by what a person sees when they are shown 300 pixels wide.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.quality.canvas import Colour, Draw, Size, colour
from benchmarks.quality.low_texture import LowTexture
from benchmarks.quality.transforms import BLACK, WHITE, Random, font, words

GREY = (120, 120, 124)


def _sheet(size: Size, ground: Colour = WHITE) -> tuple[Image.Image, Draw]:
    image = Image.new("RGB", size, ground)
    return image, ImageDraw.Draw(image)


def _word(random: Random) -> str:
    return words(random, 1).capitalize()


def _calendar(_: int, random: Random) -> Image.Image:
    """Enter twelve other appointments into the same month."""
    image, draw = _sheet((490, 400))
    draw.text((245, 22), "OCTOBER", BLACK, font(24), anchor="mm")
    for day in range(35):
        x, y = 70 * (day % 7), 50 + 70 * (day // 7)
        draw.rectangle((x, y, x + 70, y + 70), outline=GREY)
        draw.text((x + 4, y + 2), str(day + 1), GREY, font(13))
    for day in random.permutation(35)[:12].tolist():
        x, y = 70 * (day % 7), 50 + 70 * (day // 7)
        draw.rectangle((x + 3, y + 24, x + 67, y + 48), fill=colour(random, 90, 240))
        draw.text((x + 6, y + 28), _word(random)[:7], BLACK, font(14))
    return image


def _boarding_pass(_: int, random: Random) -> Image.Image:
    """Issue one airline's pass to another traveller, for another flight."""
    image, draw = _sheet((560, 220))
    draw.rectangle((0, 0, 560, 44), fill=(16, 60, 120))
    draw.text((16, 10), "BOARDING PASS", WHITE, font(22))
    cities = ["".join(chr(65 + letter) for letter in random.integers(0, 26, 3)) for _ in range(2)]
    draw.text((20, 90), cities[0], BLACK, font(52))
    draw.text((190, 90), cities[1], BLACK, font(52))
    draw.text((152, 118), ">", GREY, font(30), anchor="mm")
    draw.text((20, 56), words(random, 2).upper(), BLACK, font(20))
    gate, row, number = random.integers([1, 1, 100], [60, 40, 999])
    for column, text in enumerate((f"GATE {gate}", f"SEAT {row}{chr(65 + row % 6)}", f"FLIGHT {number}")):
        draw.text((20 + 120 * column, 172), text, BLACK, font(20))
    edges = 400 + np.cumsum(random.integers(2, 8, size=30))
    for bar in range(0, 29, 2):
        draw.rectangle((edges[bar], 60, edges[bar + 1], 200), fill=BLACK)
    return image


def _business_card(_: int, random: Random) -> Image.Image:
    """Print one firm's card for another person."""
    image, draw = _sheet((420, 240), (246, 244, 238))
    draw.rectangle((0, 0, 120, 240), fill=(28, 72, 64))
    draw.polygon(((60, 70), (95, 135), (25, 135)), fill=(220, 180, 90))
    draw.text((140, 50), " ".join((_word(random), _word(random))), BLACK, font(26))
    draw.text((140, 92), words(random, 2), GREY, font(18))
    draw.text((140, 150), " ".join(f"{part:03}" for part in random.integers(0, 1000, 3)), BLACK, font(22))
    draw.text((140, 184), f"{words(random, 1)}@firm.example", BLACK, font(18))
    return image


def _title_slide(_: int, random: Random) -> Image.Image:
    """Fill one template with another title and other points."""
    image, draw = _sheet((480, 270))
    draw.rectangle((0, 0, 480, 52), fill=(120, 30, 50))
    draw.text((20, 12), words(random, 3)[:24], WHITE, font(26))
    for point in range(int(random.integers(3, 7))):
        draw.circle((32, 84 + 30 * point), 5, fill=(120, 30, 50))
        draw.text((48, 72 + 30 * point), words(random, int(random.integers(2, 6)))[:34], BLACK, font(20))
    return image


def _crossword(_: int, random: Random) -> Image.Image:
    """Set another pattern of black fields, the same turned by half, and letters in half the others."""
    image, draw = _sheet((364, 364))
    pattern = random.random((13, 13)) < 0.12
    pattern |= pattern[::-1, ::-1]
    for row, column in np.ndindex(13, 13):
        x, y = 28 * column, 28 * row
        draw.rectangle((x, y, x + 28, y + 28), fill=BLACK if pattern[row, column] else WHITE, outline=BLACK)
        if random.random() < 0.5 and not pattern[row, column]:
            draw.text((x + 14, y + 14), chr(65 + int(random.integers(26))), BLACK, font(20), anchor="mm")
    return image


def _sudoku(_: int, random: Random) -> Image.Image:
    """Give thirty other digits on the same board."""
    image, draw = _sheet((368, 368))
    for line in range(10):
        at, width = 4 + 40 * line, 4 if line % 3 == 0 else 1
        draw.line((at, 4, at, 364), fill=BLACK, width=width)
        draw.line((4, at, 364, at), fill=BLACK, width=width)
    for place in random.permutation(81)[:30].tolist():
        middle = (24 + 40 * (place % 9), 24 + 40 * (place // 9))
        draw.text(middle, str(random.integers(1, 10)), BLACK, font(28), anchor="mm")
    return image


def _route_map(_: int, random: Random) -> Image.Image:
    """Drive another way through the same town."""
    image, draw = _sheet((400, 400), (238, 234, 224))
    draw.polygon(((0, 300), (140, 330), (400, 260), (400, 310), (140, 375), (0, 345)), fill=(170, 205, 230))
    draw.rectangle((250, 50, 350, 140), fill=(200, 225, 180))
    for street in range(8):
        draw.line((25 + 50 * street, 0, 25 + 50 * street, 400), fill=WHITE, width=9)
        draw.line((0, 25 + 50 * street, 400, 25 + 50 * street), fill=WHITE, width=9)
    crossings = random.integers(0, 8, size=(6, 2)) * 50 + 25
    corners = [corner for pair in pairwise(crossings.tolist()) for corner in _bend(*pair)]
    draw.line(corners, fill=(40, 90, 220), width=8, joint="curve")
    for (x, y), ink in ((crossings[0], (30, 150, 60)), (crossings[-1], (210, 40, 40))):
        draw.circle((x, y), 12, fill=ink, outline=WHITE, width=2)
    return image


def _bend(one: list[int], other: list[int]) -> list[tuple[int, int]]:
    """Return the way from one crossing to another, along a street and then across."""
    return [(one[0], one[1]), (other[0], one[1]), (other[0], other[1])]


def _spreadsheet(_: int, random: Random) -> Image.Image:
    """Enter other numbers into the same table."""
    image, draw = _sheet((420, 330))
    draw.rectangle((0, 0, 420, 30), fill=(225, 230, 225))
    for column in range(6):
        draw.line((70 * column, 0, 70 * column, 330), fill=(190, 190, 190))
        draw.text((70 * column + 35, 15), "ABCDEF"[column], GREY, font(16), anchor="mm")
    for row in range(10):
        top = 30 + 30 * row
        draw.line((0, top, 420, top), fill=(190, 190, 190))
        for column in range(6):
            if random.random() < 0.85:
                number = f"{random.integers(0, 10 ** int(random.integers(1, 6)))}"
                draw.text((70 * column + 66, top + 15), number, BLACK, font(17), anchor="rm")
    return image


def _licence_plate(_: int, random: Random) -> Image.Image:
    """Stamp other letters and digits into the same plate."""
    image, draw = _sheet((520, 120), (245, 245, 240))
    draw.rounded_rectangle((2, 2, 517, 117), 12, outline=BLACK, width=4)
    draw.rectangle((6, 6, 50, 113), fill=(20, 60, 170))
    letters = "".join(chr(65 + letter) for letter in random.integers(0, 26, 3))
    draw.text((290, 62), f"{letters} {random.integers(1000, 10_000)}", BLACK, font(80), anchor="mm")
    return image


def _price_tag(_: int, random: Random) -> Image.Image:
    """Name another thing at another price."""
    image, draw = _sheet((360, 220), (255, 220, 60))
    draw.rectangle((0, 0, 360, 58), fill=(200, 20, 30))
    draw.text((180, 29), "SPECIAL OFFER", WHITE, font(28), anchor="mm")
    draw.text((180, 84), words(random, 2)[:18], BLACK, font(24), anchor="mm")
    draw.text((180, 156), f"{random.integers(1, 1000)}.{random.integers(100):02}", BLACK, font(72), anchor="mm")
    return image


def _weather(_: int, random: Random) -> Image.Image:
    """Foretell another week: sun, cloud, rain or snow, and degrees."""
    image, draw = _sheet((420, 240), (52, 98, 160))
    draw.text((20, 14), "Weather", WHITE, font(22))
    draw.text((400, 40), f"{random.integers(-15, 38)}°", WHITE, font(56), anchor="rm")
    for day in range(6):
        x = 35 + 70 * day
        draw.text((x, 96), "MTWTFS"[day], WHITE, font(18), anchor="mm")
        _sky_sign(draw, x, 142, int(random.integers(4)))
        draw.text((x, 200), f"{random.integers(-15, 38)}°", WHITE, font(24), anchor="mm")
    return image


def _sky_sign(draw: Draw, x: float, y: float, sign: int) -> None:
    if sign == 0:
        draw.circle((x, y), 22, fill=(255, 205, 60))
        return
    draw.ellipse((x - 26, y - 14, x + 26, y + 12), fill=(225, 228, 232))
    for drop in range(-1, 2) if sign > 1 else ():
        place = (x + 14 * drop - 3, y + 16, x + 14 * drop + 3, y + 28)
        draw.ellipse(place, fill=(120, 190, 255) if sign == 2 else WHITE)


def _code_editor(_: int, random: Random) -> Image.Image:
    """Write another program in the same dark editor."""
    image, draw = _sheet((480, 360), (30, 30, 38))
    inks = ((198, 120, 221), (152, 195, 121), (97, 175, 239), (220, 223, 228), (229, 192, 123))
    indent = 0
    for line in range(17):
        top = 8 + 20.5 * line
        draw.text((26, top), str(line + 1), (90, 94, 104), font(14), anchor="ra")
        indent = int(np.clip(indent + random.integers(-2, 3), 0, 4))
        x = 40.0 + 24 * indent
        for _ in range(int(random.integers(0, 5))):
            token = words(random, 1)
            draw.text((x, top), token, inks[int(random.integers(len(inks)))], font(16))
            x += draw.textlength(token, font(16)) + 7
    return image


def _gauges(_: int, random: Random) -> Image.Image:
    """Read six other values on the same dials."""
    image, draw = _sheet((420, 300), (22, 26, 34))
    for dial in range(6):
        x, y = 70 + 140 * (dial % 3), 78 + 142 * (dial // 3)
        value = random.random()
        draw.arc((x - 56, y - 56, x + 56, y + 56), 135, 405, fill=(70, 76, 88), width=12)
        draw.arc((x - 56, y - 56, x + 56, y + 56), 135, 135 + 270 * value, fill=(60, 190, 140), width=12)
        angle = np.radians(135 + 270 * value)
        draw.line((x, y, x + 44 * np.cos(angle), y + 44 * np.sin(angle)), fill=WHITE, width=4)
        draw.text((x, y + 46), f"{100 * value:.0f}", WHITE, font(26), anchor="mm")
    return image


def _card_hand(_: int, random: Random) -> Image.Image:
    """Deal five other cards on the same table."""
    image, draw = _sheet((450, 180), (20, 100, 60))
    for place, card in enumerate(random.permutation(52)[:5].tolist()):
        left, suit = 14 + 87 * place, card // 13
        draw.rounded_rectangle((left, 24, left + 76, 156), 8, fill=WHITE)
        ink = (200, 20, 30) if suit < 2 else BLACK
        rank = ("A", *map(str, range(2, 11)), "J", "Q", "K")[card % 13]
        draw.text((left + 8, 28), rank, ink, font(34))
        _suit_sign(draw, left + 38, 112, suit, ink)
    return image


def _suit_sign(draw: Draw, x: float, y: float, suit: int, ink: Colour) -> None:
    """Draw a heart, a diamond, a spade or a club about a place."""
    if suit == 1:
        draw.polygon(((x, y - 30), (x + 20, y), (x, y + 30), (x - 20, y)), fill=ink)
        return
    up = 1 if suit == 0 else -1
    if suit == 3:
        draw.circle((x, y - 16), 13, fill=ink)
    else:
        draw.polygon(((x - 26, y - 4 * up), (x + 26, y - 4 * up), (x, y + 28 * up)), fill=ink)
    for side in (-1, 1):
        draw.circle((x + 13 * side, y - 8 * up if suit != 3 else y + 4), 14, fill=ink)
    if suit > 1:
        draw.rectangle((x - 4, y, x + 4, y + 30), fill=ink)


def _bingo(_: int, random: Random) -> Image.Image:
    """Print 25 other numbers, of which some are daubed."""
    image, draw = _sheet((320, 370), (250, 250, 250))
    draw.text((160, 25), "B   I   N   G   O", (180, 30, 60), font(34), anchor="mm")
    for place in range(25):
        x, y = 64 * (place % 5), 50 + 64 * (place // 5)
        draw.rectangle((x, y, x + 63, y + 63), outline=BLACK, width=2)
        if random.random() < 0.3:
            draw.circle((x + 32, y + 32), 28, fill=(250, 150, 170))
        number = 15 * (place % 5) + random.integers(1, 16)
        draw.text((x + 32, y + 32), str(number), BLACK, font(32), anchor="mm")
    return image


def _terminal(_: int, random: Random) -> Image.Image:
    """Log other lines in the same green terminal."""
    image, draw = _sheet((480, 330), (8, 12, 8))
    for line in range(15):
        level, ink = (("INFO", (80, 220, 100)), ("WARN", (230, 200, 70)), ("FAIL", (230, 80, 70)))[
            int(random.choice(3, p=(0.6, 0.25, 0.15)))
        ]
        draw.text((8, 6 + 21.5 * line), level, ink, font(16))
        draw.text((64, 6 + 21.5 * line), words(random, int(random.integers(1, 8)))[:44], (80, 220, 100), font(16))
    return image


def _home_screen(_: int, random: Random) -> Image.Image:
    """Arrange twenty other signs on the same home screen."""
    image, draw = _sheet((320, 420), (60, 70, 110))
    for place in range(20):
        x, y = 42 + 79 * (place % 4), 44 + 82 * (place // 4)
        draw.rounded_rectangle((x - 27, y - 27, x + 27, y + 27), 12, fill=colour(random, 40, 240))
        ink, sign = colour(random), int(random.integers(3))
        if sign == 0:
            draw.circle((x, y), 15, fill=ink)
        elif sign == 1:
            draw.rectangle((x - 13, y - 13, x + 13, y + 13), fill=ink)
        else:
            draw.polygon(((x, y - 17), (x + 17, y + 13), (x - 17, y + 13)), fill=ink)
    return image


_SCENES: dict[str, tuple[Callable[[int, Random], Image.Image], str]] = {
    "calendar": (_calendar, "twelve other appointments in the same month"),
    "boarding_pass": (_boarding_pass, "another traveller and flight on one airline's pass"),
    "business_card": (_business_card, "another person on one firm's card"),
    "title_slide": (_title_slide, "another title and other points in one template"),
    "crossword": (_crossword, "other black fields and letters, 13 x 13"),
    "sudoku": (_sudoku, "thirty other digits on the same board"),
    "route_map": (_route_map, "another way through the same town"),
    "spreadsheet": (_spreadsheet, "other numbers in the same table"),
    "licence_plate": (_licence_plate, "other letters and digits in the same plate"),
    "price_tag": (_price_tag, "another thing at another price"),
    "weather": (_weather, "another week's signs and degrees"),
    "code_editor": (_code_editor, "another program in the same dark editor"),
    "gauges": (_gauges, "six other values on the same dials"),
    "card_hand": (_card_hand, "five other cards on the same table"),
    "bingo": (_bingo, "25 other numbers, other ones daubed"),
    "terminal": (_terminal, "other lines in the same terminal"),
    "home_screen": (_home_screen, "twenty other signs on the same home screen"),
}
HELD_OUT_LAYOUTS = {name: LowTexture(scene, 0, text) for name, (scene, text) in _SCENES.items()}
"""By name; none of them is in `benchmarks.quality.low_texture.EVERY`."""
