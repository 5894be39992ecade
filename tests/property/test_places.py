"""Places kept in arrays are those of lists, whatever happens to cells."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neardup.search import places as module
from neardup.search.places import GONE, Places, grouped

CELLS = 3


class Lists:
    """Each cell a list of members, which are numbers, with the slot of each member."""

    def __init__(self) -> None:
        self.cells: dict[int, list[int]] = {cell: [] for cell in range(CELLS)}
        self.slots: dict[int, int] = {}
        self.named = 0

    def append(self, cells: list[int], slots: list[int]) -> None:
        for cell, slot in zip(cells, slots, strict=True):
            self.cells[cell].append(self.named)
            self.slots[self.named] = slot
            self.named += 1

    def check(self, places: Places) -> None:
        members = [member for theirs in self.cells.values() for member in theirs]
        assert len(places) == len(members)
        assert places.count - places.gone == len(members)
        for cell, theirs in self.cells.items():
            assert places.size_of(cell) == len(theirs)
            assert places.slots_of(cell).tolist() == [self.slots[member] for member in theirs]
            for place, member in enumerate(theirs):
                assert places.cell_of[self.slots[member]] == cell
                assert places.place_of[self.slots[member]] == place
        by_cell = {cell: slots.tolist() for cell, slots in places.by_cell()}
        assert by_cell == {
            cell: [self.slots[member] for member in theirs] for cell, theirs in self.cells.items() if theirs
        }


@given(data=st.data())
def test_places_are_those_of_lists(data: st.DataObject) -> None:
    module_first, module.FIRST_SLOTS = module.FIRST_SLOTS, 4
    try:
        _act(data)
    finally:
        module.FIRST_SLOTS = module_first


def _act(data: st.DataObject) -> None:
    places, lists, cell_count = Places(CELLS, range(CELLS)), Lists(), CELLS
    for _ in range(data.draw(st.integers(1, 12))):
        leaf = st.sampled_from(sorted(lists.cells))
        action = data.draw(st.sampled_from(["append", "append", "forget", "divide", "tidy"]))
        if action == "append":
            cells = data.draw(st.lists(leaf, max_size=12))
            slots = places.new_slots(len(cells) + data.draw(st.integers(0, 2)))
            assert slots.tolist() == list(range(places.count - len(slots), places.count))
            taken = slots[sorted(data.draw(st.permutations(range(len(slots))))[: len(cells)])]
            places.append(grouped(np.array(cells, dtype=np.intp)), taken)
            lists.append(cells, taken.tolist())
        elif action == "forget":
            cell = data.draw(leaf)
            places.forget(cell)
            lists.cells[cell] = []
        elif action == "divide":
            cell = data.draw(leaf)
            theirs = lists.cells.pop(cell)
            low = np.array(data.draw(st.lists(st.booleans(), min_size=len(theirs), max_size=len(theirs))), dtype=bool)
            halves = [(cell_count, np.flatnonzero(low)), (cell_count + 1, np.flatnonzero(~low))]
            cell_count += 2
            places.add_cells(cell_count)
            places.divide(cell, halves)
            lists.cells |= {half: [theirs[row] for row in rows] for half, rows in halves}
            assert places.sizes_of(np.array([cell, cell_count])).tolist() == [GONE, GONE]
        elif places.are_untidy:
            renumbered = places.tidy()
            lists.slots = {member: int(renumbered[slot]) for member, slot in lists.slots.items()}
        lists.check(places)
