"""A descriptor behind principal components, and fitting them on a seed set."""

import io
import logging
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bootstrap.seeds import projecting
from bootstrap.seeds.describe import DescribedSeeds, describe_seeds
from bootstrap.seeds.projecting import components_for, describe_projected, reusable
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.descriptors.pca import Pca, fit_pca
from neardup.descriptors.projected import ProjectedDescriptor, pca_of, projected
from neardup.errors import IndexMismatch, Misconfigured
from neardup.search.distance import l2_distances
from neardup.sources.files import ImageSet
from neardup.sources.images import BytesImage, SourceImage
from neardup.types import Pixels
from tests.support.pictures import generated

RAW = load_descriptor("pixels:8")


def encoded(name: str, pixels: Pixels) -> BytesImage:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return BytesImage(name, buffer.getvalue())


def prepared(*seeds: int) -> list[NDArray[np.uint8]]:
    return [RAW.prepare(generated(seed)) for seed in seeds]


SEEDS = RAW.describe(prepared(*range(30)))
PCA = fit_pca(SEEDS, 8)
PROJECTED = ProjectedDescriptor(RAW, PCA)


class TestDescriptor:
    def test_it_is_as_long_as_there_are_components(self) -> None:
        assert (PROJECTED.dimension, RAW.dimension) == (8, 192)
        assert PROJECTED.describe(prepared(1, 2)).shape == (2, 8)

    def test_what_is_projected_later_is_the_same(self) -> None:
        images = prepared(*range(40))
        assert PROJECTED.project(RAW.describe(images)).tobytes() == PROJECTED.describe(images).tobytes()

    def test_whitening_lets_each_number_vary_as_much(self) -> None:
        # Of rows around a mean, before they get unit length, the first component varies most.
        plain, whitened = (fit_pca(SEEDS, 8, whiten=whiten).coordinates(SEEDS).std(axis=0) for whiten in (False, True))
        assert plain[0] > 2 * plain[-1]
        assert whitened == pytest.approx(np.full(8, whitened[0]), rel=1e-3)

    def test_a_copy_stays_near_and_another_image_does_not(self) -> None:
        brighter = np.clip(generated(3).astype(int) + 5, 0, 255).astype(np.uint8)
        rows = PROJECTED.describe([*prepared(3), RAW.prepare(brighter), *prepared(4)])
        near, far = l2_distances(rows[:1], rows[1:])[0]
        assert near < 0.2 < far

    def test_an_image_at_the_mean_has_the_even_direction(self) -> None:
        mean = replace(PCA, basis=np.zeros_like(PCA.basis), offset=np.zeros_like(PCA.offset))
        row = ProjectedDescriptor(RAW, mean).describe(prepared(1))[0]
        assert row.tolist() == [np.float16(np.sqrt(1 / 8))] * 8

    def test_the_fingerprint_holds_both(self) -> None:
        assert PROJECTED.fingerprint == f"{RAW.fingerprint}+{PCA.fingerprint}"
        assert PROJECTED.spec == RAW.spec

    def test_components_of_another_length_are_refused(self) -> None:
        with pytest.raises(IndexMismatch, match="take descriptors of 192 numbers, pixels:4 gives 48"):
            ProjectedDescriptor(load_descriptor("pixels:4"), PCA)

    def test_none_leaves_a_descriptor_as_it_is(self) -> None:
        assert projected(RAW, None) is RAW
        assert pca_of(RAW) is None
        assert pca_of(projected(RAW, PCA)) is PCA


class TestComponents:
    @pytest.mark.parametrize(
        ("project", "dimension", "expected"),
        [("off", 25_088, None), ("auto", 4096, None), ("auto", 4097, 256), (64, 256, 64), (512, 256, 512)],
    )
    def test_how_many(self, project: int | str, dimension: int, expected: int | None) -> None:
        assert components_for(project, dimension) == expected

    def test_those_of_the_live_generation_are_used_for_the_same_settings_only(self) -> None:
        live = (PROJECTED.fingerprint, PCA)
        assert reusable(live, RAW, 8, whiten=False) is PCA
        assert reusable(live, RAW, 9, whiten=False) is None
        assert reusable(live, RAW, 8, whiten=True) is None
        assert reusable(live, load_descriptor("pixels"), 8, whiten=False) is None
        assert reusable(None, RAW, 8, whiten=False) is None


