import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from bootstrap.seeds.analyse import cluster_seeds
from bootstrap.seeds.describe import DescribedSeeds, describe_seeds
from demo.scenes import Shot, clip, stream
from neardup.descriptors import load_descriptor
from neardup.search.distance import l2_distances
from neardup.sources.images import BytesImage

pytestmark = pytest.mark.slow

DCT = load_descriptor("dct")


@pytest.fixture(scope="module")
def seen() -> list[Shot]:
    return clip()


@pytest.fixture(scope="module")
def visit() -> list[Shot]:
    return stream()


def described(shots: list[Shot]) -> DescribedSeeds:
    return describe_seeds([BytesImage(*shot) for shot in shots], DCT)


def test_the_clip_has_the_shape_of_the_articles(seen: list[Shot]) -> None:
    assert len(seen) == len({shot.name for shot in seen}) == len({shot.data for shot in seen}) == 73
    assert Counter("china" in shot.name for shot in seen) == {True: 37, False: 36}
    with Image.open(io.BytesIO(seen[0].data)) as image:
        assert (image.format, image.size) == ("JPEG", (480, 320))


def test_the_same_bytes_each_time(visit: list[Shot]) -> None:
    assert clip(9) == clip(9)
    assert stream() == visit


@pytest.mark.parametrize("frames", [1, 2, 8, 40, 90])
def test_any_number_of_frames(frames: int) -> None:
    assert len(clip(frames)) == frames


def test_two_scenes_are_two_clusters_for_the_default_descriptor(seen: list[Shot]) -> None:
    _, assigned = cluster_seeds(described(seen).descriptors, 2)
    china = np.array(["china" in shot.name for shot in seen])
    assert (assigned == assigned[0]).tolist() == china.tolist()


def test_the_second_visit_has_something_of_each_kind(seen: list[Shot], visit: list[Shot]) -> None:
    before, again = described(seen), described(visit)
    assert 80 <= len(again.images) + len(again.unreadable) <= 120
    assert [item.reason for item in again.unreadable] == ["truncated"]
    nearest = l2_distances(again.descriptors, before.descriptors).min(axis=1)
    new = np.array(["new-view" in image.image_id for image in again.images])
    assert nearest[new].min() > 1.5 * DCT.default_radius
    assert nearest[~new].max() < DCT.default_radius
    kinds = Counter(image.image_id.split("-", 3)[3] for image in again.images)
    assert set(kinds) == {"again.jpg", "jpeg40.jpg", "half-size.jpg", "brighter.jpg", "darker.jpg", "new-view.jpg"}
