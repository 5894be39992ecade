"""Records are kept under a byte budget, the least recently used cells let go of first."""

from collections.abc import Sequence

import numpy as np
import pytest

from neardup.errors import CorruptIndex
from neardup.index.cache import CellBlock, CellCache
from neardup.index.stored.codec import encode_member
from neardup.relation.kept import Parts
from neardup.relation.local_change import THUMBNAIL_BYTES
from neardup.types import Member

DIMENSION = 4


def record(number: int) -> bytes:
    return encode_member(Member(f"k{number}", f"id {number}", np.full(DIMENSION, number, dtype=np.float16)))


def shown(number: int) -> bytes:
    """Return the same with a thumbnail."""
    descriptor = np.full(DIMENSION, number, dtype=np.float16)
    return encode_member(Member(f"k{number}", "", descriptor, 0, np.full(THUMBNAIL_BYTES, number, dtype=np.uint8)))


def block_of(*numbers: int) -> CellBlock:
    block = CellBlock(DIMENSION)
    block.extend([record(number) for number in numbers])
    return block


class TestBlock:
    def test_rows_and_heads_stay_together_while_it_grows(self) -> None:
        block = CellBlock(DIMENSION)
        for start in range(0, 60, 6):
            block.extend([record(number) for number in range(start, start + 6)])
        assert block.descriptors[:, 0].tolist() == list(range(60))
        assert [head + row.tobytes() for head, row in zip(block.heads, block.descriptors, strict=True)] == [
            record(number) for number in range(60)
        ]

    def test_a_part_is_a_copy(self) -> None:
        block = block_of(1, 2, 3)
        part = block.taken([2, 0])
        part.extend([record(9)])
        assert part.descriptors[:, 0].tolist() == [3, 1, 9]
        assert block.descriptors[:, 0].tolist() == [1, 2, 3]

    def test_thumbnails_stay_with_their_rows_while_it_grows(self) -> None:
        block = CellBlock(DIMENSION, Parts.THUMBNAIL)
        for start in range(0, 60, 6):
            block.extend([shown(number) for number in range(start, start + 6)])
        assert block.kept.shape == (60, THUMBNAIL_BYTES)
        assert block.kept[:, 0].tolist() == block.descriptors[:, 0].tolist() == list(range(60))
        part = block.taken([7, 3])
        part.extend([shown(9)])
        assert part.kept[:, 0].tolist() == [7, 3, 9]
        assert (part.kept == part.kept[:, :1]).all()

    def test_thumbnails_are_counted_where_they_are_kept(self) -> None:
        plain, block = CellBlock(DIMENSION), CellBlock(DIMENSION, Parts.THUMBNAIL)
        for each in (plain, block):
            each.extend([shown(number) for number in range(30)])
        assert plain.kept.shape == (30, 0)
        assert block.nbytes - plain.nbytes >= 30 * THUMBNAIL_BYTES

    def test_a_missing_thumbnail(self) -> None:
        with pytest.raises(CorruptIndex, match="does not hold a thumbnail"):
            CellBlock(DIMENSION, Parts.THUMBNAIL).extend([record(1)])

    def test_what_is_no_record(self) -> None:
        with pytest.raises(CorruptIndex):
            CellBlock(DIMENSION).extend([record(1)[:-1]])


class TestCache:
    def make(self, blocks_that_fit: float) -> tuple[CellCache, list[int]]:
        loaded: list[int] = []

        def load(cells: Sequence[int]) -> list[CellBlock]:
            loaded.extend(cells)
            return [block_of(cell) for cell in cells]

        return CellCache(int(blocks_that_fit * block_of(1).nbytes), load), loaded

    def test_the_least_recently_used_goes_first(self) -> None:
        cache, loaded = self.make(2.5)
        for cell in (1, 2, 1, 3, 1, 2):
            assert cache.get_many([cell])[cell].descriptors[0, 0] == cell
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
        block = cache.peek(1)
        assert block is not None
        block.extend([record(7)] * 100)
        cache.resized(1)
        assert cache.nbytes == block.nbytes
        cache.drop(1)
        cache.drop(1)
        assert (cache.nbytes, cache.peek(1)) == (0, None)
