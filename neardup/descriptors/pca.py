"""Principal components that shorten long descriptors: found once from a seed set, kept with the index.

The arithmetic is exact, as it is for distances: a descriptor's numbers are multiples of 2^-24 (float16), those of the
basis are rounded to multiples of 2^-28, so products are multiples of 2^-52. Rows on both sides have unit length, so no
partial sum is more than slightly over 2^52 units, and float64 holds integers up to 2^53. An image's coordinates are the
same bits in every batch and on every machine.

Source: centring, rotation, optional whitening and a second normalisation as in Jégou and Chum, "Negative evidences and
co-occurrences in image retrieval: the benefit of PCA and whitening", ECCV 2012, section 3.
"""

import hashlib
import struct
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from neardup.errors import CorruptIndex, Misconfigured
from neardup.types import Descriptors

FEWEST = 2
"""A single coordinate of unit length is +1 or -1, which describes nothing."""
_STEP = 2.0**-28
_ROUNDING_VARIANCE = 8 * 2.0**-22 / 12
"""Divided by d: the variance that rounding to float16 gives unit rows of d numbers in every direction, and a margin;
below it, whitening would only amplify noise. The relative step of float16 is 2^-11, and the variance of an error spread
evenly over a step is a twelfth of its square.
"""
_BLOCK_NUMBERS = 1 << 23
"""Raw numbers processed at a time: 64 MiB as float64."""
_HEAD = struct.Struct("<BBHII")
_VERSION = 1


@dataclass(frozen=True)
class Pca:
    """An affine map from unit descriptors of d numbers to n coordinates.

    Attributes
    ----------
    wanted
        How many components were asked for; there are fewer when the seed set varied in fewer directions.
    whiten
        Whether coordinates are divided by their standard deviation over the seed set.
    basis
        float32 (n, d), multiples of 2^-28; the rows are orthonormal up to that rounding.
    offset
        float64 (n,): the coordinates of the mean.
    scale
        float64 (n,): what coordinates are multiplied by; all ones without whitening.
    """

    wanted: int
    whiten: bool
    basis: NDArray[np.float32]
    offset: NDArray[np.float64]
    scale: NDArray[np.float64]

    @property
    def components(self) -> int:
        """Number of coordinates, n."""
        return len(self.basis)

    @property
    def raw_dimension(self) -> int:
        """Length of the descriptors that it takes, d."""
        return int(self.basis.shape[1])

    @property
    def nbytes(self) -> int:
        """Length of `to_bytes`, in bytes."""
        return _HEAD.size + self.offset.nbytes + self.scale.nbytes + self.basis.nbytes

    @cached_property
    def fingerprint(self) -> str:
        """Identifier that changes whenever the coordinates would."""
        digest = hashlib.sha256(self.to_bytes()).hexdigest()[:16]
        return f"pca-{_VERSION}:{self.components}{'w' if self.whiten else ''}-{digest}"

    @cached_property
    def _columns(self) -> NDArray[np.float64]:
        return np.ascontiguousarray(self.basis.T, dtype=np.float64)

    def coordinates(self, descriptors: Descriptors) -> NDArray[np.float64]:
        """Return float64 (m, n) coordinates of float16 (m, d) unit descriptors, not normalised."""
        rows = max(1, _BLOCK_NUMBERS // self.raw_dimension)
        found = np.empty((len(descriptors), self.components))
        for start in range(0, len(descriptors), rows):
            found[start : start + rows] = descriptors[start : start + rows].astype(np.float64) @ self._columns
        return (found - self.offset) * self.scale

    def to_bytes(self) -> bytes:
        """Return the map as bytes, little-endian: version, whiten, reserved, wanted, n, offset, scale, basis."""
        head = _HEAD.pack(_VERSION, self.whiten, 0, self.wanted, self.components)
        parts = [self.offset.astype("<f8"), self.scale.astype("<f8"), self.basis.astype("<f4")]
        return b"".join([head, *(part.tobytes() for part in parts)])

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Pca":
        """Read what `to_bytes` wrote.

        Raises
        ------
        CorruptIndex
            The bytes are not that.
        """
        if len(stored) < _HEAD.size or stored[0] != _VERSION:
            raise CorruptIndex(f"not principal components of version {_VERSION}: {stored[:16]!r}")
        _, whiten, _, wanted, components = _HEAD.unpack_from(stored)
        basis_at = _HEAD.size + 16 * components
        if components < 1 or len(stored) <= basis_at or (len(stored) - basis_at) % (4 * components):
            raise CorruptIndex(f"{len(stored)} bytes do not hold {components} principal components")
        moments = np.frombuffer(stored, "<f8", 2 * components, _HEAD.size).astype(np.float64).reshape(2, -1)
        basis = np.frombuffer(stored, "<f4", offset=basis_at).astype(np.float32).reshape(components, -1)
        if not (np.isfinite(moments).all() and np.isfinite(basis).all()):
            raise CorruptIndex("the principal components hold NaN or infinity")
        return cls(wanted, bool(whiten), basis, moments[0], moments[1])


def fit_pca(descriptors: Descriptors, components: int, *, whiten: bool = False) -> Pca:
    """Find the principal components of float16 (m, d) descriptors; the same rows give the same ones.

    There are `components` of them, or as many as the rows vary in. Where that is far fewer than d and m, they are found
    by a seeded randomised method (Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 2011;
    scikit-learn's).

    Raises
    ------
    Misconfigured
        The rows vary in fewer than two directions.
    """
    from sklearn.decomposition import PCA  # noqa: PLC0415 - seconds to import, and only the bootstrap fits

    rows = descriptors.astype(np.float32)
    size = min(components, len(rows) - 1, rows.shape[1])
    if size < FEWEST or (rows == rows[0]).all():
        raise _too_few(len(rows))
    model = PCA(size, random_state=0, copy=False).fit(rows)
    kept = int((model.explained_variance_ > _ROUNDING_VARIANCE / rows.shape[1]).sum())
    if kept < FEWEST:
        raise _too_few(len(rows))
    basis = (np.round(model.components_[:kept].astype(np.float64) / _STEP) * _STEP).astype(np.float32)
    offset = basis.astype(np.float64) @ model.mean_.astype(np.float64)
    deviation = np.sqrt(model.explained_variance_[:kept].astype(np.float64))
    return Pca(components, whiten, basis, offset, 1.0 / deviation if whiten else np.ones(kept))


def _too_few(rows: int) -> Misconfigured:
    return Misconfigured(
        f"{rows} seed images vary in fewer than {FEWEST} directions: use a larger seed set, or no projection"
    )
