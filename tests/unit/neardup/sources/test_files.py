import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bootstrap.seeds.describe import describe_seeds
from neardup.decoding.limits import DecodeLimits, WorkLimits
from neardup.descriptors.pixels import PixelsDescriptor
from neardup.errors import Misconfigured, Undescribable
from neardup.sources.files import Clip, ImageSet, find_images
from neardup.sources.images import BytesImage, FileImage, SourceImage

LIMITS = DecodeLimits()


def jpeg(seed: int = 0, side_px: int = 16) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (side_px, side_px, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def tree(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number))
    return root


def ids(*paths: object) -> list[str]:
    return [seed.image_id for seed in find_images(str(path) for path in paths)]


def test_folders_are_read_recursively_by_name(tmp_path: Path) -> None:
    tree(tmp_path, "b.jpg", "a/z.jpg", "a/c/y.png", "c/no-extension", "d.txt")
    assert ids(tmp_path) == ["a/c/y.png", "a/z.jpg", "b.jpg", "c/no-extension", "d.txt"]
    assert find_images([str(tmp_path)]).total == 5


def test_hidden_files_are_passed_over_unless_named(tmp_path: Path) -> None:
    tree(tmp_path, ".hidden.jpg", ".folder/a.jpg", "b.jpg")
    assert ids(tmp_path) == ["b.jpg"]
    assert ids(tmp_path / ".hidden.jpg", tmp_path / ".folder") == [".hidden.jpg", "a.jpg"]


def test_the_same_file_is_taken_once(tmp_path: Path) -> None:
    tree(tmp_path, "x/a.jpg", "x/y/b.jpg")
    (tmp_path / "x" / "link.jpg").symlink_to(tmp_path / "x" / "a.jpg")
    (tmp_path / "x" / "loop").symlink_to(tmp_path / "x", target_is_directory=True)
    assert ids(tmp_path / "x", tmp_path / "x" / "y", tmp_path / "x" / "a.jpg", tmp_path / "x") == ["a.jpg", "y/b.jpg"]


def test_ids_are_unique_across_folders(tmp_path: Path) -> None:
    tree(tmp_path, "one/a.jpg", "two/a.jpg", "three/one/a.jpg", "four/two/a.jpg", "four/a.jpg")
    roots = [tmp_path / name for name in ("one", "two", "four", "three/one")]
    assert ids(*roots) == ["a.jpg", "two/a.jpg", "four/a.jpg", "four/two/a.jpg", "one/a.jpg"]
    twice = [tmp_path / "one", tmp_path / "one" / ".." / "three" / "one", tmp_path / "two"]
    assert len(set(ids(*twice))) == 3


def test_a_third_file_of_the_same_name_gets_a_number(tmp_path: Path) -> None:
    tree(tmp_path, "1/x/a.jpg", "2/x/a.jpg", "3/x/a.jpg")
    assert ids(*(tmp_path / number / "x" for number in "123")) == ["a.jpg", "x/a.jpg", "x/a.jpg~2"]


def test_file_names_become_one_line_of_utf8(tmp_path: Path) -> None:
    (tmp_path / "line\nbreak.jpg").write_bytes(jpeg())
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).write_bytes(jpeg())
    (seed, other) = find_images([str(tmp_path)])
    assert [seed.image_id, other.image_id] == [r"caf\xe9.jpg", r"line\x0abreak.jpg"]
    assert seed.pixels(None, LIMITS).shape == (16, 16, 3)


def test_missing_paths_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as error:
        ids(tmp_path, tmp_path / "nothing", tmp_path / "nowhere.jpg")
    first, second = str(error.value).splitlines()
    assert "no such file or folder" in first
    assert second.endswith("nowhere.jpg")


