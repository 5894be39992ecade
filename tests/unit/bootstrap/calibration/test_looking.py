from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from bootstrap.calibration import looking
from bootstrap.calibration.looking import (
    AGREEMENTS,
    MOST_LOOKED,
    LookedPairs,
    looked_at,
    looked_at_again,
    pairs_within,
    read_looks,
)
from bootstrap.calibration.radius import FEWEST_IMAGES
from bootstrap.calibration.tail import NearPairs
from neardup.decoding.limits import DecodeLimits
from neardup.relation.images import Images
from neardup.relation.kept import Parts, kept_of, kept_of_part, stacked_kept, transformed_kept
from neardup.relation.rule import Relation
from neardup.sources.images import BrokenImage, BytesImage, SourceImage
from neardup.types import Descriptors, Kept, Pixels, Symmetry
from tests.support.drawings import chess_board, cropped, jpeg_of, page, photo
from tests.support.odd_files import encoded

RADIUS = 0.75
RELATION = Relation(RADIUS, agreement=AGREEMENTS[0])


def descriptors_of(count: int) -> Descriptors:
    """Return rows that lie near one another."""
    rows = 1.0 + 0.1 * np.random.default_rng(0).standard_normal((count, 16))
    unit: Descriptors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    return unit


def images_of(pictures: Sequence[Pixels], symmetries: Sequence[Symmetry] = ()) -> Images:
    looks = [look for look in (kept_of(picture, Parts.LOOK) for picture in pictures) if look is not None]
    descriptors = descriptors_of(len(pictures))
    turned = ([kept for look in looks if (kept := transformed_kept(look, each)) is not None] for each in symmetries)
    return Images(descriptors, np.stack(looks), tuple(Images(descriptors, np.stack(each)) for each in turned))


def looks_at(pictures: Sequence[Pixels], relation: Relation = RELATION) -> LookedPairs:
    images = images_of(pictures, relation.symmetries)
    return looked_at(pairs_within(images.descriptors, RADIUS), images, relation)


def found(pairs: LookedPairs) -> dict[tuple[int, int], tuple[float, bool]]:
    rows = (tuple(sorted(pair)) for pair in pairs.near.rows.tolist())
    return dict(zip(rows, zip(pairs.passes_up_to.tolist(), pairs.copies.tolist(), strict=True), strict=True))


def test_copies_pass_and_pages_of_other_words_do_not() -> None:
    text = page(1)
    pairs = found(looks_at([text, jpeg_of(text), page(2)]))
    assert pairs[0, 1][0] >= AGREEMENTS[-1]
    assert pairs == {(0, 1): (pairs[0, 1][0], True), (0, 2): (-1.0, False), (1, 2): (-1.0, False)}


def test_what_a_pair_passes_at_is_what_the_relation_says() -> None:
    # What is needed is a multiple of the agreement asked for, at most 1: else one look would not tell for all of them.
    picture = photo(0)
    half = picture.copy()
    half[:, 110:] = photo(1)[:, 110:]
    pictures = [picture, half, cropped(picture, 0.3), chess_board(0), chess_board(1), page(0), page(0)]
    images, pairs = images_of(pictures), looks_at(pictures)
    assert images.kept is not None
    ones, twos = pairs.near.rows.T
    for agreement in np.linspace(AGREEMENTS[0], 1.0, 15).tolist():
        relation = Relation(RADIUS, agreement=agreement)
        either = relation.check(images.kept, ones, images.kept[twos], pairs.near.l2_distance).allowed
        either |= relation.check(images.kept, twos, images.kept[ones], pairs.near.l2_distance).allowed
        near_the_limit = np.abs(pairs.passes_up_to - agreement) < 0.005  # what is needed is rounded
        assert ((pairs.passes_up_to >= agreement) == either)[~near_the_limit].all()
    between = (pairs.passes_up_to > AGREEMENTS[0]) & (pairs.passes_up_to < 1.0)
    assert between.any()


def test_plain_pictures_that_agree_everywhere_pass_at_any_agreement() -> None:
    # Of them 7/3 of the agreement is needed, but never more than 1.
    pairs = looks_at([page(0), page(0)])
    assert pairs.passes_up_to.tolist() == [1.0]


