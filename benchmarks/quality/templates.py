"""Drawn pictures of which most is one template: what tells two of them apart is small, and fills little of the page."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.quality.transforms import BLACK, WHITE, Random, font, words

Draw = ImageDraw.ImageDraw
_GREY = (120, 120, 120)


def _page(size: tuple[int, int], colour: tuple[int, int, int] = WHITE) -> tuple[Image.Image, Draw]:
    image = Image.new("RGB", size, colour)
    return image, ImageDraw.Draw(image)


def _grid(draw: Draw, box: tuple[int, int, int, int], columns: int, rows: int, ink: tuple[int, int, int]) -> None:
    """Rule a box into columns and rows."""
    left, top, right, bottom = box
    for column in range(columns + 1):
        x = left + (right - left) * column // columns
        draw.line((x, top, x, bottom), fill=ink)
    for row in range(rows + 1):
        y = top + (bottom - top) * row // rows
        draw.line((left, y, right, y), fill=ink)


def _timetable(_: int, random: Random) -> Image.Image:
    """Write other minutes into one table of 14 stops and 8 buses."""
    image, draw = _page((480, 420))
    draw.rectangle((0, 0, 480, 40), fill=(0, 70, 140))
    draw.text((16, 10), "Line 12   Mondays to Fridays", WHITE, font(18))
    _grid(draw, (10, 52, 470, 412), 10, 15, (190, 190, 190))
    for row in range(15):
        draw.text((14, 58 + 24 * row), f"Stop {row + 1}", BLACK, font(11))
        for column in range(8):
            text = f"{6 + column + row // 8:02d}:{int(random.integers(60)):02d}"
            draw.text((125 + 46 * column, 58 + 24 * row), text, BLACK, font(11), anchor="mt")
    return image


def _price_board(_: int, random: Random) -> Image.Image:
    """Chalk other prices behind the same twelve dishes."""
    image, draw = _page((420, 520), (38, 44, 40))
    draw.text((210, 36), "TODAY'S MENU", (250, 240, 200), font(28), anchor="mm")
    names = np.random.default_rng(5)
    for row in range(12):
        y = 80 + 36 * row
        draw.text((30, y), words(names, 2).title(), (240, 240, 240), font(16))
        draw.line((30, y + 24, 390, y + 24), fill=(80, 90, 84))
        draw.text((390, y), f"{random.uniform(3, 30):.2f}", (250, 220, 120), font(16), anchor="ra")
    return image


def _seat_map(_: int, random: Random) -> Image.Image:
    """Mark another twelve of 140 seats as taken."""
    image, draw = _page((400, 460), (245, 245, 248))
    draw.rounded_rectangle((60, 14, 340, 44), 10, fill=(70, 70, 80))
    draw.text((200, 29), "SCREEN", WHITE, font(14), anchor="mm")
    taken = set(random.permutation(140)[:12].tolist())
    for seat in range(140):
        row, column = divmod(seat, 14)
        x, y = 22 + 25 * column + 8 * (column >= 7), 70 + 37 * row
        draw.rounded_rectangle((x, y, x + 18, y + 22), 4, fill=(200, 50, 60) if seat in taken else (150, 200, 160))
    return image


def _pay_slip(_: int, random: Random) -> Image.Image:
    """Print other sums, and another name, on one pay slip."""
    image, draw = _page((560, 400))
    draw.rectangle((20, 20, 540, 60), fill=(225, 230, 240), outline=BLACK)
    draw.text((30, 30), "PAY SLIP   Example Works Ltd", BLACK, font(18))
    draw.text((30, 72), f"Employee: {words(random, 2).title()}", BLACK, font(13))
    draw.rectangle((20, 98, 540, 380), outline=BLACK)
    draw.line((280, 98, 280, 380), fill=BLACK)
    labels = ("Basic pay", "Overtime", "Allowance", "Bonus", "Holiday", "Sick pay", "Refunds", "Total")
    other = ("Income tax", "Insurance", "Pension", "Union", "Loan", "Canteen", "Other", "Total")
    for row in range(8):
        y = 108 + 34 * row
        draw.line((20, y + 24, 540, y + 24), fill=_GREY)
        for left, names in ((28, labels), (288, other)):
            draw.text((left, y), names[row], BLACK, font(13))
            draw.text((left + 244, y), f"{random.uniform(1, 3000):,.2f}", BLACK, font(13), anchor="ra")
    return image


def _black_squares(_: int, random: Random) -> Image.Image:
    """Blacken another thirty squares of a grid of 15 x 15, in symmetric pairs."""
    image, draw = _page((380, 380))
    for square in random.permutation(112)[:15].tolist():
        for one in (square, 224 - square):
            row, column = divmod(one, 15)
            draw.rectangle((10 + 24 * column, 10 + 24 * row, 34 + 24 * column, 34 + 24 * row), fill=BLACK)
    _grid(draw, (10, 10, 370, 370), 15, 15, BLACK)
    return image


def _score_board(_: int, random: Random) -> Image.Image:
    """Show another score, and another time, between the same two clubs."""
    image, draw = _page((480, 270), (16, 20, 34))
    draw.rectangle((10, 10, 470, 60), fill=(40, 60, 110))
    draw.text((240, 35), "CHAMPIONS LEAGUE  FINAL", WHITE, font(22), anchor="mm")
    for left, club, colour in ((30, "UNITED", (190, 30, 40)), (300, "ROVERS", (30, 110, 190))):
        draw.rectangle((left, 84, left + 150, 200), fill=colour)
        draw.text((left + 75, 108), club, WHITE, font(22), anchor="mm")
        draw.text((left + 75, 160), str(int(random.integers(0, 10))), WHITE, font(44), anchor="mm")
    clock = f"{int(random.integers(90)):02d}:{int(random.integers(60)):02d}"
    draw.text((240, 236), clock, (250, 220, 80), font(26), anchor="mm")
    return image


def _needles(_: int, random: Random) -> Image.Image:
    """Turn the needles of the same six dials elsewhere."""
    image, draw = _page((480, 330), (30, 32, 36))
    for dial in range(6):
        x, y = 90 + 150 * (dial % 3), 90 + 155 * (dial // 3)
        draw.ellipse((x - 66, y - 66, x + 66, y + 66), fill=(235, 235, 230), outline=_GREY, width=4)
        for tick in range(11):
            way = np.deg2rad(135 + 27 * tick)
            c, s = np.cos(way), np.sin(way)
            draw.line((x + 50 * c, y + 50 * s, x + 60 * c, y + 60 * s), fill=BLACK, width=2)
            draw.text((x + 40 * c, y + 40 * s), str(tick), BLACK, font(9), anchor="mm")
        way = np.deg2rad(135 + 270 * random.random())
        draw.line((x, y, x + 46 * np.cos(way), y + 46 * np.sin(way)), fill=(200, 20, 20), width=3)
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=BLACK)
        draw.text((x, y + 52), ("km/h", "rpm", "bar", "C", "V", "A")[dial], BLACK, font(11), anchor="mm")
    return image


def _routes(_: int, random: Random) -> Image.Image:
    """Draw another way through the same town."""
    image, draw = _page((400, 400), (238, 234, 226))
    town = np.random.default_rng(11)
    xs, ys = (np.concatenate([[10], np.sort(town.uniform(20, 380, 9)), [390]]).round() for _ in range(2))
    for x in xs:
        draw.line((x, 0, x, 400), fill=WHITE, width=7)
    for y in ys:
        draw.line((0, y, 400, y), fill=WHITE, width=7)
    draw.rectangle((xs[2] + 5, ys[3] + 5, xs[4] - 5, ys[6] - 5), fill=(190, 220, 180))
    for street in range(9):
        draw.text((xs[street] + 6, ys[(3 * street) % 9] + 6), words(town, 1), (110, 110, 120), font(10))
    column, row = 0, int(random.integers(11))
    way = [(xs[column], ys[row])]
    while column < 10:
        if random.random() < 0.5:
            column += 1
        else:
            row = int(np.clip(row + random.choice([-1, 1]), 0, 10))
        way.append((xs[column], ys[row]))
    draw.line(way, fill=(40, 90, 220), width=4)
    return image


def _molecule(_: int, random: Random) -> Image.Image:
    """Hang other groups on the same three rings."""
    image, draw = _page((420, 300))
    groups = ("OH", "NH2", "CH3", "Cl", "Br", "F", "NO2", "CN", "SH", "I")
    for ring in range(3):
        x, y = 120 + 87 * ring, 150
        way = np.deg2rad(30 + 60 * np.arange(7))
        edge = np.stack([x + 50 * np.cos(way), y + 50 * np.sin(way)], axis=1)
        draw.line([tuple(each) for each in edge], fill=BLACK, width=3)
        draw.ellipse((x - 30, y - 30, x + 30, y + 30), outline=BLACK, width=2)
        for corner in (1, 4):
            end = (x, y + (92 if corner == 1 else -92))
            draw.line((*edge[corner], *end), fill=BLACK, width=3)
            draw.rectangle((end[0] - 16, end[1] - 10, end[0] + 16, end[1] + 10), fill=WHITE)
            draw.text(end, groups[int(random.integers(10))], BLACK, font(18), anchor="mm")
    return image


def _circuit(_: int, random: Random) -> Image.Image:
    """Give the parts of one circuit other values."""
    image, draw = _page((480, 340))
    for row in range(3):
        y = 60 + 110 * row
        draw.line((30, y, 450, y), fill=BLACK, width=2)
        for part in range(4):
            x = 60 + 105 * part
            if (row + part) % 2:
                draw.rectangle((x, y - 10, x + 50, y + 10), fill=WHITE, outline=BLACK, width=2)
            else:
                draw.rectangle((x + 18, y - 4, x + 30, y + 4), fill=WHITE)
                for plate in (18, 30):
                    draw.line((x + plate, y - 18, x + plate, y + 18), fill=BLACK, width=2)
            draw.text((x + 24, y + 28), f"{int(random.integers(10, 1000))} k", BLACK, font(13), anchor="mm")
            draw.text((x + 24, y - 28), f"R{4 * row + part + 1}", _GREY, font(11), anchor="mm")
    draw.line((30, 60, 30, 280), fill=BLACK, width=2)
    draw.line((450, 60, 450, 280), fill=BLACK, width=2)
    return image


def _subtitle(_: int, random: Random) -> Image.Image:
    """Put another line below the same slide."""
    image, draw = _page((480, 300), (28, 60, 96))
    draw.text((240, 60), "Annual Meeting", WHITE, font(34), anchor="mm")
    draw.rectangle((60, 90, 420, 94), fill=(240, 180, 60))
    for bar in range(6):
        high = (40, 66, 52, 90, 74, 100)[bar]
        draw.rectangle((90 + 52 * bar, 224 - high, 126 + 52 * bar, 224), fill=(90, 150, 200))
    draw.text((240, 268), words(random, 4), (250, 250, 200), font(18), anchor="mm")
    return image


def _league_table(_: int, random: Random) -> Image.Image:
    """Give the same 14 clubs other points."""
    image, draw = _page((440, 480), (248, 248, 248))
    draw.rectangle((0, 0, 440, 36), fill=(40, 120, 60))
    for column, name in enumerate(("P", "W", "D", "L", "Pts")):
        draw.text((220 + 46 * column, 18), name, WHITE, font(14), anchor="mm")
    names = np.random.default_rng(9)
    for row in range(14):
        y = 36 + 31 * row
        draw.rectangle((0, y, 440, y + 30), fill=(248, 248, 248) if row % 2 else (228, 236, 228))
        draw.text((14, y + 15), f"{row + 1}", BLACK, font(13), anchor="lm")
        draw.text((44, y + 15), words(names, 1).title(), BLACK, font(13), anchor="lm")
        for column in range(5):
            draw.text((220 + 46 * column, y + 15), str(int(random.integers(0, 40))), BLACK, font(13), anchor="mm")
    return image


def _segments(_: int, random: Random) -> Image.Image:
    """Show another number in the seven segments of one meter."""
    image, draw = _page((400, 300), (70, 74, 78))
    draw.rounded_rectangle((20, 20, 380, 280), 16, fill=(215, 218, 214), outline=BLACK, width=3)
    draw.text((200, 46), "ELECTRICITY METER  kWh", BLACK, font(18), anchor="mm")
    draw.rectangle((50, 76, 350, 156), fill=(165, 185, 160), outline=BLACK, width=2)
    lit = ("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg")
    ends = {
        "a": (0, 0, 24, 0),
        "b": (24, 0, 24, 26),
        "c": (24, 26, 24, 52),
        "d": (0, 52, 24, 52),
        "e": (0, 26, 0, 52),
        "f": (0, 0, 0, 26),
        "g": (0, 26, 24, 26),
    }
    for place in range(6):
        x = 68 + 46 * place
        for segment in lit[int(random.integers(10))]:
            x0, y0, x1, y1 = ends[segment]
            draw.line((x + x0, 90 + y0, x + x1, 90 + y1), fill=(30, 40, 30), width=4)
    for line in range(4):
        draw.text((60, 176 + 22 * line), ("Type EX-40", "230 V 50 Hz", "10 (60) A", "No. 0042")[line], BLACK, font(14))
    return image


def _bars(_: int, random: Random) -> Image.Image:
    """Fill the same ten progress bars to another length, and tell it beside them."""
    image, draw = _page((460, 400), (250, 250, 252))
    draw.text((230, 26), "PROJECT STATUS", BLACK, font(22), anchor="mm")
    names = np.random.default_rng(21)
    for row in range(10):
        y, done = 60 + 33 * row, float(random.random())
        draw.text((16, y), words(names, 2).title()[:16], BLACK, font(13))
        draw.rectangle((160, y, 390, y + 16), outline=_GREY)
        draw.rectangle((160, y, 160 + 230 * done, y + 16), fill=(80, 160, 90))
        draw.text((446, y), f"{100 * done:.0f} %", BLACK, font(13), anchor="ra")
    return image


SCENES: dict[str, tuple[Callable[[int, Random], Image.Image], str]] = {
    "timetable": (_timetable, "other minutes in the same table of stops"),
    "price_board": (_price_board, "other prices behind the same dishes"),
    "seat_map": (_seat_map, "twelve other seats taken of 140"),
    "pay_slip": (_pay_slip, "other sums and another name on the same slip"),
    "black_squares": (_black_squares, "thirty other black squares in the same grid"),
    "score_board": (_score_board, "another score and time between the same clubs"),
    "needles": (_needles, "six needles turned elsewhere"),
    "routes": (_routes, "another way through the same town"),
    "molecule": (_molecule, "six other groups on the same three rings"),
    "circuit": (_circuit, "twelve other values in the same circuit"),
    "subtitle": (_subtitle, "another line below the same slide"),
    "league_table": (_league_table, "other numbers behind the same clubs"),
    "bars": (_bars, "ten bars of other lengths"),
    "segments": (_segments, "six other digits on the same meter"),
}
"""What draws a picture of a class, and what tells two of its pictures apart."""
