import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neardup.sources.names import Names, text_of

FILE_NAMES = st.one_of(st.binary(), st.lists(st.sampled_from([b"\\", b"x", b"0", b"9", b"e", b"\xe9"])).map(b"".join))


def bytes_of(text: str) -> bytes:
    """Undo `text_of`, as docs/settings.md says it."""
    return re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), text.encode())


@given(FILE_NAMES)
def test_every_name_is_one_line_of_utf8_from_which_it_can_be_had_again(name: bytes) -> None:
    text = text_of(os.fsdecode(name))
    assert bytes_of(text) == name
    assert len(text.splitlines()) <= 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", text)


@pytest.mark.parametrize(
    "name", ["cat.jpg", "фото 猫 #1 'q\".jpg", r"back\slash.jpg", r"\x.jpg", r"\xE9.jpg", "100%.jpg"]
)
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert text_of(name) == name


def test_a_name_that_looks_like_an_escape_is_told_from_one() -> None:
    names = Names()
    assert names.give("root", os.fsdecode(b"\xe9.jpg")) == r"\xe9.jpg"
    assert names.give("root", r"\xe9.jpg") == r"\x5cxe9.jpg"
