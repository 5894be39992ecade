"""What processes leave for one another in memory."""

import fcntl
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from neardup.errors import Misconfigured
from neardup.index.base import IndexMeta
from neardup.index.shared import folder as folders
from neardup.index.shared import views
from neardup.index.shared.folder import folder_in_memory, lasting_folder
from neardup.index.shared.mapped import open_mapped, write_mapped
from neardup.index.shared.views import SharedView, SharedViews, is_outgrown
from neardup.index.stored.codec import encode_member
from neardup.index.stored.scripts import LOG_EVENTS, Position
from neardup.index.tree import CellTree
from neardup.index.view import GenerationView
from neardup.relation.rule import Relation
from neardup.search.cells import Cells
from tests.support.indexes import CENTROIDS, DIMENSION, RADIUS, SKETCHER, member, point


class Reader:
    """Reads cells: each process has one of its own."""

    def __init__(self, *records: bytes) -> None:
        self._records = list(records)

    def __call__(self, cells: Sequence[int]) -> list[list[bytes]]:
        return [self._records if cell == 0 else [] for cell in cells]


RECORDS = [encode_member(member(f"key {number}", point(0, 0.01 * number))) for number in range(5)]
META = IndexMeta("shared", 3, "pixels:1", "test-1", DIMENSION, RADIUS, created_at="today")


def view_of(read: Reader) -> GenerationView:
    view = GenerationView(CellTree(Cells(CENTROIDS)), SKETCHER, Relation(RADIUS), read, 1 << 20)
    view.load(view.tree.leaves)
    return view


@pytest.fixture
def shared(tmp_path: Path) -> SharedViews:
    return SharedViews(tmp_path)


def put(shared: SharedViews, seen: int = 7, meta: IndexMeta = META) -> GenerationView:
    read = Reader(*RECORDS)
    view = view_of(read)
    shared.put(SharedView(meta, Position(seen, b"last"), view), read)
    return view


def newest(shared: SharedViews, meta: IndexMeta = META, after: int = -1) -> SharedView:
    found = shared.newest(meta, Reader(), after)
    assert found is not None
    return found


def names_in(folder: Path) -> list[tuple[str, ...]]:
    return [(*path.stem.split("-")[:2], path.suffix) for path in folder.glob("*.*")]


# -- objects in files -------------------------------------------------------------------------------------------------


def test_arrays_come_back_and_changes_stay_here(tmp_path: Path) -> None:
    arrays = [np.arange(5), np.empty(0), np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(9)[::2]]
    own, path = object(), tmp_path / "file"
    with path.open("wb") as file:
        write_mapped(file, {"arrays": arrays, "own": own, "text": "x"}, own)
    ours, theirs = open_mapped(path, "mine"), open_mapped(path, "yours")
    assert (ours["own"], theirs["own"], ours["text"]) == ("mine", "yours", "x")
    for array, back in zip(arrays, ours["arrays"], strict=True):
        np.testing.assert_array_equal(back, array)
    ours["arrays"][0][:] = 9
    np.testing.assert_array_equal(theirs["arrays"][0], np.arange(5))
    np.testing.assert_array_equal(open_mapped(path, None)["arrays"][0], np.arange(5))


def test_the_numbers_are_mapped_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        write_mapped(file, np.arange(1000), None)
    array = open_mapped(path, None)
    assert array.flags.writeable
    assert not array.flags.owndata


# -- views ------------------------------------------------------------------------------------------------------------


def test_a_view_comes_back_as_it_was(shared: SharedViews) -> None:
    view = put(shared)
    found = newest(shared)
    assert (found.meta, found.position.seen, found.position.last) == (META, 7, b"last")
    assert len(found.view) == len(view) == len(RECORDS)
    queries = np.stack([point(0, 0.005), point(1)])
    assert found.view.within(queries, found.view.sketch(queries)) == view.within(queries, view.sketch(queries))


def test_without_room_for_records_they_are_read_by_who_opens_it(shared: SharedViews) -> None:
    read = Reader(*RECORDS)
    view = GenerationView(CellTree(Cells(CENTROIDS)), SKETCHER, Relation(RADIUS), read, 0)
    view.load(view.tree.leaves)
    shared.put(SharedView(META, Position(0), view), read)
    found = shared.newest(META, Reader(*RECORDS))
    assert found is not None
    assert len(found.view.block(0)) == len(RECORDS)


def test_only_a_newer_view_of_the_same_generation_is_found(shared: SharedViews) -> None:
    put(shared)
    read = Reader()
    for other in (
        shared.newest(META, read, after=7),
        shared.newest(IndexMeta("shared", 4, "pixels:1", "test-1", DIMENSION, RADIUS), read),
        # The same number, given anew in an emptied database.
        shared.newest(IndexMeta("shared", 3, "pixels:1", "test-1", DIMENSION, RADIUS, created_at="later"), read),
    ):
        assert other is None
    newest(shared, after=6)


def test_a_newer_view_takes_the_place_of_the_one_before(shared: SharedViews, tmp_path: Path) -> None:
    put(shared)
    earlier = newest(shared)
    put(shared, seen=9)
    assert names_in(tmp_path) == [("3", "9", ".view")]
    assert newest(shared).position.seen == 9
    # Who has mapped the one before keeps it.
    assert len(earlier.view.within(point(0)[np.newaxis], earlier.view.sketch(point(0)[np.newaxis]))[0]) == 5


