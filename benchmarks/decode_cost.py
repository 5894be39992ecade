"""What decoding in processes costs, beside decoding in threads: ``python -m benchmarks.decode_cost FOLDER``.

Both decode and prepare the same images for the default descriptor, in turn, several times. Ratios within a run mean
something on a busy machine, too; so does the processor time, which counts all processes.
"""

import argparse
import statistics
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from neardup.decoding.limits import DecodeLimits, WorkLimits
from neardup.decoding.pool import DecodeHere, DecodePool, Decoder
from neardup.descriptors import DEFAULT, load_descriptor
from neardup.relation.describing import Describer
from neardup.relation.rule import Relation

BATCH = 64
_TICKS_PER_S = 100


def cpu_s(pool: DecodePool) -> float:
    """Return the processor time of this process and of the pool's."""
    total = time.process_time()
    for worker in pool._workers:  # noqa: SLF001 - nobody else needs to know them
        fields = Path(f"/proc/{worker._process.pid}/stat").read_text().rpartition(")")[2].split()  # noqa: SLF001
        total += (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return total


def decode_all(decoder: Decoder, executor: Executor, images: list[bytes]) -> None:
    """Decode as the service does: batches of 64, each in shares."""
    preparation = Describer(load_descriptor(DEFAULT), Relation(0.0)).preparation
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        share = decoder.share(len(batch))
        shares = [batch[place : place + share] for place in range(0, len(batch), share)]
        list(executor.map(decoder.preparing(preparation), shares))


def main() -> None:
    """Measure, and print medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    files = sorted(path for path in arguments.folder.iterdir() if path.suffix == ".jpg")[: arguments.images]
    images = [file.read_bytes() for file in files]
    limits = DecodeLimits()
    ratios: list[tuple[float, float]] = []
    per_image: list[tuple[float, float]] = []
    with DecodePool(arguments.workers, limits, WorkLimits()) as pool, ThreadPoolExecutor(arguments.workers) as executor:
        decoders: list[Decoder] = [DecodeHere(limits), pool]
        for _ in range(arguments.rounds + 1):
            wall_s, used_s = [], []
            for decoder in decoders:
                started, cpu = time.perf_counter(), cpu_s(pool)
                decode_all(decoder, executor, images)
                wall_s.append(time.perf_counter() - started)
                used_s.append(cpu_s(pool) - cpu)
            ratios.append((wall_s[0] / wall_s[1], used_s[1] / used_s[0]))
            per_image.append((1000 * used_s[0] / len(images), 1000 * used_s[1] / len(images)))
    ratios, per_image = ratios[1:], per_image[1:]  # the first starts the processes
    print(f"{len(images)} images of {sum(map(len, images)) // len(images):,} bytes in the mean")
    told = {
        "images a second, processes to threads": [wall for wall, _ in ratios],
        "processor time, processes to threads": [cpu for _, cpu in ratios],
        "processor ms an image in threads": [threads for threads, _ in per_image],
        "processor ms an image in processes": [processes for _, processes in per_image],
    }
    for name, values in told.items():
        print(f"{name}: median {statistics.median(values):.2f}, {min(values):.2f} to {max(values):.2f}")


if __name__ == "__main__":
    main()
