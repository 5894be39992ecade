#!/usr/bin/env bash
# PDQ gives flat pictures hashes that look like those of different photos. PDQ's usual threshold is 31 of 256 bits. Of
# the 32,640 pairs of the 256 flat greys, 99 % are farther than that, up to 152 bits: as far as two strangers. The hash
# of a flat picture is rounding noise of its transform, and its quality is 0; whoever does not look at the quality
# misses every pair of almost flat pictures whose brightness differs by one level.
# Seen with pdqhash 0.2.8:
#   quality of all: 0; farthest pair: 152 bits; beyond 31 bits: 99.2 % of pairs
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 pdqhash==0.2.8
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import pdqhash

hashes, qualities = zip(*(pdqhash.compute(np.full((256, 256, 3), grey, np.uint8)) for grey in range(256)))
bits = np.array(hashes)
apart = np.array([(bits[one] != bits[other]).sum() for one in range(256) for other in range(one)])
print(
    f"quality of all: {max(qualities)}; farthest pair: {apart.max()} bits; "
    f"beyond 31 bits: {100 * (apart > 31).mean():.1f} % of pairs"
)
sys.exit(not (max(qualities) == 0 and apart.max() > 100 and (apart > 31).mean() > 0.9))
PYTHON
