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


def steps_of(events: LogEvents) -> list[list[int] | Split | Rewritten]:
    return [step.tolist() if isinstance(step, np.ndarray) else step for step in events.steps()]


def test_appended_members_and_what_comes_between() -> None:
    events = LogEvents(MIXED)
    assert steps_of(events) == [[0, 1], SPLIT, SPLIT, REWRITTEN, [2], Rewritten(0, 0)]
    assert (len(events), events.only_append) == (7, False)
    assert list(events) == list(map(decode_event, MIXED))


def test_only_members_of_halves_wait_for_a_split() -> None:
    def divided(cell: int, low: int) -> Split:
        return Split(cell, 0, low, low + 1, 0, 0.5, b"")

    def in_cell(cell: int) -> bytes:
        member = Member("key", "id", np.zeros(DIMENSION, dtype=np.float16))
        return encode_appended(Appended(cell, 0, 0, encode_member(member)))

    log: list[int | Split] = [0, 1, divided(0, 5), 5, 1, divided(1, 7), 6, 8, 2, divided(6, 9), 9, 2, 7, 5]
    events = LogEvents([encode_split(each) if isinstance(each, Split) else in_cell(each) for each in log])
    assert events.cells.tolist() == [0, 1, 5, 1, 6, 8, 2, 9, 2, 7, 5]
    assert steps_of(events) == [
        [0, 1, 3, 6, 8],
        divided(0, 5),
        divided(1, 7),
        [2, 4, 5, 9, 10],
        divided(6, 9),
        [7],
    ]


def test_what_only_appends_is_one_step() -> None:
    events = LogEvents([appended(number) for number in range(5)])
    assert steps_of(events) == [[0, 1, 2, 3, 4]]
    assert events.only_append


def test_nothing_happened() -> None:
    events = LogEvents([])
    assert (steps_of(events), len(events), len(events.cells), events.only_append) == ([], 0, 0, True)
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
