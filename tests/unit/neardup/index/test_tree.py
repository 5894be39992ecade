"""Cells are numbered alike everywhere, and cut between members, never on one."""

import numpy as np
import pytest

from neardup.index.stored.events import Split
from neardup.index.tree import CellTree, bitmaps, choose_split
from neardup.search.cells import Cells


def tree_of(roots: int = 3) -> CellTree:
    return CellTree(Cells(np.eye(roots, 8, dtype=np.float32)))


def sketches_of(*values: float) -> np.ndarray:
    """Return sketches whose second coordinate has these values; the last number is the residual."""
    return np.column_stack([np.zeros(len(values)), values, np.linspace(0.0, 9.0, len(values))])


def test_splits_number_the_cells() -> None:
    tree = tree_of()
    assert (tree.leaves, tree.next_cells(), tree.split_count) == ([0, 1, 2], (3, 4), 0)
    tree.apply(Split(1, 1, 3, 4, 0, 0.0, b"LR"))
    tree.apply(Split(4, 1, 5, 6, 0, 0.5, b"LR"))
    assert (tree.leaves, tree.next_cells(), tree.split_count) == ([0, 2, 3, 5, 6], (7, 8), 2)
    assert [tree.root_of(cell) for cell in range(7)] == [0, 1, 2, 1, 1, 1, 1]
    assert [tree.is_leaf(cell) for cell in (-1, 1, 6, 7)] == [False, False, True, False]


def test_a_split_that_is_known_changes_nothing() -> None:
    tree = tree_of()
    for _ in range(2):
        tree.apply(Split(1, 1, 3, 4, 0, 0.0, b"LR"))
    assert tree.next_cells() == (5, 6)


def test_homes_follow_the_splits() -> None:
    tree = tree_of()
    tree.apply(Split(1, 1, 3, 4, 1, 0.5, b"LR"))
    descriptors = np.eye(3, 8, dtype=np.float16)[[1, 1, 1, 0]]
    assert tree.homes(descriptors, sketches_of(0.4, 0.5, 0.6, 0.6)) == [3, 4, 4, 0]


def test_a_cell_is_cut_midway_between_the_two_in_the_middle() -> None:
    split = choose_split(1, tree_of(), sketches_of(4.0, 1.0, 2.0, 3.0))
    assert split == Split(1, 1, 3, 4, 1, 2.5, b"RLLR")


@pytest.mark.parametrize(
    ("values", "sides"),
    [((1.0, 1.0, 1.0, 2.0), b"LLLR"), ((1.0, 2.0, 2.0, 2.0, 2.0), b"LRRRR"), ((1.0, 1.0 + 1e-12, 5.0), b"LLR")],
)
def test_equal_members_stay_together(values: tuple[float, ...], sides: bytes) -> None:
    split = choose_split(1, tree_of(), sketches_of(*values))
    assert split is not None
    assert split.sides == sides


def test_members_that_are_alike_are_not_divided() -> None:
    assert choose_split(1, tree_of(), sketches_of(1.0, 1.0, 1.0 + 1e-13)) is None


def test_an_odd_member_in_the_middle_is_not_the_threshold() -> None:
    split = choose_split(1, tree_of(), sketches_of(1.0, 2.0, 3.0))
    assert split is not None
    assert split.threshold in {1.5, 2.5}


def test_bitmaps_count_from_the_least_bit() -> None:
    reachable = np.zeros((2, 11), dtype=bool)
    reachable[0, [0, 3, 9]] = True
    assert bitmaps(reachable) == [bytes([0b1001, 0b10]), bytes(2)]
