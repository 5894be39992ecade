"""Records are kept under a byte budget, the least recently used cells let go of first."""

from collections.abc import Sequence

import numpy as np

from neardup.index.cache import CellBlock, CellCache
from neardup.index.stored.codec import encode_member, split_record
from neardup.index.stored.records import Records, read_records
from neardup.relation.kept import Parts
from neardup.relation.local_change import THUMBNAIL_BYTES
from neardup.search.places import Places, grouped
from neardup.search.sketch_rows import Slots
from neardup.types import Member

DIMENSION = 4


def record(number: int) -> bytes:
    return encode_member(Member(f"k{number}", f"id {number}", np.full(DIMENSION, number, dtype=np.float16)))


def shown(number: int) -> bytes:
    """Return the same with a thumbnail."""
    descriptor = np.full(DIMENSION, number, dtype=np.float16)
    return encode_member(Member(f"k{number}", "", descriptor, 0, np.full(THUMBNAIL_BYTES, number, dtype=np.uint8)))


def read(*records: bytes, parts: Parts = Parts.NOTHING) -> Records:
    return read_records(records, DIMENSION, parts)[0]


def block_of(*numbers: int) -> CellBlock:
    return CellBlock(read(*map(record, numbers)))


def append(places: Places, cell: int) -> Slots:
    """Return the slot of one more member of a cell."""
    slots = places.new_slots(1)
    places.append(grouped(np.array([cell])), slots)
    return slots


class TestBlock:
    def test_rows_and_heads_stay_together_while_it_grows(self) -> None:
        block = block_of()
        for start in range(0, 60, 6):
            block.extend(read(*map(record, range(start, start + 6))))
            assert len(block) == start + 6
            some = np.array([start + 5, 0, start])
            head = split_record(record(start + 5), DIMENSION)[0]
            assert block.head(start + 5) == head
            assert block.descriptors(some)[:, 0].tolist() == some.tolist()
            for place in (0, start - 1, start, start + 2, start + 6):
                since = [row[0] for piece in block.since(max(place, 0)) for row in piece]
                assert since == list(range(max(place, 0), start + 6))
        assert block.descriptors()[:, 0].tolist() == list(range(60))
        assert [head + row.tobytes() for head, row in zip(block.heads, block.descriptors(), strict=True)] == [
            record(number) for number in range(60)
        ]
        assert block.heads[7] == block.head(7)
        assert block.descriptors(np.array([7, 3]))[:, 0].tolist() == [7, 3]

    def test_a_part_is_a_copy(self) -> None:
        block = block_of(1, 2, 3)
        part = block.taken(np.array([2, 0]))
        part.extend(read(record(9)))
        assert part.descriptors()[:, 0].tolist() == [3, 1, 9]
        assert block.descriptors()[:, 0].tolist() == [1, 2, 3]
        assert part.heads == [block.heads[2], block.heads[0], block_of(9).head(0)]

    def test_thumbnails_stay_with_their_rows_while_it_grows(self) -> None:
        block = CellBlock(read(), Parts.THUMBNAIL)
        for start in range(0, 60, 6):
            block.extend(read(*map(shown, range(start, start + 6)), parts=Parts.THUMBNAIL))
            some = np.array([start + 5, 0, start])
            assert block.kept(some)[:, 0].tolist() == some.tolist()
        assert block.kept().shape == (60, THUMBNAIL_BYTES)
        assert block.kept()[:, 0].tolist() == block.descriptors()[:, 0].tolist() == list(range(60))
        part = block.taken(np.array([7, 3]))
        part.extend(read(shown(9)))
        assert part.kept()[:, 0].tolist() == [7, 3, 9]
        assert (part.kept() == part.kept()[:, :1]).all()

    def test_what_is_kept_is_counted(self) -> None:
        plain, block = block_of(*range(30)), CellBlock(read(*map(shown, range(30))), Parts.THUMBNAIL)
        assert plain.kept().shape == (30, 0)
        assert block.nbytes - plain.nbytes > 29 * THUMBNAIL_BYTES


