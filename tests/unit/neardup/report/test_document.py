import base64
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neardup.descriptors import load_descriptor
from neardup.errors import CorruptIndex, Misconfigured
from neardup.index.stored.codec import dimension_of, encode_member
from neardup.relation.local_change import thumbnail_of
from neardup.report.document import document_of
from neardup.report.entry import About, Bad, Judged, Kind
from neardup.report.making import Making, Size
from neardup.report.nearest import nearest_before
from neardup.report.pixels import Decoding, descriptor_by, side_px
from neardup.report.sample import chosen
from neardup.report.sources.verdicts import judged_of
from neardup.report.tally import Tally, number_of
from neardup.report.writing import write_report
from neardup.search.distance import l2_distances
from neardup.types import Member
from tests.support.processes import photo
from tests.support.report_sources import RADIUS, Made, judged
from tests.support.verdict_lines import duplicate, unique

HERE = Making(decoding=Decoding(work_limits=None))
MARKUP = '"><script>alert(1)</script>.jpg'


def made(*all_of: Judged | Bad, making: Making = HERE, **source: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of `Made`
    document = document_of(Made(all_of, **source), making)
    assert len({len(column) for column in document["images"].values()}) == 1
    told: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    return told


def rows(document: dict[str, Any], *columns: str) -> list[tuple[Any, ...]]:
    return list(zip(*(document["images"][column] for column in columns), strict=True))


# What is told


def test_a_group_has_its_unique_image_first_and_what_was_bad_is_told() -> None:
    document = made(
        judged("a", cluster=2), judged("b", "a", 0.1, cluster=2), Bad("c.txt", "undecodable", "text"), judged("d")
    )
    assert document["counts"] == {"images": 3, "unique": 2, "duplicate": 1, "bad": 1}
    assert rows(document, "name", "verdict", "nearest", "distance", "keep", "outside") == [
        ("a", 0, -1, None, 1, 0),
        ("b", 1, 0, 0.1, 0, 0),
        ("d", 0, -1, None, 0, 0),
    ]
    assert document["bad"] == [{"reason": "undecodable", "count": 1, "files": [{"name": "c.txt", "detail": "text"}]}]
    assert document["clusters"] == [{"id": 2, "images": 2, "unique": 1, "duplicate": 1, "thumb": -1}]
    assert document["sampled"] is None
    assert document["notes"] == ["made up", "No thumbnail of 3 images: made up without a picture"]


def test_nothing_at_all_is_a_report_too() -> None:
    document = made()
    assert document["counts"]["images"] == 0
    assert document["notes"][0] == "There are no images"
    assert made(judged("a"))["notes"][0] == "There are no duplicates"


def test_the_rule_that_tidied_up_says_what_comes_first() -> None:
    document = made(judged("a"), judged("b", "a", 0.1), judged("c", "a", 0.2), rule=frozenset({"c"}))
    assert document["images"]["keep"] == [0, 0, 1]


def test_what_is_duplicated_and_is_none_of_these_images_stands_before_them() -> None:
    document = made(judged("b", "seed", 0.1), judged("c", "seed", 0.2))
    assert rows(document, "name", "verdict", "nearest", "keep", "outside") == [
        ("seed", 0, -1, 1, 1),
        ("b", 1, 0, 0, 0),
        ("c", 1, 0, 0, 0),
    ]
    assert document["counts"]["images"] == 2


def test_the_histogram_counts_all_and_the_radius_belongs_to_the_bin_below() -> None:
    document = made(
        judged("a"), judged("b", "a", RADIUS), judged("c", "a", 0.0), judged("d", None, 0.3601), judged("e", None, 1.5)
    )
    edges, counts = document["histogram"]["edges"], document["histogram"]["counts"]
    middle = edges.index(RADIUS)
    assert (counts[0], counts[middle - 1], counts[middle], sum(counts)) == (1, 1, 1, 3)
    assert document["histogram"]["beyond"] == 1
    assert document["furthest"] == 2 * RADIUS == edges[-1]


def test_a_distance_next_to_the_radius_is_not_rounded_to_its_other_side() -> None:
    beyond = float(np.nextafter(RADIUS, 1.0))
    document = made(judged("a"), judged("b", None, beyond))
    assert document["images"]["distance"][1] > document["radius"]


def test_a_distance_is_rounded_up_so_that_a_radius_chosen_by_it_includes_the_image() -> None:
    document = made(judged("a"), judged("b", "a", 0.1000001), judged("c", "a", 0.2))
    assert document["images"]["distance"][1:] == [0.100001, 0.2]


def test_unique_images_within_the_radius_are_told() -> None:
    assert made(judged("a"), judged("b", ruled_out=True))["notes"][0] == "There are no duplicates"
    assert made(judged("a"), judged("b", ruled_out=True))["notes"][1].startswith(
        "1 unique images are within the radius"
    )


def test_verdicts_by_several_radii_are_told() -> None:
    other = replace(judged("b"), radius=0.2)
    document = made(judged("a"), other, judged("c"))
    assert document["radius"] == RADIUS
    assert "0.36 (2), 0.2 (1)" in " ".join(document["notes"])


# Pictures


def test_images_have_thumbnails_with_their_sizes() -> None:
    data = photo(1, size=(320, 240))
    document = made(judged("a"), judged("b", "a", 0.1), data={"a": data, "b": b"no picture"})
    assert document["images"]["thumb"] == [0, -1]
    assert rows(document, "width", "height", "bytes")[0] == (320, 240, len(data))
    with Image.open(io.BytesIO(base64.b64decode(document["thumbs"][0]))) as thumb:
        assert (thumb.format, thumb.size) == ("WEBP", (320, 240))
    assert "No thumbnail of 1 image: cannot be decoded (undecodable)" in document["notes"]


def test_many_thumbnails_are_small_ones() -> None:
    sides = [side_px(count) for count in (1, 251, 1001, 2501)]
    assert sides == sorted(sides, reverse=True)
    assert len(set(sides)) == 4


def test_groups_get_thumbnails_before_others() -> None:
    data = {name: photo(number) for number, name in enumerate("abcd")}
    making = replace(HERE, size=Size(thumbs=2))
    document = made(judged("a"), judged("b", None, 0.5), judged("c"), judged("d", "c", 0.1), data=data, making=making)
    assert [thumb >= 0 for thumb in document["images"]["thumb"]] == [False, False, True, True]
    assert "2 of 4 images shown have a thumbnail, so that the page stays small" in document["notes"]


def test_a_unique_image_whose_nearest_is_known_is_no_group() -> None:
    near = judged("b", None, 0.5)
    near = replace(near, entry=replace(near.entry, other="a"))
    data = {name: photo(number) for number, name in enumerate("abcd")}
    found = (judged("a"), near, judged("c"), judged("d", "c", 0.1))
    document = made(*found, data=data, making=replace(HERE, size=Size(thumbs=2)))
    assert document["images"]["nearest"] == [-1, 0, -1, 2]
    assert document["images"]["keep"] == [0, 0, 1, 0]
    assert [thumb >= 0 for thumb in document["images"]["thumb"]] == [False, False, True, True]


def test_a_photo_that_is_stored_on_its_side_has_the_size_that_is_seen() -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(photo(1, size=(320, 240)))) as image:
        image.save(buffer, "JPEG", exif=exif)
    document = made(judged("a"), data={"a": buffer.getvalue()})
    assert rows(document, "width", "height") == [(240, 320)]


