import numpy as np
import pytest

import neardup.search.kmeans
from bootstrap.seeds.analyse import cluster_seeds
from neardup.descriptors.base import unit_float16
from neardup.search.cells import Cells
from neardup.search.kmeans import CLUSTER_LIMIT, fit_bounded_centroids, fit_centroids
from neardup.types import Descriptors


def normal(count: int, dimension: int = 16, seed: int = 0) -> Descriptors:
    random = np.random.default_rng(seed)
    return unit_float16(random.normal(size=(count, dimension)).astype(np.float32))


def blobs(*sizes: int) -> Descriptors:
    random = np.random.default_rng(0)
    centres = random.normal(size=(len(sizes), 16))
    rows = [centre + random.normal(0, 0.1, (size, 16)) for centre, size in zip(centres, sizes, strict=True)]
    return unit_float16(np.concatenate(rows).astype(np.float32))


def test_two_blobs_are_two_clusters() -> None:
    rows = blobs(30, 40)
    assigned = Cells(fit_centroids(rows, 2)).assign(rows)
    assert len(set(assigned[:30])) == len(set(assigned[30:])) == 1
    assert assigned[0] != assigned[-1]


def test_fixed_random_state() -> None:
    rows = normal(500)
    assert np.allclose(fit_centroids(rows, 9), fit_centroids(rows, 9), atol=1e-5)


def test_input_is_left_alone() -> None:
    rows = normal(50)
    before = rows.copy()
    fit_centroids(rows, 3)
    assert (rows == before).all()


def test_never_more_clusters_than_distinct_images() -> None:
    rows = np.repeat(normal(3), 20, axis=0)
    assert len(fit_centroids(rows, 10)) == 3
    assert len(fit_centroids(rows[:1], 10)) == 1


def test_zero_and_minus_zero_are_the_same_image() -> None:
    rows = np.array([[1, 0], [1, -0.0]], dtype=np.float16)
    assert len(fit_centroids(rows, 2)) == 1


def test_clusters_stay_at_a_few_hundred_even_when_the_images_crowd() -> None:
    rows = blobs(2000, 60, 30, 10)
    sizes = np.bincount(Cells(fit_bounded_centroids(rows)).assign(rows))
    assert sizes.max() <= CLUSTER_LIMIT


def test_copies_of_one_image_end_the_division() -> None:
    rows = np.concatenate([np.repeat(normal(1), 1000, axis=0), normal(300, seed=1)])
    sizes = np.bincount(Cells(fit_bounded_centroids(rows)).assign(rows))
    assert max(sizes) >= 1000
    assert sorted(sizes)[-2] <= CLUSTER_LIMIT


def test_mini_batches_above_their_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neardup.search.kmeans, "MINI_BATCH_ABOVE", 500)
    rows = blobs(400, 300)
    assigned = Cells(fit_centroids(rows, 2)).assign(rows)
    assert sorted(np.bincount(assigned)) == [300, 400]


def test_a_very_large_matrix_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neardup.search.kmeans, "_TRAINING_NUMBERS", 16 * 100)
    rows = blobs(400, 300)
    assert len(neardup.search.kmeans._sample(rows)) == 100
    assert sorted(np.bincount(Cells(fit_centroids(rows, 2)).assign(rows))) == [300, 400]


@pytest.mark.parametrize("clusters", [None, 1, 7, 300])
def test_every_cell_has_an_image(clusters: int | None) -> None:
    rows = np.concatenate([normal(150), normal(150)])
    cells, assigned = cluster_seeds(rows, clusters)
    assert np.bincount(assigned, minlength=len(cells)).min() >= 1
    assert (assigned == cells.assign(rows)).all()
