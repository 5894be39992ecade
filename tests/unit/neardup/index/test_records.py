"""Many records at once are what each is by itself, and one that is wrong is named."""

from collections.abc import Sequence

import numpy as np
import pytest

from neardup.errors import CorruptIndex
from neardup.index.stored.codec import encode_member, required_kept, split_record
from neardup.index.stored.records import Records, joined, read_records
from neardup.relation.kept import ALL_PARTS, Parts
from neardup.types import Member

DIMENSION = 3


def record(number: int, parts: Parts = Parts.NOTHING) -> bytes:
    """Return a record; keys and image ids are of many lengths."""
    kept = np.full(parts.stored_nbytes, number, dtype=np.uint8) if parts else None
    if kept is not None:
        kept[-1] = 255 - number
    return encode_member(
        Member("k" * number, f"фото {number}", np.arange(DIMENSION, dtype=np.float16) + number, -number, kept)
    )


MIXED = [record(number, ALL_PARTS[number % len(ALL_PARTS)]) for number in range(25)]
LOOKED_AT = [each for each in MIXED if Parts(each[1]) & Parts.LOOK]


def assert_same(records: Records, expected: Sequence[bytes], parts: Parts) -> None:
    split = [split_record(each, DIMENSION) for each in expected]
    assert len(records) == len(expected)
    assert records.heads() == [records.head(row) for row in range(len(records))] == [head for head, _ in split]
    assert records.descriptors().tobytes() == b"".join(row.tobytes() for _, row in split)
    kept = [required_kept(each, parts) for each in expected]
    assert records.kept(parts).tobytes() == b"".join(b"" if each is None else each.tobytes() for each in kept)
    assert records.kept(parts).shape == (len(expected), parts.stored_nbytes)


@pytest.mark.parametrize("parts", ALL_PARTS, ids=str)
def test_all_at_once_is_one_by_one(parts: Parts) -> None:
    every = [each for each in MIXED if parts & ~Parts(each[1]) == Parts.NOTHING]
    records, descriptors = read_records(every, DIMENSION, parts)
    assert_same(records, every, parts)
    assert np.array_equal(descriptors, records.descriptors())


def test_none() -> None:
    records, descriptors = read_records([], DIMENSION, Parts.LOOK)
    assert_same(records, [], Parts.LOOK)
    assert descriptors.shape == (0, DIMENSION)


def test_parts_and_sums_of_them() -> None:
    records, _ = read_records(LOOKED_AT, DIMENSION, Parts.LOOK)
    assert_same(records.part(2, 7), LOOKED_AT[2:7], Parts.LOOK)
    assert_same(records.part(4, 4), [], Parts.LOOK)
    rows = np.array([8, 1, 1, 5])
    assert_same(records.taken(rows), [LOOKED_AT[row] for row in rows], Parts.LOOK)
    pieces = [records.part(2, 4), records.part(0, 0), records.taken(rows), records.part(0, 1)]
    expected = [*LOOKED_AT[2:4], *(LOOKED_AT[row] for row in rows), LOOKED_AT[0]]
    assert_same(joined(pieces), expected, Parts.LOOK)
    assert joined(pieces).nbytes > sum(map(len, expected))


def test_some_rows() -> None:
    records, descriptors = read_records(LOOKED_AT, DIMENSION, Parts.LOOK)
    rows = np.array([3, 0, 3])
    assert np.array_equal(records.descriptors(rows), descriptors[rows])
    assert np.array_equal(records.kept(Parts.LOOK, rows), records.kept(Parts.LOOK)[rows])
    assert np.array_equal(records.descriptors(slice(4, None)), descriptors[4:])


def test_a_part_does_not_hold_on_to_the_whole() -> None:
    records, _ = read_records(LOOKED_AT, DIMENSION)
    assert records.part(2, 3).data.base is None


WRONG = {
    "cut short": MIXED[7][:-1],
    "a byte too many": MIXED[7] + b"\0",
    "hardly anything": MIXED[7][:5],
    "nothing": b"",
    "another version": b"\2" + MIXED[7][1:],
    "another kind": MIXED[7][:1] + b"\4" + MIXED[7][2:],
    "a key longer than it": MIXED[4][:2] + b"\xff\xff" + MIXED[4][4:],
    "not a number": MIXED[4][:-2] + np.float16(np.nan).tobytes(),
    "infinite": MIXED[4][:-2] + np.float16(-np.inf).tobytes(),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("place", [0, 11, 25])
def test_a_wrong_one_names_itself(wrong: bytes, place: int) -> None:
    with pytest.raises(CorruptIndex) as alone:
        split_record(wrong, DIMENSION)
    # Another one is wrong, too: the first is told of.
    with pytest.raises(CorruptIndex) as among:
        read_records([*MIXED[:place], wrong, *MIXED[place:], b"\3"], DIMENSION)
    assert str(among.value) == str(alone.value)


def test_one_without_a_look_names_itself() -> None:
    with pytest.raises(CorruptIndex) as alone:
        required_kept(MIXED[4], Parts.LOOK)
    with pytest.raises(CorruptIndex) as among:
        read_records([*LOOKED_AT, MIXED[4]], DIMENSION, Parts.LOOK)
    assert str(among.value) == str(alone.value)
