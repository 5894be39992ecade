"""What the library takes as an image, and what it says of two."""

import inspect
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import neardup
from neardup.descriptors import load_descriptor
from neardup.relation.symmetry import SWITCHES
from neardup.search.distance import l2_distances
from tests.support import drawings, forms
from tests.support.drawings import photo
from tests.support.odd_files import encoded, scene
from tests.support.pictures import generated
from tests.support.small_pictures import make_photos

PICTURE = generated(1)
GREY = PICTURE[:, :, 0]


def png_of(image: Image.Image) -> bytes:
    return encoded(image, "PNG")


def test_an_image_may_come_in_any_form(tmp_path: Path) -> None:
    data, path = png_of(Image.fromarray(PICTURE)), tmp_path / "picture.png"
    path.write_bytes(data)
    forms: list[neardup.ImageLike] = [data, str(path), path, Image.open(path), PICTURE, PICTURE[:, ::-1][:, ::-1]]
    rows = neardup.describe(forms)
    assert rows.dtype == np.float16
    assert (rows == rows[0]).all()
    for form in forms:
        assert (neardup.describe(form) == rows[:1]).all()
        assert neardup.compare(form, PICTURE).distance == 0.0


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(scene(3).convert("RGBA"), id="opaque"),
        pytest.param(Image.merge("RGBA", [*scene(3).split(), scene(4).convert("L")]), id="transparent"),
        pytest.param(scene(3).convert("P"), id="palette"),
        pytest.param(scene(3).convert("L"), id="grey"),
        pytest.param(scene(3).convert("1"), id="black and white"),
        pytest.param(Image.fromarray(np.arange(320 * 240, dtype=np.uint16).reshape(240, 320)), id="deep"),
    ],
)
def test_an_image_of_pillow_is_what_its_file_is(image: Image.Image) -> None:
    assert (neardup.describe(image) == neardup.describe(png_of(image))).all()


def test_an_image_of_pillow_is_turned_upright_and_left_as_it_was() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.open(io.BytesIO(encoded(scene(3), "PNG", exif=exif)))
    before = turned.tobytes()
    assert (neardup.describe(turned) == neardup.describe(scene(3).transpose(Image.Transpose.ROTATE_270))).all()
    assert (turned.size, turned.tobytes()) == (scene(3).size, before)


def test_a_grey_array_is_grey() -> None:
    assert (neardup.describe(GREY) == neardup.describe(Image.fromarray(GREY))).all()


@pytest.mark.slow
def test_many_are_described_as_one_in_processes_and_here(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos")
    paths = sorted((tmp_path / "photos").glob("*.jpg"))
    alone = np.concatenate([neardup.describe(path) for path in paths])
    assert (neardup.describe(paths) == alone).all()
    assert (neardup.describe(paths, workers=1) == alone).all()
    assert (neardup.describe(path for path in paths * 4) == np.concatenate([alone] * 4)).all()
    assert neardup.describe([]).shape == (0, 128)
    assert neardup.describe(paths, descriptor="pixels:8").shape == (len(paths), 192)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8, 3)),
        np.zeros((8, 8, 4), dtype=np.uint8),
        np.zeros((2, 8, 8, 3), dtype=np.uint8),
        np.zeros((0, 8, 3), dtype=np.uint8),
        np.zeros(8, dtype=np.uint8),
    ],
)
def test_an_array_that_is_no_image_is_bad_input(array: NDArray[Any]) -> None:
    with pytest.raises(neardup.BadInput, match=r"image 1: an array of .+ it should be uint8") as caught:
        neardup.describe([PICTURE, array])
    assert caught.value.reason == "undecodable"