def member(name: str, seed: int) -> Judged:
    """Return a unique image whose verdict carries its member, with a thumbnail."""
    row = np.random.default_rng(seed).normal(size=8)
    pixels = np.full((32, 32, 3), 10 * seed, dtype=np.uint8)
    kept = Member(name, name, (row / np.linalg.norm(row)).astype(np.float16), 0, thumbnail_of(pixels))
    found = judged(name, None, 1.9)
    return replace(found, entry=replace(found.entry, record=encode_member(kept)))


def test_members_in_verdicts_tell_the_map_the_nearest_and_a_thumbnail() -> None:
    members = [member(str(seed), seed) for seed in range(6)]
    document = made(*members, judged("copy", "3", 0.1))
    assert all(x is not None for x in document["images"]["x"])
    assert document["images"]["x"][6] == document["images"]["x"][3]
    assert len(document["thumbs"]) == 6
    assert document["images"]["nearest"][0] == -1
    told = rows(document, "nearest", "distance")[1:6]
    assert all(0 <= nearest < row for row, (nearest, _) in enumerate(told, 1))
    assert "The thumbnails of 6 images are what the index keeps of them, small and grey" in document["notes"]


def test_damaged_members_add_nothing() -> None:
    found = member("a", 1)
    wrong = [replace(found, entry=replace(found.entry, record=record)) for record in (b"", b"\1\1", b"nothing")]
    for each in wrong:
        assert made(each)["images"]["x"] == [None]
    with pytest.raises(CorruptIndex):
        dimension_of(b"\1\7" + bytes(100))


