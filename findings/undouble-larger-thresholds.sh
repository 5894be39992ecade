#!/usr/bin/env bash
# With a larger threshold undouble finds fewer copies, and no longer tells files that are the same to the byte. A group
# with any member that an earlier group has is dropped as a whole, with all others in it: what is near to the rim of an
# earlier group stands in none. Here each of 60 frames of a slow cross-fade is there twice. By threshold 0 all are told;
# by 6, of 64 bits, the copies of 16 frames are in no group.
# Seen with undouble 1.4.11:
#   threshold 0: 120 of 120 files in 24 groups
#   threshold 2: 108 of 120 files in 7 groups
#   threshold 6: 88 of 120 files in 2 groups
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  undouble==1.4.11 clustimage==1.7.1 clusteval==2.2.7 colourmap==1.2.1 datazets==1.1.4 ImageHash==4.3.2 ismember==1.2.1 \
  matplotlib==3.11.2 networkx==3.6.1 numpy==2.4.6 opencv-python-headless==5.0.0.93 pandas==3.1.1 pillow==13.0.0 \
  pypickle==2.0.2 PyWavelets==1.9.0 scatterd==1.4.2 scikit-image==0.26.0 scikit-learn==1.9.1 scipy==1.17.1 tqdm==4.70.1
FOLDER="$folder/frames" MPLBACKEND=agg "$folder/venv/bin/python" - 2> "$folder/log" <<'PYTHON' || { cat "$folder/log"; exit 1; }
import os
from pathlib import Path

import numpy as np
from PIL import Image
from undouble import Undouble

folder = Path(os.environ["FOLDER"])
folder.mkdir()
random = np.random.default_rng(0)
FRAMES = 60


def picture():
    coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((256, 256), Image.Resampling.BICUBIC), dtype=float)


first, last = picture(), picture()
for number in range(FRAMES):
    frame = Image.fromarray(np.uint8(first + (last - first) * number / (FRAMES - 1)))
    for copy in "ab":
        frame.save(folder / f"{number:02}{copy}.png")

model = Undouble(method="phash", hash_size=8, verbose="critical")
model.import_data(str(folder))
model.compute_hash()


def told(threshold):
    model.group(threshold=threshold)
    groups = model.results["select_pathnames"]
    names = {Path(path).name for group in groups for path in group}
    print(f"threshold {threshold}: {len(names)} of {2 * FRAMES} files in {len(groups)} groups")
    return names


everything, some, few = told(0), told(2), told(6)
assert len(everything) == 2 * FRAMES
assert len(few) < len(some) < len(everything)
PYTHON