def test_without_room_for_it_the_one_before_stays(
    shared: SharedViews, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(shared)

    def half(file: IO[bytes], *_: object) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("neardup.index.shared.views.write_mapped", half)
    with pytest.raises(OSError, match="No space left"):
        put(shared, seen=9)
    assert names_in(tmp_path) == [("3", "7", ".view")]
    assert newest(shared).position.seen == 7


def test_what_somebody_left_half_written_is_not_found_and_goes(shared: SharedViews, tmp_path: Path) -> None:
    (tmp_path / "3-9.part").write_bytes(b"half")
    assert shared.newest(META, Reader()) is None
    put(shared)
    assert names_in(tmp_path) == [("3", "7", ".view")]


def test_one_is_alone_at_a_time(shared: SharedViews, tmp_path: Path) -> None:
    with shared.alone(), (tmp_path / "lock").open("rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (tmp_path / "lock").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_view_is_outgrown_when_much_has_moved(shared: SharedViews) -> None:
    put(shared)
    view = newest(shared).view
    front = view.filter._rows.front
    for number in range(80):
        sketches = np.repeat(view.sketch(point(number % 4)[np.newaxis]), 64, axis=0)
        assert not is_outgrown(view) or number >= 64
        view.filter.add(sketches, np.zeros(64, dtype=np.int32))
        if not is_outgrown(view):
            assert view.filter._rows.front is front, "there was no room, and all moved"
    assert is_outgrown(view)


# -- views that last --------------------------------------------------------------------------------------------------


def lasting_view(folder: Path, server: str = "run 1") -> SharedViews:
    lasting, read = SharedViews(folder, lasting=True), Reader(*RECORDS)
    lasting.put(SharedView(META, Position(7, b"last"), view_of(read), server), read)
    return lasting


def test_a_view_that_lasts_is_of_one_run_of_the_server(tmp_path: Path) -> None:
    lasting = lasting_view(tmp_path)
    assert lasting.newest(META, Reader(), server="run 1") is not None
    assert lasting.newest(META, Reader(), server="run 2") is None


def test_a_view_that_is_not_whole_is_not_used_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lasting = lasting_view(tmp_path)
    (path,) = tmp_path.glob("*.view")
    whole = path.read_bytes()
    for damaged in (whole[:-9], whole[:-1] + bytes([whole[-1] ^ 1]), b"x", b""):
        path.write_bytes(damaged)
        caplog.clear()
        assert lasting.newest(META, Reader(), server="run 1") is None
        assert f"{path} is damaged" in caplog.text
    path.write_bytes(whole)
    assert lasting.newest(META, Reader(), server="run 1") is not None


def test_a_view_that_lasts_is_left_again_before_the_log_forgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "_REST", 0)
    lasting = lasting_view(tmp_path)
    found = lasting.newest(META, Reader(), server="run 1")
    assert found is not None
    assert not lasting.is_outgrown(found.view, LOG_EVENTS // 2)
    assert lasting.is_outgrown(found.view, LOG_EVENTS // 2 + 1)
    assert not SharedViews(tmp_path).is_outgrown(found.view, LOG_EVENTS)


def test_a_view_that_takes_long_to_leave_is_left_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "_REST", 1e9)
    lasting = lasting_view(tmp_path)
    found = lasting.newest(META, Reader(), server="run 1")
    assert found is not None
    assert not lasting.is_outgrown(found.view, LOG_EVENTS)


def test_where_others_removed_the_folder_nothing_is_found_or_left(tmp_path: Path) -> None:
    lasting = lasting_view(tmp_path)
    shutil.rmtree(tmp_path)
    with lasting.alone():
        assert lasting.newest(META, Reader(), server="run 1") is None
        assert not lasting.take_in(SharedView(META, Position(9), view_of(Reader())), Reader())


# -- the folder -------------------------------------------------------------------------------------------------------


def test_a_folder_is_ours_alone_and_ends_with_the_block(tmp_path: Path) -> None:
    with folder_in_memory(tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "3-9.view").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_stays_and_one_that_a_killed_process_left_goes(tmp_path: Path) -> None:
    left = tmp_path / "neardup-workers-left"
    left.mkdir()
    (left / "owner").touch()
    (tmp_path / "neardup-workers-new").mkdir()  # its owner has yet to be written
    with folder_in_memory(tmp_path) as first, folder_in_memory(tmp_path) as second:
        assert {*tmp_path.iterdir()} == {first, second, tmp_path / "neardup-workers-new"}


def test_what_lasts_is_for_one_index_one_room_and_one_state_of_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "new" / "cache"
    ours, other = lasting_folder(root, "photos", 100), lasting_folder(root, "../photos", 100)
    assert {*root.iterdir()} == {ours, other}
    assert root.stat().st_mode & 0o777 == 0o700
    assert lasting_folder(root, "photos", 100) == ours
    roomier = lasting_folder(root, "photos", 200)
    assert {*root.iterdir()} == {roomier, other}
    monkeypatch.setattr(folders, "_code", lambda: "another")
    later = lasting_folder(root, "photos", 200)
    assert {*root.iterdir()} == {later, other}


def test_what_lasts_fits_all_code_that_a_view_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "relation").mkdir()
    rule = tmp_path / "relation" / "rule.py"
    rule.write_text("before")
    monkeypatch.setattr("neardup.__file__", str(tmp_path / "__init__.py"))
    before = folders._code.__wrapped__()
    rule.write_text("after")
    assert folders._code.__wrapped__() != before


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(Misconfigured, match=r"others may write to .*: give a folder"):
        lasting_folder(tmp_path, "photos", 100)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match=r"nothing can be kept in .*file/cache: Not a directory"):
        lasting_folder(tmp_path / "file" / "cache", "photos", 100)
