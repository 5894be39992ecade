"""One process's view of a generation, kept up to date by its events."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from neardup.index.cache import CellBlock, CellCache, CellReader, Located
from neardup.index.stored.events import Split
from neardup.index.stored.log import LogEvents
from neardup.index.stored.records import Records, read_records
from neardup.index.tree import CellTree
from neardup.relation.rule import Relation
from neardup.search.distance import l2_distances, nearest_l2_distances, paired_l2_distances
from neardup.search.places import GONE, Cells, Grouped, Places, grouped
from neardup.search.sketch_rows import Sketches, Slots
from neardup.search.sketch_trees import SketchTrees
from neardup.search.sketches import Sketcher
from neardup.types import Descriptors, Kept, Look, Symmetry

HeadCounts = Callable[[bytes], bool]
"""Whether a member counts, by its record's head."""

_PAIRS = 8192
"""Candidates measured at a time: 16 MB with 256 numbers in float64."""
_SCAN_SHARE = 0.02
"""Of all pairs: when sketches let more through, multiplying with all members costs less than measuring pairs."""
_SCAN_EXTRA = 16
"""Queries whose share it takes to make float32 of the members."""
_CELLS_AT_ONCE = 8
"""Cells of which the nearest members are sought together: of a few hundred members each, they fit into the cache."""
_FLOAT32_ERROR = 2.0**-23
"""Of a product of unit vectors, for each number in them, at most."""


class OutdatedView(Exception):
    """A cell holds less than it should; events not followed yet may explain it."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A member that a query duplicates, by the relation.

    Attributes
    ----------
    head
        Its record without numbers.
    slot
        Members that were known earlier have a smaller one.
    local_change
        None where it does not count.
    symmetry
        What was done to the query.
    look
        What a second look found; None where none was taken.
    """

    l2_distance: float
    head: bytes
    cell: int
    slot: int
    local_change: float | None = None
    symmetry: Symmetry = Symmetry.NONE
    look: Look | None = None


