"""Photograph the live view's page for its documentation, from a real run: ``python -m demo.watch_pictures``.

The scenes of the demo, and copies of them, go through a real Kafka and a real consumer; `neardup watch --page` shows
what comes of them to a Chromium, light and dark. The photos are the two that scikit-learn ships, by danielbuechele and
vultilion, under CC BY 2.0: name them where a picture is shown.

Exit codes: 0 done, 1 a command failed.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

from demo.job import Names, child, topics
from demo.report_pictures import PICTURES, shots, small_png
from demo.services import find_chromium, open_kafka, open_redis
from demo.services.process import free_port

_SIZE: ViewportSize = {"width": 1240, "height": 1020}
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_PAIRS = 24
"""As many as the page shows."""
_DEADLINE_MS = 120_000


def main() -> int:
    """Run as a program; the module's docstring is its help."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=PICTURES, help="folder of the pictures (default: docs)")
    to: Path = parser.parse_args().to
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="neardup-watch-")))
        for name, image in photographed(stack, folder):
            path = to / f"watch-{name}.png"
            path.write_bytes(small_png(image))
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    return 0


def photographed(stack: ExitStack, folder: Path) -> Iterator[tuple[str, Image.Image]]:
    """Run everything, and yield the pictures by name."""
    names = Names()
    kafka, redis = (
        stack.enter_context(open_kafka(os.environ, print)),
        stack.enter_context(open_redis(os.environ, print)),
    )
    environ = {
        **os.environ,
        "NEARDUP_BOOTSTRAP_SERVERS": kafka,
        "NEARDUP_REDIS_URL": redis,
        "NEARDUP_INDEX": names.index,
        "NEARDUP_METRICS_PORT": "0",
        "NEARDUP_IMAGES_TOPIC": names.images,
        "NEARDUP_VERDICTS_TOPIC": names.verdicts,
        "NEARDUP_DEAD_LETTERS_TOPIC": names.dead_letters,
        "NEARDUP_LOG_LEVEL": "WARNING",
    }
    bootstrap = ["bootstrap", str(_seeds(folder)), "--agreement", "0.3"]
    subprocess.run([sys.executable, "-m", "neardup", *bootstrap], env=environ, check=True)
    stack.enter_context(topics(kafka, names))
    address = f"127.0.0.1:{free_port()}"
    stack.enter_context(child("neardup", ["watch", "--page", address], environ))
    stack.enter_context(child("consumer", [], environ))
    browser = stack.enter_context(sync_playwright()).chromium.launch(
        executable_path=find_chromium(os.environ, print), args=["--no-sandbox", "--disable-dev-shm-usage"]
    )
    stack.callback(browser.close)
    page = browser.new_page(viewport=_SIZE, color_scheme="light", reduced_motion="reduce", locale="en-GB")
    page.set_default_timeout(_DEADLINE_MS)
    _open(page, address)
    feed = stack.enter_context(child("neardup", ["feed", str(_stream(folder)), "--rate", "4"], environ))
    feed.wait()
    page.wait_for_function(f"document.querySelectorAll('#pairs img').length >= {_PAIRS}")
    for scheme in _SCHEMES:
        page.emulate_media(color_scheme=scheme)
        for image in page.locator("#pairs img").all():
            image.evaluate("(image) => image.decode()")
        yield scheme, Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def _open(page: Page, address: str) -> None:
    """Open the page as soon as it is there: the browser's own error page has no such mark."""
    for _ in range(100):
        try:
            page.goto(f"http://{address}/")
            page.wait_for_selector("#state:text-is('watching')")
        except Exception:  # noqa: BLE001 - Playwright's, of a server that is not up yet
            page.wait_for_timeout(300)
        else:
            return


def _seeds(folder: Path) -> Path:
    """Return a seed set that is like nothing in the stream: what is shown came by messages, and has pictures."""
    seeds = folder / "seeds"
    seeds.mkdir()
    Image.linear_gradient("L").save(seeds / "linear.png")
    Image.radial_gradient("L").save(seeds / "radial.png")
    return seeds


def _stream(folder: Path) -> Path:
    stream = folder / "stream"
    stream.mkdir()
    for shot in shots():
        (stream / shot.name).write_bytes(shot.data)
    return stream


if __name__ == "__main__":
    sys.exit(main())
