"""What is left out by a sketch, a box, a tree or a border could not have been within the radius."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neardup.index.stored.events import Split
from neardup.index.tree import CellTree, bitmaps, choose_split
from neardup.search import sketch_trees as filters
from neardup.search.cells import Cells
from neardup.search.distance import l2_distances
from neardup.search.sketch_rows import Shape
from neardup.search.sketch_trees import LONG, SHORT, SketchTrees
from neardup.search.sketches import SLACK, Sketcher, fit_sketcher
from neardup.types import Descriptors
from tests.support.spectra import Scene, brute_force, described, scenes

pytestmark = pytest.mark.slow


def sketch_distances(sketcher: Sketcher, queries: Descriptors, rows: Descriptors) -> np.ndarray:
    left, right = sketcher.sketch(queries), sketcher.sketch(rows)
    return np.asarray(np.linalg.norm(left[:, np.newaxis] - right, axis=2))


@settings(max_examples=80)
@given(scenes(most_rows=60), st.integers(1, 32), st.integers(1, 60))
def test_a_sketch_is_never_farther_than_its_descriptor(scene: Scene, size: int, fit_on: int) -> None:
    rows = scene.descriptors
    sketcher = fit_sketcher(rows[:fit_on], size)
    assert 1 <= len(sketcher.basis) <= size
    assert (sketch_distances(sketcher, rows, rows) <= l2_distances(rows, rows) + SLACK).all()


@pytest.mark.parametrize("dimension", [3, 40, 2000])
@pytest.mark.parametrize("count", [1, 2, 35])
@pytest.mark.parametrize("kind", ["all alike", "on a line", "two points", "any"])
def test_degenerate_samples_give_a_basis_that_bounds(dimension: int, count: int, kind: str) -> None:
    rng = np.random.default_rng(dimension + count)
    sample = described(rng, count, dimension, 1.0, 1.0)
    if kind == "all alike":
        sample = np.repeat(sample[:1], count, axis=0)
    elif kind == "on a line":
        sample = (sample[:1].astype(np.float32) * np.linspace(0.5, 1.0, count)[:, np.newaxis]).astype(np.float16)
    elif kind == "two points":
        sample = sample[np.arange(count) % min(2, count)]
    sketcher = fit_sketcher(sample)
    gram = sketcher.basis.astype(np.float64) @ sketcher.basis.T
    assert np.abs(gram - np.eye(len(gram))).max() < 1e-6
    others = described(rng, 50, dimension, 0.5, 0.1)
    assert (sketch_distances(sketcher, others, others) <= l2_distances(others, others) + SLACK).all()


@contextmanager
def small_filters(sizes: int) -> Iterator[None]:
    """Make few rows many: buffers fill, parts merge, leaves divide."""
    names: dict[str, object] = {"_BUFFER": 4 * sizes, "_LEAF_ROWS": 2 * sizes, "_GROUP_ROWS": 4 * sizes, "_GROWTH": 2}
    names |= {"SHORT": Shape(2, 4), "LONG": Shape(3, 6), "_BRIDGED": 1}
    with ExitStack() as stack:
        for name, value in names.items():
            stack.enter_context(patch.object(filters, name, value))
        yield


def distances_cut_after(coordinates: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the distances of sketches of so many coordinates and a residual."""
    residuals = [np.linalg.norm(sketches[:, coordinates:], axis=1) for sketches in (left, right)]
    squared = np.square(left[:, np.newaxis, :coordinates] - right[:, :coordinates]).sum(axis=2)
    return np.asarray(np.sqrt(squared + np.square(residuals[0][:, np.newaxis] - residuals[1])))


@settings(max_examples=150)
@given(
    scenes(),
    st.integers(1, 8),
    st.lists(st.integers(1, 40), min_size=1, max_size=8),
    st.integers(1, 40),
    st.sampled_from([0.0, 1.0, 10.0]),
    st.sampled_from([0, 30, 1000]),
)
def test_the_filter_misses_nothing(  # noqa: PLR0917 - hypothesis passes them by name
    scene: Scene, sizes: int, steps: list[int], asked: int, expected: float, at_once: int
) -> None:
    rows = scene.descriptors
    sketcher = fit_sketcher(rows[:20])
    sketches = sketcher.sketch(rows)
    slots = np.random.default_rng(scene.seed).permutation(len(rows)).astype(np.int32)
    with small_filters(sizes):
        chosen = SketchTrees(sketcher.size, expected * scene.radius)
        start = 0
        while start < len(rows):
            end = start + steps[start % len(steps)]
            chosen.add(sketches[start:end], slots[start:end], at_once)
            if start % 3 == 1:
                chosen.fit(sizes)
                assert sizes <= chosen.room <= sizes + (len(chosen) + sizes) // 4
            start = min(end, len(rows))
            assert len(chosen) == start
            queries = rows[::-1][:asked]
            found = chosen.within(sketcher.sketch(queries), scene.radius)
            pairs = {(int(query), int(np.flatnonzero(slots == slot)[0])) for query, slot in zip(*found, strict=True)}
            assert brute_force(queries, rows[:start], scene.radius) <= pairs
            assert len(pairs) == len(found[0]), "none twice"
            apart = distances_cut_after(4, sketcher.sketch(queries), sketches)
            assert all(apart[pair] ** 2 <= scene.radius**2 + 1e-4 for pair in pairs), "what four coordinates leave out"
            few = sketcher.sketch(queries[:3])
            once, at_least = chosen.at_least(few, scene.radius)
            together = set(chosen.within(few, scene.radius)[1].tolist())
            assert set(once.tolist()) == together, "the slots of `within`"
            assert len(once) == len(together), "each once"
            truth = l2_distances(queries[:3], rows[np.argsort(slots)[once]]).min(axis=0)
            assert (at_least <= truth).all()
            some, at_least = chosen.some_near(few, 5)
            assert len(set(some.tolist())) == len(some) <= 5
            assert set(some.tolist()) <= set(slots[:start].tolist())
            assert (at_least <= l2_distances(queries[:3], rows[np.argsort(slots)[some]]).min(axis=0)).all()
    assert chosen.nbytes > 0


