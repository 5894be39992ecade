from collections import Counter

from benchmarks.quality.halves import HALVES, half_of
from training.photos import held_out

NAMES = [f"imagenet_{number:04}.jpg" for number in range(1000)]


def test_a_photo_is_always_in_the_same_half() -> None:
    names = ["imagenet_0000.jpg", "imagenet_0001.jpg", "bsds_0003.jpg", "x.png"]
    assert [half_of(name) for name in names] == ["reported", "chosen", "reported", "chosen"]


def test_both_halves_hold_about_as_many_whether_trained_on_or_not() -> None:
    for unseen in (True, False):
        names = [name for name in NAMES if held_out(name) == unseen]
        shares = Counter(half_of(name) for name in names)
        assert set(shares) == set(HALVES)
        assert min(shares.values()) > 0.4 * len(names)
