"""The consistency checks of an index; each is a function that yields what seems wrong.

What seems wrong while consumers run may be a change between two reads; `bootstrap.live.verify` looks again.
"""

import struct
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, islice

import numpy as np
from numpy.typing import NDArray

from bootstrap.live.layout import Layout
from bootstrap.live.reading import Block, LiveGeneration, LogSnapshot
from neardup.capture_time import UNKNOWN_MS
from neardup.errors import CorruptIndex
from neardup.index.live import wrong_count
from neardup.index.retention import Retention
from neardup.index.stored.codec import decode_head, head_key
from neardup.index.stored.events import Appended, Rewritten, Split, decode_event
from neardup.relation.kept import Parts, divided
from neardup.relation.looks.look import COUNT, STORED_POINTS
from neardup.relation.looks.second_look import SURE
from neardup.relation.rule import Relation
from neardup.search.distance import l2_distances, paired_l2_distances
from neardup.search.sketch_trees import SketchTrees
from neardup.search.sketches import Sketcher
from neardup.types import Descriptors, Kept

_NORM_SLACK = 2e-3
"""Rounding a unit vector to float16 changes its length by at most 2**-11, and a little for its smallest numbers."""
_BASIS_SLACK = 1e-4
_QUERIES = 256
_PAIRS_MEASURED = 20_000


@dataclass(frozen=True, slots=True)
class Suspect:
    """Something that seems wrong.

    Attributes
    ----------
    check
        What does not hold, a word.
    identity
        What tells it from other suspects of the same check, wherever its members stand by then.
    cells
        Cells that it is about.
    text
        For the operator.
    """

    check: str
    identity: bytes
    cells: frozenset[int]
    text: str


def head_suspects(generation: LiveGeneration) -> Iterator[str]:
    """Yield what is wrong with the numbers of a readable head."""
    norms = np.linalg.norm(generation.roots.centroids.astype(np.float64), axis=1)
    too_long = int((norms > 1.0 + _NORM_SLACK).sum())
    if too_long:
        yield f"{too_long} centroids are longer than 1, which means of descriptors are not"
    yield from _basis_suspects(generation.sketcher)
    if not 0.0 <= generation.meta.radius <= 2.0:  # noqa: PLR2004 - unit vectors are at most 2 apart
        yield f"the radius is {generation.meta.radius}"


def _basis_suspects(sketcher: Sketcher) -> Iterator[str]:
    basis = sketcher.basis.astype(np.float64)
    if np.abs(basis @ basis.T - np.eye(len(basis))).max(initial=0.0) > _BASIS_SLACK:
        yield "the projection's rows are not orthonormal: its search would miss duplicates"


# -- members ----------------------------------------------------------------------------------------------------------


def member_suspects(generation: LiveGeneration, layout: Layout, block: Block) -> Iterator[Suspect]:
    """Yield the members of a cell that cannot be read, are not of unit length, or belong elsewhere."""
    here = frozenset({block.cell})
    for record, why in block.wrong:
        yield Suspect("records", record, here, f"cell {block.cell}: {why}")
    for head in block.heads:
        try:
            decode_head(head)
        except CorruptIndex as exc:
            yield Suspect("records", head, here, f"cell {block.cell}: {exc}")
    if not block.heads:
        return
    norms = np.linalg.norm(block.descriptors.astype(np.float64), axis=1)
    for row in np.flatnonzero(np.abs(norms - 1.0) > _NORM_SLACK).tolist():
        key = head_key(block.heads[row])
        yield Suspect("norms", key, here, f"{_text(key)} in cell {block.cell} has length {norms[row]:.4f}")
    for row in np.flatnonzero(~generation.at_home(layout, block.cell, block.descriptors)).tolist():
        key = head_key(block.heads[row])
        yield Suspect("homes", key, here, f"{_text(key)} is in cell {block.cell} and belongs elsewhere")


def doubles(block: Block, seen: dict[bytes, int]) -> Iterator[Suspect]:
    """Yield the keys of a cell that were seen before, and note all of them."""
    for head in block.heads:
        key = head_key(head)
        if key in seen:
            cells = frozenset({seen[key], block.cell})
            yield Suspect("keys", key, cells, f"{_text(key)} is a member twice, cells {_numbers(cells)}")
        seen[key] = block.cell