def test_a_named_path_that_cannot_be_looked_at_is_in_the_set(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    long = tmp_path / ("x" * 300)
    images, unreadable = describe(*find_images([*tree_of_one(tmp_path), str(tmp_path / "pipe.mp4"), str(long)]))
    assert images == ["a.jpg"]
    assert unreadable == {"pipe.mp4": "unreadable-file", long.name: "unreadable-file"}


def tree_of_one(root: Path) -> list[str]:
    return [str(tree(root, "a.jpg") / "a.jpg")]


def test_a_name_that_no_file_can_have_is_missing() -> None:
    with pytest.raises(Misconfigured, match="no such file or folder"):
        find_images(["a\0b.jpg"])


@pytest.mark.parametrize("name", ["folder", "pipe", "a\0b.jpg", "\ud800.jpg", "x" * 300, "circle"])
def test_what_is_no_file_is_unreadable(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "pipe")
    assert describe(*tree_images(tmp_path, name)) == (["good"], {"bad": "unreadable-file"})


def tree_images(root: Path, name: str) -> list[SourceImage]:
    return [BytesImage("good", jpeg()), FileImage("bad", str(root / name))]


def test_its_own_output_is_passed_over_within_folders_and_counted(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", "report/map.png", "b/.hidden.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "report" / "map.png")
    found = find_images([str(tmp_path)], own=[tmp_path / "report", tmp_path / "report" / "map.png", "nowhere"])
    assert [image.image_id for image in found] == ["a.jpg"]
    assert found.passed_over == {"own output": 2, "hidden": 1}
    assert ids(tmp_path / "report") == ["map.png"]


def test_it_is_told_how_many_were_found(tmp_path: Path) -> None:
    told: list[int] = []
    find_images([str(tree(tmp_path, "a.jpg", "b/c.jpg"))], progress=told.append)
    assert sum(told) == 2


def test_the_largest_pictures_come_first_and_clips_last(tmp_path: Path) -> None:
    sides = {"a.jpg": 16, "b.jpg": 64, "c.jpg": 32, "d.jpg": 64, "z.jpg": 8}
    for name, side_px in sides.items():
        (tmp_path / name).write_bytes(jpeg(side_px=side_px))
    (tmp_path / "a.txt").write_text("no picture")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    found = find_images([str(tmp_path)])
    clips = [Clip("0.mp4", "0.mp4"), Clip("9.mp4", "9.mp4")]
    told: list[int] = []
    mixed = ImageSet([clips[0], *found, clips[1]], 1.0, found.passed_over).largest_first(progress=told.append)
    names = ["b.jpg", "d.jpg", "c.jpg", "a.jpg", "z.jpg", "a.txt", "gone.jpg"]
    assert [source.image_id for source in mixed._sources] == [*names, "0.mp4", "9.mp4"]
    assert sum(told) == len(mixed._sources)


def test_clips_need_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "a.jpg", "clip.MP4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(Misconfigured, match=r"pip install neardup\[video\]"):
        find_images([str(tmp_path)])


def test_clips_are_not_counted_beforehand() -> None:
    assert ImageSet([FileImage("a", "a"), Clip("b.mp4", "b.mp4")], 1.0).total is None


# From seeds to descriptors


def describe(*seeds: SourceImage, limits: DecodeLimits = LIMITS) -> tuple[list[str], dict[str, str]]:
    described = describe_seeds(seeds, PixelsDescriptor(4), workers=2, limits=limits)
    assert described.descriptors.shape == (len(described.images), 48)
    return [image.image_id for image in described.images], {item.image_id: item.reason for item in described.unreadable}


def test_unreadable_files_are_listed_with_their_reason(tmp_path: Path) -> None:
    tree(tmp_path, "good.jpg", "large.jpg")
    (tmp_path / "README.md").write_text("# Photos")
    (tmp_path / "cut.jpg").write_bytes(jpeg(side_px=64)[:-400])
    (tmp_path / "empty.png").touch()
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "large.jpg").write_bytes(jpeg() + bytes(10_000))
    images, unreadable = describe(*find_images([str(tmp_path)]), limits=DecodeLimits(max_bytes=9_000))
    assert images == ["good.jpg"]
    assert unreadable == {
        "README.md": "undecodable",
        "cut.jpg": "truncated",
        "empty.png": "empty",
        "gone.jpg": "unreadable-file",
        "large.jpg": "too-many-bytes",
    }


def test_a_closed_folder_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "a.jpg", "closed/b.jpg")
    scan = os.scandir

    def closed(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)
    images, unreadable = describe(*find_images([str(tmp_path)]))
    assert (images, unreadable) == (["a.jpg"], {"closed": "unreadable-file"})


def test_order_is_that_of_the_seeds_whatever_the_threads_do() -> None:
    seeds = [BytesImage(f"{number}", jpeg(number, side_px=8 if number % 2 else 256)) for number in range(150)]
    images, unreadable = describe(*seeds)
    assert images == [f"{number}" for number in range(150)]
    assert not unreadable


@pytest.mark.parametrize(("work_limits", "most"), [(None, 8), (WorkLimits(), 12)])
def test_few_images_are_in_flight(work_limits: WorkLimits | None, most: int) -> None:
    ahead: list[int] = []
    read = 0

    class Counted(BytesImage):
        def encoded(self, max_bytes: int) -> bytes:
            nonlocal read
            read += 1
            return super().encoded(max_bytes)

    def seeds() -> Iterator[SourceImage]:
        for number in range(100):
            ahead.append(number - read)
            yield Counted(str(number), jpeg(number))

    describe_seeds(seeds(), PixelsDescriptor(4), workers=2, work_limits=work_limits)
    assert max(ahead) <= most


def test_no_readable_image_is_fatal() -> None:
    with pytest.raises(Misconfigured, match=r"no readable image found \(1 undecodable, 1 empty\)"):
        describe(BytesImage("a", b"text, not an image"), BytesImage("b", b""))
    with pytest.raises(Misconfigured, match="no file at all"):
        describe()


def test_an_image_that_cannot_be_described_does_not_take_its_batch_along() -> None:
    class Picky(PixelsDescriptor):
        def features(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
            if (prepared == 0).all(axis=(1, 2, 3)).any():
                raise Undescribable("black")
            return super().features(prepared)

    black = io.BytesIO()
    Image.new("RGB", (8, 8)).save(black, "PNG")
    seeds = [BytesImage("a", jpeg(1)), BytesImage("black", black.getvalue()), BytesImage("b", jpeg(2))]
    picky = Picky(4)
    described = describe_seeds(seeds, picky)
    assert [image.key for image in described.images] == ["seed:a", "seed:b"]
    assert described.unreadable[0].reason == "undescribable"
    assert (described.descriptors == describe_seeds([seeds[0], seeds[2]], picky).descriptors).all()
