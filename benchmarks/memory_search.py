"""What a search among members in memory costs, a batch compared together beside one image after the other.

    python -m benchmarks.memory_search [--members 10000 75000 300000]

Folder mode with `--index memory` searches so. Descriptors are generated, as long as those of `dct`; each figure is the
median of some batches of 64, both ways in turn, on one thread.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from statistics import median

import numpy as np
from threadpoolctl import threadpool_limits

from neardup.descriptors import load_descriptor
from neardup.descriptors.base import unit_float16
from neardup.index.block import MemberBlock
from neardup.types import Descriptors, Member

BATCH, ROUNDS = 64, 5


def main(arguments: Sequence[str]) -> int:
    """Print a line for each number of members."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--members", type=int, nargs="+", default=[10_000, 75_000, 300_000])
    dimension = load_descriptor("dct").dimension
    random = np.random.default_rng(0)
    for count in parser.parse_args(arguments).members:
        block = MemberBlock(dimension)
        for number, row in enumerate(_drawn(random, count, dimension)):
            block.append(Member(str(number), str(number), row))
        took: dict[str, list[float]] = {"together": [], "one by one": []}
        with threadpool_limits(1):
            for _ in range(ROUNDS):
                batch = list(_drawn(random, BATCH, dimension))
                took["together"].append(_ms_an_image(block, batch, ahead=batch))
                took["one by one"].append(_ms_an_image(block, batch, ahead=[]))
        together, alone = (median(each) for each in took.values())
        print(
            f"{count} members, {dimension} numbers: {together:.3f} ms of CPU an image, {alone:.3f} one by one: "
            f"{together / alone:.2f} of it"
        )
    return 0


def _drawn(random: np.random.Generator, count: int, dimension: int) -> Descriptors:
    return unit_float16(random.standard_normal((count, dimension), dtype=np.float32))


def _ms_an_image(block: MemberBlock, batch: Sequence[Descriptors], ahead: Sequence[Descriptors]) -> float:
    began = time.process_time()
    block.look_ahead(ahead)
    for descriptor in batch:
        block.nearest(descriptor)
    return 1000.0 * (time.process_time() - began) / len(batch)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
