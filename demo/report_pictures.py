"""Photograph the report's page for its documentation, from a real run: ``python -m demo.report_pictures``.

The two scenes of the demo, and copies of them as they go round, are judged by `neardup folder`; `neardup report` makes
the page, and a Chromium shows it: light, dark, and as wide as a phone. The photos are the two that scikit-learn ships,
by danielbuechele and vultilion, under CC BY 2.0: name them where a picture is shown.

Exit codes: 0 done, 1 a command failed.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw, ImageFont, ImageOps
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from demo.scenes import Shot, clip, stream
from demo.services import find_chromium

PICTURES = Path(__file__).parents[1] / "docs"
_MOST_BYTES = 150_000
_COLOURS = (224, 160, 112, 80, 56)
"""Of the palette: the first that keeps a picture small enough."""
_WIDE, _PHONE = ViewportSize(width=1240, height=1100), ViewportSize(width=390, height=780)
_COPIED = {"garden": 45, "holiday": 2, "petals": 66}
"""By name: the frame of the clip that is copied."""


def main(arguments: Sequence[str]) -> int:
    """Run as a program; the module's docstring is its help."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=PICTURES, help="folder of the pictures (default: docs)")
    to: Path = parser.parse_args(arguments).to
    program = find_chromium(os.environ, print)
    with tempfile.TemporaryDirectory(prefix="neardup-report-") as temp, sync_playwright() as playwright:
        report = made_report(Path(temp))
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        for name, image in photographed(browser, report):
            path = to / f"report-{name}.png"
            path.write_bytes(small_png(image))
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
        browser.close()
    return 0


def made_report(folder: Path) -> Path:
    """Judge the pictures by the command lines, and return the page."""
    pictures = folder / "pictures"
    pictures.mkdir()
    for shot in shots():
        (pictures / shot.name).write_bytes(shot.data)
    verdicts, report = folder / "verdicts.jsonl", folder / "report.html"
    for command in (
        ["folder", str(pictures), "--agreement", "0.3", "--output", str(verdicts)],
        ["report", str(verdicts), "--output", str(report)],
    ):
        subprocess.run([sys.executable, "-m", "neardup", *command], check=True)
    return report


def shots() -> Iterator[Shot]:
    """Yield a visit to both scenes, and copies of four frames as they go round."""
    yield from stream()
    frames = clip()
    for name, frame in _COPIED.items():
        image = Image.open(io.BytesIO(frames[frame].data))
        yield Shot(f"{name}.jpg", frames[frame].data)
        for kind, copied in _COPIES.items():
            buffer = io.BytesIO()
            copied(image).save(buffer, "JPEG", quality=85)
            yield Shot(f"{name}_{kind}.jpg", buffer.getvalue())


def _cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((int(width * 0.06), int(height * 0.05), int(width * 0.97), int(height * 0.93)))


def _captioned(image: Image.Image) -> Image.Image:
    made = image.copy()
    pen = ImageDraw.Draw(made)
    pen.text(
        (16, made.height - 40),
        "wish you were here",
        "white",
        ImageFont.load_default(24),
        stroke_width=2,
        stroke_fill="black",
    )
    return made


_COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "small": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
    "cropped": _cropped,
    "captioned": _captioned,
    "framed": lambda image: ImageOps.expand(image, 8, "white"),
    "grey": lambda image: image.convert("L").convert("RGB"),
}


def photographed(browser: Browser, report: Path) -> Iterator[tuple[str, Image.Image]]:
    """Yield the pictures by name."""
    page = _opened(browser, report, _WIDE, "light")
    page.locator("#order").select_option("name")
    yield "light", _seen(page)
    _compare(page, "holiday_cropped")
    yield "pair", _seen(page, "#compare")
    page.keyboard.press("x")
    yield "difference", _seen(page, "#compare")
    page = _opened(browser, report, _WIDE, "dark")
    page.locator("#tab-map").click()
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    page.locator("#tab-map").scroll_into_view_if_needed()
    yield "dark", _seen(page)
    page = _opened(browser, report, _PHONE, "light")
    page.locator("#live").evaluate("(bar) => scrollTo(0, bar.getBoundingClientRect().top - 120)")
    yield "phone", _seen(page)


def small_png(image: Image.Image) -> bytes:
    """Return an image as PNG, with as many colours as leave it small."""
    for colours in _COLOURS:
        buffer = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
        if buffer.tell() < _MOST_BYTES:
            break
    return buffer.getvalue()


def _opened(browser: Browser, report: Path, size: ViewportSize, scheme: Literal["light", "dark"]) -> Page:
    page = browser.new_page(viewport=size, color_scheme=scheme, reduced_motion="reduce", locale="en-GB")
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-ready]")
    return page


def _compare(page: Page, name: str) -> None:
    page.locator("#find").fill(name)
    page.locator(".tile", has_text=name).click()


def _seen(page: Page, selector: str | None = None) -> Image.Image:
    for image in page.locator("#stage img").all():
        image.evaluate("(image) => image.decode()")
    shot = page.locator(selector).screenshot() if selector else page.screenshot()
    return Image.open(io.BytesIO(shot)).convert("RGB")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
