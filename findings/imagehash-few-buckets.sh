#!/usr/bin/env bash
# A set or dict of ImageHash objects is quadratic. Their hash() adds up one power of two for each bit that is set, and
# the power begins anew every eight bits: so an 8 x 8 hash has at most 2,041 values of hash(), and bell-shaped at that.
# Of 20,000 different hashes only 1,172 values of hash() come; a set compares each new one with all in its bucket,
# by numpy, and doubling the hashes makes four times the comparisons.
# Seen with ImageHash 4.3.2:
#   20000 different hashes have 1172 values of hash(); comparisons for a set of 5000: 3 each, of 20000: 13 each
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 pillow==12.3.0 ImageHash==4.3.2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import imagehash
import numpy as np


class Counted(imagehash.ImageHash):
    comparisons = 0
    __hash__ = imagehash.ImageHash.__hash__

    def __eq__(self, other):
        Counted.comparisons += 1
        return super().__eq__(other)


random = np.random.default_rng(0)
hashes = [Counted(bits) for bits in random.integers(0, 2, (20_000, 8, 8)).astype(bool)]
assert len({str(each) for each in hashes}) == len(hashes)


def comparisons(count):
    Counted.comparisons = 0
    assert len(set(hashes[:count])) == count
    return Counted.comparisons / count


few, many, values = comparisons(5_000), comparisons(20_000), len({hash(each) for each in hashes})
print(
    f"20000 different hashes have {values} values of hash(); "
    f"comparisons for a set of 5000: {few:.0f} each, of 20000: {many:.0f} each"
)
sys.exit(not (values <= 2041 and many > 3 * few))
PYTHON