def test_what_is_wrong_with_an_image_says_which(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos")
    with pytest.raises(neardup.BadInput, match=r"notes\.txt: no decoder"):
        neardup.describe([photos / "cat.jpg", photos / "notes.txt"])
    with pytest.raises(neardup.BadInput, match="image 1: the image has no bytes"):
        neardup.compare(PICTURE, b"")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        neardup.Index().add(tmp_path / "nowhere.jpg")
    with pytest.raises(IsADirectoryError):
        neardup.describe(photos)
    with pytest.raises(neardup.BadInput, match="0x3 pixels"):
        neardup.describe(Image.new("RGB", (0, 3)))
    with pytest.raises(TypeError, match="not int"):
        neardup.describe([3])  # type: ignore[list-item]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"radius": -0.1}, "radius should be a number from 0 to 2, not -0.1"),
    ({"radius": float("nan")}, "radius"),
    ({"radius": 2.1}, "radius"),
    ({"local_change": 256}, "local_change should be a number from 0 to 255, not 256"),
    ({"agreement": 1.1}, "agreement should be a number from 0 to 1, not 1.1"),
    ({"agreement": -0.1}, "agreement"),
    ({"descriptor": "magic"}, "unknown descriptor 'magic'"),
    ({"descriptor": "file:nowhere.keras"}, "nowhere.keras on this machine"),
]
CALLS: list[Callable[..., object]] = [
    lambda **options: neardup.compare(PICTURE, PICTURE, **options),
    lambda **options: neardup.find_duplicates([PICTURE], **options),
    neardup.Index,
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("options", "said"), WRONG)
def test_a_wrong_option_is_named_without_a_flag(
    call: Callable[..., object], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(neardup.Misconfigured) as caught:
        call(**options)
    assert said in str(caught.value)
    assert "--" not in str(caught.value)


def test_there_is_at_least_one_worker() -> None:
    with pytest.raises(neardup.Misconfigured, match="workers should be 1 or more, not 0"):
        neardup.describe(PICTURE, workers=0)


# Comparing


def test_a_comparison_tells_all_that_it_used() -> None:
    found = neardup.compare(generated(2), PICTURE, radius=0.3)
    [one, other] = neardup.describe([generated(2), PICTURE])
    assert found.verdict is neardup.Verdict.UNIQUE
    assert found.distance == l2_distances(one[np.newaxis], other[np.newaxis])[0, 0]
    assert (found.radius, found.local_change, found.most_local_change) == (0.3, None, None)
    assert found.symmetry is neardup.Symmetry.NONE
    assert found.descriptor == load_descriptor("dct").fingerprint


def test_the_radius_is_inclusive() -> None:
    distance = neardup.compare(generated(2), PICTURE).distance
    assert neardup.compare(generated(2), PICTURE, radius=distance).verdict == "duplicate"
    assert neardup.compare(generated(2), PICTURE, radius=np.nextafter(distance, 0)).verdict == "unique"


def test_a_small_change_makes_an_image_unique_and_the_record_says_why() -> None:
    changed = PICTURE.copy()
    changed[100:110, 150:160] = 255 - changed[100:110, 150:160]
    found = neardup.compare(changed, PICTURE, local_change=2.5)
    assert found.verdict == "unique"
    assert found.distance <= found.radius
    assert found.local_change is not None
    assert found.local_change > 2.5
    assert "is within the radius" in found.why
    assert "is beyond 2.5" in found.why
    assert neardup.compare(changed, PICTURE, local_change=255).verdict == "duplicate"


def test_what_a_second_look_finds_is_told() -> None:
    same = neardup.compare(photo(1), photo(1), agreement=0.3)
    assert (same.verdict, same.agreement) == ("duplicate", 1.0)
    assert same.edit is not None
    assert (same.edit.box, same.edit.inset) == ((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0))
    other = neardup.compare(photo(2), photo(1), radius=2.0, agreement=0.3)
    assert other.verdict == "unique"
    assert same.agreement_needed is not None
    assert other.agreement is not None
    assert other.agreement_needed is not None
    assert other.agreement < 0.3 <= other.agreement_needed
    assert same.agreement_needed <= other.agreement_needed
    assert f"agreement {other.agreement:g}, {other.agreement_needed:g} is needed" in other.why
    assert neardup.compare(photo(2), photo(1), radius=2.0).edit is None


@pytest.mark.parametrize("function", [neardup.compare, neardup.find_duplicates, neardup.Index])
def test_every_switch_is_an_option(function: Callable[..., object]) -> None:
    options = inspect.signature(function).parameters
    assert [name for name in SWITCHES if name not in options or options[name].default is not False] == []


def test_a_picture_inside_the_first_image_is_found_by_a_part_of_that() -> None:
    inside, larger = drawings.dark_photo(1), forms.collage(drawings.pale_photo(2), drawings.dark_photo(1))
    found = neardup.compare(larger, inside, agreement=0.3, match_parts=True)
    assert (found.verdict, found.symmetry, found.distance < 0.1) == ("duplicate", "none", True)
    assert found.part == pytest.approx((0.5, 0.0, 1.0, 1.0), abs=0.01)
    assert found.why.endswith("nearest by a part")
    assert found.edit is not None
    assert found.edit.inset == pytest.approx((0.5, 0.0, 1.0, 1.0), abs=0.02)
    assert found.edit.box == pytest.approx((0.0, 0.0, 1.0, 1.0), abs=0.02)
    assert neardup.compare(larger, inside, agreement=0.3).verdict == "unique"
    # The larger picture has to be the first: members are compared as they are.
    assert neardup.compare(inside, larger, agreement=0.3, match_parts=True).verdict == "unique"


def test_a_mirrored_picture_inside_the_first_image_is_found_with_both_switches() -> None:
    larger = forms.collage(drawings.dark_photo(1)[:, ::-1], drawings.pale_photo(2))
    found = neardup.compare(larger, drawings.dark_photo(1), agreement=0.3, match_parts=True, match_flips=True)
    # After the mirror the picture lies at the right; told is where it is in the image as it came.
    assert (found.verdict, found.symmetry) == ("duplicate", "mirror")
    assert found.part == pytest.approx((0.5, 0.0, 1.0, 1.0), abs=0.01)
    assert found.edit is not None
    assert found.edit.inset == pytest.approx((0.0, 0.0, 0.5, 1.0), abs=0.02)
    assert neardup.compare(larger, drawings.dark_photo(1), agreement=0.3, match_parts=True).verdict == "unique"


@pytest.mark.parametrize(
    "function", [partial(neardup.compare, PICTURE), neardup.find_duplicates, lambda _, **how: neardup.Index(**how)]
)
def test_parts_without_a_second_look_are_refused(function: Callable[..., object]) -> None:
    with pytest.raises(neardup.Misconfigured, match="match-parts works only with a second look"):
        function(PICTURE if isinstance(function, partial) else [PICTURE], match_parts=True)


def test_symmetries_are_of_the_first_image() -> None:
    turned = np.rot90(PICTURE)
    found = neardup.compare(turned, PICTURE, match_rotations=True)
    assert (found.verdict, found.symmetry, found.distance) == ("duplicate", "rotate270", 0.0)
    assert found.why.endswith("nearest after rotate270")
    assert neardup.compare(turned, PICTURE).verdict == "unique"
