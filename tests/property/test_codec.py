"""Whatever is encoded is decoded again, and nothing else is."""

import contextlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from neardup.errors import CorruptIndex, IndexMismatch
from neardup.index.base import IndexMeta
from neardup.index.stored.codec import decode_decision, decode_member, encode_decision, encode_member
from neardup.relation.kept import ALL_PARTS
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


@given(st.binary(max_size=100))
def test_random_bytes_are_no_decision_and_no_metadata(text: bytes) -> None:
    with contextlib.suppress(CorruptIndex):
        decode_decision(text)
    with contextlib.suppress(CorruptIndex, IndexMismatch):
        IndexMeta.from_json(text)
