"""The nearest that a look-up tells of are those of brute force, wherever members stand and however few are measured."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from neardup.index.looking import nearest as looking
from neardup.index.looking.nearest import nearest
from neardup.index.stored.codec import encode_member
from neardup.index.stored.events import Rewritten, encode_rewritten
from neardup.index.stored.log import LogEvents
from neardup.index.tree import CellTree
from neardup.index.view import GenerationView
from neardup.relation.rule import Relation
from neardup.search import sketch_trees as filters
from neardup.search.cells import Cells
from neardup.search.distance import l2_distances
from neardup.search.sketches import fit_sketcher
from neardup.types import Descriptors, Member
from tests.support.spectra import Scene, scenes


@contextmanager
def small_sizes(most_measured: int, most_read: int) -> Iterator[None]:
    """Make few members many: leaves divide, and there are several steps."""
    of_filter = {"_BUFFER": 8, "_LEAF_ROWS": 4, "_LEAVES_FIRST": 2, "_GROWTH": 2, "_BRIDGED": 1}
    of_looking = {
        "_FIRST": 2,
        "_STEPS": 2,
        "_HOPELESS": min(3, most_measured),
        "MOST_MEASURED": most_measured,
        "MOST_READ": most_read,
    }
    with ExitStack() as stack:
        for module, sizes in ((filters, of_filter), (looking, of_looking)):
            for name, value in sizes.items():
                stack.enter_context(patch.object(module, name, value))
        yield


class Held:
    """A view of members in cells, of which every so many-th was removed since."""

    def __init__(self, scene: Scene, cells: int, removed_of: int, budget_bytes: int) -> None:
        rng = np.random.default_rng(scene.seed)
        rows = scene.descriptors
        roots = Cells(rows[rng.integers(0, len(rows), cells)].astype(np.float32))
        self._stored: dict[int, list[bytes]] = {cell: [] for cell in range(cells)}
        self._home = roots.assign(rows)
        stays = np.arange(len(rows)) % removed_of > 0
        self.rows: Descriptors = rows[stays]
        self._store(rows, range(len(rows)))
        self.view = GenerationView(
            CellTree(roots), fit_sketcher(rows[:30]), Relation(scene.radius), self._read, budget_bytes
        )
        self.view.load(range(cells))
        self._store(rows, np.flatnonzero(stays).tolist())
        self.view.apply(LogEvents([encode_rewritten(Rewritten(cell, cell)) for cell in range(cells)]))

    def _store(self, rows: Descriptors, numbers: Sequence[int]) -> None:
        for cell in self._stored:
            self._stored[cell] = [
                encode_member(Member(f"m{number}", "", rows[number]))
                for number in numbers
                if self._home[number] == cell
            ]

    def _read(self, cells: Sequence[int]) -> list[list[bytes]]:
        return [list(self._stored[cell]) for cell in cells]


@settings(max_examples=150)
@given(
    scene=scenes(most_rows=150, most_numbers=80),
    cells=st.integers(1, 12),
    removed_of=st.sampled_from([2, 3, 1000]),
    limit=st.integers(1, 20),
    variants=st.integers(1, 3),
    most_measured=st.sampled_from([1, 5, 10_000]),
    budget=st.sampled_from([(0, 0), (0, 2), (3000, 1), (1 << 20, 0)]),
)
def test_the_nearest_by_sketches_are_those_of_brute_force(  # noqa: PLR0917 - all that may differ
    scene: Scene,
    cells: int,
    removed_of: int,
    limit: int,
    variants: int,
    most_measured: int,
    budget: tuple[int, int],
) -> None:
    budget_bytes, most_read = budget
    with small_sizes(most_measured, most_read):
        held = Held(scene, cells, removed_of, budget_bytes)
        asked = scene.descriptors[::-1][:variants]
        found, exact = nearest(held.view, asked, limit, scene.radius)
        told = [l2_distance for _, (l2_distance, _) in found.told(limit)]
    truth = np.sort(l2_distances(asked, held.rows).min(axis=0)) if len(held.rows) else np.empty(0)
    within = truth[truth <= scene.radius]
    assert told[: len(within)] == within[:limit].tolist()
    if exact:
        assert told == truth[:limit].tolist()
    assert len(told) <= limit
    assert exact or most_measured < len(held.rows) or budget_bytes < 1 << 20


def test_each_is_told_with_its_own_record() -> None:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((400, 16))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    held = Held(Scene(rows, 0.2, 1), 9, 5, 1 << 20)
    found, exact = nearest(held.view, rows[:1], 30, 0.2)
    assert exact
    for member, (l2_distance, cell) in found.told(30):
        number = int(member.key[1:])
        assert number % 5
        assert (member.descriptor == rows[number]).all()
        assert l2_distance == l2_distances(rows[:1], rows[number : number + 1])[0, 0]
        assert cell == held.view.tree.homes(rows[number : number + 1], held.view.sketch(rows[number : number + 1]))[0]
