"""Which images of many are shown: whole groups, those next to the radius, and others at random."""

import numpy as np
from numpy.typing import NDArray

from neardup.report.tally import Tally

_OF_GROUPS, _OF_BORDER = 0.5, 0.2
"""Shares of what is shown that groups, and images next to the radius, get; all others share the rest."""
_MOST_OF_GROUP = 50
_LARGEST_GROUPS = 100
Numbers = NDArray[np.uint64]


def chosen(tally: Tally, most: int, radius: float) -> set[int]:
    """Return the numbers of the keys of those to show, with the unique image of each duplicate among them.

    The same verdicts give the same choice in any order: what is random is a hash of the keys.

    Parameters
    ----------
    tally
        Of all.
    most
        How many images, about; all if there are no more.
    radius
        Around which images are looked at most.
    """
    keys, groups, is_duplicate = tally.keys, tally.groups, tally.is_duplicate
    if len(keys) <= most:
        return set(np.concatenate([keys, groups]).tolist())
    shown = _of_groups(keys[is_duplicate], groups[is_duplicate], int(_OF_GROUPS * most))
    near = np.argsort(np.abs(tally.distances - radius), kind="stable")  # NaN comes last
    share = int(_OF_BORDER * most) // 4  # of each side, and each duplicate brings its unique image
    for side in (near[is_duplicate[near]], near[~is_duplicate[near]]):
        shown |= set(np.concatenate([keys[side[:share]], groups[side[:share]]]).tolist())
    rest = max(0, most - len(shown)) // 2
    lowest = np.argsort(keys)[:rest]
    return shown | set(np.concatenate([keys[lowest], groups[lowest]]).tolist())


def _of_groups(keys: Numbers, groups: Numbers, most: int) -> set[int]:
    """Return images of groups: of the largest, and of others at random, with no more of each than one can look at."""
    order = np.lexsort((keys, groups))
    keys, groups = keys[order], groups[order]
    heads, starts, sizes = np.unique(groups, return_index=True, return_counts=True)
    shown: set[int] = set()
    largest = np.argsort(-sizes, kind="stable")[:_LARGEST_GROUPS]
    for group in dict.fromkeys([*largest.tolist(), *range(len(heads))]):
        if len(shown) >= most:
            break
        start = int(starts[group])
        shown.add(int(heads[group]))
        shown.update(keys[start : start + min(int(sizes[group]), _MOST_OF_GROUP - 1)].tolist())
    return shown
