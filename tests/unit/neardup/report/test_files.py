import os
from dataclasses import replace
from pathlib import Path

import pytest

from neardup.errors import TooManyBytes
from neardup.report.entry import Entry, Missing, Place
from neardup.report.sources.files import Files, below
from neardup.sources.files import find_images
from tests.support.report_sources import judged

FUTURE_MS = 4_000_000_000_000


def entry(name: str, **place: object) -> Entry:
    return replace(judged(name).entry, place=replace(Place(), **place))  # type: ignore[arg-type]


def read(files: Files, *entries: Entry) -> list[bytes | Exception]:
    data = {each.key: reading() for each, reading in files.images(entries)}
    return [data[each.key] for each in entries]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    (tmp_path / "below").mkdir()
    path = tmp_path / "below" / "a.jpg"
    path.write_bytes(b"picture")
    return path


def test_a_file_is_read_if_it_is_what_it_was(picture: Path) -> None:
    status = picture.stat()
    noted = {"path": str(picture), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    files = Files(100)
    assert read(files, entry("a.jpg", **noted)) == [b"picture"]
    assert read(files, entry("a.jpg", path=str(picture), found_ms=FUTURE_MS)) == [b"picture"]
    for wrong in ({**noted, "size": 1}, {**noted, "mtime_ns": 1}, {"path": str(picture), "found_ms": 1}):
        [found] = read(files, entry("a.jpg", **wrong))
        assert str(found) == "its file was changed since it was judged"


def test_a_file_with_an_old_time_that_was_put_there_later_is_another(picture: Path) -> None:
    os.utime(picture, (1, 1))
    judged_ms = picture.stat().st_ctime_ns // 1_000_000 - 1
    place = entry("a.jpg", path=str(picture), found_ms=judged_ms)
    assert str(read(Files(100), place)[0]) == "its file was changed since it was judged"
    # A copy of the folder has new inodes: there the time of the content is all that can be looked at.
    assert read(Files(100, folder=picture.parent), place) == [b"picture"]


def test_what_cannot_be_read_says_why(tmp_path: Path, picture: Path) -> None:
    gone = entry("gone.jpg", path=str(tmp_path / "gone.jpg"))
    beneath = entry("beneath", path=str(picture / "beneath"))
    nowhere = entry("nowhere")
    folder = entry("below", path=str(tmp_path / "below"))
    long = entry("long", path=str(tmp_path / ("x" * 300)))
    found = read(Files(3), gone, beneath, folder, long, entry("a.jpg", path=str(picture)))
    assert [str(each) for each in found[:2]] == ["its file is gone", "its file is gone"]
    assert isinstance(found[2], OSError)
    assert isinstance(found[3], OSError)
    assert isinstance(found[4], TooManyBytes)
    assert str(read(Files(3), nowhere)[0]) == "it is not known where its file is"
    assert isinstance(found[0], Missing)


@pytest.mark.parametrize("name", ["a\\x00.jpg", "a\\x00.mp4#t=1.0"])
def test_a_name_that_no_file_can_have_is_that_of_none(tmp_path: Path, name: str) -> None:
    [found] = read(Files(100, folder=tmp_path), entry(name))
    assert isinstance(found, ValueError)


def test_names_do_not_lead_out_of_the_folder(tmp_path: Path, picture: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    assert below(picture.parent, "a.jpg") == picture
    assert below(picture.parent, "x/../a.jpg") == picture
    assert below(picture.parent, "../secret.jpg") is None
    assert below(picture.parent, "/etc/passwd") is None
    files = Files(100, folder=picture.parent)
    found = read(files, entry("../secret.jpg"), entry("a.jpg"), entry(str(tmp_path / "secret.jpg"), path="elsewhere"))
    assert [str(found[0]), found[1], str(found[2])] == [
        "it is not known where its file is",
        b"picture",
        "it is not known where its file is",
    ]


def test_frames_are_taken_from_their_clips_again(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="extra video is not installed")
    from tests.support.films import RATE, film, numbered  # noqa: PLC0415 - needs PyAV

    clip = tmp_path / "door.mp4"
    film(clip, [numbered(number) for number in range(3 * RATE)])
    frames = [image.image_id for image in find_images([str(tmp_path)], 1.0)]
    assert len(frames) == 3
    by_path = [entry(name, path=str(clip)) for name in frames]
    by_other = [entry("a.jpg", path=str(tmp_path / "a.jpg")), *map(entry, frames)]
    assert [found[:3] for found in read(Files(1 << 20), *by_path) if isinstance(found, bytes)] == [b"\xff\xd8\xff"] * 3
    # Without its own path a clip is looked for where another image's name tells the folder.
    assert [isinstance(found, bytes) for found in read(Files(1 << 20), *by_other)] == [False, True, True, True]
    strange = entry("door.mp4#t=99.000", path=str(clip))
    assert str(read(Files(1 << 20), strange)[0]).startswith("its clip has no such frame")
    clip.unlink()
    assert {str(found) for found in read(Files(1 << 20), *by_path)} == {"its file is gone"}
