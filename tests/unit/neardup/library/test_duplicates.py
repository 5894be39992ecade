"""What the library finds in a folder is what folder mode and the batch job find in it."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

import neardup
from bootstrap.seeds.describe import describe_seeds
from consumer.__main__ import main
from neardup.descriptors import load_descriptor
from neardup.relation.rule import Relation
from neardup.search.duplicates import find_duplicates as found_among
from neardup.sources.files import find_images
from neardup.types import Descriptors
from tests.support.odd_files import encoded, scene
from tests.support.pictures import generated
from tests.support.small_pictures import make_photos

OPTIONS: list[dict[str, Any]] = [
    {},
    {"match_flips": True},
    {"local_change": 2.5},
    {"agreement": 0.3},
    {"agreement": 0.3, "local_change": 100.0, "match_flips": True, "match_rotations": True, "radius": 1.0},
    {"local_change": 2.5, "match_flips": True, "match_rotations": True, "radius": 0.3},
    {"descriptor": "pixels:16", "radius": 0.05},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of scenes, each with copies: smaller, darker, mirrored, turned, changed in one place."""
    folder = tmp_path_factory.mktemp("scenes")
    for number in range(4):
        image = scene(number)
        changed = np.array(image)
        changed[100:130, 150:180] = 255 - changed[100:130, 150:180]
        copies = {
            "": image,
            "-small": image.resize((160, 120)),
            "-dark": ImageEnhance.Brightness(image).enhance(0.8),
            "-mirror": image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
            "-turned": image.transpose(Image.Transpose.ROTATE_90),
            "-changed": Image.fromarray(changed),
        }
        below = folder / f"camera {number % 2}"
        below.mkdir(exist_ok=True)
        for copy, made in copies.items():
            (below / f"{number}{copy}.jpg").write_bytes(encoded(made, "JPEG", quality=90))
    (folder / "broken.jpg").write_bytes(encoded(scene(9), "JPEG")[:2000])
    (folder / "empty.png").write_bytes(b"")
    return folder


def flags_of(options: dict[str, Any]) -> list[str]:
    names = {"radius": "--threshold", "descriptor": "--descriptor", "local_change": "--local-change"}
    names["agreement"] = "--agreement"
    flags = [part for name, flag in names.items() if name in options for part in (flag, str(options[name]))]
    return [*flags, *(f"--{name.replace('_', '-')}" for name in ("match_flips", "match_rotations") if name in options)]


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS)
def test_it_finds_what_folder_mode_finds(folder: Path, options: dict[str, Any], tmp_path: Path) -> None:
    output = tmp_path / "verdicts.jsonl"
    arguments = ["--input", str(folder), "--output", str(output), "--index", "memory"]
    assert main([*arguments, *flags_of(options)], {}) == 0
    verdicts = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    letters = [json.loads(line) for line in (tmp_path / "verdicts.dead.jsonl").read_text("utf-8").splitlines()]
    found = neardup.find_duplicates(folder, workers=2, **options)
    assert list(found.kept) == [each["image_id"] for each in verdicts if each["verdict"] == "unique"]
    told = {
        each.image: (
            *(group.kept, each.distance, each.symmetry, each.local_change, each.agreement),
            None if each.edit is None else each.edit.document(),
        )
        for group in found
        for each in group.duplicates
    }
    assert told == {
        each["image_id"]: (
            *(each["duplicate_of"], each["distance"], each["symmetry"], each["local_change"]),
            *(each.get("agreement"), each.get("edit")),
        )
        for each in verdicts
        if each["verdict"] == "duplicate"
    }
    assert told
    assert [(bad.image, bad.reason) for bad in found.unreadable] == [
        (each["image_id"], each["reason"]) for each in letters
    ]
    assert len(found.unreadable) == 2


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS)
def test_it_finds_what_the_batch_job_finds(folder: Path, options: dict[str, Any]) -> None:
    descriptor = load_descriptor(options.get("descriptor", "dct"))
    relation = Relation(
        options.get("radius", descriptor.default_radius),
        options.get("local_change"),
        options.get("agreement"),
        match_flips="match_flips" in options,
        match_rotations="match_rotations" in options,
    )
    seeds = describe_seeds(find_images([str(folder)]), descriptor, relation, workers=1)
    truth = found_among(seeds.compared, relation)
    found = neardup.find_duplicates(folder, **options)
    ids = [image.image_id for image in seeds.images]
    assert found.radius == relation.radius
    assert {group.kept: [each.image for each in group.duplicates] for group in found.groups} == {
        ids[row]: [ids[each] for each in rows] for row, rows in truth.groups().items()
    }
    assert len(found) == len(found.groups) == len(list(found))
    assert [(bad.image, bad.reason, bad.detail) for bad in found.unreadable] == [
        (bad.image_id, bad.reason, bad.detail) for bad in seeds.unreadable
    ]


