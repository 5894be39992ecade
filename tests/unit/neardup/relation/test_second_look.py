"""The second look: what agrees, whatever else is compared with it."""

import numpy as np
import pytest

from neardup.errors import Misconfigured
from neardup.relation.second_look import DEFAULT_AGREEMENT, LOOK_BYTES, look_of, looks, transformed_look
from neardup.relation.symmetry import motion, transformed
from neardup.settings.profiles import AUTO_AGREEMENT
from neardup.types import Pixels, Symmetry
from tests.support.indexes import look

SCENE, HALF, OTHER = look(), look(2), look(4)


def picture(seed: int) -> Pixels:
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return coarse.repeat(40, axis=0).repeat(40, axis=1)


def test_a_picture_agrees_with_itself() -> None:
    found = looks(SCENE, SCENE[np.newaxis])
    assert found.agreement.tolist() == [1.0]
    assert found.maps.round(9).tolist() == [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
    assert found.brightness.tolist() == [0.0]
    assert found.contrast.tolist() == [1.0]


def test_the_more_shows_something_else_the_less_agrees() -> None:
    agreement = looks(SCENE, np.stack([SCENE, look(1), HALF, OTHER])).agreement
    assert (np.diff(agreement) < 0).all()
    assert agreement[0] > DEFAULT_AGREEMENT > agreement[-1]


def test_light_is_told_and_does_not_count() -> None:
    bright = look_of((picture(1) // 2 + 60).astype(np.uint8))
    found = looks(bright, look_of((picture(1) // 2 + 40).astype(np.uint8))[np.newaxis])
    assert found.agreement[0] == 1.0
    assert found.brightness[0] == pytest.approx(20.0, abs=1.0)
    faint = looks(look_of((picture(1) // 2).astype(np.uint8)), look_of(picture(1))[np.newaxis])
    assert faint.agreement[0] >= DEFAULT_AGREEMENT
    assert faint.contrast[0] == pytest.approx(0.5, abs=0.05)


def test_a_plain_picture_agrees_with_another_and_not_with_one_full_of_detail() -> None:
    plain = [look_of(np.full((50, 50, 3), level, dtype=np.uint8)) for level in (90, 200)]
    found = looks(plain[0], np.stack([plain[1], SCENE]))
    assert np.isfinite([found.agreement, found.brightness, found.contrast]).all()
    assert found.agreement[1] < DEFAULT_AGREEMENT


def test_a_pair_is_the_same_to_the_last_bit_whatever_is_compared_beside_it() -> None:
    many = np.stack([look_of(picture(seed)) for seed in range(40)])
    together = looks(SCENE, many)
    for row in range(len(many)):
        alone = looks(SCENE, many[row : row + 1])
        for field in ("agreement", "maps", "brightness", "contrast"):
            assert getattr(alone, field)[0].tobytes() == getattr(together, field)[row].tobytes()
    assert looks(SCENE, many[:0]).maps.shape == (0, 2, 3)


@pytest.mark.parametrize("symmetry", Symmetry)
def test_a_look_is_turned_as_its_image(symmetry: Symmetry) -> None:
    mirror, turns = motion(symmetry)
    turned = transformed_look(look_of(picture(3)), mirror=mirror, turns=turns)
    found = looks(turned, look_of(transformed(picture(3), symmetry))[np.newaxis])
    assert (turned.nbytes, len(turned)) == (LOOK_BYTES, LOOK_BYTES)
    assert found.agreement[0] == 1.0


def test_looks_of_another_size_or_type_are_refused() -> None:
    for one, many in ((SCENE[:-1], SCENE[np.newaxis]), (SCENE, SCENE[np.newaxis, :-1])):
        with pytest.raises(Misconfigured, match="bootstrap it again"):
            looks(one, many)
    with pytest.raises(Misconfigured, match="looks of int16"):
        looks(SCENE, SCENE[np.newaxis].astype(np.int16))


def test_auto_is_the_default() -> None:
    assert AUTO_AGREEMENT == DEFAULT_AGREEMENT
