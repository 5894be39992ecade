"""Outcomes are read from records, and shown in lines that do nothing to a terminal."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.verdicts.told import ToldLetter, ToldVerdict
from consumer.watch.outcomes import Unreadable, done, line_of, outcome_of
from consumer.watch.shown import shown
from tests.support.outcomes import Record, letter, letter_record, told, verdict_record

EDIT = {
    "mirrored": True,
    "turned": 0.0,
    "scale": [1.0, 1.0],
    "box": [0.0, 0.0, 1.0, 1.0],
    "inset": [0.0, 0.0, 1.0, 1.0],
    "brightness": 12.0,
    "contrast": 1.0,
    "colour": [0.0, 0.0],
}


def text_of(line: str) -> str:
    assert re.match(r"\d\d:\d\d:\d\d ", line)
    return line[9:]


@given(st.text())
def test_what_is_shown_does_nothing_but_be_read(text: str) -> None:
    kinds = {unicodedata.category(character) for character in shown(text)} - {"Cf", "Cn", "Co"}
    assert not kinds & {"Cc", "Cs", "Zl", "Zp"}
    assert shown(shown(text)) == shown(text)


@pytest.mark.parametrize("odd", ["\x1b[2J", "\r", "\n", "\x9b31m", "\u202egpj.exe", "\u2066", "\ud83d", "\u200b"])
def test_what_would_act_is_spelt_out(odd: str) -> None:
    assert odd[0] not in shown(f"a{odd}b")
    assert shown(odd[0]).startswith("\\")


@pytest.mark.parametrize("plain", ["camera/ä 日本.jpg", "👩‍👩‍👧.png", "a\\x1b.jpg"])
def test_what_is_plain_stays(plain: str) -> None:
    assert shown(plain) == plain


def test_a_record_is_a_verdict_a_dead_letter_or_neither() -> None:
    assert isinstance(outcome_of(verdict_record(), of_verdicts=True), ToldVerdict)
    assert isinstance(outcome_of(letter_record(), of_verdicts=False), ToldLetter)
    assert isinstance(outcome_of(Record("verdicts", b"{"), of_verdicts=True), Unreadable)
    assert isinstance(outcome_of(Record("images.dead", b"x"), of_verdicts=False), Unreadable)


def test_each_outcome_has_its_line() -> None:
    assert text_of(line_of(told("a.jpg", None, 0.9))) == "unique     a.jpg, 0.900 away"
    assert text_of(line_of(told("a.jpg", None, None))) == "unique     a.jpg"
    assert text_of(line_of(told("b.jpg", "a.jpg"))) == "duplicate  b.jpg of a.jpg, 0.250 away"
    assert text_of(line_of(letter("c\x1b.jpg"))) == "dead       c\\x1b.jpg: truncated: it ends"
    unreadable = outcome_of(Record("verdicts", b"{", offset=4), of_verdicts=True)
    assert text_of(line_of(unreadable)).startswith("unreadable verdicts-0-4: not JSON")


def test_a_record_without_a_time_has_a_line_too() -> None:
    record = Record("verdicts", b"{", timestamp=2**62)
    assert line_of(outcome_of(record, of_verdicts=True)).startswith("--:--:-- unreadable")


@pytest.mark.parametrize(
    ("symmetry", "words"),
    [("none", ""), ("mirror", "mirrored"), ("mirror-rotate90", "mirrored, turned by 90"), (None, "")],
)
def test_what_was_done_is_told_by_the_symmetry(symmetry: str | None, words: str) -> None:
    assert done(told("b", "a", symmetry=symmetry)) == words


def test_what_was_done_is_told_by_the_second_look_where_there_was_one() -> None:
    copy = told("b", "a", symmetry="mirror", edit=EDIT)
    assert done(copy).startswith("mirrored, shows all of the earlier image, 12 grey levels brighter")
    assert ": mirrored, shows" in line_of(copy)


@pytest.mark.parametrize(
    "edit",
    [
        {"mirrored": True},
        {**EDIT, "more": 1},
        {**EDIT, "box": []},
        {**EDIT, "box": {}},
        {**EDIT, "turned": "x"},
        {**EDIT, "turned": 10**400},
    ],
)
def test_an_edit_of_another_version_is_passed_over(edit: dict[str, object]) -> None:
    assert done(told("b", "a", edit=edit)) == ""
