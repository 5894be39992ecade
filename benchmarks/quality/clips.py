"""How the distance between two frames of a camera grows with the time between them."""

from pathlib import Path

import numpy as np

from benchmarks.quality.tools import Tool

GAPS = (1, 2, 5, 10, 25, 50, 100, 200)
"""Frames between the two; the clips run at 10 to 30 frames a second."""
FPS = {"vtest_pedestrians": 10.0, "car_detection": 12.5, "bottle_detection": 29.8, "dashcam_solidWhiteRight": 25.0}


def distances_by_gap(tool: Tool, folder: Path) -> dict[str, list[dict[str, float]]]:
    """Return for each clip (a folder of frames) the quantiles of the distance at each gap, and the share within."""
    clips = {}
    for name, fps in FPS.items():
        files = sorted((folder / name).glob("*.jpg"))
        rows = [tool.row(file.read_bytes()) for file in files]
        frames = np.stack([row for row in rows if row is not None]).astype(np.float64)
        clips[name] = [_at_gap(tool, frames, gap, fps) for gap in GAPS if gap < len(frames)]
    return clips


def _at_gap(tool: Tool, frames: np.ndarray, gap: int, fps: float) -> dict[str, float]:
    distances = tool.distances(np.square(frames[gap:] - frames[:-gap]).sum(axis=1))
    p5, median, p95 = (float(value) for value in np.quantile(distances, [0.05, 0.5, 0.95]))
    found = {"frames": gap, "seconds": gap / fps, "p5": p5, "median": median, "p95": p95}
    if tool.default is not None:
        found["within_default"] = float((distances <= tool.default).mean())
    return found
