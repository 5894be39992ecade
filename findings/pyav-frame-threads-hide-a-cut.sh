#!/usr/bin/env bash
# A clip that was cut off decodes without any error when FFmpeg decodes it in frame threads, PyAV's "AUTO" among them,
# and the last whole frames are lost. In slice threads, or in one, the same clip gives these frames and then an error.
# The error of the half packet comes up while the threads are flushed: it is swallowed, with the frames that wait behind
# it. So a recording that lost its end looks whole, and shorter.
# Seen with PyAV 18.1.0 (FFmpeg 8.1.2), an MP4 of 60 frames cut off at half of its bytes, with 31 packets left:
#   FRAME: 27 frames, 0 errors; AUTO: 27 frames, 0 errors; SLICE: 29 frames, 1 errors; NONE: 29 frames, 1 errors
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys

import av
import numpy as np

noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
with av.open("whole.mp4", "w", options={"movflags": "faststart"}) as clip:
    stream = clip.add_stream("libx264", rate=25, options={"g": "30", "bf": "2"})
    stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
    for number in range(60):
        clip.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(noise, 3 * number, 1), "rgb24")))
    clip.mux(stream.encode())
whole = open("whole.mp4", "rb").read()
with open("cut.mp4", "wb") as file:
    file.write(whole[: len(whole) // 2])


def decoded(thread_type):
    """Return how many frames come out, and how many errors."""
    frames = errors = 0
    with av.open("cut.mp4") as clip:
        stream = clip.streams.video[0]
        stream.thread_type = thread_type
        stream.codec_context.thread_count = 1 if thread_type == "NONE" else 4
        for packet in clip.demux(stream):
            try:
                frames += len(packet.decode())
            except av.FFmpegError:
                errors += 1
    return frames, errors


found = {name: decoded(name) for name in ("FRAME", "AUTO", "SLICE", "NONE")}
print("; ".join(f"{name}: {frames} frames, {errors} errors" for name, (frames, errors) in found.items()))
hidden, told = found["FRAME"], found["NONE"]
sys.exit(not (hidden[1] == 0 and told[1] == 1 and hidden[0] < told[0]))
PYTHON