def test_what_is_near_by_a_part_alone_needs_all_of_the_agreement() -> None:
    blank = np.full((64, 64, 3), 40, np.uint8)
    whole = images_of([blank, blank])
    assert whole.kept is not None
    far = Images(np.eye(2, 16, dtype=np.float16), whole.kept)
    part = stacked_kept((kept_of_part(kept, blank, (0.0, 0.0, 0.5, 1.0)) for kept in whole.kept), Parts.LOOK)
    by_part = far.with_variants((Images(far.descriptors[::-1], part, parts_of=np.arange(2)),))
    near = NearPairs(np.array([0.1]), np.array([[0, 1]], dtype=np.intp), 2)
    relation = Relation(RADIUS, agreement=AGREEMENTS[0], match_parts=True)
    # Blank pictures are duplicates if near enough as wholes, and a part says nothing of that.
    assert looked_at(near, whole, relation).passes_up_to.tolist() == [np.inf]
    assert looked_at(near, by_part, relation).passes_up_to.tolist() == [-1.0]


def test_half_of_another_picture_is_no_copy_but_a_crop_is() -> None:
    picture = photo(0)
    half = picture.copy()
    half[:, 100:] = photo(1)[:, 100:]
    pairs = found(looks_at([picture, half, cropped(picture, 0.3)]))
    assert (pairs[0, 1][1], pairs[0, 2][1]) == (False, True)


def test_blank_pictures_go_by_distance_whatever_is_asked() -> None:
    pairs = looks_at([np.full((64, 64, 3), level, np.uint8) for level in (40, 200)])
    assert pairs.near.l2_distance[0] < 0.5
    assert (pairs.passes_up_to.tolist(), pairs.copies.tolist()) == ([np.inf], [False])


def test_mirrored_copies_pass_where_they_are_asked_for() -> None:
    pictures = [photo(0), np.ascontiguousarray(photo(0)[:, ::-1])]
    assert found(looks_at(pictures)) == {(0, 1): (-1.0, False)}
    both = found(looks_at(pictures, Relation(RADIUS, agreement=AGREEMENTS[0], match_flips=True)))
    assert both[0, 1][1]


def test_looks_are_taken_again_of_what_can_be_read() -> None:
    pictures = [photo(0), np.ascontiguousarray(photo(0)[:, ::-1]), photo(0), photo(1)]
    seeds: list[SourceImage] = [
        BytesImage(str(number), encoded(Image.fromarray(picture), "PNG")) for number, picture in enumerate(pictures)
    ]
    seeds[2] = BrokenImage("2", FileNotFoundError(2, "No such file"))
    descriptors = descriptors_of(4)
    near = pairs_within(descriptors, RADIUS)
    asked: list[frozenset[str]] = []

    def looks(wanted: frozenset[str]) -> dict[str, Kept]:
        asked.append(wanted)
        return read_looks(seeds, wanted, limits=DecodeLimits(), workers=2)

    pairs = found(looked_at_again(near, ["0", "1", "2", "3"], descriptors, looks))
    assert asked == [frozenset("0123")]
    assert {rows: copies for rows, (_, copies) in pairs.items()} == {(0, 1): True, (0, 3): False, (1, 3): False}


def test_the_fewest_images_can_all_be_looked_at() -> None:
    assert FEWEST_IMAGES * (FEWEST_IMAGES - 1) // 2 <= MOST_LOOKED


def test_more_pairs_than_are_looked_at_are_seen_to_be_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "MOST_LOOKED", 5)
    assert [len(pairs_within(descriptors_of(count), RADIUS)) for count in (3, 4, 20)] == [3, 6, 6]


def test_pairs_are_numbered_anew_among_some_rows() -> None:
    near = NearPairs(np.array([0.1, 0.2, 0.3]), np.array([[0, 1], [1, 3], [2, 3]], dtype=np.intp), 4)
    pairs = LookedPairs(near, np.array([0.3, 0.4, 0.5]), np.array([True, False, False]))
    some = pairs.among(np.array([1, 3]))
    assert (some.near.rows.tolist(), some.near.images) == ([[0, 1]], 2)
    assert (some.passes_up_to.tolist(), some.copies.tolist()) == ([0.4], [False])
