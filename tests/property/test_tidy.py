"""Whatever the files, groups, rule, act and interruptions: no content is lost, and each group keeps one."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neardup.sources.names import name_of, text_of
from neardup.tidy import act
from neardup.tidy.act import Tally, apply
from neardup.tidy.groups import Group
from neardup.tidy.lines import Appended
from neardup.tidy.plan import Plan
from neardup.tidy.undo import Undone, read_undo, undo
from tests.support.tidying import contents, group_of, plan_of

CONTENTS = st.sampled_from([b"same", *(bytes([number]) for number in range(40))])
NAMES = st.sampled_from(["a.jpg", "b", "<i>.png", "two\nlines", os.fsdecode(b"\xff.jpg"), "=1", "c.jpg", "duplicates"])
FILES = st.dictionaries(
    st.tuples(st.sampled_from(["", "below", "below/deep"]), NAMES), CONTENTS, min_size=2, max_size=8
)
HARM = st.sampled_from(["nothing", "nothing", "rewritten", "gone", "hard link of the first", "link to the first"])
KILLS = st.tuples(st.integers(1, 8), st.booleans(), st.booleans())
Kill = tuple[int, bool, bool]
RULES = ["best", "largest", "oldest", "first"]


class Stopped(BaseException):
    """As if the process were killed here."""


STEPS: list[tuple[Any, str]] = [
    (Appended, "write"),
    (act, "link"),
    (act, "move"),
    (Path, "replace"),
    (os, "link"),
    (Path, "unlink"),
    (shutil, "copy2"),
]
"""Where it may be killed: before or after one of these."""


@contextmanager
def killed(at: int, *, after: bool, at_once: bool) -> Iterator[None]:
    """Kill the block before or after its `at`-th step; at once, so that it cannot clean up, or by an exception."""
    count = 0

    def counting(step: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - of any function
            nonlocal count
            count += 1
            if (count == at and not after) or (count > at and at_once):
                raise Stopped
            result = step(*arguments, **named)
            if count == at:
                raise Stopped
            return result

        return stepped

    with pytest.MonkeyPatch.context() as patched:
        for owner, name in STEPS:
            patched.setattr(owner, name, counting(getattr(owner, name)))
        with suppress(Stopped):
            yield


def laid_out(root: Path, files: dict[tuple[str, str], bytes], harms: list[str]) -> tuple[Path, list[Path]]:
    """Make the files, some of which are links; return the folder and those that would be judged."""
    folder, paths = root / "pictures", list[Path]()
    for place, ((below, name), content) in enumerate(files.items()):
        path = folder / below / name
        path.parent.mkdir(parents=True, exist_ok=True)
        harm = harms[place % len(harms)]
        if paths and harm == "hard link of the first":
            os.link(paths[0], path)
        elif paths and harm == "link to the first":
            path.symlink_to(paths[0])
            continue  # the walk takes each file once
        else:
            path.write_bytes(content)
        paths.append(path)
    return folder, paths


def grouped(paths: list[Path], sizes: list[int]) -> list[Group]:
    groups, rest = [], paths
    for size in sizes:
        taken, rest = rest[:size], rest[size:]
        if len(taken) > 1:
            groups.append(group_of(*taken))
    return groups


def apply_all(plan: Plan, how: str, folder: Path) -> Tally:
    tally = Tally()
    apply(plan, how, str(folder), folder.parent / "undo.jsonl", folder.parent / "moved", tally=tally)
    return tally


@settings(max_examples=400, deadline=None)
@given(
    files=FILES,
    harms=st.lists(HARM, min_size=1, max_size=8),
    sizes=st.lists(st.integers(2, 4), min_size=1, max_size=4),
    rule=st.sampled_from(RULES),
    how=st.sampled_from(["move", "link", "delete"]),
    kills=st.lists(KILLS, min_size=1, max_size=3),
    undo_kills=st.lists(KILLS, min_size=1, max_size=2),
    other_disk=st.booleans(),
)
def test_nothing_is_lost_and_each_group_keeps_one(
    *,
    files: dict[tuple[str, str], bytes],
    harms: list[str],
    sizes: list[int],
    rule: str,
    how: str,
    kills: list[Kill],
    undo_kills: list[Kill],
    other_disk: bool,
) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patched:
        root = Path(os.path.realpath(name))
        folder, paths = laid_out(root, files, harms)
        groups = grouped(paths, sizes)
        plan = plan_of(folder, *groups, rule=rule)
        harm(paths, harms)
        before, filled = contents(folder), [group for group in groups if some_are_there(group)]
        if other_disk:
            patched.setattr(Path, "replace", refusing_between_disks(Path.replace, root / "moved"))
        for at, after, at_once in kills:
            with killed(at, after=after, at_once=at_once):
                apply_all(plan, how, folder)
            assert how == "delete" or contents(root) >= before
        tally = apply_all(plan, how, folder)
        assert tally.before + tally.files + len(tally.left) == len(plan.steps)
        assert all(map(some_are_there, filled))
        if how == "delete":
            return
        assert contents(root) >= before
        for at, after, at_once in undo_kills:
            with killed(at, after=after, at_once=at_once):
                undo_all(root)
            assert contents(root) >= before
        assert undo_all(root).left == []
        assert contents(folder) >= before


@given(name=st.binary(min_size=1, max_size=12))
def test_the_text_of_a_name_gives_the_name_again(name: bytes) -> None:
    assert name_of(text_of(os.fsdecode(name))) == os.fsdecode(name)


def harm(paths: list[Path], harms: list[str]) -> None:
    """Change some files after they were planned."""
    for place, path in enumerate(paths):
        what = harms[-1 - place % len(harms)]
        if what == "gone":
            path.unlink()
        elif what == "rewritten":
            path.write_bytes(b"new" + bytes([place]))


def some_are_there(group: Group) -> bool:
    return any(Path(each.file.path).is_file() for each in group.pictures)


def undo_all(root: Path) -> Undone:
    path, undone = root / "undo.jsonl", Undone()
    if path.exists():
        undo(read_undo(path), undone)
    return undone


def refusing_between_disks(replace: Callable[..., Any], moved: Path) -> Callable[..., Any]:
    def replaced(self: Path, target: str | Path) -> Any:  # noqa: ANN401 - as `Path.replace` has it
        if self.is_relative_to(moved) != Path(target).is_relative_to(moved):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(self), None, str(target))
        return replace(self, target)

    return replaced
