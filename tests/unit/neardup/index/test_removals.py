"""Notes of removals come back as they went, and nothing else is taken for one."""

import pytest

from neardup.errors import CorruptIndex
from neardup.index.carry import News
from neardup.index.stored.removals import Removal
from neardup.types import Member
from tests.support.indexes import member, point

REMOVAL = Removal("ä/cat.jpg", 7, "2026-01-01T00:00:00.000001+00:00", "legal@host")


def test_a_note_comes_back() -> None:
    assert Removal.from_json(REMOVAL.to_json()) == REMOVAL


@pytest.mark.parametrize("stored", [b"", b"{", b"[]", b"{}", b"7", b"\xff", REMOVAL.to_json()[:-1]])
def test_what_is_no_note_is_told(stored: bytes) -> None:
    with pytest.raises(CorruptIndex, match="not a note of a removal"):
        Removal.from_json(stored)


def one(key: str) -> Member:
    return member(key, point(0, 0.0))


@pytest.mark.parametrize(
    ("first", "later", "added", "removed"),
    [
        pytest.param(News([one("a")]), News([one("b")]), ["a", "b"], [], id="both"),
        pytest.param(News([one("a")]), News(removed=["a"]), [], [], id="come and gone"),
        pytest.param(News([one("a")]), News(removed=["z"]), ["a"], ["z"], id="another is gone"),
        pytest.param(News(removed=["a"]), News([one("a")]), ["a"], ["a"], id="gone and come again"),
    ],
)
def test_news_that_follow_news_are_news(first: News, later: News, added: list[str], removed: list[str]) -> None:
    both = first.followed_by(later)
    assert ([each.key for each in both.added], both.removed) == (added, removed)