class GenerationView:
    """All members of a generation as sketches, and the records of the cells that there is room for.

    A member has a slot here, its number in the arrays of this process; `_places` says where in the index it stands.
    That of a member which left its cell points nowhere, until `tidy` numbers all anew.

    `grown` holds the cells that have grown, for whoever divides large ones, and `filter` the sketches.

    Parameters
    ----------
    tree
        Cells as of the first event to come.
    sketcher
        Of the generation.
    relation
        Of the generation.
    read
        Reads cells.
    budget_bytes
        What records may take; sketches come on top.
    """

    def __init__(
        self, tree: CellTree, sketcher: Sketcher, relation: Relation, read: CellReader, budget_bytes: int
    ) -> None:
        self.tree = tree
        self._sketcher = self._cut = sketcher
        self._relation = relation
        self._dimension = tree.roots.dimension
        self._read = read
        self._places = Places(tree.cell_count, tree.leaves)
        self._cache = CellCache(budget_bytes, self._load_blocks, self._places)
        self.filter = self._filter = SketchTrees(sketcher.size, relation.radius)
        self.rows_touched = 0
        self.grown: set[int] = set()

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self._places)

    def size_of(self, cell: int) -> int:
        """Return the number of members of a cell."""
        return self._places.size_of(cell)

    @property
    def cell_sizes(self) -> tuple[int, ...]:
        """Members of each cell that has any."""
        return tuple(size for leaf in self.tree.leaves if (size := self.size_of(leaf)))

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes, about."""
        return self._cache.nbytes + self._filter.nbytes + self._places.nbytes

    # -- keeping up ---------------------------------------------------------------------------------------------------

    def load(self, cells: Iterable[int], page: int = 16) -> None:
        """Read these cells as they are now, in place of what is known of them; keep the records there is room for."""
        wanted = list(cells)
        pages = -(-len(wanted) // page)
        for number in range(pages):
            part = wanted[number::pages]
            read = self._read(part)
            for cell in part:
                self._forget(cell)
            # All of them are put in order at once, with the last: each page tells about how many are still to come.
            self._load(part, read, pages - number - 1)

    def _load(self, cells: Sequence[int], read: Sequence[Sequence[bytes]], pages_to_come: int) -> None:
        """Take in the records of cells that hold none; about as many come with each page to come."""
        every = list(chain.from_iterable(read))
        records, descriptors = read_records(every, self._dimension, self._relation.parts)
        members = grouped(np.repeat(np.array(cells, dtype=np.intp), list(map(len, read))))
        slots = self._places.new_slots(len(every))
        self._places.append(members, slots)
        self.grown.update(members.cells.tolist())
        self._add(descriptors, slots, len(self._filter) + (1 + pages_to_come) * len(every) if pages_to_come else 0)
        end = 0
        for cell, theirs in zip(cells, read, strict=True):
            first, end = end, end + len(theirs)
            if self._cache.has_room():
                self._cache.put(cell, self._block_of(records.part(first, end)))

    def _add(self, descriptors: Descriptors, slots: Slots, expected: int = 0) -> None:
        if self._cut.kept != self._filter.shape.kept:
            self._cut = self._sketcher.cut(self._filter.shape.kept)
        self._filter.add(self._cut.sketch(descriptors), slots, expected)

    def apply(self, events: LogEvents) -> None:
        """Follow what happened, in order; what is known already changes nothing."""
        _, descriptors = events.records(self._dimension, self._relation.parts)
        # In the order of the log, whatever the order of the steps.
        slots = self._places.new_slots(len(descriptors))
        for step in events.steps():
            if isinstance(step, np.ndarray):
                fresh, members = self._fresh(events.cells[step], events.places[step])
                rows = step[fresh]
                theirs = slots[rows]
                self._places.append(members, theirs)
                self.grown.update(members.cells.tolist())
                self._cache.append(theirs.tolist(), [events.stored_records[row] for row in rows.tolist()])
            elif isinstance(step, Split):
                self._split(step)
            elif self.tree.is_leaf(step.cell):
                self.load([step.cell])
        there = self.holds(slots)
        if not there.all():
            descriptors, slots = descriptors[there], slots[there]
        self._add(descriptors, slots)

    def _fresh(self, cells: Cells, places: NDArray[np.intp]) -> tuple[NDArray[np.intp], Grouped]:
        """Return which of those appended are not known, and by cell; read the cells of which others are missing."""
        fresh, members, missing = self._unknown(cells, places)
        if missing.any():
            self.load(np.unique(cells[fresh[members.order[missing]]]).tolist())
            fresh, members, missing = self._unknown(cells, places)
        if missing.any():  # an event to come tells why
            fresh = fresh[~np.isin(cells[fresh], cells[fresh[members.order[missing]]])]
            members = grouped(cells[fresh])
        return fresh, members

    def _unknown(self, cells: Cells, places: NDArray[np.intp]) -> tuple[NDArray[np.intp], Grouped, NDArray[np.bool_]]:
        """Return the rows of members that are not known, the same by cell, and whether one before each is missing."""
        sizes = self._places.sizes_of(cells)
        fresh = np.flatnonzero((sizes != GONE) & (places >= sizes))  # others were read already, together with the cell
        members = grouped(cells[fresh])
        rows = fresh[members.order]
        return fresh, members, places[rows] != sizes[rows] + members.ranks

    def _forget(self, cell: int) -> None:
        self._places.forget(cell)
        self._cache.drop(cell)

    def _split(self, split: Split) -> None:
        if not self.tree.is_leaf(split.cell):
            return
        self.tree.apply(split)
        self._places.add_cells(self.tree.cell_count)
        if self.size_of(split.cell) != len(split.sides):
            self._forget(split.cell)
            self._places.divide(split.cell, [])
            self.load([split.low, split.high])
            return
        sides = np.frombuffer(split.sides, dtype=np.uint8)
        halves = [(split.low, np.flatnonzero(sides == ord("L"))), (split.high, np.flatnonzero(sides == ord("R")))]
        self._cache.divide(split.cell, halves)
        self._places.divide(split.cell, halves)
        self.grown |= {split.low, split.high}
        self.grown.discard(split.cell)

    def _block_of(self, records: Records) -> CellBlock:
        return CellBlock(records, self._relation.parts)

    def _load_blocks(self, cells: Sequence[int]) -> list[CellBlock]:
        blocks = []
        for cell, records in zip(cells, self._read(cells), strict=True):
            size = self.size_of(cell)
            if len(records) < size:
                raise OutdatedView(f"cell {cell} holds {len(records)} members but should hold {size}")
            blocks.append(self._block_of(read_records(records[:size], self._dimension, self._relation.parts)[0]))
        return blocks

    def tidy(self) -> None:
        """Forget the slots of those that left their cells, once they are the most; all others change, and `Hit`s."""
        if self._places.are_untidy:
            self.settle()
            self._filter.renumber(self._places.tidy())

    def settle(self) -> None:
        """Put the records of members that were appended to those of their cells, where these are kept."""
        self._cache.settle()

    def grown_above(self, size: int) -> list[int]:
        """Return the cells that have grown to more members than that; from now on no others have."""
        cells = np.array(sorted(self.grown), dtype=np.intp)
        large: list[int] = cells[self._places.sizes_of(cells) > size].tolist()
        self.grown = set(large)
        return large

    # -- looking ------------------------------------------------------------------------------------------------------

    def sketch(self, descriptors: Descriptors) -> Sketches:
        """Return the sketches of float16 (n, d) descriptors."""
        return self._sketcher.sketch(descriptors)

    def within(self, descriptors: Descriptors, sketches: Sketches, kept: Kept | None = None) -> list[list[Hit]]:
        """Return for each descriptor every member within the radius, inclusive, by exact distance.

        Of these, only those that what else decides lets pass, by what is kept of the queries, uint8 (n, b).
        """
        hits: list[list[Hit]] = [[] for _ in range(len(descriptors))]
        if not len(descriptors):
            return hits
        rows, slots = self._filter.within(sketches, self._relation.radius)
        alive = self.holds(slots)
        rows, slots = rows[alive], slots[alive]
        if len(rows) > max(_PAIRS, _SCAN_SHARE * len(self) * (len(descriptors) + _SCAN_EXTRA)):
            rows, slots = self._scan(descriptors)
        self.rows_touched += len(rows)
        # Cell by cell, and not all at once: a flat spectrum lets through far more than fits into memory.
        order = np.argsort(self._places.cell_of[slots], kind="stable")
        near: list[tuple[int, int, Hit]] = []
        for start in range(0, len(order), _PAIRS):
            part = order[start : start + _PAIRS]
            near += self._near(descriptors, rows[part], slots[part], kept)
        for _, row, hit in sorted(near, key=itemgetter(0)):  # of equally near ones the first to be known comes first
            hits[row].append(hit)
        return hits

    def holds(self, slots: Slots) -> NDArray[np.bool_]:
        """Return bool (n,): whether a member stands behind each slot; it may have left its cell."""
        return np.asarray(self._places.cell_of[slots] != GONE)

    def located(self, slots: Slots, most_read: int | None = None) -> Located:
        """Return the cells of the members in these slots, their places there, and the cells' records.

        Where only so many cells may be read, those that the first slots are in are; the records of the others lack.
        """
        slots = slots[self.holds(slots)]
        cells = self._places.cell_of[slots]
        some = cells[np.diff(cells, prepend=GONE) != 0].tolist()
        return cells, self._places.place_of[slots], self._cache.get_many(some, most_read)

    def _scan(self, descriptors: Descriptors) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
        """Return every (row, slot) that a float32 product cannot tell from within the radius."""
        queries = descriptors.astype(np.float32)
        bounds = (np.square(queries).sum(axis=1) - self._relation.radius**2) / 2.0 - self._dimension * _FLOAT32_ERROR
        rows, slots = [np.empty(0, dtype=np.intp)], [np.empty(0, dtype=np.int32)]
        for cell, theirs in self._places.by_cell():
            members = self.block(cell).descriptors().astype(np.float32)
            half_squares = np.square(members).sum(axis=1) / 2.0
            near = np.flatnonzero(members @ queries.T - half_squares[:, np.newaxis] >= bounds)
            places, row = np.divmod(near, len(queries))
            rows.append(row)
            slots.append(theirs[places])
        return np.concatenate(rows), np.concatenate(slots)

    def _near(
        self, descriptors: Descriptors, rows: NDArray[np.intp], slots: Slots, kept: Kept | None
    ) -> list[tuple[int, int, Hit]]:
        """Return (slot, row, hit) of the pairs that are alike, by exact distance; pairs in the order of cells."""
        cells, places, blocks = self.located(slots)
        firsts = np.flatnonzero(np.diff(cells, prepend=GONE))
        ends = np.append(firsts[1:], len(cells)).tolist()
        candidates = np.concatenate(
            [
                blocks[cell].descriptors(places[first:end])
                for cell, first, end in zip(cells[firsts].tolist(), firsts.tolist(), ends, strict=True)
            ]
        )
        l2 = paired_l2_distances(descriptors[rows], candidates)
        pairs = np.flatnonzero(l2 <= self._relation.radius)
        if not len(pairs):
            return []
        members = None
        if self._relation.parts:
            members = np.concatenate([blocks[cells[pair]].kept(places[pair : pair + 1]) for pair in pairs.tolist()])
        found = self._relation.check(kept, rows[pairs], members, l2[pairs])
        near = []
        for number in np.flatnonzero(found.allowed).tolist():
            pair = pairs[number]
            cell, slot = int(cells[pair]), int(slots[pair])
            head, turned = blocks[cell].head(places[pair]), found.symmetry(number, Symmetry.NONE)
            hit = Hit(float(l2[pair]), head, cell, slot, found.local_change(number), turned, found.look(number))
            near.append((slot, int(rows[pair]), hit))
        return near

    def nearest_of_each(self, descriptors: Descriptors, places: Sequence[tuple[int, int]]) -> list[float | None]:
        """Return the L2 distance of each descriptor to the nearest member of a cell of its own; None without one.

        Parameters
        ----------
        descriptors
            float16 (n, d).
        places
            Of each the cell, and the place in it from which on members count.
        """
        nearest: list[float | None] = [None] * len(places)
        asked = [number for number, (cell, first) in enumerate(places) if self.size_of(cell) > first]
        blocks = self._cache.get_many(places[number][0] for number in asked)
        for start in range(0, len(asked), _CELLS_AT_ONCE):
            numbers = asked[start : start + _CELLS_AT_ONCE]
            pieces = [blocks[cell].since(first) for cell, first in (places[each] for each in numbers)]
            starts = np.cumsum([0, *(sum(map(len, theirs)) for theirs in pieces)])
            found = nearest_l2_distances(
                descriptors[numbers], np.concatenate(list(chain.from_iterable(pieces))), starts
            )
            for number, l2_distance in zip(numbers, found.tolist(), strict=True):
                nearest[number] = l2_distance
        return nearest

    def nearest_in(self, cell: int, descriptor: Descriptors, counts: HeadCounts | None = None) -> float | None:
        """Return the L2 distance to the nearest member of a cell that counts; None without one."""
        if not self.size_of(cell):
            return None
        block = self.block(cell)
        distances = l2_distances(descriptor[np.newaxis], block.descriptors())[0]
        if counts is not None:
            distances[[not counts(head) for head in block.heads]] = np.inf
        nearest = float(distances.min())
        return nearest if np.isfinite(nearest) else None

    def nearest_elsewhere(self, descriptor: Descriptors, counts: HeadCounts | None = None) -> float | None:
        """Return what `nearest_in` gives for the nearest k-means cell that has members; None in an empty index."""
        for root in self.tree.roots.rank(descriptor[np.newaxis])[0].argsort().tolist():
            leaves = [leaf for leaf in self.tree.leaves if self.tree.root_of(leaf) == root and self.size_of(leaf)]
            distances = [self.nearest_in(leaf, descriptor, counts) for leaf in leaves]
            if found := [l2_distance for l2_distance in distances if l2_distance is not None]:
                return min(found)
        return None

    def block(self, cell: int) -> CellBlock:
        """Return the records of a cell."""
        return self._cache.get_many([cell])[cell]
