#!/usr/bin/env bash
# difPy takes a picture that is exactly 16 or 32 levels brighter for an exact duplicate, and one that is 1, 8, 15 or 17
# levels brighter for a different picture. Its distance is a mean of squares of differences of 8-bit numbers that stay 8
# bits: 16 x 16 = 256 is 0 again.
# Seen with difPy 4.2.1, similarity='duplicates', PNG files without clipping:
#   brighter by 1: no, 8: no, 15: no, 16: duplicate, 17: no, 32: duplicate, 33: no
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check difPy==4.2.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import contextlib
import io
import sys
import tempfile

import difPy
import numpy as np
from PIL import Image

coarse = Image.fromarray(np.random.default_rng(3).integers(20, 200, (12, 16, 3), dtype=np.uint8))
picture = np.minimum(np.asarray(coarse.resize((320, 240), Image.Resampling.BICUBIC)), 200)


def is_duplicate(brighter):
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        Image.fromarray(picture).save(f"{folder}/one.png")
        Image.fromarray(picture + np.uint8(brighter)).save(f"{folder}/other.png")
        built = difPy.build(folder, show_progress=False)
        return bool(difPy.search(built, similarity="duplicates", show_progress=False).result)


if __name__ == "__main__":
    found = {brighter: is_duplicate(brighter) for brighter in (1, 8, 15, 16, 17, 32, 33)}
    print("brighter by " + ", ".join(f"{by}: {'duplicate' if yes else 'no'}" for by, yes in found.items()))
    sys.exit([by for by, yes in found.items() if yes] != [16, 32])
PYTHON
