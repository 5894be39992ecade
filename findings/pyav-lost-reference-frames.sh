#!/usr/bin/env bash
# FFmpeg gives frames that refer to a lost H.264 frame without a word. One packet of a clip is left out, as a recorder
# with a full disk or a lossy link does, and the rest is written as a valid MKV. Every later frame up to the next key
# frame is drawn on the wrong ground, tens of grey levels off, yet no call fails, no frame has `is_corrupt` set and no
# warning is logged, also with err_detect=explode.
# Seen with PyAV 18.1.0 (FFmpeg 8.1.2), 60 frames, key frames every 30, the packet of frame 10 left out:
#   59 frames, 0 corrupt, 0 errors, 0 warnings; 19 frames are more than 8 levels off in the mean
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys

import av
import av.logging
import numpy as np

av.logging.set_level(av.logging.WARNING)
LOST = 10


def picture(number):
    """A wide step in brightness at frame 10, which later frames only refer to; a small square moves."""
    grey = 60 if number % 30 < LOST else 160
    pixels = np.full((144, 176, 3), grey, np.uint8)
    pixels[40:56, 2 * number : 2 * number + 16] = 250
    return pixels


with av.open("whole.mkv", "w") as whole:
    stream = whole.add_stream("libx264", rate=25, options={"bf": "0", "g": "30", "sc_threshold": "0", "refs": "1"})
    stream.width, stream.height, stream.pix_fmt = 176, 144, "yuv420p"
    for number in range(60):
        for packet in stream.encode(av.VideoFrame.from_ndarray(picture(number), "rgb24")):
            whole.mux(packet)
    whole.mux(stream.encode())
with av.open("whole.mkv") as whole, av.open("lossy.mkv", "w") as lossy:
    copied = lossy.add_stream_from_template(whole.streams.video[0])
    for number, packet in enumerate(packet for packet in whole.demux(video=0) if packet.size):
        if number != LOST:
            packet.stream = copied
            lossy.mux(packet)

errors, frames = 0, []
with av.logging.Capture() as warnings, av.open("lossy.mkv") as lossy:
    lossy.streams.video[0].codec_context.options = {"err_detect": "explode"}
    for packet in lossy.demux(video=0):
        try:
            frames += packet.decode()
        except av.FFmpegError:
            errors += 1
off = [
    float(np.abs(frame.to_ndarray(format="rgb24").astype(int) - picture(round(frame.time * 25))).mean())
    for frame in frames
]
wrong, corrupt = sum(level > 8 for level in off), sum(frame.is_corrupt for frame in frames)
print(
    f"{len(frames)} frames, {corrupt} corrupt, {errors} errors, {len(warnings)} warnings; "
    f"{wrong} frames are more than 8 levels off in the mean"
)
sys.exit(not (corrupt == 0 and errors == 0 and wrong > 10))
PYTHON
