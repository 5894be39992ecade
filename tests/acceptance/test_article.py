"""The article's five steps, on a clip of the same shape: 73 frames, two scenes.

1. features: colour pixels at 320 x 320, flattened, normalised; 2. k-means into two clusters; 3. centroids saved as
JSON and loaded again; 4. a new image's nearest centroid; 5. distances inside that cluster only: within 0.023 of an
earlier unique image it is a duplicate.
"""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from bootstrap.generation.importing import import_snapshot
from bootstrap.generation.snapshot import Snapshot, export_snapshot
from bootstrap.seeds.analyse import analyse_seeds
from bootstrap.seeds.describe import DescribedSeeds, describe_seeds
from bootstrap.seeds.result import SeedResult
from demo.scenes import Shot, clip, stream
from neardup.descriptors import load_descriptor
from neardup.sources.images import BytesImage
from neardup.types import Descriptors

pytestmark = pytest.mark.slow

ARTICLE = load_descriptor("pixels:320")
RADIUS = 0.023


def described(shots: Sequence[Shot]) -> DescribedSeeds:
    return describe_seeds([BytesImage(*shot) for shot in shots], ARTICLE)


def l2(one: Descriptors, other: Descriptors) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Measure by a library of its own."""
    return np.asarray(cdist(one.astype(np.float64), other.astype(np.float64)))


@pytest.fixture(scope="module")
def shots() -> list[Shot]:
    return clip(73)


@pytest.fixture(scope="module")
def result(shots: list[Shot]) -> SeedResult:
    return analyse_seeds(described(shots), ARTICLE, clusters=2, radius=RADIUS)


@pytest.fixture(scope="module")
def saved(result: SeedResult, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Return the index as it comes back from its JSON file."""
    path = tmp_path_factory.mktemp("article") / "centroids.json"
    export_snapshot(result.snapshot(), path)
    return import_snapshot(path, ARTICLE)


def test_1_features_are_normalised_pixels_at_320(result: SeedResult) -> None:
    assert ARTICLE.default_radius == RADIUS
    assert result.descriptors.shape == (73, 320 * 320 * 3)
    assert np.allclose(np.linalg.norm(result.descriptors.astype(np.float64), axis=1), 1.0, atol=1e-4)


def test_2_two_scenes_are_two_clusters(shots: list[Shot], result: SeedResult) -> None:
    china = ["china" in shot.name for shot in shots]
    assert len(result.cells) == 2
    assert (result.clusters == result.clusters[0]).tolist() == china
    assert sorted(np.bincount(result.clusters)) == [36, 37]


def test_3_centroids_are_saved_as_json_and_loaded_again(result: SeedResult, saved: Snapshot) -> None:
    assert saved.cells.centroids.tobytes() == result.cells.centroids.tobytes()
    assert [member.image_id for member in saved.members] == [result.images[row].image_id for row in result.uniques]
    assert saved.meta.radius == RADIUS


def test_4_a_new_image_finds_its_cluster(shots: list[Shot], result: SeedResult, saved: Snapshot) -> None:
    cluster_of = {"china": result.clusters[0], "flower": result.clusters[-1]}
    new = described([shot for shot in stream() if "new-view" not in shot.name])
    expected = [cluster_of[image.image_id.split("-")[2]] for image in new.images]
    assert saved.cells.assign(new.descriptors).tolist() == expected
    nearest = l2(new.descriptors, saved.cells.centroids.astype(np.float64)).argmin(axis=1)
    assert nearest.tolist() == expected
    assert len(shots) == 73


def test_5_every_duplicate_has_an_earlier_unique_image_near_it(result: SeedResult) -> None:
    distances = l2(result.descriptors, result.descriptors)
    unique = result.duplicates.is_unique
    for row in np.flatnonzero(~unique):
        other = result.duplicates.unique_of[row]
        assert other < row
        assert unique[other]
        assert result.clusters[other] == result.clusters[row]
        assert distances[row, other] == result.duplicates.l2_distance[row] <= RADIUS
        earlier = [at for at in range(row) if unique[at] and result.clusters[at] == result.clusters[row]]
        assert distances[row, earlier].min() == distances[row, other]


def test_5_no_two_unique_images_of_a_cluster_are_near(result: SeedResult) -> None:
    for cluster in range(2):
        rows = [row for row in result.uniques if result.clusters[row] == cluster]
        distances = l2(result.descriptors[rows], result.descriptors[rows])
        assert distances[~np.eye(len(rows), dtype=bool)].min() > RADIUS


def test_5_a_still_camera_repeats_itself_and_a_moving_one_does_not(result: SeedResult) -> None:
    # In each scene the camera rests four times for four frames, and moves in between: one unique image for each
    # rest, and every frame of a move.
    moves = {"china": 37 - 16, "flower": 36 - 16}
    for scene, moving in moves.items():
        rows = [row for row, image in enumerate(result.images) if scene in image.image_id]
        uniques = [row for row in rows if row in set(result.uniques)]
        assert len(uniques) == 4 + moving
    groups = result.duplicates.groups()
    assert [len(rows) for rows in groups.values()] == [3] * 8
    assert all(rows == [unique + 1, unique + 2, unique + 3] for unique, rows in groups.items())


def test_5_a_new_image_is_judged_inside_its_cluster(saved: Snapshot) -> None:
    new = described(stream())
    members = np.stack([member.descriptor for member in saved.members])
    clusters = saved.cells.assign(new.descriptors)
    verdicts: dict[str, list[bool]] = {}
    for row, image in enumerate(new.images):
        inside = members[saved.clusters == clusters[row]]
        duplicate = bool(l2(new.descriptors[row : row + 1], inside).min() <= RADIUS)
        verdicts.setdefault(image.image_id.split("-", 3)[3], []).append(duplicate)
    assert all(verdicts["again.jpg"])
    assert not any(verdicts["new-view.jpg"])
    # The plainest descriptor at the article's threshold sees other pixels in an image of half the size.
    assert not any(verdicts["half-size.jpg"])
