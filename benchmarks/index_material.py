"""Members placed in cells as the service places them: k-means roots, and splits below them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.index.stored.events import Split
from neardup.index.tree import CellTree, choose_split
from neardup.search.cells import Cells
from neardup.search.sketches import Sketcher, fit_sketcher
from neardup.types import Descriptors, Member

MAX_CLUSTER = 300
MOST_ROOTS = 500
SAMPLE = 20_000
_ROWS_A_ROOT = 200


@dataclass(frozen=True)
class Placed:
    """Where members stand: rows of each cell."""

    tree: CellTree
    sketcher: Sketcher
    splits: list[Split]
    rows_of: dict[int, NDArray[np.intp]]


def place(members: Descriptors) -> Placed:
    """Place members; some of them serve as centroids, which changes nothing that is measured."""
    sketcher = fit_sketcher(members[:: max(1, len(members) // SAMPLE)])
    wanted = min(MOST_ROOTS, max(1, len(members) // _ROWS_A_ROOT))
    roots = Cells(members[:: len(members) // wanted].astype(np.float32))
    assigned = roots.assign(members)
    order = np.argsort(assigned, kind="stable")
    borders = np.searchsorted(assigned[order], np.arange(len(roots) + 1))
    rows_of = {root: order[borders[root] : borders[root + 1]] for root in range(len(roots))}
    tree, splits = CellTree(roots), []
    waiting = [root for root, rows in rows_of.items() if len(rows) > MAX_CLUSTER]
    while waiting:
        cell = waiting.pop()
        split = choose_split(cell, tree, sketcher.sketch(members[rows_of[cell]]))
        if split is None:
            continue
        tree.apply(split)
        splits.append(split)
        rows, low = rows_of.pop(cell), np.frombuffer(split.sides, dtype=np.uint8) == ord("L")
        rows_of[split.low], rows_of[split.high] = rows[low], rows[~low]
        waiting += [half for half in (split.low, split.high) if len(rows_of[half]) > MAX_CLUSTER]
    return Placed(tree, sketcher, splits, rows_of)


def key_of(number: int) -> str:
    """Return an idempotency key as the consumer makes them."""
    return f"images-{number % 16}-{number}"


def member_of(number: int, descriptor: Descriptors) -> Member:
    """Return a member with a key and an image id of usual length."""
    return Member(key_of(number), f"camera-{number % 64:02}/{number:09}.jpg", descriptor, 1_700_000_000_000 + number)
