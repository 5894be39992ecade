"""The library's index: what it says, and the file that it is saved to."""

import errno
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neardup
from neardup.library import index_file
from tests.support.drawings import dark_photo, pale_photo, photo
from tests.support.forms import collage
from tests.support.pictures import generated
from tests.support.small_pictures import make_photos

CAT, DOG = generated(1), generated(2)
MIRRORED = CAT[:, ::-1]


def index_of(options: Mapping[str, Any] | None = None) -> neardup.Index:
    index = neardup.Index(**(options or {}))
    index.add([CAT, DOG], ["cat", "dog"])
    return index


def test_adding_tells_uniques_from_duplicates() -> None:
    index = neardup.Index(match_flips=True)
    answers = index.add([CAT, DOG, CAT, MIRRORED], ["cat", "dog", "again", "mirrored"])
    assert [(each.verdict, each.duplicate_of, each.distance, each.symmetry) for each in answers] == [
        ("unique", None, None, "none"),
        ("unique", None, None, "none"),
        ("duplicate", "cat", 0.0, "none"),
        ("duplicate", "cat", 0.0, "mirror"),
    ]
    assert (len(index), index.names, index.radius) == (2, ("cat", "dog"), 0.36)
    assert repr(index).startswith("Index(2 members, dct, ")


def test_asking_adds_nothing() -> None:
    index = neardup.Index()
    assert index.query(CAT).verdict == "unique"
    assert [each.verdict for each in index.query([CAT, CAT])] == ["unique", "unique"]
    assert len(index) == 0


def test_images_are_called_by_path_or_number(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos")
    index = neardup.Index()
    index.add([CAT, photos / "dog.jpg"])
    assert index.names == ("0", str(photos / "dog.jpg"))
    index.add(generated(0), "dog")
    assert index.names[-1] == "dog"


def test_of_one_call_all_are_added_or_none() -> None:
    index = neardup.Index()
    with pytest.raises(neardup.BadInput):
        index.add([CAT, b"not an image"])
    assert len(index) == 0
    assert index.add([]) == []


@pytest.mark.parametrize(
    ("arguments", "family"),
    [
        (([CAT, DOG], ["cat"]), neardup.Misconfigured),
        (([CAT, DOG], "cat"), neardup.Misconfigured),
        ((CAT, ["cat"]), neardup.Misconfigured),
        ((CAT, "\udcff"), neardup.BadInput),
        ((CAT, "x" * 65_536), neardup.BadInput),
    ],
)
def test_names_that_do_not_fit_are_refused(arguments: tuple[Any, Any], family: type[Exception]) -> None:
    index = neardup.Index()
    with pytest.raises(family):
        index.add(*arguments)
    assert len(index) == 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"local_change": 2.5, "match_rotations": True, "radius": 0.3},
        {"agreement": 0.3},
        {"agreement": 0.25, "local_change": 2.5, "match_flips": True},
        {"agreement": 0.3, "match_parts": True},
    ],
)
def test_an_index_is_loaded_as_it_was_saved(tmp_path: Path, options: dict[str, Any]) -> None:
    index, path = index_of(options), tmp_path / "photos.index"
    index.save(path)
    loaded = neardup.Index.load(path)
    asked = [CAT, MIRRORED, np.rot90(DOG), generated(0)]
    assert (loaded.names, loaded.radius, repr(loaded)) == (index.names, index.radius, repr(index))
    assert loaded.query(asked) == index.query(asked)
    assert loaded.add(generated(0)) == index.add(generated(0))
    assert [each.name for each in tmp_path.iterdir()] == ["photos.index"]


def test_an_answer_tells_what_a_second_look_found() -> None:
    index = neardup.Index(agreement=0.3, match_flips=True, radius=2.0)
    answers = index.add([photo(1), photo(1)[:, ::-1], photo(2)], ["cat", "mirrored", "dog"])
    assert [answer.duplicate_of for answer in answers] == [None, "cat", None]
    assert (answers[0].agreement, answers[0].edit) == (None, None)
    assert answers[1].agreement is not None
    assert answers[1].agreement >= 0.2
    assert answers[1].edit is not None
    assert answers[1].edit.mirrored


def test_a_picture_inside_a_larger_one_is_known_by_an_index_that_matches_parts() -> None:
    one, two = dark_photo(1), pale_photo(2)
    images, names = [one, collage(two, one), two], ["one", "both", "two"]
    with_parts = neardup.Index(agreement=0.3, match_parts=True).add(images, names)
    assert [answer.duplicate_of for answer in with_parts] == [None, "one", None]
    assert with_parts[1].edit is not None
    assert with_parts[1].edit.inset == pytest.approx((0.5, 0.0, 1.0, 1.0), abs=0.02)
    without = neardup.Index(agreement=0.3).add(images, names)
    assert [answer.duplicate_of for answer in without] == [None, None, None]


def test_a_file_whose_members_lack_what_its_options_compare_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photos.index"
    index_of({"agreement": 0.3}).save(path)
    meta, members = index_file.read_index(path)
    index_file.write_index(path, meta, [replace(members[0], kept=None), *members[1:]])
    with pytest.raises(neardup.CorruptIndex, match="not every member has a look kept"):
        neardup.Index.load(path)


def test_an_empty_index_is_saved_too(tmp_path: Path) -> None:
    neardup.Index().save(str(tmp_path / "empty"))
    assert len(neardup.Index.load(str(tmp_path / "empty"))) == 0


def test_a_damaged_file_is_refused_wherever_it_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "photos.index"
    index_of().save(path)
    whole = path.read_bytes()
    for place in [*range(20), *range(20, len(whole), 37)]:
        path.write_bytes(whole[:place])
        refused(path)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x40]) + whole[place + 1 :])
        refused(path)
    path.write_bytes(whole + b"more")
    refused(path)


def refused(path: Path) -> None:
    with pytest.raises(neardup.Misconfigured, match=r"photos\.index") as caught:
        neardup.Index.load(path)
    assert isinstance(caught.value, neardup.CorruptIndex | neardup.IndexMismatch)
    assert "--" not in str(caught.value)


def test_a_foreign_file_or_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photos.index"
    path.write_bytes(b"\x80\x04pickle")
    with pytest.raises(neardup.CorruptIndex, match="is not an index of neardup"):
        neardup.Index.load(path)
    with monkeypatch.context() as patched:
        patched.setattr(index_file, "FILE_VERSION", 2)
        index_of().save(path)
    with pytest.raises(neardup.IndexMismatch, match="format 2, but this version reads 1"):
        neardup.Index.load(path)


def test_an_index_of_another_descriptor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photos.index"
    index_of().save(path)
    with pytest.raises(neardup.IndexMismatch, match="described by"):
        neardup.Index.load(path, descriptor="dct:notrim")
    with pytest.raises(FileNotFoundError):
        neardup.Index.load(tmp_path / "nowhere")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_what_stood_there_stays_when_saving_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "photos.index"
    index_of().save(path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        if step == "fsync":
            patched.setattr(os, "fsync", full)
        else:
            patched.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            neardup.Index().save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    index_of().save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert neardup.Index.load(tmp_path / "real").names == ("cat", "dog")
