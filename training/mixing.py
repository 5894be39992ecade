"""Copies that show two photos at once: blended into one another, or one pasted into the other."""

import numpy as np
from numpy.typing import NDArray

from neardup.types import Pixels
from training.augment import Random

Parts = NDArray[np.float32]


def mixed(copies: Pixels, share: float, random: Random) -> tuple[Pixels, Parts]:
    """Return copies of which about a share show another one's photo, too, and how much of each is of which.

    A chosen copy is mixed with the chosen one before it, in any proportion: half of them pixel by pixel, half by a box.
    The second half of the result is float32 (n, n), a row a copy, which sums to 1.

    Sources: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, equation 1 (blended); Yun et al.,
    "CutMix", ICCV 2019, equation 1 (boxes).
    """
    own = np.ones((len(copies), *copies.shape[1:3], 1))
    chosen = np.flatnonzero(random.random(len(copies)) < share)
    mates = np.arange(len(copies))
    mates[chosen] = np.roll(chosen, 1)
    for one in chosen:
        if random.random() < 0.5:
            own[one] = random.random()
        else:
            _cut_box(own[one], random)
    shown = own * copies + (1 - own) * copies[mates]
    of_own = own.mean(axis=(1, 2, 3))
    parts = np.diag(of_own)
    parts[np.arange(len(copies)), mates] += 1 - of_own
    return shown.round().astype(np.uint8), parts.astype(np.float32)


def _cut_box(own: NDArray[np.float64], random: Random) -> None:
    """Set to 0 a box of any area, of the picture's form, anywhere within."""
    sides = np.array(own.shape[:2])
    box = (sides * random.random() ** 0.5).astype(int)
    top, left = random.integers(0, sides - box + 1)
    own[top : top + box[0], left : left + box[1]] = 0.0
