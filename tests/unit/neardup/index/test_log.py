"""Events read in bulk say what each of them says by itself."""

import numpy as np
import pytest

from neardup.errors import CorruptIndex
from neardup.index.stored.codec import encode_member
from neardup.index.stored.events import (
    Appended,
    Rewritten,
    Split,
    decode_event,
    encode_appended,
    encode_rewritten,
    encode_split,
)
from neardup.index.stored.log import LogEvents
from neardup.relation.kept import Parts
from neardup.types import Member

DIMENSION = 4


def appended(number: int) -> bytes:
    member = Member(f"key {number}", "id", np.full(DIMENSION, number, dtype=np.float16))
    return encode_appended(Appended(number % 3, number, 7 + number, encode_member(member)))


SPLIT, REWRITTEN = Split(2, 2, 5, 6, 0, 0.5, b"LR"), Rewritten(1, 1, (b"gone",))
MIXED = [
    encode_split(SPLIT),
    appended(0),
    appended(1),
    encode_split(SPLIT),
    encode_rewritten(REWRITTEN),
    appended(2),
    encode_rewritten(Rewritten(0, 0)),
]


def test_runs_of_appended_members_and_what_comes_between() -> None:
    events = LogEvents(MIXED)
    assert list(events.steps()) == [SPLIT, slice(0, 2), SPLIT, REWRITTEN, slice(2, 3), Rewritten(0, 0)]
    assert (len(events), events.only_append) == (7, False)
    assert list(events) == list(map(decode_event, MIXED))


def test_what_only_appends_is_one_run() -> None:
    events = LogEvents([appended(number) for number in range(5)])
    assert list(events.steps()) == [slice(0, 5)]
    assert events.only_append


def test_nothing_happened() -> None:
    events = LogEvents([])
    assert (list(events.steps()), len(events), len(events.cells), events.only_append) == ([], 0, 0, True)
    records, descriptors = events.records(DIMENSION, Parts.NOTHING)
    assert (len(records), descriptors.shape) == (0, (0, DIMENSION))


def test_members_are_read_as_one_by_one() -> None:
    events = LogEvents(MIXED)
    one_by_one = [event for event in events if isinstance(event, Appended)]
    assert events.cells.tolist() == [event.cell for event in one_by_one]
    assert events.places.tolist() == [event.place for event in one_by_one]
    assert events.stored_records == [event.record for event in one_by_one]
    records, descriptors = events.records(DIMENSION, Parts.NOTHING)
    assert descriptors[:, 0].tolist() == [0, 1, 2]
    assert records.head(1).endswith(b"key 1id")
    assert events.records(DIMENSION, Parts.NOTHING)[0] is records


@pytest.mark.parametrize("wrong", [b"", b"X" + bytes(40), encode_split(SPLIT)[:12], appended(1)[:10]])
def test_what_is_no_event_is_refused_at_once(wrong: bytes) -> None:
    with pytest.raises(CorruptIndex):
        LogEvents([appended(0), wrong])


def test_a_member_without_numbers_is_refused() -> None:
    with pytest.raises(CorruptIndex):
        LogEvents([appended(0), appended(1)[:-1]]).records(DIMENSION, Parts.NOTHING)
