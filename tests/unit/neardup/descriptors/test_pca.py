"""Principal components: what they keep, that their coordinates are exact, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neardup.descriptors.base import unit_float16
from neardup.descriptors.pca import Pca, fit_pca
from neardup.errors import CorruptIndex, Misconfigured
from neardup.search.distance import l2_distances
from neardup.types import Descriptors


def descriptors(rows: int = 200, dimension: int = 60, rank: int = 12, seed: int = 0) -> Descriptors:
    """Return float16 unit rows that lie in `rank` + 1 directions, and vary in the first ones most."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(dimension, rank)))[0].T
    strength = np.geomspace(1.0, 0.05, rank)
    return unit_float16((rng.normal(size=(rows, rank)) * strength @ directions + 0.2).astype(np.float32))


ROWS = descriptors()
FITTED = fit_pca(ROWS, 8)
WHITENED = fit_pca(ROWS, 8, whiten=True)


class TestFit:
    def test_rows_of_the_basis_are_orthonormal(self) -> None:
        basis = FITTED.basis.astype(np.float64)
        assert np.abs(basis @ basis.T - np.eye(8)).max() < 1e-5

    def test_they_are_the_directions_of_most_variance(self) -> None:
        centred = ROWS.astype(np.float64) - ROWS.astype(np.float64).mean(axis=0)
        variances = np.linalg.svd(centred, compute_uv=False) ** 2 / (len(ROWS) - 1)
        found = FITTED.coordinates(ROWS).var(axis=0, ddof=1)
        assert found == pytest.approx(variances[:8], rel=1e-3)

    def test_the_mean_is_at_zero(self) -> None:
        assert np.abs(FITTED.coordinates(ROWS).mean(axis=0)).max() < 1e-6

    def test_all_components_keep_distances(self) -> None:
        pca = fit_pca(ROWS, 13)
        coordinates = pca.coordinates(ROWS[:20])
        kept = np.linalg.norm(coordinates[:, np.newaxis] - coordinates, axis=2)
        assert np.abs(kept - l2_distances(ROWS[:20], ROWS[:20])).max() < 1e-3

    def test_whitened_coordinates_vary_alike(self) -> None:
        assert WHITENED.coordinates(ROWS).var(axis=0, ddof=1) == pytest.approx(np.ones(8), rel=1e-3)

    def test_the_same_rows_give_the_same_bits(self) -> None:
        assert fit_pca(ROWS, 8).to_bytes() == FITTED.to_bytes()

    def test_the_randomised_method_is_seeded(self) -> None:
        many = descriptors(rows=600, dimension=1100, rank=40)  # large enough for scikit-learn to choose it
        assert fit_pca(many, 16).to_bytes() == fit_pca(many, 16).to_bytes()

    @pytest.mark.parametrize(("rows", "expected"), [(3, 2), (5, 4), (200, 13)])
    def test_there_are_no_more_than_the_rows_vary_in(self, rows: int, expected: int) -> None:
        pca = fit_pca(ROWS[:rows], 256)
        assert (pca.components, pca.wanted) == (expected, 256)

    def test_copies_add_no_direction(self) -> None:
        assert fit_pca(np.repeat(ROWS[:4], 10, axis=0), 8, whiten=True).components == 3

    @pytest.mark.parametrize("rows", [ROWS[:1], ROWS[:2], np.repeat(ROWS[:1], 50, axis=0)])
    def test_too_few_directions_are_an_error(self, rows: Descriptors) -> None:
        with pytest.raises(Misconfigured, match=f"^{len(rows)} seed images vary in fewer than 2 directions"):
            fit_pca(rows, 8)


class TestCoordinates:
    @given(st.lists(st.integers(0, len(ROWS) - 1), min_size=1, max_size=40), st.booleans())
    def test_an_image_has_the_same_bits_in_any_batch(self, chosen: list[int], whiten: bool) -> None:  # noqa: FBT001
        pca = WHITENED if whiten else FITTED
        singly = np.concatenate([pca.coordinates(ROWS[row : row + 1]) for row in chosen])
        assert pca.coordinates(ROWS[chosen]).tobytes() == singly.tobytes()

    @pytest.mark.parametrize("dimension", [1000, 25_088])
    def test_sums_are_exact_in_any_order(self, dimension: int) -> None:
        pca = fit_pca(descriptors(30, dimension, 20, seed=1), 16)
        rows = descriptors(5, dimension, 20, seed=2)
        order = np.random.default_rng(3).permutation(dimension)
        shuffled = replace(pca, basis=pca.basis[:, order])
        assert shuffled.coordinates(rows[:, order]).tobytes() == pca.coordinates(rows).tobytes()

    def test_long_descriptors_are_worked_on_in_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = FITTED.coordinates(ROWS)
        monkeypatch.setattr("neardup.descriptors.pca._BLOCK_NUMBERS", 7 * 60)
        assert FITTED.coordinates(ROWS).tobytes() == whole.tobytes()

    def test_no_rows(self) -> None:
        assert FITTED.coordinates(ROWS[:0]).shape == (0, 8)


class TestBytes:
    @pytest.mark.parametrize("pca", [FITTED, WHITENED])
    def test_what_is_read_is_what_was_written(self, pca: Pca) -> None:
        read = Pca.from_bytes(pca.to_bytes())
        assert len(pca.to_bytes()) == pca.nbytes
        assert (read.fingerprint, read.wanted, read.whiten) == (pca.fingerprint, pca.wanted, pca.whiten)
        assert read.coordinates(ROWS).tobytes() == pca.coordinates(ROWS).tobytes()

    def test_fingerprints_tell_them_apart(self) -> None:
        others = [WHITENED, fit_pca(ROWS, 7), fit_pca(ROWS[1:], 8), replace(FITTED, offset=FITTED.offset + 1e-12)]
        assert len({FITTED.fingerprint, *(each.fingerprint for each in others)}) == 5
        assert FITTED.fingerprint.startswith("pca-1:8-")
        assert WHITENED.fingerprint.startswith("pca-1:8w-")

    @pytest.mark.parametrize(
        "stored",
        [
            b"",
            b"\x01",
            b"\x02" + FITTED.to_bytes()[1:],
            FITTED.to_bytes()[:-1],
            FITTED.to_bytes()[: FITTED.nbytes - FITTED.basis.nbytes],
            FITTED.to_bytes()[:-4] + np.float32(np.nan).tobytes(),
            FITTED.to_bytes()[:8] + bytes(4) + FITTED.to_bytes()[12:],
        ],
    )
    def test_what_is_none_is_refused(self, stored: bytes) -> None:
        with pytest.raises(CorruptIndex):
            Pca.from_bytes(stored)

    @given(st.binary(max_size=200))
    def test_garbage_is_refused(self, stored: bytes) -> None:
        with pytest.raises(CorruptIndex):
            Pca.from_bytes(stored)
