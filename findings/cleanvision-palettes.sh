#!/usr/bin/env bash
# cleanvision's "exact duplicates" can be pictures that have no colour in common, or another shape. It compares a hash of
# the pixel values as they are stored, without the palette and without the size: two PNGs or GIFs whose colours alone
# differ are exact duplicates (a map coloured by another palette, a chart, a thermal camera's other scale), and so are
# plain pictures of the same area, one wide and one high. Tools that let one of each set go lose a picture by it.
# Seen with cleanvision 0.3.7:
#   exact duplicates: cold.png hot.png | high.png wide.png
#   hot.png and cold.png: 0 % of the pixels have the same colour
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  cleanvision==0.3.7 ImageHash==4.3.2 numpy==2.4.6 pillow==12.3.0 \
  fsspec==2026.9.0 matplotlib==3.11.2 pandas==3.1.1 PyWavelets==1.9.0 scipy==1.17.1 tabulate==0.10.0 tqdm==4.70.1
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import contextlib
import io
import os
from pathlib import Path

import numpy as np
from cleanvision import Imagelab
from PIL import Image

folder = Path(os.environ["FOLDER"]) / "pictures"
folder.mkdir()
rows, columns = np.mgrid[:120, :160]
heat = (128 + 60 * np.sin(rows / 17) + 60 * np.cos(columns / 23)).astype(np.uint8)
levels = range(256)
palettes = {
    "hot": [value for level in levels for value in (255, 255 - level, 0)],
    "cold": [value for level in levels for value in (0, level, 255)],
}
for name, palette in palettes.items():
    picture = Image.fromarray(heat).convert("P")
    picture.putdata(heat.ravel().tolist())
    picture.putpalette(palette)
    picture.save(folder / f"{name}.png")
Image.new("RGB", (160, 80), (90, 120, 60)).save(folder / "wide.png")
Image.new("RGB", (80, 160), (90, 120, 60)).save(folder / "high.png")

with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    lab = Imagelab(data_path=str(folder))
    lab.find_issues({"exact_duplicates": {}}, n_jobs=1)
sets = [sorted(Path(path).name for path in each) for each in lab.info["exact_duplicates"]["sets"]]
hot, cold = (np.asarray(Image.open(folder / f"{name}.png").convert("RGB")) for name in palettes)
same = (hot == cold).all(axis=2).mean()
print("exact duplicates:", " | ".join(" ".join(each) for each in sets))
print(f"hot.png and cold.png: {same:.0%} of the pixels have the same colour".replace("%", " %"))
assert sorted(sets) == [["cold.png", "hot.png"], ["high.png", "wide.png"]]
assert same == 0
PYTHON
