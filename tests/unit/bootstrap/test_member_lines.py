"""The lines of the tools that are about members."""

import getpass
import os
from typing import Any

import pytest

from bootstrap.member_lines import duplicates_lines, remove_lines, set_radius_lines
from bootstrap.members import _user

Document = dict[str, Any]
CAT = {"image_id": "cat.jpg", "key": "images-0-1", "captured_at": None}
NAMED = {"key": "images-0-7", "verdict": "duplicate", "duplicate_of": "cat.jpg", "distance": 0.0125, "generation": 3}
REMOVED: Document = {
    "index": "cats",
    "generation": 3,
    "dry_run": False,
    "unknown": [],
    "by": "legal",
    "removed": [CAT],
    "decisions": {"remembered": 600, "messages": [NAMED]},
    "saved": "gone.json",
}
RADIUS: Document = {
    "index": "cats",
    "generation": 3,
    "dry_run": False,
    "radius_before": 0.3,
    "radius": 0.5,
    "members_before": 10,
    "members": 9,
    "left_out": [{**CAT, "duplicate_of": "tom.jpg", "distance": 0.4}],
    "new_generation": 4,
    "previous": {"generation": 3, "left_s": 86398},
    "refusal": "",
}


def test_what_was_removed_as_lines() -> None:
    lines = list(remove_lines(REMOVED))
    assert lines[:5] == [
        "index    cats, generation 3",
        "removed  1 member, by legal",
        "  cat.jpg (images-0-1)",
        "1 of 600 remembered decisions named one of these as the match",
        "  images-0-7, 0.012500 away from cat.jpg",
    ]
    assert lines[-1] == "To undo it: neardup bootstrap --import gone.json, with the descriptor of this index."
    assert list(remove_lines({**REMOVED, "dry_run": True, "saved": None}))[1] == "would remove  1 member, by legal"
    assert list(remove_lines({**REMOVED, "unknown": ["tom.jpg"]})) == [
        "nothing was removed, because of what is unknown"
    ]


def test_other_members_within_the_radius_as_lines() -> None:
    near = {"image_id": "tom.jpg", "key": "images-0-2", "distance": 0.25, "local_change": None}
    looked_at = {**near, "agreement": 0.2, "agreement_needed": 0.31}
    document = {
        "members": [{**CAT, "within_radius": [near, looked_at]}],
        "radius": 0.3,
        "decisions": {"remembered": 600, "messages": []},
    }
    assert list(duplicates_lines(document))[:3] == [
        "cat.jpg (images-0-1) has 2 other members within the radius 0.3",
        "  tom.jpg (images-0-2), 0.250000 away",
        "  tom.jpg (images-0-2), 0.250000 away, agreement 0.2, 0.31 is needed",
    ]


def test_of_many_the_first_are_listed() -> None:
    lines = list(remove_lines({**REMOVED, "removed": [CAT] * 25}))
    assert lines.count("  cat.jpg (images-0-1)") == 20
    assert "  and 5 more, with --json" in lines


def test_another_radius_as_lines() -> None:
    assert list(set_radius_lines(RADIUS)) == [
        "index     cats, generation 3",
        "radius    0.5, after 0.3",
        "members   9, of 10",
        "left out  1, within the new radius of an earlier member",
        "now live  generation 4",
        "previous  generation 3, kept for another 23:59:58 for a rollback",
        "  cat.jpg (images-0-1), 0.400000 away from tom.jpg",
        "To undo it: neardup index rollback.",
    ]
    refusal = "1 of its 10 members would be left out"
    planned = list(
        set_radius_lines({**RADIUS, "dry_run": True, "new_generation": None, "previous": None, "refusal": refusal})
    )
    assert planned[-1] == f"This would be refused with exit code 2: {refusal}"
    assert planned[1:3] == ["radius    would be 0.5, after 0.3", "members   would be 9, of 10"]


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError("no username set in the environment")

    assert _user().startswith(f"{getpass.getuser()}@")
    monkeypatch.setattr(getpass, "getuser", nobody)
    assert _user().startswith(f"{os.getuid()}@")
