"""Whatever is encoded is decoded again, and nothing else is."""

import contextlib
from collections.abc import Callable
from functools import partial

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from neardup.errors import CorruptIndex, IndexMismatch
from neardup.index.base import IndexMeta
from neardup.index.stored.codec import (
    decode_decision,
    decode_member,
    encode_decision,
    encode_member,
    required_kept,
    split_record,
)
from neardup.index.stored.records import read_records
from neardup.relation.kept import ALL_PARTS, Parts
from neardup.types import Decision, Descriptors, Kept, Look, Member, Origin, Symmetry, Verdict

FLOAT16 = st.floats(width=16, allow_nan=False, allow_infinity=False)
DESCRIPTORS = st.integers(1, 40).flatmap(lambda count: arrays.arrays(np.float16, count, elements=FLOAT16))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
KEPT = st.none() | st.sampled_from(ALL_PARTS[1:]).flatmap(lambda parts: arrays.arrays(np.uint8, parts.stored_nbytes))
NUMBERS = st.floats(-1e6, 1e6)
LOOKS = st.builds(Look, NUMBERS, NUMBERS, st.tuples(*[NUMBERS] * 6), NUMBERS, NUMBERS, st.tuples(NUMBERS, NUMBERS))
DISTANCES = st.floats(0, 2)
COUNTS = st.integers(0, 2**40)


@given(TEXTS, TEXTS, DESCRIPTORS, st.integers(-(2**63), 2**63 - 1), KEPT)
def test_members_come_back(
    key: str, image_id: str, descriptor: Descriptors, captured_at_ms: int, kept: Kept | None
) -> None:
    record = encode_member(Member(key, image_id, descriptor, captured_at_ms, kept))
    member = decode_member(record, len(descriptor))
    assert (member.kept is None) == (kept is None)
    if member.kept is not None and kept is not None:
        assert np.array_equal(member.kept, kept)
    assert (member.key, member.image_id, member.captured_at_ms) == (key, image_id, captured_at_ms)
    assert member.descriptor.tobytes() == descriptor.tobytes()


@given(
    st.builds(
        Decision,
        st.sampled_from(Verdict),
        TEXTS | st.none(),
        DISTANCES | st.none(),
        COUNTS | st.none(),
        COUNTS,
        DISTANCES | st.none(),
        st.sampled_from(Symmetry),
        st.builds(Origin, TEXTS, st.integers(-(2**63), 2**63 - 1)) | st.none(),
        LOOKS | st.none(),
    )
)
def test_decisions_come_back(decision: Decision) -> None:
    assert decode_decision(encode_decision(decision)) == decision


@given(st.binary(max_size=200), st.integers(1, 40))
def test_random_bytes_are_corrupt_or_a_record(record: bytes, dimension: int) -> None:
    with contextlib.suppress(CorruptIndex):
        assert encode_member(decode_member(record, dimension))[2:] == record[2:]


@given(TEXTS, DESCRIPTORS, KEPT, st.data())
def test_a_mutated_record_is_corrupt_or_a_record(
    key: str, descriptor: Descriptors, kept: Kept | None, data: st.DataObject
) -> None:
    record = bytearray(encode_member(Member(key, "id", descriptor, 0, kept)))
    record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CorruptIndex):
        decode_member(bytes(record), len(descriptor))


@given(st.lists(st.tuples(TEXTS, TEXTS, KEPT), max_size=8), st.integers(1, 5), st.sampled_from(ALL_PARTS), st.data())
def test_many_records_at_once_are_what_they_are_one_by_one(
    members: list[tuple[str, str, Kept | None]], dimension: int, parts: Parts, data: st.DataObject
) -> None:
    records = [
        encode_member(Member(key, image_id, data.draw(arrays.arrays(np.float16, dimension, elements=FLOAT16)), 0, kept))
        for key, image_id, kept in members
    ]
    is_changed = data.draw(st.booleans())
    if records and is_changed:
        which = data.draw(st.integers(0, len(records) - 1))
        # The first bytes say how the others are divided.
        place = data.draw(st.integers(0, 13) | st.integers(0, len(records[which]) - 1))
        changed = bytes([data.draw(st.integers(0, 255))])
        records[which] = records[which][:place] + changed + records[which][place + data.draw(st.integers(0, 2)) :]
    assert outcome(partial(all_at_once, records, dimension, parts)) == outcome(
        partial(one_by_one, records, dimension, parts)
    )


def outcome(read: Callable[[], object]) -> object:
    try:
        return read()
    except CorruptIndex as exc:
        return str(exc)


def all_at_once(records: list[bytes], dimension: int, parts: Parts) -> list[tuple[bytes, bytes, bytes]]:
    read, rows = read_records(records, dimension, parts)
    told = zip(read.heads(), rows, read.kept(parts), strict=True)
    return [(head, row.tobytes(), kept.tobytes()) for head, row, kept in told]


def one_by_one(records: list[bytes], dimension: int, parts: Parts) -> list[tuple[bytes, bytes, bytes]]:
    told = []
    for record in records:
        head, row = split_record(record, dimension)
        kept = required_kept(record, parts)
        told.append((head, row.tobytes(), b"" if kept is None else kept.tobytes()))
    return told


@given(st.binary(max_size=100))
def test_random_bytes_are_no_decision_and_no_metadata(text: bytes) -> None:
    with contextlib.suppress(CorruptIndex):
        decode_decision(text)
    with contextlib.suppress(CorruptIndex, IndexMismatch):
        IndexMeta.from_json(text)