def test_the_images_of_a_folder_are_described_once_more() -> None:
    dct = load_descriptor("dct")
    data = {name: photo(seed) for seed, name in enumerate("abcdef")}
    found = [replace(judged(name, None, 2.0), fingerprint=dct.fingerprint) for name in data]
    about = About(Kind.FOLDER, "pictures")
    document = made(*found, data=data, about=about)
    assert None not in document["images"]["x"]
    assert set(document["images"]["cluster"]) == {0}
    assert document["clusters"][0]["images"] == 6
    unknown = made(judged("a"), about=about, data=data)
    assert any("none that ships" in note for note in unknown["notes"])
    assert descriptor_by(dct.fingerprint) is not None
    with pytest.raises(Misconfigured, match="is not the one that made these verdicts"):
        descriptor_by(dct.fingerprint, "pixels")


def test_the_nearest_before_is_the_nearest_of_all_that_stand_before() -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 16))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    asking = list(range(0, 300, 3))
    found, l2 = nearest_before(unit, asking)
    all_of = l2_distances(unit, unit)
    assert (found[0], l2[0]) == (-1, np.inf)
    for place, row in list(enumerate(asking))[1:]:
        assert found[place] < row
        assert l2[place] == pytest.approx(all_of[row, :row].min(), abs=1e-3)


# How much is shown


def tally_of(found: Sequence[Judged]) -> Tally:
    tally = Tally()
    tally.count(found)
    return tally


def many(count: int) -> list[Judged]:
    """Return images of which every fifth duplicates one before it, and some one and the same."""
    rng = np.random.default_rng(1)
    uniques: list[str] = []
    found = []
    for number in range(count):
        name = f"{number:07d}.jpg"
        if number % 5 == 4:
            of = uniques[0] if number % 50 == 4 else uniques[int(rng.integers(len(uniques)))]
            found.append(judged(name, of, float(rng.uniform(0, RADIUS))))
        else:
            uniques.append(name)
            found.append(judged(name, None, float(rng.uniform(RADIUS, 1.5)) + 1e-9))
    return found


def test_of_many_groups_and_what_is_next_to_the_radius_are_shown_whole() -> None:
    found = many(5000)
    tally = tally_of(found)
    shown = chosen(tally, 600, RADIUS)
    assert 300 <= len(shown) <= 650
    entries = {number_of(each.entry.key): each.entry for each in found}
    for number in shown:
        entry = entries[number]
        if entry.is_duplicate:
            assert entry.other is not None
            assert number_of(entry.other) in shown
    duplicates = [each.entry for each in found if each.entry.is_duplicate]
    uniques = [each.entry for each in found if not each.entry.is_duplicate]
    farthest = max(duplicates, key=lambda entry: entry.distance or 0.0)
    nearest = min(uniques, key=lambda entry: entry.distance or 0.0)
    assert {number_of(farthest.key), number_of(nearest.key)} <= shown
    of_largest = sum(entries[number].other == "0000000.jpg" for number in shown)
    assert 40 <= of_largest <= 60  # of a hundred: no more than one can look at, and some by chance
    # In any order the same.
    tally_again = tally_of(found[::-1])
    assert chosen(tally_again, 600, RADIUS) == shown


def test_a_sample_says_of_how_many() -> None:
    making = replace(HERE, size=Size(images=100, thumbs=10))
    document = made(*many(2000), making=making)
    assert document["sampled"]["of"] == 2000
    assert document["sampled"]["shown"] == len(document["images"]["name"]) <= 130
    assert document["counts"]["unique"] == 1600
    assert sum(document["histogram"]["counts"]) + document["histogram"]["beyond"] == 2000


def test_very_long_names_are_fewer() -> None:
    found = [judged(f"{number}{'x' * 1000}") for number in range(100)]
    document = made(*found, making=replace(HERE, size=Size(text_bytes=50_000)))
    assert 10 <= document["sampled"]["shown"] <= 50