class Describing:
    """Describes, and remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int | None, str]] = []

    def __call__(self, images: Iterable[SourceImage], total: int | None, descriptor: Descriptor) -> DescribedSeeds:
        listed = list(images)
        self.asked.append((len(listed), total, descriptor.fingerprint))
        return describe_seeds(listed, descriptor, workers=1)


@pytest.fixture
def describing() -> Describing:
    return Describing()


@pytest.fixture(scope="module")
def seeds() -> ImageSet:
    return ImageSet([encoded(f"{seed}.png", generated(seed)) for seed in range(20)], 1.0)


class TestFitting:
    def test_without_a_projection_there_is_none(self, describing: Describing, seeds: ImageSet) -> None:
        descriptor, described = describe_projected(seeds, RAW, describing, "off", whiten=False)
        assert descriptor is RAW
        assert described.descriptors.shape == (20, 192)

    def test_a_small_seed_set_is_described_once(self, describing: Describing, seeds: ImageSet) -> None:
        descriptor, described = describe_projected(seeds, RAW, describing, 6, whiten=False)
        assert describing.asked == [(20, 20, RAW.fingerprint)]
        assert described.descriptors.tobytes() == describe_seeds(seeds, descriptor).descriptors.tobytes()
        assert described.descriptors.shape == (20, 6)

    def test_a_large_one_is_fit_on_an_even_sample(
        self, describing: Describing, seeds: ImageSet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(projecting, "_SAMPLE_ROWS", 8)
        descriptor, described = describe_projected(seeds, RAW, describing, 6, whiten=False)
        assert describing.asked == [(7, 7, RAW.fingerprint), (20, 20, descriptor.fingerprint)]
        assert described.descriptors.shape == (20, 6)

    def test_long_descriptors_have_a_smaller_sample(
        self, describing: Describing, seeds: ImageSet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(projecting, "_SAMPLE_NUMBERS", 10 * RAW.dimension)
        describe_projected(seeds, RAW, describing, 6, whiten=False)
        assert [count for count, *_ in describing.asked] == [10, 20]

    def test_components_at_hand_are_used_again(self, describing: Describing, seeds: ImageSet) -> None:
        descriptor, _ = describe_projected(seeds, RAW, describing, 8, whiten=False, live=(PROJECTED.fingerprint, PCA))
        assert pca_of(descriptor) is PCA
        assert describing.asked == [(20, 20, PROJECTED.fingerprint)]

    def test_a_seed_set_that_is_too_small_gives_fewer_and_says_so(
        self, describing: Describing, caplog: pytest.LogCaptureFixture
    ) -> None:
        few = ImageSet([encoded(f"{seed}.png", generated(seed)) for seed in range(4)], 1.0)
        with caplog.at_level(logging.WARNING):
            descriptor, _ = describe_projected(few, RAW, describing, 256, whiten=False)
        assert descriptor.dimension == 3
        assert "--project 256: 4 seed images of 192 numbers vary in only 3 directions: " in caplog.text

    def test_seeds_that_are_all_alike_are_an_error(self, describing: Describing) -> None:
        alike = ImageSet([encoded(f"{number}.png", generated(1)) for number in range(5)], 1.0)
        with pytest.raises(Misconfigured, match=r"^--project: 5 seed .* use a larger seed set, or no projection$"):
            describe_projected(alike, RAW, describing, 8, whiten=False)

    def test_the_same_seeds_give_the_same_projection(self, describing: Describing, seeds: ImageSet) -> None:
        found: list[Pca | None] = [
            pca_of(describe_projected(seeds, RAW, describing, 6, whiten=True)[0]) for _ in range(2)
        ]
        assert found[0] is not None
        assert found[1] is not None
        assert found[0].to_bytes() == found[1].to_bytes()
