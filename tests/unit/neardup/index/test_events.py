"""Events come back as they went, and nothing else is taken for one."""

import struct

import pytest

from neardup.errors import CorruptIndex
from neardup.index.stored.events import (
    BEGINNING,
    PLACE,
    Appended,
    Rewritten,
    Split,
    decode_event,
    encode_rewritten,
    encode_split,
)

SPLIT = Split(7, 3, 10, 11, 31, -0.125, b"LRRL")


def test_a_split_comes_back() -> None:
    assert decode_event(encode_split(SPLIT)) == SPLIT


def test_a_rewritten_cell_comes_back() -> None:
    assert decode_event(encode_rewritten(Rewritten(7, 3))) == Rewritten(7, 3)


@pytest.mark.parametrize("removed", [(b"images-0-1",), (b"", b"b" * 65_535, "ä".encode())])
def test_a_rewritten_cell_tells_what_was_removed(removed: tuple[bytes, ...]) -> None:
    event = encode_rewritten(Rewritten(7, 3, removed))
    assert decode_event(event) == Rewritten(7, 3, removed)
    for cut in (event[:-1], event[: len(encode_rewritten(Rewritten(7, 3))) + 1]):
        with pytest.raises(CorruptIndex, match="cut short"):
            decode_event(cut)


def test_an_appended_member_as_the_script_writes_it() -> None:
    assert decode_event(b"A" + PLACE.pack(7, 3) + struct.pack("<I", 299) + b"record") == Appended(7, 3, 299, b"record")


@pytest.mark.parametrize("length", range(len(encode_split(SPLIT)) - len(SPLIT.sides)))
def test_no_part_of_an_event_is_one(length: int) -> None:
    with pytest.raises(CorruptIndex):
        decode_event(encode_split(SPLIT)[:length])


@pytest.mark.parametrize("kind", [b"X", b"\0", b"a"])
def test_an_unknown_kind(kind: bytes) -> None:
    with pytest.raises(CorruptIndex, match="not an event"):
        decode_event(kind + bytes(40))


def test_the_beginning_of_an_event_holds_the_longest_key_of_a_message() -> None:
    record_header = 14
    longest = f"{'t' * 249}-{2**31 - 1}-{2**63 - 1}"
    assert 1 + PLACE.size + 4 + record_header + len(longest) <= BEGINNING
