"""Measure the batch job on many seed images: seconds by phase, images per second, peak memory, cluster sizes.

    python -m benchmarks.bootstrap_scale 20000 [--redis URL] [--duplicates 0.05] [--descriptor dct]

The images are crops and mirror images of the photos under the folder that NEARDUP_DATA names (`photos_small/`), else
of the two that scikit-learn ships; written to a temporary folder, as small JPEG files. The job is the real command,
in a process of its own, on the Redis of --redis or on one that is started for it.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from demo.services import open_redis
from neardup.index.redis import RedisIndex
from neardup.index.stored.connection import connect
from neardup.index.stored.keys import IndexKeys

INDEX = "bootstrap-scale"
FOLDER_SIZE = 1000
SIDE_PX = 128


def main() -> None:
    """Make the images, run the job, print the figures."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="neardup-seeds-") as folder, _redis(arguments.redis) as url:
        began_s = time.perf_counter()
        photos = _photos(Path(folder))
        make_images(Path(folder) / "seeds", photos, arguments.images, arguments.duplicates)
        print(f"made {arguments.images} images of {len(photos)} photos in {time.perf_counter() - began_s:.0f} s")
        _run_job(Path(folder) / "seeds", url, arguments.descriptor)
        _print_cluster_sizes(url)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=int)
    parser.add_argument("--redis")
    parser.add_argument("--duplicates", type=float, default=0.05, help="part of the images that repeat an earlier one")
    parser.add_argument("--descriptor", default="dct")
    return parser.parse_args()


@contextmanager
def _redis(url: str | None) -> Iterator[str]:
    environ = {**os.environ, "NEARDUP_REDIS_URL": url} if url else dict(os.environ)
    with open_redis(environ, print) as found:
        yield found


def _photos(folder: Path) -> list[Path]:
    data = os.environ.get("NEARDUP_DATA")
    if data:
        return sorted((Path(data) / "photos_small").glob("*.jpg"))
    print("NEARDUP_DATA names no folder: the images are crops of two photos, more alike than a real seed set")
    from sklearn.datasets import load_sample_images  # noqa: PLC0415 - only without NEARDUP_DATA

    paths = [folder / "china.png", folder / "flower.png"]
    for path, pixels in zip(paths, load_sample_images().images, strict=True):
        Image.fromarray(pixels).save(path)
    return paths


def make_images(folder: Path, photos: list[Path], count: int, duplicates: float) -> None:
    """Write `count` JPEG files, a thousand a folder."""
    starts = range(0, count, FOLDER_SIZE)
    make = partial(_make_folder, folder, photos, count, duplicates)
    with ProcessPoolExecutor() as pool:
        list(pool.map(make, starts))


def _make_folder(folder: Path, photos: list[Path], count: int, duplicates: float, start: int) -> None:
    below = folder / f"{start // FOLDER_SIZE:04d}"
    below.mkdir(parents=True)
    for number in range(start, min(start + FOLDER_SIZE, count)):
        repeated = np.random.default_rng([1, number]).random() < duplicates
        source, quality = (number // 2, 50) if repeated else (number, 85)
        (below / f"{number:06d}.jpg").write_bytes(_image(photos, source, quality))


def _image(photos: list[Path], number: int, quality: int) -> bytes:
    """Return a photo the first time round; later a crop of it, mirrored or not."""
    random = np.random.default_rng([0, number])
    with Image.open(photos[number % len(photos)]) as photo:
        image = photo.convert("RGB")
    if number >= len(photos) or len(photos) == 2:
        image = _cropped(image, random)
    image.thumbnail((2 * SIDE_PX, 2 * SIDE_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _cropped(image: Image.Image, random: np.random.Generator) -> Image.Image:
    part = random.uniform(0.25, 0.6)
    width, height = image.width * part, image.height * part
    left, top = random.uniform(0, image.width - width), random.uniform(0, image.height - height)
    crop = image.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else crop


def _run_job(seeds: Path, url: str, descriptor: str) -> None:
    command = [sys.executable, "-m", "bootstrap", str(seeds), "--redis", url, "--index", INDEX]
    began_s = time.perf_counter()
    process = subprocess.Popen([*command, "--descriptor", descriptor])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    print(f"exit code    {process.returncode}")
    print(f"wall         {time.perf_counter() - began_s:.1f} s, CPU {usage.ru_utime + usage.ru_stime:.1f} s")
    print(f"peak memory  {usage.ru_maxrss / 1024:.0f} MiB")


def _print_cluster_sizes(url: str) -> None:
    client = connect(url)
    sizes = np.array(RedisIndex(client, INDEX).stats().cluster_sizes)
    p1, p50, p99 = np.percentile(sizes, [1, 50, 99])
    print(
        f"members      {sizes.sum()} in {len(sizes)} clusters: "
        f"p1 {p1:.0f}, p50 {p50:.0f}, p99 {p99:.0f}, max {max(sizes)}"
    )
    keys = list(client.scan_iter(match=IndexKeys(INDEX).pattern, count=1000))
    client.delete(*keys)


if __name__ == "__main__":
    main()