class TestCache:
    def make(self, blocks_that_fit: float) -> tuple[CellCache, list[int]]:
        loaded: list[int] = []

        def load(cells: Sequence[int]) -> list[CellBlock]:
            loaded.extend(cells)
            return [block_of(cell) for cell in cells]

        return CellCache(int(blocks_that_fit * block_of(1).nbytes), load, Places(0, [])), loaded

    def test_the_least_recently_used_goes_first(self) -> None:
        cache, loaded = self.make(2.5)
        for cell in (1, 2, 1, 3, 1, 2):
            assert cache.get_many([cell])[cell].descriptors()[0, 0] == cell
        assert loaded == [1, 2, 3, 2]
        assert cache.misses == 4

    def test_what_is_in_hand_is_given_however_large(self) -> None:
        cache, loaded = self.make(1.5)
        assert sorted(cache.get_many([1, 2, 3, 2])) == [1, 2, 3]
        assert loaded == [1, 2, 3]
        assert cache.nbytes == block_of(1).nbytes

    def test_nothing_fits(self) -> None:
        cache, loaded = self.make(0)
        assert [len(cache.get_many([1])) for _ in range(2)] == [1, 1]
        assert (loaded, cache.nbytes, cache.has_room()) == ([1, 1], 0, False)

    def test_bytes_follow_what_is_kept(self) -> None:
        cache, _ = self.make(100)
        cache.put(1, block_of(1))
        cache.put(1, block_of(*range(50)))
        assert cache.nbytes == cache.get_many([1])[1].nbytes
        cache.drop(1)
        cache.drop(1)
        assert (cache.nbytes, cache.get_many([1], most_read=0)) == (0, {})

    def test_what_is_divided_is_in_its_halves_whenever_somebody_looks(self) -> None:
        cache, loaded = self.make(100)
        cache.put(0, block_of(*range(8)))
        before = cache.nbytes
        cache.divide(0, [(1, np.array([0, 2, 5, 7])), (2, np.array([1, 3, 4, 6]))])
        cache.divide(2, [(3, np.array([0, 3])), (4, np.array([1, 2]))])
        assert before <= cache.nbytes < before + 2 * block_of(1).nbytes  # each has its own share of what they share
        looked_at = cache.get_many([1, 3, 4])
        assert [block.descriptors()[:, 0].tolist() for block in looked_at.values()] == [[0, 2, 5, 7], [1, 6], [3, 4]]
        assert (loaded, cache.get_many([0, 2], most_read=0)) == ([], {})

    def test_a_half_that_has_grown_is_divided_like_any_cell(self) -> None:
        cache, _ = self.make(100)
        cache.put(0, block_of(*range(4)))
        cache.divide(0, [(1, np.array([1, 2])), (2, np.array([0, 3]))])
        cache.get_many([1])[1].extend(block_of(8, 9).records)
        cache.divide(1, [(3, np.array([1, 3])), (4, np.array([0, 2]))])
        halves = cache.get_many([3, 4])
        assert [block.descriptors()[:, 0].tolist() for block in halves.values()] == [[2, 9], [1, 8]]

    def test_records_that_wait_are_put_into_their_cells_when_these_are_asked_for(self) -> None:
        places = Places(3, range(3))
        cache = CellCache(1 << 20, lambda cells: [block_of(100 + cell) for cell in cells], places)
        for cell in range(3):
            append(places, cell)
            cache.put(cell, block_of(100 + cell))
        for number in range(6):
            slots = append(places, number % 2)
            cache.append(slots.tolist(), [record(number)])
        found = {cell: block.descriptors()[:, 0].tolist() for cell, block in cache.get_many([0, 1, 2]).items()}
        assert found == {0: [100, 0, 2, 4], 1: [101, 1, 3, 5], 2: [102]}
        cache.settle()
        assert cache.nbytes == sum(block.nbytes for block in cache.get_many([0, 1, 2]).values())

    def test_a_cell_that_was_read_again_takes_in_nothing_twice(self) -> None:
        places = Places(1, [0])
        cache = CellCache(1 << 20, lambda cells: [block_of(*range(places.size_of(cell))) for cell in cells], places)
        for number in range(5):
            slots = append(places, 0)
            cache.append(slots.tolist(), [record(number)])
        cache.get_many([0])
        append(places, 0)
        cache.append([5], [record(5)])
        cache.settle()
        assert cache.get_many([0])[0].descriptors()[:, 0].tolist() == list(range(6))
        assert cache.misses == 1

    def test_without_room_nothing_waits(self) -> None:
        places = Places(1, [0])
        cache = CellCache(0, lambda cells: [block_of(*range(places.size_of(cell))) for cell in cells], places)
        for number in range(5):
            slots = append(places, 0)
            cache.append(slots.tolist(), [record(number)])
            assert cache.nbytes == 0
        assert cache.get_many([0])[0].descriptors()[:, 0].tolist() == list(range(5))
