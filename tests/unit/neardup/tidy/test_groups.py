import csv
import json
from pathlib import Path
from typing import Any

import pytest

from neardup.sources.names import name_of
from neardup.tidy.groups import Group, JudgedFile, Shows, groups_of, picture_of
from neardup.tidy.keep import choose
from neardup.tidy.places import Places, partial
from neardup.tidy.tables import rows_of, write_tables
from tests.support.tidying import group_of, judged, measured

WHOLE = [0.0, 0.0, 1.0, 1.0]
HALF = [0.0, 0.0, 0.5, 1.0]


def verdict(image_id: str, of: str | None = None, edit: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - of any field
    return {
        "image_id": image_id,
        "verdict": "duplicate" if of else "unique",
        "duplicate_of": of,
        "distance": 0.25,
        "symmetry": "none" if of else None,
        "member": {"key": f"key of {of}", "captured_at": None} if of else None,
        **({} if edit is None else {"edit": edit}),
        **more,
    }


def edit(box: list[float], inset: list[float]) -> dict[str, Any]:
    numbers = {"turned": 0.0, "scale": [1.0, 1.0], "brightness": 0.0, "contrast": 1.0, "colour": [0.0, 0.0]}
    return {"mirrored": False, **numbers, "box": box, "inset": inset}


def file_of(name: str) -> JudgedFile:
    return JudgedFile(f"key of {name}", f"/pictures/{name}", 10, 0)


def groups(*verdicts: dict[str, Any]) -> list[Group]:
    pictures = [picture_of(each, file_of(each["image_id"]), place) for place, each in enumerate(verdicts)]
    return list(groups_of(pictures))


def test_a_group_is_a_unique_image_with_all_that_duplicate_it() -> None:
    found = groups(
        verdict("a"), verdict("lonely"), verdict("b", "a"), verdict("c"), verdict("d", "c"), verdict("e", "a")
    )
    assert [[each.image_id for each in group.pictures] for group in found] == [["a", "b", "e"], ["c", "d"]]
    assert [group.first and group.first.image_id for group in found] == ["a", "c"]


def test_without_duplicates_there_is_no_group() -> None:
    assert groups(verdict("a"), verdict("b")) == []
    assert groups() == []


def test_the_first_of_a_group_may_be_of_another_run() -> None:
    [group] = groups(verdict("b", "seed"), verdict("c", "seed"))
    assert group.first is None
    assert [each.image_id for each in group.pictures] == ["b", "c"]
    assert groups(verdict("b", "seed")) == []


@pytest.mark.parametrize(
    ("box", "inset", "shows"),
    [
        (WHOLE, WHOLE, Shows.ALL),
        ([0.01, 0.01, 0.99, 0.99], WHOLE, Shows.ALL),
        (HALF, WHOLE, Shows.PART),
        (WHOLE, HALF, Shows.MORE),
        (HALF, HALF, Shows.MORE),
    ],
)
def test_the_edit_tells_how_much_a_duplicate_shows(box: list[float], inset: list[float], shows: Shows) -> None:
    assert picture_of(verdict("b", "a", edit(box, inset)), file_of("b"), 1).shows is shows


def test_where_a_look_found_no_common_part_nothing_is_known_of_it() -> None:
    looked = {**verdict("b", "a"), "edit": None}
    assert picture_of(looked, file_of("b"), 1).shows is Shows.UNKNOWN
    assert picture_of(verdict("b", "a"), file_of("b"), 1).shows is Shows.ALL  # no look was taken


def test_what_was_done_to_a_copy_is_told_in_words() -> None:
    assert picture_of(verdict("b", "a", symmetry="mirror"), file_of("b"), 1).done == "mirror"
    assert picture_of(verdict("b", "a"), file_of("b"), 1).done == ""
    told = picture_of(verdict("b", "a", edit(HALF, WHOLE)), file_of("b"), 1).done
    assert told == "shows 0 to 50 % of the width and 0 to 100 % of the height of the earlier image"


# The files


def tables(tmp_path: Path, names: list[str]) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    paths = [tmp_path / name for name in names]
    for path in paths:
        path.write_bytes(b"picture")
    group = group_of(*paths)
    choice = choose(group, measured(group), "first")
    places = Places.beside(tmp_path / "verdicts.jsonl")
    write_tables(places, rows_of(1, group, measured(group), {**choice.staying}))
    assert not partial(places.groups_csv).exists()
    with places.groups_csv.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    return table, [json.loads(line) for line in places.groups_jsonl.read_text("utf-8").splitlines()]


def test_both_files_tell_the_same(tmp_path: Path) -> None:
    table, lines = tables(tmp_path, ["a.jpg", "b.jpg"])
    assert [row["image"] for row in table] == [line["image"] for line in lines] == ["a.jpg", "b.jpg"]
    assert [row["keep"] for row in table] == ["yes", "no"]
    assert [line["keep"] for line in lines] == [True, False]
    assert table[1].keys() == lines[1].keys()
    assert (table[1]["duplicate_of"], table[1]["distance"], table[1]["bytes"]) == ("a.jpg", "0.1", "7")
    assert (table[0]["duplicate_of"], lines[0]["duplicate_of"]) == ("", None)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\uff1d1", '=cmd|" C calc"!A0'])
def test_no_spreadsheet_runs_a_name(tmp_path: Path, name: str) -> None:
    table, lines = tables(tmp_path, ["a.jpg", name])
    assert table[1]["image"] == f"./{name}"
    assert (tmp_path / table[1]["image"]).samefile(tmp_path / name)
    assert lines[1]["image"] == name


def test_a_name_with_markup_line_breaks_or_other_bytes_comes_back_whole(tmp_path: Path) -> None:
    names = [
        "<b onclick=x>&amp;.jpg",
        'two\nlines\r,and "quotes".jpg',
        b"caf\xe9\t.jpg".decode("utf-8", "surrogateescape"),
    ]
    table, lines = tables(tmp_path, ["a.jpg", *names])
    assert [line["image"] for line in lines] == [row["image"] for row in table]
    texts = [row["image"] for row in table[1:]]
    assert texts[0] == names[0]
    assert [name_of(text) for text in texts] == names


def test_files_are_named_after_the_verdicts(tmp_path: Path) -> None:
    usual, other = Places.beside(tmp_path / "verdicts.jsonl"), Places.beside(tmp_path / "mine.jsonl")
    assert (usual.groups_csv.name, usual.plan.name, usual.undo.name) == ("groups.csv", "plan.jsonl", "undo.jsonl")
    assert (other.groups_jsonl.name, other.plan.name) == ("mine.groups.jsonl", "mine.plan.jsonl")
    assert (usual.dead.name, other.dead.name) == ("verdicts.dead.jsonl", "mine.dead.jsonl")


def test_a_picture_of_a_link_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    assert judged(tmp_path / "link.jpg").file.by_link