@pytest.mark.parametrize("radius", [0.1, 2.0, 20.0, 1e6])
def test_what_is_least_stays_below_what_is(radius: float) -> None:
    rows = described(np.random.default_rng(3), 200, 64, 1.0, 0.3)
    sketcher = fit_sketcher(rows)
    chosen = SketchTrees(sketcher.size, radius)
    chosen.add(sketcher.sketch(rows), np.arange(len(rows), dtype=np.int32))
    for query in range(0, len(rows), 9):
        own = sketcher.sketch(rows[query : query + 1])
        for slots, at_least in (chosen.some_near(own, 50), chosen.at_least(own, radius)):
            assert query in slots
            assert (at_least <= l2_distances(rows[query : query + 1], rows[slots])[0]).all()


@pytest.mark.parametrize(
    ("decay", "radius", "shape"),
    [(0.0, 0.0, SHORT), (0.0, 0.1, SHORT), (0.0, 0.6, LONG), (1.0, 0.0, SHORT), (1.0, 0.1, SHORT), (1.0, 0.6, LONG)],
)
def test_the_filter_at_full_size(decay: float, radius: float, shape: Shape) -> None:
    rows = described(np.random.default_rng(7), 9000, 64, decay, 0.3)
    sketcher = fit_sketcher(rows[:2000])
    sketches = sketcher.sketch(rows)
    chosen = SketchTrees(sketcher.size, radius)
    for start in range(0, len(rows), 700):
        part = slice(start, min(start + 700, len(rows)))
        chosen.add(sketches[part], np.arange(part.start, part.stop, dtype=np.int32))
    for queries in (slice(0, 64), slice(8990, 9000), slice(5, 6)):
        pairs = chosen.within(sketches[queries], radius)
        found = {(int(query), int(slot)) for query, slot in zip(*pairs, strict=True)}
        assert brute_force(rows[queries], rows, radius) <= found
    assert chosen.shape == shape


def grown_tree(scene: Scene, sketcher: Sketcher, limit: int) -> tuple[CellTree, dict[int, list[int]]]:
    """Divide cells as an index does while rows are appended; return the tree and the rows of each leaf."""
    rng = np.random.default_rng(scene.seed)
    picks = scene.descriptors[rng.integers(0, len(scene.descriptors), 4)].astype(np.float32)
    tree = CellTree(Cells(np.concatenate([picks, picks[:1]])))  # one centroid twice: a tie at every rank
    sketches = sketcher.sketch(scene.descriptors)
    held: dict[int, list[int]] = {}
    for row in range(len(scene.descriptors)):
        (cell,) = tree.homes(scene.descriptors[row : row + 1], sketches[row : row + 1])
        held.setdefault(cell, []).append(row)
        if len(held[cell]) > limit and (split := choose_split(cell, tree, sketches[held[cell]])):
            divide(tree, held, split)
    return tree, held


def divide(tree: CellTree, held: dict[int, list[int]], split: Split) -> None:
    rows = held.pop(split.cell)
    assert set(split.sides) == set(b"LR"), "a division leaves something on both sides"
    tree.apply(split)
    for row, side in zip(rows, split.sides, strict=True):
        held.setdefault(split.low if side == ord("L") else split.high, []).append(row)


@settings(max_examples=60)
@given(scenes(), st.integers(2, 12))
def test_a_member_stays_at_home_through_all_divisions(scene: Scene, limit: int) -> None:
    sketcher = fit_sketcher(scene.descriptors)
    tree, held = grown_tree(scene, sketcher, limit)
    assert sorted(row for rows in held.values() for row in rows) == list(range(len(scene.descriptors)))
    homes = tree.homes(scene.descriptors, sketcher.sketch(scene.descriptors))
    for cell, rows in held.items():
        assert tree.is_leaf(cell)
        assert {homes[row] for row in rows} == {cell}
        coordinates = sketcher.sketch(scene.descriptors[rows])[:, :-1]
        assert len(rows) <= limit or np.ptp(coordinates, axis=0).max() < 1e-8
    again = CellTree(tree.roots)
    for split in tree._splits.values():
        again.apply(split)
    assert (again.leaves, again.next_cells()) == (tree.leaves, tree.next_cells())
    assert again.homes(scene.descriptors, sketcher.sketch(scene.descriptors)) == homes


@settings(max_examples=80)
@given(scenes(), st.integers(1, 40))
def test_no_root_is_left_out_that_holds_a_member_within_the_radius(scene: Scene, clusters: int) -> None:
    rows = scene.descriptors
    rng = np.random.default_rng(scene.seed)
    weights = rng.dirichlet(np.full(len(rows), 0.3), size=clusters)
    cells = Cells((weights @ rows.astype(np.float64)).astype(np.float32))
    reachable = CellTree(cells).reachable_roots(rows, scene.radius)
    homes = cells.assign(rows)
    for query, row in brute_force(rows, rows, scene.radius):
        assert reachable[query, homes[row]]
    for mask, bits in zip(reachable, bitmaps(reachable), strict=True):
        assert [bits[root // 8] >> (root % 8) & 1 for root in range(clusters)] == mask.tolist()
