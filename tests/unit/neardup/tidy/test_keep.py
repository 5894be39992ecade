import os
from dataclasses import replace
from pathlib import Path

import pytest

import neardup.tidy.act
from consumer.folder.settings import ACTS, KEEP
from neardup.tidy import keep
from neardup.tidy.groups import Group, Picture, Shows
from neardup.tidy.keep import choose
from tests.support.tidying import group_of, judged, measured


@pytest.fixture
def group(tmp_path: Path) -> Group:
    """Three files: the second has the most bytes and is the oldest."""
    paths = []
    for name, size, time_ns in (("b.jpg", 10, 2000), ("c.jpg", 30, 1000), ("a.jpg", 20, 3000)):
        path = tmp_path / name
        path.write_bytes(b"x" * size)
        os.utime(path, ns=(time_ns, time_ns))
        paths.append(path)
    return group_of(*paths)


def kept(group: Group, rule: str, pixels: tuple[int, ...] = ()) -> str:
    choice = choose(group, measured(group, pixels), rule)
    assert choice.kept
    assert len(choice.going) == len(group.pictures) - 1
    return choice.kept.picture.image_id


def test_each_rule_keeps_what_it_says(group: Group) -> None:
    assert kept(group, "best", (1, 1, 2)) == "a.jpg"
    assert kept(group, "best") == "c.jpg"  # as many pixels in more bytes
    assert kept(group, "largest", (9, 1, 9)) == "c.jpg"
    assert kept(group, "oldest") == "c.jpg"
    assert kept(group, "first") == "b.jpg"


@pytest.mark.parametrize("rule", [rule for rule in KEEP if rule != "first"])
def test_what_is_equal_goes_by_path_whatever_the_order(tmp_path: Path, rule: str) -> None:
    paths = [tmp_path / name for name in ("c", "a", "b")]
    for path in paths:
        path.write_bytes(b"equal")
        os.utime(path, ns=(5, 5))
    assert kept(group_of(*paths), rule) == kept(group_of(*reversed(paths)), rule) == "a"


def with_second(group: Group, second: Picture) -> Group:
    first, _, *others = group.pictures
    return Group(group.first, (first, second, *others))


@pytest.mark.parametrize(
    ("shows", "why"),
    [
        (Shows.PART, "shows a part of it"),
        (Shows.MORE, "shows more than it"),
        (Shows.UNKNOWN, "no common part was found"),
    ],
)
@pytest.mark.parametrize("rule", KEEP)
def test_what_shows_more_or_less_neither_goes_nor_is_kept_for_others(
    group: Group, shows: Shows, why: str, rule: str
) -> None:
    second = replace(group.pictures[1], shows=shows)
    group = with_second(group, second)
    choice = choose(group, measured(group), rule)
    assert choice.kept
    names = {choice.kept.picture.image_id, *(each.picture.image_id for each in choice.going)}
    assert names == {"b.jpg", "a.jpg"}
    assert choice.staying[second.file.key] == why


def test_a_part_goes_when_told_and_what_shows_more_never(group: Group) -> None:
    for shows, goes in ((Shows.PART, True), (Shows.MORE, False), (Shows.UNKNOWN, False)):
        second = replace(group.pictures[1], shows=shows)
        changed = with_second(group, second)
        choice = choose(changed, measured(changed), "best", crops=True)
        assert (second in [each.picture for each in choice.going]) is goes
        assert choice.kept
        assert choice.kept.picture.shows is Shows.ALL


def test_a_picture_with_its_part_alone_stays_unless_told(group: Group) -> None:
    first, second, _ = group.pictures
    pair = Group(first, (first, replace(second, shows=Shows.PART)))
    assert choose(pair, measured(pair), "first").kept is None
    choice = choose(pair, measured(pair), "largest", crops=True)
    assert choice.kept
    assert choice.kept.picture is first  # though the part has more bytes


@pytest.mark.parametrize("what", ["frame", "link", "pages"])
def test_only_a_whole_file_of_one_picture_takes_part(group: Group, what: str) -> None:
    second = group.pictures[1]
    file = replace(second.file, is_image=what != "frame", by_link=what == "link")
    odd = replace(second, file=file, frames=2 if what == "pages" else 1)
    changed = with_second(group, odd)
    choice = choose(changed, measured(changed), "best")
    assert choice.kept
    assert choice.kept.picture is not odd
    assert choice.staying[odd.file.key]
    alone = Group(odd, (odd, group.pictures[2]))
    assert choose(alone, measured(alone), "best").kept is None


def test_of_the_reference_all_stay_and_the_rest_goes(group: Group) -> None:
    first = replace(group.pictures[0], is_reference=True)
    with_reference = Group(first, (first, *group.pictures[1:]))
    choice = choose(with_reference, measured(with_reference), "largest")
    assert choice.kept
    assert choice.kept.picture is first
    assert [each.picture.image_id for each in choice.going] == ["c.jpg", "a.jpg"]


def test_a_reference_that_is_no_whole_file_keeps_everything(group: Group) -> None:
    first = group.pictures[0]
    frame = replace(first, is_reference=True, file=replace(first.file, is_image=False))
    of_a_clip = Group(frame, (frame, *group.pictures[1:]))
    assert choose(of_a_clip, measured(of_a_clip), "best").kept is None


def test_of_duplicates_of_another_run_one_is_kept(group: Group) -> None:
    assert kept(Group(None, group.pictures[1:]), "first") == "c.jpg"


def test_the_command_line_knows_all_rules_and_acts() -> None:
    assert tuple(keep.KEEP) == KEEP
    assert neardup.tidy.act.ACTS == ACTS == tuple(neardup.tidy.act.DONE)


def test_one_image_is_no_group(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    lonely = judged(path)
    assert choose(Group(lonely, (lonely,)), measured(Group(lonely, (lonely,))), "first").kept is None
