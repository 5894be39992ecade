"""What decoding the same file once saves, and hashing costs: ``python -m benchmarks.repeats FOLDER``.

Streams of which some images are a file that came before are decoded and described as the service does, with what is
remembered and without, in turn. Processor time counts all processes; ratios within a run mean something on a busy
machine, too. Kafka, Redis and deciding come on top, and are the same either way.
"""

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.decode_cost import cpu_s, describe_all
from benchmarks.throughput.describing import describer_of
from consumer.settings import ServiceSettings
from neardup.decoding.limits import DecodeLimits, WorkLimits
from neardup.decoding.pool import DecodePool
from neardup.describe_batch import BatchDescriber
from neardup.relation.describing import Describer
from neardup.repeats import Claim, Repeats

SHARES = (0.0, 0.3, 0.7)
"""Of the images, so many are a file that came before."""


def stream_of(files: Sequence[bytes], share: float) -> list[bytes]:
    """Return as many images, of which this share is one that came before, however long ago."""
    chance, new = random.Random(1), iter(files)  # noqa: S311 - the same stream each time
    stream: list[bytes] = []
    for _ in files:
        again = bool(stream) and chance.random() < share
        stream.append(chance.choice(stream) if again else next(new))
    return stream


def cpu_ms(describer: Describer, pool: DecodePool, stream: list[bytes], repeat_bytes: int) -> float:
    """Return the processor time of an image, where so much memory begins empty."""
    with ThreadPoolExecutor(2) as executor:
        batches = BatchDescriber(describer, pool, executor, Repeats(repeat_bytes))
        before = cpu_s(pool)
        describe_all(batches, stream)
        return 1000 * (cpu_s(pool) - before) / len(stream)


def remembering_ms(describer: Describer, pool: DecodePool, files: Sequence[bytes], repeat_bytes: int) -> float:
    """Return the processor time that an image takes to be hashed, not found, and kept."""
    (image,) = pool.preparing(describer.preparation)(files[:1])
    repeats, before_s = Repeats(repeat_bytes), time.process_time()
    for data in files:
        claim = repeats.ask(data)
        if isinstance(claim, Claim):
            repeats.settle(claim, image)
    return 1000 * (time.process_time() - before_s) / len(files)


def main() -> None:
    """Measure, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--profile", default="dct", help="a profile, or a descriptor")
    options = parser.parse_args()
    files = [path.read_bytes() for path in sorted(options.folder.glob("*.jpg"))[: options.images]]
    describer, budgets = describer_of(options.profile), (0, ServiceSettings.repeat_bytes)
    print(f"{options.profile}: {len(files)} images of {sum(map(len, files)) // len(files):,} bytes in the mean")
    with DecodePool(2, DecodeLimits(), WorkLimits()) as pool:
        cpu_ms(describer, pool, files, 0)  # the processes start
        added = [remembering_ms(describer, pool, files, budgets[1]) for _ in range(options.rounds)]
        print(f"hashing an image and keeping what it came to: {statistics.median(added):.3f} ms")
        for share in SHARES:
            stream = stream_of(files, share)
            taken: dict[int, list[float]] = {budget: [] for budget in budgets}
            for number in range(options.rounds):
                for budget in budgets[:: 1 if number % 2 == 0 else -1]:
                    taken[budget].append(cpu_ms(describer, pool, stream, budget))
            ratios = [on / off for off, on in zip(*taken.values(), strict=True)]
            off, on = map(statistics.median, taken.values())
            told = f"{statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}"
            print(f"{share:.0%} the same file again: {off:.2f} ms an image off, {on:.2f} on; on to off: median {told}")


if __name__ == "__main__":
    main()