def test_the_largest_is_kept_on_wish_as_in_folder_mode(tmp_path: Path) -> None:
    folder, output = tmp_path / "scenes", tmp_path / "verdicts.jsonl"
    folder.mkdir()
    for name, size in (("a-small.jpg", (160, 120)), ("b.jpg", (320, 240)), ("c.jpg", (80, 60))):
        (folder / name).write_bytes(encoded(scene(0).resize(size), "JPEG", quality=90))
    (folder / "notes.txt").write_text("no picture")
    by_name, by_size = (neardup.find_duplicates(folder, largest_first=wanted) for wanted in (False, True))
    assert (by_name.kept, by_size.kept) == (("a-small.jpg",), ("b.jpg",))
    assert [each.image for each in by_size.duplicates] == ["a-small.jpg", "c.jpg"]
    arguments = ["--input", str(folder), "--output", str(output), "--index", "memory", "--decode-timeout", "off"]
    assert main([*arguments, "--largest-first"], {}) == 0
    verdicts = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert [each["image_id"] for each in verdicts] == ["b.jpg", "a-small.jpg", "c.jpg"]
    assert [each["duplicate_of"] for each in verdicts] == [None, "b.jpg", "b.jpg"]


def test_what_cannot_be_read_is_unreadable_and_the_rest_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).write_bytes(encoded(scene(0), "JPEG"))
    (tmp_path / "d.jpg").write_bytes(encoded(scene(0), "JPEG", quality=60))
    scan = os.scandir

    def closed(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)
    found = neardup.find_duplicates(tmp_path)
    assert [(group.kept, [each.image for each in group.duplicates]) for group in found] == [(r"caf\xe9.jpg", ["d.jpg"])]
    assert {bad.image: bad.reason for bad in found.unreadable} == {
        "circle.jpg": "unreadable-file",
        "closed": "unreadable-file",
    }
    assert neardup.find_duplicates(["a\0b.jpg", tmp_path]).unreadable[0].reason == "unreadable-file"


def test_only_a_folder_can_be_ordered_by_size() -> None:
    with pytest.raises(neardup.Misconfigured, match="largest_first is for a folder"):
        neardup.find_duplicates([generated(1)], largest_first=True)  # type: ignore[call-overload]


def test_images_of_a_list_are_called_by_their_position(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos")
    images: list[neardup.ImageLike] = [photos / "notes.txt", generated(2), tmp_path / "nowhere", generated(1)]
    found = neardup.find_duplicates([*images, photos / "cat.jpg", photos / "dog.jpg"])
    assert found.kept == (1, 3)
    assert [(group.kept, [each.image for each in group.duplicates]) for group in found] == [(1, [5]), (3, [4])]
    assert [(bad.image, bad.reason) for bad in found.unreadable] == [(0, "undecodable"), (2, "unreadable-file")]
    assert found.unreadable[1].detail == "No such file or directory"


def test_descriptors_do_as_well_as_images(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos")
    paths = sorted(photos.glob("*.jpg"))
    by_image, by_row = neardup.find_duplicates(paths), neardup.find_duplicates(neardup.describe(paths))
    assert by_image == by_row
    own = np.eye(3, dtype=np.float16)[[0, 1, 0]]
    assert neardup.find_duplicates(own, radius=0.1).groups[0].duplicates[0].image == 2


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        (np.eye(3, dtype=np.float32), {}, "it should be descriptors, float16"),
        (generated(1), {}, "images go into a list"),
        (np.eye(3, dtype=np.float16), {}, "descriptors of 3 numbers, but 'dct' has 128"),
        (2 * np.eye(3, dtype=np.float16), {"radius": 0.1}, "row 0 has 2"),
        (np.full((2, 3), np.nan, dtype=np.float16), {"radius": 0.1}, "row 0 has nan"),
        (np.eye(128, dtype=np.float16), {"match_flips": True}, "need images"),
        (np.eye(128, dtype=np.float16), {"local_change": 2.5}, "need images"),
        (np.eye(128, dtype=np.float16), {"agreement": 0.0}, "need images"),
    ],
)
def test_what_are_no_descriptors_is_refused(rows: Descriptors, options: dict[str, Any], said: str) -> None:
    with pytest.raises(neardup.Misconfigured) as caught:
        neardup.find_duplicates(rows, **options)
    assert said in str(caught.value)


def test_a_folder_that_is_not_there_is_refused_and_an_empty_one_is_empty(tmp_path: Path) -> None:
    with pytest.raises(neardup.Misconfigured, match="no such file or folder"):
        neardup.find_duplicates(tmp_path / "nowhere")
    with pytest.raises(TypeError, match="not a single image"):
        neardup.find_duplicates(Image.new("RGB", (8, 8)))  # type: ignore[call-overload]
    for nothing in (neardup.find_duplicates(tmp_path), neardup.find_duplicates([])):
        assert (nothing.groups, nothing.kept, nothing.unreadable) == ((), (), ())
    assert neardup.find_duplicates(np.empty((0, 128), dtype=np.float16)).kept == ()
