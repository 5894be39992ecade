"""Which pixels a mask covers, and what is no mask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neardup.sources.mask import MaskOutside, blanked, region

HEIGHT, WIDTH = 30, 40


def covered(*texts: str) -> set[tuple[int, int]]:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    masked = blanked(pixels, [region(text) for text in texts])
    assert not pixels.any()
    assert {*np.unique(masked)} <= {0, 128}
    return {(int(x), int(y)) for y, x in np.argwhere(masked[..., 0] == 128)}


@given(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.data())
def test_a_rectangle_covers_its_pixels_and_no_other(x: int, y: int, data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, WIDTH - x)), data.draw(st.integers(1, HEIGHT - y))
    expected = {(left, top) for left in range(x, x + width) for top in range(y, y + height)}
    assert covered(f"{x},{y},{width},{height}") == expected


def test_a_polygon_covers_its_inside_and_its_outline() -> None:
    assert covered("0,0 10,0 0,10") == {(x, y) for x in range(11) for y in range(11) if x + y <= 10}


def test_several_regions_add_up() -> None:
    assert covered("0,0,2,1", "5,5,1,1") == {(0, 0), (1, 0), (5, 5)}


def test_what_stands_in_a_region_has_no_part_in_the_rest() -> None:
    rng = np.random.default_rng(1)
    one, other = (rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(2))
    other[5:] = one[5:]
    mask = [region(f"0,0,{WIDTH},5")]
    assert not np.array_equal(one, other)
    assert np.array_equal(blanked(one, mask), blanked(other, mask))


@pytest.mark.parametrize("text", ["0,0,41,1", "40,0,1,1", "0,30,1,1", "0,0 40,0 0,10", "0,0 10,0 0,30"])
def test_a_mask_outside_the_picture_is_told(text: str) -> None:
    with pytest.raises(MaskOutside, match=f"mask {text}: it reaches outside the picture of 40x30 pixels"):
        covered(text)


@pytest.mark.parametrize("text", ["", "1,2,3", "0,0 1,1", "a,b,c,d", "0,0,10.5,3", "1,2,3,4 5,6,7,8", "0;0"])
def test_what_is_no_region(text: str) -> None:
    with pytest.raises(ValueError, match=r"it should be X,Y,WIDTH,HEIGHT or a polygon"):
        region(text)


@pytest.mark.parametrize("text", ["-1,0,5,5", "0,0 5,0 0,-5"])
def test_nothing_is_left_of_a_picture(text: str) -> None:
    with pytest.raises(ValueError, match="no negative numbers"):
        region(text)


def test_a_rectangle_has_a_size() -> None:
    with pytest.raises(ValueError, match="above 0"):
        region("0,0,0,5")
