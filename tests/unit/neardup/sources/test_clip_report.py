from dataclasses import replace
from typing import Any

import pytest

from neardup.sources.clip_report import ClipReport, told_in_sum

WHOLE = ClipReport("clip.mp4", images=12, frames=120)


@pytest.mark.parametrize(
    ("changes", "missing", "text"),
    [
        ({}, 0, "12 images from 120 frames"),
        ({"listed": 122}, 0, "12 images from 120 frames"),
        ({"listed": 150}, 30, "12 images from 120 of 150 frames; 30 not in the file"),
        ({"absent": 9}, 9, "12 images from 120 of about 129 frames; 9 not in the file"),
        ({"undecodable": 2}, 2, "12 images from 120 of about 122 frames; 2 could not be decoded"),
        (
            {"undecodable": 1, "listed": 122},
            2,
            "12 images from 120 of 122 frames; 1 could not be decoded; 1 not in the file",
        ),
        (
            {"left_out": 3, "absent": 5, "undecodable": 1},
            8,
            "12 images from 120 of about 128 frames; 1 could not be decoded; 3 left out as damaged; 4 not in the file",
        ),
        ({"clock_breaks": 1}, 0, "12 images from 120 frames; its clock begins anew or jumps once"),
        ({"clock_breaks": 2}, 0, "12 images from 120 frames; its clock begins anew or jumps 2 times"),
        ({"other_streams": 1}, 0, "12 images from 120 frames; other video streams, not read: 1"),
    ],
)
def test_it_tells_what_is_there_and_what_is_not(changes: dict[str, Any], missing: int, text: str) -> None:
    report = replace(WHOLE, **changes)
    assert (report.missing, report.is_whole, str(report)) == (missing, not missing, text)


def test_an_error_is_told_in_one_line_and_alone_where_nothing_was_read() -> None:
    error = OSError("no\nluck")
    assert str(replace(WHOLE, error=error)).endswith("; reading ended with OSError: no luck")
    assert str(ClipReport("clip.mp4", error=error)) == "OSError: no luck"
    assert not replace(WHOLE, error=error).is_whole


def test_many_clips_are_told_in_sum() -> None:
    damaged = replace(WHOLE, listed=150)
    assert told_in_sum([]) == ""
    assert told_in_sum([WHOLE]) == "1 clip, all whole"
    assert told_in_sum([WHOLE, damaged, damaged]) == "3 clips, 2 not whole, with about 60 frames missing"
    assert told_in_sum([ClipReport("a.mp4", error=OSError("no luck"))]) == "1 clip, 1 not whole"
