import errno
import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neardup.sources.files import find_images
from neardup.sources.walking import LITTER, walk
from tests.support.deep import deep_folder, standing_in


def walked(root: Path) -> tuple[list[str], dict[str, str], Counter[str]]:
    """Return the files, the errors by their place, and what was passed over."""
    passed_over: Counter[str] = Counter()
    found = list(walk(str(root), (), passed_over))
    files = [relative for path, relative in found if isinstance(path, str)]
    errors = {relative: path.strerror or "" for path, relative in found if isinstance(path, OSError)}
    return files, errors, passed_over


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_litter_is_passed_over_and_counted_by_its_name(tmp_path: Path) -> None:
    touch(
        tmp_path, "a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "b/@eaDir/c.jpg", "__MACOSX/._a.jpg", "#recycle/d.jpg"
    )
    touch(tmp_path, "b/Thumbs.db", ".thumbnails/a.jpg", ".DS_Store", "thumbnails/e.jpg", "eaDir/f.jpg")
    files, errors, passed_over = walked(tmp_path)
    assert files == ["a.jpg", "eaDir/f.jpg", "thumbnails/e.jpg"]
    assert not errors
    assert passed_over == {"@eaDir": 2, "__MACOSX": 1, "#recycle": 1, "Thumbs.db": 1, "hidden": 2}


def test_litter_is_known_in_lower_case() -> None:
    assert {name.lower() for name in LITTER} == LITTER


def test_pipes_sockets_and_links_to_folders_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b/c.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/null")
    (tmp_path / "b" / "round").symlink_to(tmp_path, target_is_directory=True)
    with standing_in(tmp_path), socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        files, errors, passed_over = walked(tmp_path)
    assert (files, errors) == (["a.jpg", "b/c.jpg"], {})
    assert passed_over == {"special files": 3, "links to folders": 1}


def test_links_that_lead_nowhere_are_errors(tmp_path: Path) -> None:
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    _, errors, _ = walked(tmp_path)
    assert errors == {"circle.jpg": os.strerror(errno.ELOOP), "gone.jpg": os.strerror(errno.ENOENT)}


def test_paths_that_are_too_long_are_errors_and_the_rest_is_found(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "z.jpg")
    with deep_folder(tmp_path):
        files, errors, _ = walked(tmp_path)
    assert files == ["a.jpg", "z.jpg"]
    assert list(errors.values()) == [os.strerror(errno.ENAMETOOLONG)]


@pytest.fixture
def half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that holds another, ``half``, which becomes unreadable behind its first entry."""
    touch(tmp_path, "a.jpg", "half/b.jpg", "half/c.jpg", "z.jpg")
    scan = os.scandir

    class Halved:
        def __init__(self, path: str) -> None:
            self._entries = scan(path)

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return self._until_it_breaks()

        def __exit__(self, *_: object) -> None:
            self._entries.close()

        def _until_it_breaks(self) -> Iterator[os.DirEntry[str]]:
            yield next(self._entries)
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "scandir", lambda path: Halved(path) if path.endswith("half") else scan(path))
    return tmp_path


def test_nothing_of_a_folder_that_becomes_unreadable_is_handed_on(half: Path) -> None:
    files, errors, _ = walked(half)
    assert files == ["a.jpg", "z.jpg"]
    assert errors == {"half": "Input/output error"}


def test_a_feed_tells_of_a_folder_that_becomes_unreadable_and_takes_nothing_of_it(half: Path) -> None:
    images = list(find_images([str(half)]))
    assert [image.image_id for image in images] == ["a.jpg", "half", "z.jpg"]
    with pytest.raises(OSError, match="Input/output error"):
        images[1].encoded(100)


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(116, "Stale file handle")])
def test_a_file_that_cannot_be_looked_at_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    scan = os.scandir

    class Closed:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.name, self.path = entry.name, entry.path

        def is_dir(self, **_: bool) -> bool:
            raise error

    @contextmanager
    def scanned(path: str) -> Iterator[list[object]]:
        with scan(path) as found:
            yield [Closed(entry) if entry.name == "b.jpg" else entry for entry in found]

    monkeypatch.setattr(os, "scandir", scanned)
    files, errors, _ = walked(tmp_path)
    assert (files, errors) == (["a.jpg"], {"b.jpg": error.strerror})


def test_a_root_that_cannot_be_read_is_called_by_its_name(tmp_path: Path) -> None:
    assert walked(tmp_path / "gone")[1] == {"gone": os.strerror(errno.ENOENT)}
