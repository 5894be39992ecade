"""One process's view of a generation, kept up to date by its events."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from neardup.index.cache import CellBlock, CellCache, CellReader
from neardup.index.stored.events import Appended, Event, Rewritten, Split
from neardup.index.stored.records import Records, read_records
from neardup.index.tree import CellTree
from neardup.relation.rule import Relation
from neardup.search.distance import l2_distances, nearest_l2_distances, paired_l2_distances
from neardup.search.sketch_trees import Sketches, SketchTrees
from neardup.search.sketches import Sketcher
from neardup.types import Descriptors, Kept, Look, Symmetry

HeadCounts = Callable[[bytes], bool]
"""Whether a member counts, by its record's head."""

_GONE = -1
_FIRST_SLOTS = 1024
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

    A member has a slot here, its number in the arrays of this process; `_cell_of` and `_place_of` say where in the
    index it stands. That of a member which left its cell points nowhere, until `tidy` numbers all anew.

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
        self._sketcher = sketcher
        self._relation = relation
        self._dimension = tree.roots.dimension
        self._read = read
        self._cache = CellCache(budget_bytes, self._load_blocks)
        self._slots: dict[int, array[int]] = {}
        self._cell_of = np.empty(_FIRST_SLOTS, dtype=np.int32)
        self._place_of = np.empty(_FIRST_SLOTS, dtype=np.int32)
        self._count = 0
        self._gone = 0
        self.filter = self._filter = SketchTrees(sketcher.size, relation.radius)
        self.rows_touched = 0
        self.grown: set[int] = set()

    def __len__(self) -> int:
        """Return the number of members."""
        return self._count - self._gone

    def size_of(self, cell: int) -> int:
        """Return the number of members of a cell."""
        return len(self._slots.get(cell, ()))

    @property
    def cell_sizes(self) -> tuple[int, ...]:
        """Members of each cell that has any."""
        return tuple(size for leaf in self.tree.leaves if (size := self.size_of(leaf)))

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes, about."""
        return self._cache.nbytes + self._filter.nbytes + self._cell_of.nbytes + self._place_of.nbytes + 4 * self._count

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
            self._add(list(zip(part, read, strict=True)), pages - number - 1)

    def apply(self, events: Iterable[Event]) -> None:
        """Follow what happened, in order; what is known already changes nothing."""
        appended: dict[int, list[bytes]] = {}
        for event in events:
            if isinstance(event, Appended):
                self._note(event, appended)
                continue
            self._add_all(appended)
            if isinstance(event, Split):
                self._split(event)
            elif isinstance(event, Rewritten) and self.tree.is_leaf(event.cell):
                self.load([event.cell])
        self._add_all(appended)

    def _note(self, event: Appended, appended: dict[int, list[bytes]]) -> None:
        known = self.size_of(event.cell) + len(appended.get(event.cell, ()))
        if not self.tree.is_leaf(event.cell) or event.place < known:
            return  # read already, together with the cell
        if event.place == known:
            appended.setdefault(event.cell, []).append(event.record)
        else:
            self._add_all(appended)
            self.load([event.cell])

    def _add_all(self, appended: dict[int, list[bytes]]) -> None:
        if appended:
            self._add(list(appended.items()))
            appended.clear()

    def _add(self, appended: Sequence[tuple[int, Sequence[bytes]]], pages_to_come: int = 0) -> None:
        """Take in records at the end of cells; about as many come with each page to come."""
        every = list(chain.from_iterable(records for _, records in appended))
        records, descriptors = read_records(every, self._dimension, self._relation.parts)
        slots = self._new_slots([(cell, len(theirs)) for cell, theirs in appended])
        sketches = self._sketcher.cut(self._filter.shape.kept).sketch(descriptors)
        self._filter.add(sketches, slots, len(self._filter) + (1 + pages_to_come) * len(every) if pages_to_come else 0)
        end = 0
        for cell, theirs in appended:
            first, end = end, end + len(theirs)
            if first < end:
                self._keep(cell, records, first, end)

    def _keep(self, cell: int, records: Records, first: int, end: int) -> None:
        """Keep the last records of a cell, if those before are kept, and there is room for a new one."""
        block = self._cache.peek(cell)
        if block is not None:
            block.extend(records.part(first, end))
            self._cache.resized(cell)
        elif self.size_of(cell) == end - first and self._cache.has_room():
            self._cache.put(cell, self._block_of(records.part(first, end)))

    def _new_slots(self, counts: Sequence[tuple[int, int]]) -> NDArray[np.int32]:
        """Return slots for so many more members of each cell."""
        sizes = np.array([size for _, size in counts], dtype=np.int32)
        total = int(sizes.sum())
        if self._count + total > len(self._cell_of):
            room = np.empty(self._count + total, dtype=np.int32)
            self._cell_of = np.concatenate([self._cell_of, room])
            self._place_of = np.concatenate([self._place_of, room])
        slots = np.arange(self._count, self._count + total, dtype=np.int32)
        known = np.array([self.size_of(cell) for cell, _ in counts], dtype=np.int32)
        ends = np.cumsum(sizes)
        self._cell_of[slots] = np.repeat(np.array([cell for cell, _ in counts], dtype=np.int32), sizes)
        self._place_of[slots] = np.arange(total) + np.repeat(known - (ends - sizes), sizes)
        bytes_of, width = slots.tobytes(), slots.itemsize
        for (cell, size), end in zip(counts, ends.tolist(), strict=True):
            self._slots.setdefault(cell, array("i")).frombytes(bytes_of[width * (end - size) : width * end])
        self.grown.update(cell for cell, _ in counts)
        self._count += total
        return slots

    def _forget(self, cell: int) -> None:
        slots = np.asarray(self._slots.pop(cell, array("i")), dtype=np.int32)
        self._cell_of[slots] = _GONE
        self._gone += len(slots)
        self._cache.drop(cell)

    def _split(self, split: Split) -> None:
        if not self.tree.is_leaf(split.cell):
            return
        self.tree.apply(split)
        if self.size_of(split.cell) != len(split.sides):
            self._forget(split.cell)
            self.load([split.low, split.high])
            return
        sides = np.frombuffer(split.sides, dtype=np.uint8)
        slots = np.asarray(self._slots.pop(split.cell), dtype=np.int32)
        block = self._cache.peek(split.cell)
        for cell, side in ((split.low, ord("L")), (split.high, ord("R"))):
            rows = np.flatnonzero(sides == side)
            self._slots[cell] = array("i", slots[rows].tobytes())
            self.grown.add(cell)
            self._cell_of[slots[rows]] = cell
            self._place_of[slots[rows]] = np.arange(len(rows))
            if block is not None:
                self._cache.put(cell, block.taken(rows))
        self._cache.drop(split.cell)
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
        if self._gone <= max(_FIRST_SLOTS, len(self)):
            return
        alive = self._cell_of[: self._count] != _GONE
        renumbered = np.where(alive, np.cumsum(alive) - 1, _GONE).astype(np.int32)
        self._filter.renumber(renumbered)
        self._slots = {cell: array("i", renumbered[slots].tobytes()) for cell, slots in self._slots.items()}
        self._cell_of, self._place_of = self._cell_of[: self._count][alive], self._place_of[: self._count][alive]
        self._count, self._gone = len(self._cell_of), 0

    # -- looking ------------------------------------------------------------------------------------------------------

    def sketch(self, descriptors: Descriptors) -> Sketches:
        """Return the sketches of float16 (n, d) descriptors."""
        return self._sketcher.sketch(descriptors)

    def within(
        self,
        descriptors: Descriptors,
        sketches: Sketches,
        kept: Kept | None = None,
    ) -> list[list[Hit]]:
        """Return for each descriptor every member within the radius, inclusive, by exact distance.

        Of these, only those that what else decides lets pass, by what is kept of the queries, uint8 (n, b).
        """
        hits: list[list[Hit]] = [[] for _ in range(len(descriptors))]
        if not len(descriptors):
            return hits
        rows, slots = self._filter.within(sketches, self._relation.radius)
        alive = self._cell_of[slots] != _GONE
        rows, slots = rows[alive], slots[alive]
        if len(rows) > max(_PAIRS, _SCAN_SHARE * len(self) * (len(descriptors) + _SCAN_EXTRA)):
            rows, slots = self._scan(descriptors)
        self.rows_touched += len(rows)
        # Cell by cell, and not all at once: a flat spectrum lets through far more than fits into memory.
        order = np.argsort(self._cell_of[slots], kind="stable")
        near: list[tuple[int, int, Hit]] = []
        for start in range(0, len(order), _PAIRS):
            part = order[start : start + _PAIRS]
            near += self._near(descriptors, rows[part], slots[part], kept)
        for _, row, hit in sorted(near, key=itemgetter(0)):  # of equally near ones the first to be known comes first
            hits[row].append(hit)
        return hits

    def _scan(self, descriptors: Descriptors) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
        """Return every (row, slot) that a float32 product cannot tell from within the radius."""
        queries = descriptors.astype(np.float32)
        bounds = (np.square(queries).sum(axis=1) - self._relation.radius**2) / 2.0 - self._dimension * _FLOAT32_ERROR
        rows, slots = [np.empty(0, dtype=np.intp)], [np.empty(0, dtype=np.int32)]
        for cell in list(self._slots):
            members = self.block(cell).descriptors().astype(np.float32)
            half_squares = np.square(members).sum(axis=1) / 2.0
            near = np.flatnonzero(members @ queries.T - half_squares[:, np.newaxis] >= bounds)
            places, row = np.divmod(near, len(queries))
            rows.append(row)
            slots.append(np.asarray(self._slots[cell], dtype=np.int32)[places])
        return np.concatenate(rows), np.concatenate(slots)

    def _near(
        self,
        descriptors: Descriptors,
        rows: NDArray[np.intp],
        slots: NDArray[np.int32],
        kept: Kept | None,
    ) -> list[tuple[int, int, Hit]]:
        """Return (slot, row, hit) of the pairs that are alike, by exact distance; pairs in the order of cells."""
        cells, places = self._cell_of[slots], self._place_of[slots]
        firsts = np.flatnonzero(np.diff(cells, prepend=_GONE))
        blocks = self._cache.get_many(cells[firsts].tolist())
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
            head, change = blocks[cell].head(places[pair]), found.local_change(number)
            turned = found.symmetry(number, Symmetry.NONE)
            hit = Hit(float(l2[pair]), head, cell, slot, change, turned, found.look(number))
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
