#!/usr/bin/env bash
# PyAV's VideoFrame.rotation cannot tell a mirrored clip from a turned one. The display matrix that MP4 and MOV keep has
# eight upright shapes, four of them mirrored. `rotation` gives an angle alone: a matrix that mirrors sideways only
# (a front camera's) says -180, so whoever turns the picture by it stands it on its head; one that mirrors upside down
# says 0.
# Seen with PyAV 18.1.0 (FFmpeg 8.1.2):
#   as it is: 0, mirrored sideways: -180, upside down mirrored: 0, turned by 180: -180
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import struct
import sys

import av
import numpy as np

with av.open("plain.mp4", "w") as clip:
    stream = clip.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for _ in range(3):
        clip.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")))
    clip.mux(stream.encode())
plain = open("plain.mp4", "rb").read()
ONE = 1 << 16
identity = struct.pack(">9i", ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30)
place = plain.index(identity, plain.index(b"tkhd"))


def rotation(across, down):
    """Write a matrix into the track's header, and ask."""
    matrix = struct.pack(
        ">9i", across * ONE, 0, 0, 0, down * ONE, 0, (across < 0) * 64 * ONE, (down < 0) * 48 * ONE, 1 << 30
    )
    with open("shown.mp4", "wb") as file:
        file.write(plain[:place] + matrix + plain[place + len(matrix) :])
    with av.open("shown.mp4") as clip:
        return next(clip.decode(video=0)).rotation


kinds = {"as it is": (1, 1), "mirrored sideways": (-1, 1), "upside down mirrored": (1, -1), "turned by 180": (-1, -1)}
found = {kind: rotation(*shape) for kind, shape in kinds.items()}
print(", ".join(f"{kind}: {angle}" for kind, angle in found.items()))
sys.exit(not (found["mirrored sideways"] == found["turned by 180"] == -180 and found["upside down mirrored"] == 0))
PYTHON