def test_a_page_that_would_be_too_large_shows_less(tmp_path: Path) -> None:
    data = {each.entry.name: photo(1) for each in many(400)}
    path = tmp_path / "report.html"
    whole = write_report(Made(many(400), data), path, HERE)
    limit = len(path.read_bytes()) - 200_000
    less = write_report(Made(many(400), data), path, HERE, limit)
    assert whole["sampled"] is None
    assert len(path.read_bytes()) <= limit
    assert len(less["thumbs"]) < 400


@pytest.mark.slow
def test_many_verdicts_make_a_page_below_its_limit(tmp_path: Path) -> None:
    # `make report-check` does the same with a million.
    picture = photo(1, size=(320, 240))
    found = many(40_000)
    path = tmp_path / "report.html"
    document = write_report(Made(found, {each.entry.name: picture for each in found}), path, HERE)
    assert document["sampled"] == {"shown": len(document["images"]["name"]), "of": 40_000}
    assert len(path.read_bytes()) < 20_000_000


def test_what_was_there_stays_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(Misconfigured, match="cannot write"):
        write_report(Made([judged("a")]), tmp_path / "report.html", HERE)
    with pytest.raises(Misconfigured, match="cannot write"):
        write_report(Made([judged("a")]), tmp_path / "nowhere" / "report.html", HERE)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_names_with_markup_are_text_in_the_page(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(Made([judged(MARKUP), Bad(MARKUP, "undecodable", MARKUP)]), path, HERE)
    assert "<script>alert(1)" not in path.read_text("utf-8")


# From verdicts


def test_verdicts_are_read() -> None:
    found = judged_of(duplicate(2, 1))
    entry = found.entry
    assert (entry.key, entry.name, entry.is_duplicate) == ("images-0-2", "image-2", True)
    assert (entry.other, entry.other_name, entry.distance) == ("images-0-1", "image-1", 0.125)
    assert entry.place.found_ms == 1_767_225_600_002
    of_file = judged_of(unique(1, "files", uri="file:///pictures/caf%E9.jpg", image_id="a.jpg")).entry
    assert (of_file.key, of_file.place.path) == ("a.jpg", "/pictures/caf\udce9.jpg")
    uris = (
        "file://localhost/a%20b.jpg",
        "file://elsewhere/a.jpg",
        "https://host/a.jpg",
        "file://",
        "file:///a%00b.jpg",
    )
    paths = [judged_of(unique(1, "files", uri=uri)).entry.place.path for uri in uris]
    assert paths == ["/a b.jpg", None, None, None, None]
    near = judged_of(unique(1, distance=0.2))
    assert (near.is_ruled_out, near.entry.distance) == (True, None)
    itself = judged_of(duplicate(1, 1, "files", member={"key": "file:/old.jpg:1:2", "captured_at": None})).entry
    assert itself.other == "file:/old.jpg:1:2"


def test_what_was_done_and_the_common_part_are_told() -> None:
    edit = {
        "mirrored": True,
        "turned": 90.0,
        "scale": [1.0, 0.5],
        "box": [0.0, 0.0, 0.5, 1.0],
        "inset": [0.0, 0.0, 1.0, 1.0],
        "brightness": 0.0,
        "contrast": 1.0,
        "colour": [0.0, 0.0],
    }
    entry = judged_of(duplicate(2, 1, edit=edit, agreement=0.9, agreement_needed=0.3)).entry
    assert entry.done.startswith("mirrored, turned by 90 degrees")
    assert entry.outline is None
    assert entry.other_outline == ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"verdict": "perhaps"},
        {"image_id": ""},
        {"distance": "near"},
        {"distance": float("nan")},
        {"radius": None},
        {"decided_at": "yesterday"},
        {"decided_at": "2026-01-01T00:00:00"},
        {"source": {"topic": "images"}},
        {"source": None},
        {"cluster": "a"},
        {"edit": {"box": 1}},
        {"edit": []},
        {"member": {"key": 7}},
        {"duplicate_of": None},
    ],
)
def test_what_is_no_verdict_is_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        judged_of({**duplicate(2, 1), **wrong})


def test_marks_of_folders_of_one_name_are_kept_apart() -> None:
    keys = {About(Kind.FOLDER, "pictures", place=f"/{of}/pictures").key for of in ("a", "b", "caf\udce9")}
    assert len(keys) == 3
    assert About(Kind.FOLDER, "pictures", span="from 1h ago", place="/a/pictures").key in keys