# -- pairs ------------------------------------------------------------------------------------------------------------


class Members:
    """Members with their cells, side by side.

    Parameters
    ----------
    blocks
        Of these cells.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.heads = [head for block in blocks for head in block.heads]
        self.cells = [block.cell for block in blocks for _ in block.heads]
        nothing: Descriptors = np.empty((0, 0), dtype=np.float16)
        self.descriptors = np.concatenate([block.descriptors for block in blocks]) if blocks else nothing
        kept = [block.kept for block in blocks if block.kept is not None]
        self.kept = np.concatenate(kept) if kept else None

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.heads)

    def suspects(
        self, pairs: Iterator[tuple[int, int, float]], relation: Relation, retention: Retention
    ) -> Iterator[Suspect]:
        """Yield the pairs (row, row, distance) that should not be within the radius, each as stored."""
        for one, other, l2_distance in self._unchanged(pairs, relation):
            ours, theirs = (None if self.kept is None else self.kept[row] for row in (one, other))
            yield from close_pair(
                (self.heads[one], self.cells[one]),
                (self.heads[other], self.cells[other]),
                l2_distance,
                retention,
                is_certain=is_certain(relation, ours, theirs, l2_distance),
            )

    def _unchanged(
        self, pairs: Iterator[tuple[int, int, float]], relation: Relation
    ) -> Iterator[tuple[int, int, float]]:
        if self.kept is None:
            yield from pairs
            return
        while some := list(islice(pairs, _PAIRS_MEASURED)):
            ones, others, l2 = zip(*some, strict=True)
            yield from compress(
                some,
                relation.allow_both_ways(self.kept, np.array(ones), self.kept[list(others)], np.array(l2)).tolist(),
            )


def is_certain(relation: Relation, one: Kept | None, other: Kept | None, l2_distance: float) -> bool:
    """Return whether two members that agree as they are stored agreed as well when the later one was judged.

    It was judged by up to twice the points. That says the same where all are stored, of both, as nobody knows which was
    later; and where so much agrees, from either side, that the second look asks no further. Blank pictures go by their
    distance.
    """
    if relation.agreement is None or one is None or other is None:
        return True
    looks = (divided(one)[Parts.LOOK], divided(other)[Parts.LOOK])
    if all(look[COUNT] < STORED_POINTS for look in looks):
        return True
    found = (relation.check_one(*pair, l2_distance).look(0) for pair in ((one, other), (other, one)))
    return all(look is not None and (look.agreement >= SURE or look.needed == 0.0) for look in found)


def close_pair(
    one: tuple[bytes, int], other: tuple[bytes, int], l2_distance: float, retention: Retention, *, is_certain: bool
) -> Iterator[Suspect]:
    """Tell of two members (head, cell) within the radius, unless one never counted for the other."""
    first, second = sorted((head_key(one[0]), head_key(other[0])))
    if first == second or _one_is_too_old(one[0], other[0], retention):
        return
    text = f"{_text(first)} and {_text(second)} are {l2_distance:.6f} apart"
    check = "distances" if is_certain else "looks"
    yield Suspect(check, first + b"\0" + second, frozenset({one[1], other[1]}), text)


def _one_is_too_old(one: bytes, other: bytes, retention: Retention) -> bool:
    if retention.window_ms is None:
        return False
    # By the bare numbers: earlier versions took any for a time, and judged by it.
    times = _captured_at_ms(one), _captured_at_ms(other)
    return UNKNOWN_MS not in times and max(times) - min(times) > retention.window_ms


def _captured_at_ms(head: bytes) -> int:
    try:
        return decode_head(head)[2]
    except CorruptIndex:
        return UNKNOWN_MS


def all_pairs(descriptors: Descriptors, radius: float) -> Iterator[tuple[int, int, float]]:
    """Iterate over the pairs of rows within the radius, by comparing each with each; for few rows."""
    distances = l2_distances(descriptors, descriptors)
    for one, other in np.argwhere(np.triu(distances <= radius, k=1)).tolist():
        yield one, other, float(distances[one, other])


def close_pairs(
    descriptors: Descriptors, sketcher: Sketcher, radius: float, progress: Callable[[int], object] = lambda _: None
) -> Iterator[tuple[int, int, float]]:
    """Iterate over the same pairs among many rows: exact distances of what the sketches do not exclude.

    Progress is told how many rows were compared since the last call.
    """
    sketches = sketcher.sketch(descriptors)
    found = SketchTrees(sketcher.size, radius)
    found.add(sketches, np.arange(len(sketches), dtype=np.int32))
    for start in range(0, len(sketches), _QUERIES):
        rows, slots = found.within(sketches[start : start + _QUERIES], radius)
        ones, others = _later(rows + start, slots)
        for part in range(0, len(ones), _PAIRS_MEASURED):
            yield from _close(descriptors, ones[part:][:_PAIRS_MEASURED], others[part:][:_PAIRS_MEASURED], radius)
        progress(len(sketches[start : start + _QUERIES]))


def _later(ones: NDArray[np.intp], others: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    later = others > ones
    return ones[later], others[later]


def _close(
    descriptors: Descriptors, ones: NDArray[np.intp], others: NDArray[np.int32], radius: float
) -> Iterator[tuple[int, int, float]]:
    distances = paired_l2_distances(descriptors[ones], descriptors[others])
    for pair in np.flatnonzero(distances <= radius).tolist():
        yield int(ones[pair]), int(others[pair]), float(distances[pair])


# -- the log ----------------------------------------------------------------------------------------------------------


class Replay:
    """Replays the log's events, and knows their result.

    Parameters
    ----------
    log
        Of one moment, with the sizes of the cells then.
    """

    def __init__(self, log: LogSnapshot) -> None:
        self.wrong: list[str] = []
        self.roots_rewritten: set[int] = set()
        self.removed: set[bytes] = set()
        self._appended: defaultdict[int, dict[bytes, int]] = defaultdict(dict)
        self._layout = log.layout
        self._next: dict[int, int] = {}
        splits: list[bytes] = []
        for event in log.events:
            try:
                self._follow(event, splits)
            except (CorruptIndex, struct.error) as exc:
                self.wrong.append(f"an event cannot be read: {exc}")
        if splits != log.layout.stored[len(log.layout.stored) - len(splits) :]:
            self.wrong.append(f"the {len(splits)} splits in the log are not the last ones of the list of splits")
        if wrong := wrong_count(log.trimmed):
            self.wrong.append(wrong)
        self._compare_sizes(log.sizes)

    def _follow(self, stored: bytes, splits: list[bytes]) -> None:
        event = decode_event(stored)
        if self._layout.root_of(event.cell) != event.root:
            self.wrong.append(f"an event calls cell {event.cell} a part of {event.root}")
        if isinstance(event, Appended):
            self._append(event)
        elif isinstance(event, Split):
            splits.append(stored)
            self._next.pop(event.cell, None)
            self._next |= {event.low: event.sides.count(b"L"), event.high: event.sides.count(b"R")}
        else:
            self._next.pop(event.cell, None)
            self._take_out(event)

    def _take_out(self, event: Rewritten) -> None:
        self.removed.update(event.removed)
        for key in event.removed:
            self._appended[event.root].pop(key, None)
        if not event.removed:  # too old: any of them may have been taken out
            self.roots_rewritten.add(event.root)
            self._appended.pop(event.root, None)

    def _append(self, event: Appended) -> None:
        expected = self._next.get(event.cell, event.place)
        if event.place != expected:
            self.wrong.append(f"cell {event.cell}: an event tells of place {event.place}, the next is {expected}")
        self._next[event.cell] = event.place + 1
        self._appended[event.root][head_key(event.record)] = event.cell
        self.removed.discard(head_key(event.record))

    def _compare_sizes(self, sizes: Mapping[int, int]) -> None:
        for cell, expected in self._next.items():
            if cell in sizes and sizes[cell] != expected:
                self.wrong.append(f"cell {cell} holds {sizes[cell]} members, by the log it should hold {expected}")

    def missing(self, keys: Mapping[bytes, int]) -> Iterator[Suspect]:
        """Yield the appended members that are not among these keys."""
        for root, appended in self._appended.items():
            for key, cell in appended.items():
                if key not in keys:
                    text = f"{_text(key)} was appended to cell {cell}, and is no member"
                    yield Suspect("log", key, frozenset({root}), text)


def _text(key: bytes) -> str:
    return repr(key.decode(errors="backslashreplace"))


def _numbers(cells: frozenset[int]) -> str:
    return " and ".join(map(str, sorted(cells)))
