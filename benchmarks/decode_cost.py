"""What decoding in processes costs, beside decoding in threads: ``python -m benchmarks.decode_cost FOLDER``.

Both decode and describe the same images, in turn, several times. Ratios within a run mean
something on a busy machine, too; so does the processor time, which counts all processes.
"""

import argparse
import pickle
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from neardup.decoding.limits import DecodeLimits, WorkLimits
from neardup.decoding.pool import Answer, DecodeHere, DecodePool
from neardup.describe_batch import BatchDescriber
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


def describe_all(batches: BatchDescriber, images: list[bytes]) -> None:
    """Describe as the service does, batch by batch."""
    for start in range(0, len(images), BATCH):
        prepared: list[Answer] = batches.prepare(images[start : start + BATCH], bytes)
        batches.describe(prepared)


def answer_bytes(pool: DecodePool, describer: Describer, images: list[bytes]) -> int:
    """Return how many bytes come back from the processes for an image, in the mean."""
    answers: list[Answer] = pool.preparing(describer.preparation)(images)
    return len(pickle.dumps(answers, pickle.HIGHEST_PROTOCOL)) // len(images)


def main() -> None:
    """Measure, and print medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--descriptor", default=DEFAULT)
    parser.add_argument("--agreement", type=float, help="take second looks, too")
    arguments = parser.parse_args()
    files = sorted(path for path in arguments.folder.iterdir() if path.suffix == ".jpg")[: arguments.images]
    images = [file.read_bytes() for file in files]
    limits = DecodeLimits()
    ratios: list[tuple[float, float]] = []
    per_image: list[tuple[float, ...]] = []
    with DecodePool(arguments.workers, limits, WorkLimits()) as pool, ThreadPoolExecutor(arguments.workers) as executor:
        describer = Describer(load_descriptor(arguments.descriptor), Relation(0.0, agreement=arguments.agreement))
        both = [BatchDescriber(describer, decoder, executor) for decoder in (DecodeHere(limits), pool)]
        for _ in range(arguments.rounds + 1):
            wall_s, used_s, own_s = [], [], []
            for batches in both:
                started, cpu, own = time.perf_counter(), cpu_s(pool), time.process_time()
                describe_all(batches, images)
                wall_s.append(time.perf_counter() - started)
                used_s.append(cpu_s(pool) - cpu)
                own_s.append(time.process_time() - own)
            ratios.append((wall_s[0] / wall_s[1], used_s[1] / used_s[0]))
            per_image.append(tuple(1000 * each / len(images) for each in (*used_s, own_s[1])))
        back = answer_bytes(pool, describer, images)
    ratios, per_image = ratios[1:], per_image[1:]  # the first starts the processes
    print(f"{len(images)} images of {sum(map(len, images)) // len(images):,} bytes in the mean, {back:,} come back")
    told = {
        "images a second, processes to threads": [wall for wall, _ in ratios],
        "processor time, processes to threads": [cpu for _, cpu in ratios],
        "processor ms an image in threads": [threads for threads, _, _ in per_image],
        "processor ms an image in processes": [processes for _, processes, _ in per_image],
        "of which in the one that asks": [own for _, _, own in per_image],
    }
    for name, values in told.items():
        print(f"{name}: median {statistics.median(values):.2f}, {min(values):.2f} to {max(values):.2f}")


if __name__ == "__main__":
    main()
