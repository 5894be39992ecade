"""Which files of a folder are complete, by a clock that the test moves."""

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from consumer.feeding.watching import Watcher, signature_of, tell_of_changes
from tests.support.processes import eventually

if TYPE_CHECKING:
    from consumer.feeding.state import Signature


class Watched:
    """A folder, its watcher, and the time."""

    def __init__(self, folder: Path, settle_s: float = 2.0, own: tuple[Path, ...] = ()) -> None:
        self.folder = folder
        self.now_s = 0.0
        self.known: dict[str, Signature] = {}
        self.watcher = Watcher(
            str(folder),
            frozenset(map(str, own)),
            lambda path, signature: self.known.get(path) == signature,
            settle_s=settle_s,
            look_every_s=10.0,
            monotonic=lambda: self.now_s,
        )

    def after(self, seconds: float, *, told: bool = True) -> list[str]:
        """Return what has come to rest so many seconds later."""
        self.now_s += seconds
        if told:
            self.watcher.told()
        arrived = self.watcher.arrived()
        self.known |= {each.path: each.signature for each in arrived}
        return [each.path for each in arrived]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def write(path: Path, content: bytes, second: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(0, (1_700_000_000 + second) * 1_000_000_000))


def test_a_file_is_taken_once_when_it_has_rested(watched: Watched) -> None:
    write(watched.folder / "deep/er/a.jpg", b"x")
    assert watched.after(0) == []
    assert watched.after(1.9) == []
    assert watched.after(0.1) == ["deep/er/a.jpg"]
    assert watched.after(60) == []


def test_a_file_that_grows_or_is_written_anew_is_waited_for(watched: Watched) -> None:
    write(watched.folder / "a.jpg", b"x")
    assert watched.after(0) == []
    write(watched.folder / "a.jpg", b"xx")
    assert watched.after(2) == []
    write(watched.folder / "a.jpg", b"yy", second=1)
    assert watched.after(2) == []
    assert watched.after(1.5) == []
    assert watched.after(0.5) == ["a.jpg"]


def test_what_is_renamed_into_place_need_not_rest(tmp_path: Path) -> None:
    watched = Watched(tmp_path, settle_s=0.0)
    write(tmp_path / ".a.jpg.Xy12", b"x")
    write(tmp_path / "b.jpg.part", b"x")
    assert watched.after(0) == []
    (tmp_path / ".a.jpg.Xy12").rename(tmp_path / "a.jpg")
    (tmp_path / "b.jpg.part").rename(tmp_path / "b.jpg")
    assert watched.after(1) == ["a.jpg", "b.jpg"]


def test_downloads_that_are_not_complete_are_passed_over(watched: Watched) -> None:
    for name in ("a.jpg.part", "b.crdownload", "c.jpg.TMP", ".hidden.jpg", "Thumbs.db"):
        write(watched.folder / name, b"x")
    assert watched.after(0) == watched.after(5) == []
    assert watched.watcher.passed_over == {"unfinished": 3, "hidden": 1, "Thumbs.db": 1}


def test_what_is_gone_before_it_rested_is_forgotten(watched: Watched) -> None:
    write(watched.folder / "a.jpg", b"x")
    write(watched.folder / "b.jpg", b"x")
    assert watched.after(0) == []
    (watched.folder / "a.jpg").unlink()
    (watched.folder / "b.jpg").rename(watched.folder / "c.jpg")
    assert watched.after(2) == []
    assert watched.after(2) == ["c.jpg"]


def test_what_is_replaced_comes_again(watched: Watched) -> None:
    write(watched.folder / "a.jpg", b"x")
    assert watched.after(0) == []
    assert watched.after(2) == ["a.jpg"]
    write(watched.folder / "new", b"y", second=1)
    (watched.folder / "new").replace(watched.folder / "a.jpg")
    assert watched.after(1) == []
    assert watched.after(2) == ["a.jpg"]


def test_without_being_told_it_looks_by_itself(watched: Watched) -> None:
    assert watched.after(0, told=False) == []
    write(watched.folder / "a.jpg", b"x")
    assert watched.after(9.9, told=False) == []
    assert watched.after(2.0, told=False) == []
    assert watched.after(2.0, told=False) == ["a.jpg"]


def test_own_files_are_passed_over(tmp_path: Path) -> None:
    own = tmp_path / "state.db"
    write(own, b"x")
    watched = Watched(tmp_path, settle_s=0, own=(own,))
    assert watched.after(1) == []


def test_a_link_to_a_file_counts_and_one_to_nowhere_is_a_trouble(watched: Watched, tmp_path: Path) -> None:
    (watched.folder / "gone.jpg").symlink_to(tmp_path / "nowhere")
    assert watched.after(0) == []
    assert "No such file" in watched.watcher.troubles["gone.jpg"]


def test_a_folder_that_is_away_is_a_trouble_until_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "drive"
    write(folder / "a.jpg", b"x")
    watched = Watched(folder)
    assert watched.after(0) == []
    folder.rename(tmp_path / "away")
    assert watched.after(5) == []
    assert list(watched.watcher.troubles) == ["drive"]
    (tmp_path / "away").rename(folder)
    assert watched.after(5) == []
    assert watched.after(2) == ["a.jpg"]
    assert watched.watcher.troubles == {}


def test_the_system_tells_of_changes(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles", reason="extra follow is not installed")
    told, stop, said = threading.Event(), threading.Event(), list[str]()
    thread = threading.Thread(target=tell_of_changes, args=(str(tmp_path), told.set, stop, said.append))
    thread.start()
    try:
        # The watch may not have begun yet.
        def seen() -> bool:
            write(tmp_path / "deep/a.jpg", b"x")
            return told.wait(0.2)

        eventually(seen, "a change")
    finally:
        stop.set()
        thread.join()
    assert said == []


def test_where_it_cannot_a_line_says_so(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles", reason="extra follow is not installed")
    said = list[str]()
    tell_of_changes(str(tmp_path / "gone"), lambda: None, threading.Event(), said.append)
    [line] = said
    assert line.startswith("the system does not tell of changes (")


def test_no_file_has_no_signature(tmp_path: Path) -> None:
    assert signature_of(str(tmp_path)) is signature_of(str(tmp_path / "gone")) is signature_of("a\0b") is None


def test_without_the_library_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    said = list[str]()
    tell_of_changes(str(tmp_path), lambda: None, threading.Event(), said.append)
    assert said == [
        "without watchfiles (pip install neardup[follow]) the folder is looked through at --look-every-s only"
    ]
