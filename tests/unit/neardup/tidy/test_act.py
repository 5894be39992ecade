import errno
import json
import os
import re
import resource
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from neardup.errors import Misconfigured
from neardup.tidy.act import DELETE, LINK, MOVE, TRASH
from neardup.tidy.lines import Appended
from neardup.tidy.moving import free_name
from neardup.tidy.plan import Plan, read_plan, write_plan
from neardup.tidy.undo import Undone, read_undo, undo
from tests.support.tidying import applied, contents, group_of, measured, plan_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files, the last with the bytes of the first."""
    folder = tmp_path / "pictures"
    for name, content in {"a.jpg": b"one", "b.jpg": b"two", "below/c.jpg": b"one"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def plan(folder: Path) -> Plan:
    return plan_of(folder, group_of(folder / "a.jpg", folder / "b.jpg", folder / "below/c.jpg"))


def undone(folder: Path) -> Undone:
    told = Undone()
    undo(read_undo(folder.parent / "undo.jsonl"), told)
    return told


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


# What each act does


def test_moved_files_keep_their_place_below_and_come_back(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.jpg")}
    tally = applied(plan(folder), MOVE, folder)
    assert (tally.files, tally.size, tally.left) == (2, 6, [])
    assert files(folder) == ["a.jpg"]
    assert files(folder.parent / "moved") == ["b.jpg", "below/c.jpg"]
    told = undone(folder)
    assert (told.back, told.before, told.left) == (2, 0, [])
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.jpg")} == before
    assert undone(folder).before == 2


def test_nothing_is_overwritten_where_files_are_moved_to(folder: Path) -> None:
    taken = folder.parent / "moved/b.jpg"
    taken.parent.mkdir()
    taken.write_bytes(b"earlier")
    applied(plan(folder), MOVE, folder)
    assert taken.read_bytes() == b"earlier"
    assert (folder.parent / "moved/b~2.jpg").read_bytes() == b"two"
    assert undone(folder).back == 2
    assert taken.read_bytes() == b"earlier"


def test_only_equal_files_are_linked_and_get_their_own_again(folder: Path) -> None:
    kept, linked = folder / "a.jpg", folder / "below/c.jpg"
    os.utime(linked, ns=(5_000_000_000, 5_000_000_000))
    linked.chmod(0o600)
    kept.chmod(0o644)
    tally = applied(plan(folder), LINK, folder)
    assert linked.samefile(kept)
    assert (tally.files, len(tally.left)) == (1, 1)
    assert "b.jpg: not the same bytes" in tally.left[0]
    assert (folder / "b.jpg").read_bytes() == b"two"
    assert files(folder) == ["a.jpg", "b.jpg", "below/c.jpg"]
    assert undone(folder).back == 1
    assert not linked.samefile(kept)
    assert (linked.read_bytes(), linked.stat().st_mtime_ns) == (b"one", 5_000_000_000)
    assert (stat.S_IMODE(linked.stat().st_mode), stat.S_IMODE(kept.stat().st_mode)) == (0o600, 0o644)
    assert undone(folder).before == 1


def test_deleted_files_are_gone_and_undoing_says_so(folder: Path) -> None:
    assert applied(plan(folder), DELETE, folder).files == 2
    assert files(folder) == ["a.jpg"]
    told = undone(folder)
    assert (told.back, told.before, len(told.left)) == (0, 0, 2)
    assert all("deleted, which cannot be undone" in why for why in told.left)


def test_trashed_files_lie_in_the_trash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trash = pytest.importorskip("send2trash.plat_other", reason="extra trash is not installed")
    monkeypatch.setattr("send2trash.send2trash", trash.send2trash)  # and not that of a desktop
    monkeypatch.setattr(trash, "HOMETRASH_B", os.fsencode(folder.parent / "Trash"))
    odd = folder / os.fsdecode(b"caf\xe9.jpg")
    odd.write_bytes(b"three")
    found = plan_of(folder, group_of(folder / "a.jpg", folder / "b.jpg", odd))
    assert applied(found, TRASH, folder).left == []
    assert files(folder) == ["a.jpg", "below/c.jpg"]
    assert contents(folder.parent / "Trash/files") == {b"two", b"three"}
    assert "restore it from there" in undone(folder).left[0]


def test_without_the_extra_the_trash_is_refused_before_anything_is_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neardup.tidy.act.find_spec", lambda _: None)
    with pytest.raises(Misconfigured, match=r"pip install neardup\[trash\]"):
        applied(plan(folder), TRASH, folder)
    assert len(files(folder)) == 3


# What changed since


def changed_content(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b"six")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced_by_a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


CHANGES: dict[str, Callable[[Path], object]] = {
    "written": lambda path: path.write_bytes(b"longer"),
    "rewritten with its size and time": changed_content,
    "touched": lambda path: os.utime(path, ns=(1, 1)),
    "gone": Path.unlink,
    "a link": replaced_by_a_link,
    "a folder": replaced_by_a_folder,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("act", [MOVE, DELETE, LINK])
def test_a_file_that_changed_since_is_left_alone(folder: Path, act: str, change: str) -> None:
    made = plan(folder)
    CHANGES[change](folder / "below/c.jpg")
    before = contents(folder)
    tally = applied(made, act, folder)
    assert any("c.jpg" in why for why in tally.left)
    assert os.path.lexists(folder / "below/c.jpg") is (change != "gone")
    assert before - contents(folder, folder.parent) <= ({b"two"} if act == DELETE else set())


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("act", [MOVE, DELETE, LINK])
def test_if_the_kept_file_changed_since_nothing_goes(folder: Path, act: str, change: str) -> None:
    made = plan(folder)
    CHANGES[change](folder / "a.jpg")
    tally = applied(made, act, folder)
    assert (tally.files, len(tally.left)) == (0, 2)
    assert (folder / "b.jpg").read_bytes() == b"two"
    assert (folder / "below/c.jpg").read_bytes() == b"one"


def test_a_folder_that_became_a_link_is_left_alone(folder: Path) -> None:
    made = plan(folder)
    (folder / "below").rename(folder.parent / "outside")
    (folder / "below").symlink_to(folder.parent / "outside")
    tally = applied(made, DELETE, folder)
    assert any("its folder is a link now" in why for why in tally.left)
    assert (folder.parent / "outside/c.jpg").exists()


def test_what_is_outside_of_the_folder_is_left_alone(folder: Path) -> None:
    tally = applied(plan(folder), DELETE, folder / "below")
    assert tally.left == [f"{folder}/b.jpg: it is not in {folder}/below"]
    assert (folder / "b.jpg").exists()


# Never the last copy


def test_another_name_of_the_kept_file_is_no_copy(folder: Path) -> None:
    os.link(folder / "a.jpg", folder / "hard.jpg")
    group = group_of(folder / "a.jpg", folder / "hard.jpg", folder / "b.jpg")
    found = plan_of(folder, group)
    assert [Path(step.file.path).name for step in found.steps] == ["b.jpg"]


def test_a_file_that_became_another_name_of_the_kept_one_is_left_alone(folder: Path) -> None:
    made = plan(folder)
    kept, other = folder / "a.jpg", folder / "below/c.jpg"
    times = {path: path.stat().st_mtime_ns for path in (kept, other)}
    other.unlink()
    os.link(kept, other)
    made = replace(
        made, steps=tuple(replace(each, file=replace(each.file, mtime_ns=times[kept])) for each in made.steps)
    )
    tally = applied(made, DELETE, folder)
    assert any("another name of the file that is kept" in why for why in tally.left)
    assert other.exists()


def test_what_a_link_leads_to_stays(folder: Path) -> None:
    (folder / "link.jpg").symlink_to("b.jpg")
    found = plan(folder)
    assert [Path(step.file.path).name for step in found.steps] == ["c.jpg"]


def test_a_link_is_no_copy(folder: Path) -> None:
    outside = folder.parent / "outside.jpg"
    outside.write_bytes(b"one")
    (folder / "a-link.jpg").symlink_to(outside)
    group = group_of(folder / "a-link.jpg", folder / "a.jpg")
    assert plan_of(folder, group).steps == ()
    assert plan_of(folder, group_of(folder / "a.jpg", folder / "a-link.jpg")).steps == ()


# Interrupted


@contextmanager
def dying_after(monkeypatch: pytest.MonkeyPatch, lines: int) -> Iterator[None]:
    """Let the process be interrupted right after so many lines of the undo file."""
    write, written = Appended.write, 0

    def write_and_die(self: Appended, document: dict[str, object]) -> None:
        nonlocal written
        write(self, document)
        written += 1
        if written > lines:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Appended, "write", write_and_die)
        with pytest.raises(KeyboardInterrupt):
            yield


@pytest.mark.parametrize("act", [MOVE, DELETE, LINK])
@pytest.mark.parametrize("lines", [0, 1, 2])
def test_a_second_run_goes_on_with_the_rest(
    folder: Path, act: str, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "b.jpg").write_bytes(b"one")
    made = plan(folder)
    with dying_after(monkeypatch, lines):
        applied(made, act, folder)
    tally = applied(made, act, folder)
    assert tally.left == []
    assert (tally.before, tally.files) == (max(0, lines - 1), 2 - max(0, lines - 1))
    assert contents(folder) == {b"one"}
    again = applied(made, act, folder)
    assert (again.before, again.files, again.left) == (2, 0, [])
    if act != DELETE:
        told = undone(folder)
        assert told.left == []
        assert files(folder) == ["a.jpg", "b.jpg", "below/c.jpg"]
        assert len({path.stat().st_ino for path in folder.rglob("*.jpg")}) == 3


def test_an_unfinished_line_of_the_undo_file_is_of_nothing_that_was_done(folder: Path) -> None:
    made = plan(folder)
    applied(replace(made, steps=made.steps[:1]), MOVE, folder)
    with (folder.parent / "undo.jsonl").open("a") as file:
        file.write('{"act":"move","path":"/so')
    assert len(read_undo(folder.parent / "undo.jsonl")) == 1
    assert applied(made, MOVE, folder).files == 1
    assert len(read_undo(folder.parent / "undo.jsonl")) == 2


# What cannot be written


@contextmanager
def full_after(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("act", [MOVE, DELETE, LINK])
def test_if_the_undo_file_cannot_be_written_nothing_is_done(folder: Path, act: str) -> None:
    before = files(folder)
    made, undo_file = plan(folder), folder.parent / "undo.jsonl"
    for size in (5, 40):
        with full_after(size), pytest.raises(Misconfigured, match=r"cannot write .*undo.jsonl: (No space|File too)"):
            applied(made, act, folder)
        assert files(folder) == before
        assert undo_file.read_bytes()[-1:] in (b"", b"\n")
    assert applied(made, act, folder).files == (1 if act == LINK else 2)


def test_a_line_that_was_written_in_part_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "undo.jsonl", os.write
    with Appended(path) as lines:
        lines.write({"first": 1})
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:5]))
        with pytest.raises(Misconfigured, match="No space left"):
            lines.write({"second": 2})
    assert path.read_text() == '{"first":1}\n'


def test_an_undo_file_that_is_none_is_not_written_to(folder: Path) -> None:
    (folder.parent / "undo.jsonl").write_text('{"schema": "other"}\n')
    with pytest.raises(Misconfigured, match="is no undo file of this version"):
        applied(plan(folder), DELETE, folder)
    assert len(files(folder)) == 3


def test_what_cannot_be_moved_is_left_alone_and_leaves_nothing_behind(folder: Path) -> None:
    (folder.parent / "moved").mkdir()
    (folder.parent / "moved/below").write_text("a file in the way")
    tally = applied(plan(folder), MOVE, folder)
    assert tally.files == 1
    assert "c.jpg" in tally.left[0]
    assert files(folder.parent / "moved") == ["b.jpg", "below"]
    told = undone(folder)
    assert (told.back, told.left) == (1, [])


def to_another_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def replaced(self: Path, target: Path) -> Path:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(self), None, str(target))

    monkeypatch.setattr(Path, "replace", replaced)


def test_moving_to_another_disk_copies_and_comes_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "b.jpg").chmod(0o640)
    os.utime(folder / "b.jpg", ns=(7, 7_000_000_007))
    made = plan(folder)
    to_another_disk(monkeypatch)
    assert applied(made, MOVE, folder).files == 2
    moved = folder.parent / "moved/b.jpg"
    assert (moved.read_bytes(), moved.stat().st_mtime_ns) == (b"two", 7_000_000_007)
    assert stat.S_IMODE(moved.stat().st_mode) == 0o640
    assert undone(folder).back == 2
    assert files(folder) == ["a.jpg", "b.jpg", "below/c.jpg"]
    assert files(folder.parent / "moved") == []


def test_if_the_other_disk_is_full_the_file_stays_where_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan(folder)
    to_another_disk(monkeypatch)

    def half_copied(source: str, to: Path) -> None:
        to.write_bytes(Path(source).read_bytes()[:1])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copy2", half_copied)
    tally = applied(made, MOVE, folder)
    assert (tally.files, len(tally.left)) == (0, 2)
    assert all("No space left" in why for why in tally.left)
    assert files(folder) == ["a.jpg", "b.jpg", "below/c.jpg"]
    assert files(folder.parent / "moved") == []


@pytest.mark.parametrize("step", ["replace", "unlink"])
def test_an_interruption_right_after_a_file_went_loses_nothing(
    folder: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(folder)
    if step == "unlink":
        to_another_disk(monkeypatch)
    original = getattr(Path, step)

    def done_and_interrupted(self: Path, *arguments: Path) -> None:
        original(self, *arguments)
        if self == folder / "b.jpg":
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, step, done_and_interrupted)
    with pytest.raises(KeyboardInterrupt):
        applied(made, MOVE, folder)
    assert (folder.parent / "moved/b.jpg").read_bytes() == b"two"


def test_an_interruption_right_after_a_place_was_taken_gives_it_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, original = plan(folder), os.open

    def opened_and_interrupted(path: str | os.PathLike[str], flags: int, mode: int = 0o777) -> int:
        opened = original(path, flags, mode)
        if Path(path) == folder.parent / "moved/b.jpg":
            os.close(opened)
            raise KeyboardInterrupt
        return opened

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", opened_and_interrupted)
        with pytest.raises(KeyboardInterrupt):
            applied(made, MOVE, folder)
    assert files(folder.parent / "moved") == []
    applied(made, MOVE, folder)
    assert files(folder.parent / "moved") == ["b.jpg", "below/c.jpg"]


def test_a_place_that_a_crash_left_empty_is_filled(folder: Path) -> None:
    applied(plan(folder), MOVE, folder)
    (folder / "b.jpg").touch()
    assert undone(folder).back == 2
    assert (folder / "b.jpg").read_bytes() == b"two"


@contextmanager
def as_nobody(*paths: Path) -> Iterator[None]:
    """Give up the rights of root, which may write anywhere; the paths stay in reach."""
    if os.geteuid():
        yield
        return
    for path in paths:
        path.chmod(0o755)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("act", [MOVE, DELETE, LINK])
def test_a_folder_that_may_not_be_written_to_is_left_alone(act: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        below = root / "pictures/below"
        below.mkdir(parents=True)
        for path in (below / "a.jpg", below / "b.jpg"):
            path.write_bytes(b"one")
        made = plan_of(root / "pictures", group_of(below / "a.jpg", below / "b.jpg"))
        below.chmod(0o555)
        root.chmod(0o777)
        with as_nobody(below.parent):
            tally = applied(made, act, root / "pictures")
        below.chmod(0o755)
        assert (tally.files, len(tally.left)) == (0, 1)
        assert re.search("Permission denied|Operation not permitted", tally.left[0])
        assert files(root / "pictures") == ["below/a.jpg", "below/b.jpg"]
        assert [path for path in (root / "moved").rglob("*") if path.is_file()] == []
        assert undone(root / "pictures").before == 1


# Undo files that are no longer true


def test_a_place_that_was_taken_meanwhile_is_not_overwritten(folder: Path) -> None:
    applied(plan(folder), MOVE, folder)
    (folder / "b.jpg").write_bytes(b"new")
    told = undone(folder)
    assert told.back == 1
    assert "something else is there" in told.left[0]
    assert (folder / "b.jpg").read_bytes() == b"new"
    assert (folder.parent / "moved/b.jpg").read_bytes() == b"two"


def test_what_was_moved_and_changed_or_went_since_is_left_alone(folder: Path) -> None:
    applied(plan(folder), MOVE, folder)
    (folder.parent / "moved/b.jpg").write_bytes(b"new")
    (folder.parent / "moved/below/c.jpg").unlink()
    told = undone(folder)
    assert (told.back, len(told.left)) == (0, 2)
    assert (folder.parent / "moved/b.jpg").read_bytes() == b"new"
    assert files(folder) == ["a.jpg"]


def test_what_was_linked_and_rewritten_since_is_left_alone(folder: Path) -> None:
    applied(plan(folder), LINK, folder)
    (folder / "below/c.jpg").unlink()
    (folder / "below/c.jpg").write_bytes(b"new")
    told = undone(folder)
    assert told.back == 0
    assert (folder / "below/c.jpg").read_bytes() == b"new"


def test_a_folder_that_went_meanwhile_is_made_again(folder: Path) -> None:
    applied(plan(folder), MOVE, folder)
    (folder / "below").rmdir()
    assert undone(folder).back == 2
    assert (folder / "below/c.jpg").read_bytes() == b"one"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"not JSON\n", "line 1: not JSON"),
        (b"[1]\n", "line 1: not a JSON object"),
        (b'{"schema":"neardup.undo/2"}\n', "no undo file of this version"),
        (b'{"schema":"neardup.undo/1"}\n{"act":"move"}\n', "line 2: not a line of an undo file"),
        (b'{"schema":"neardup.undo/1"}\n{"act":"move","path":5,"size":1,"mtime_ns":1}\n', "line 2"),
    ],
)
def test_a_file_that_is_no_undo_file_says_where(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "undo.jsonl").write_bytes(content)
    with pytest.raises(Misconfigured, match=why):
        read_undo(tmp_path / "undo.jsonl")
    with pytest.raises(Misconfigured, match="cannot read"):
        read_undo(tmp_path / "missing.jsonl")


# The plan


def test_a_plan_comes_back_as_it_was_written(folder: Path, tmp_path: Path) -> None:
    odd = folder / os.fsdecode(b"caf\xe9\n<b>.jpg")
    odd.write_bytes(b"three")
    made = replace(plan_of(folder, group_of(folder / "a.jpg", odd)), settings={"keep": "best"}, made_at="2026-11-29")
    write_plan(tmp_path / "plan.jsonl", made)
    assert read_plan(tmp_path / "plan.jsonl") == made
    assert made.steps[0].file.path == str(odd)


def test_what_changed_between_judging_and_planning_is_not_planned(folder: Path) -> None:
    group = group_of(folder / "a.jpg", folder / "b.jpg", folder / "below/c.jpg")
    (folder / "b.jpg").write_bytes(b"another picture")
    assert [Path(step.file.path).name for step in plan_of(folder, group).steps] == ["c.jpg"]
    (folder / "a.jpg").unlink()
    assert plan_of(folder, group).steps == ()


@pytest.mark.parametrize("harm", ["cut", "no head", "not JSON", "kept goes", "field"])
def test_a_damaged_plan_is_refused(folder: Path, tmp_path: Path, harm: str) -> None:
    path = tmp_path / "plan.jsonl"
    write_plan(path, plan(folder))
    lines = path.read_text().splitlines(keepends=True)
    last = json.loads(lines[-1])
    harmed = {
        "cut": lines[:-1],
        "no head": lines[1:],
        "not JSON": [*lines[:-1], "{\n"],
        "kept goes": [*lines[:-1], json.dumps({"file": last["kept"], "kept": last["file"]}) + "\n"],
        "field": [*lines[:-1], json.dumps({"file": last["kept"]}) + "\n"],
    }
    path.write_text("".join(harmed[harm]))
    with pytest.raises(Misconfigured, match=str(path)):
        read_plan(path)


def test_a_free_name_has_a_number_where_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("nowhere")
    (tmp_path / "a~2.jpg").touch()
    assert free_name(tmp_path / "a.jpg").name == "a~3.jpg"
    assert free_name(tmp_path / "b.jpg").name == "b.jpg"


def test_measured_tells_sizes(folder: Path) -> None:
    group = group_of(folder / "a.jpg", folder / "b.jpg")
    assert [each.pixels for each in measured(group, [3, 4]).values()] == [3, 4]
