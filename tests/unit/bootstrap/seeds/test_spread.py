"""Seeds described piece by piece, elsewhere, are described as they are here."""

import errno
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

from bootstrap.seeds import spread
from bootstrap.seeds.describe import Answer, DescribedSeeds, describe_seeds
from bootstrap.seeds.spread import Recipe, Sent, describe_spread
from neardup.decoding.limits import DecodeLimits
from neardup.descriptors import load_descriptor
from neardup.errors import Misconfigured
from neardup.relation.images import Images
from neardup.relation.rule import Relation
from neardup.sources.files import find_images
from tests.support.engines import Pickling
from tests.support.films import film, numbered
from tests.support.processes import photo

LIMITS = DecodeLimits()


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    folder = tmp_path / "seeds"
    folder.mkdir()
    for number in range(9):
        (folder / f"{number}.jpg").write_bytes(photo(number))
    (folder / "broken.jpg").write_bytes(photo(0)[:900])
    (folder / "none.jpg").symlink_to("nowhere.jpg")
    Image.fromarray(np.full((40, 40, 3), 90, dtype=np.uint8)).save(folder / "plain.png")
    return folder


def columns(images: Images) -> list[bytes]:
    found = []
    for each in (images, *images.variants):
        found += [each.descriptors.tobytes(), b"" if each.kept is None else each.kept.tobytes(), each.images.tobytes()]
    return found


def assert_same(one: DescribedSeeds, other: DescribedSeeds) -> None:
    assert one.images == other.images
    assert one.unreadable == other.unreadable
    assert columns(one.compared) == columns(other.compared)


@pytest.mark.parametrize("batch", [1, 4, 64])
@pytest.mark.parametrize(
    "relation", [Relation(0.0), Relation(0.0, 40.0, 0.3, match_flips=True, match_parts=True)], ids=["plain", "all"]
)
def test_the_same_as_here(seeds: Path, relation: Relation, batch: int) -> None:
    film(seeds / "5-film.mp4", map(numbered, range(12)))
    descriptor, found = load_descriptor("dct"), find_images([str(seeds)], 10.0)
    here = describe_seeds(found, descriptor, relation, workers=1)
    with patch.object(spread, "BATCH", batch):
        there = describe_spread(found, descriptor, relation, Pickling(), limits=LIMITS)
    assert_same(there, here)
    assert {each.reason for each in there.unreadable} == {"truncated", "unreadable-file"}


def _elsewhere(batch: Sequence[Sent], recipe: Recipe) -> tuple[str, list[Answer]]:
    del recipe
    return "far", [FileNotFoundError(errno.ENOENT, "No such file or directory") for _ in batch]


def test_a_machine_without_the_files_is_refused(seeds: Path) -> None:
    with patch.object(spread, "_described", _elsewhere), pytest.raises(Misconfigured) as refused:
        describe_spread(find_images([str(seeds)]), load_descriptor("dct"), Relation(0.0), Pickling(), limits=LIMITS)
    told = f"{seeds}/0.jpg can be read here, but not on far (No such file or directory): mount the seeds under "
    assert str(refused.value) == f"{told}the same path on all machines of the cluster"


def test_another_descriptor_there_is_refused(seeds: Path) -> None:
    descriptor = load_descriptor("dct")
    with (
        patch.object(descriptor, "fingerprint", "dct-2"),
        pytest.raises(Misconfigured, match=r"is dct.*, and dct-2 here"),
    ):
        describe_spread(find_images([str(seeds)]), descriptor, Relation(0.0), Pickling(), limits=LIMITS)
