"""Numbers of things in words."""

import pytest

from neardup.wording import counted


@pytest.mark.parametrize(
    ("count", "form", "words"),
    [(0, "", "0 images"), (1, "", "1 image"), (2, "", "2 images"), (1234, ",", "1,234 images")],
)
def test_one_thing_is_no_plural(count: int, form: str, words: str) -> None:
    assert counted(count, "image", form) == words
