"""Pictures for tests, the same on every machine: no random generator, no library of images."""

import numpy as np

from neardup.types import Pixels


def generated(seed: int, width: int = 200, height: int = 150) -> Pixels:
    """Return a smooth picture of waves, shaded differently in each colour; every seed another one."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    across, down, slope = 6.0 * (1 + seed % 5) * x, np.cos(4.0 * (1 + seed % 3) * y - seed), x * y
    waves = [np.sin(across + channel) * down + slope * (channel - seed % 2) for channel in range(3)]
    return np.clip(127.5 + 80.0 * np.stack(waves, axis=2), 0, 255).astype(np.uint8)


def detailed(width: int = 200, height: int = 150) -> Pixels:
    """Return a picture of much detail, in whole numbers: another way of shrinking it gives other numbers."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [(x * x * (3 + channel) + y * y * 5 + x * y * (7 - channel)) // 16 % 256 for channel in range(3)]
    return np.stack(channels, axis=2).astype(np.uint8)


def flat(red: int, green: int, blue: int, width: int = 64, height: int = 48) -> Pixels:
    """Return a picture of one colour."""
    return np.full((height, width, 3), (red, green, blue), dtype=np.uint8)


GENERATED = [generated(seed) for seed in range(3)]
