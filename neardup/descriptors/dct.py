"""The default descriptor: low frequencies of a small luminance image and a little colour; no weights needed."""

import numpy as np
from numpy.typing import NDArray

from neardup.descriptors.base import Descriptor, thumbnail
from neardup.types import Pixels

SIDE_PX = 64
LUMA_COEFFICIENTS = 224
CHROMA_COEFFICIENTS = 14  # of each of the two channels
CHROMA_WEIGHT = 0.5
DEFAULT_RADIUS = 0.3
"""Just below one false pair in a million distinct photos (docs/descriptors.md)."""
FLOOR_GREY_LEVELS = 1.0
"""Root-mean-square contrast under which an image counts as flat and its mean colour takes over."""

# ITU-R BT.601, as JPEG uses it (JFIF 1.02): rows Y, Cb, Cr.
_YCBCR_OF_RGB = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.168735892, -0.331264108, 0.5],
        [0.5, -0.418687589, -0.081312411],
    ]
)


def _lowest_frequencies(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    rows, columns = np.divmod(np.arange(SIDE_PX * SIDE_PX), SIDE_PX)
    order = np.lexsort((columns, rows + columns, rows * rows + columns * columns))[:count]
    return rows[order], columns[order]


def _dct_basis(count: int) -> NDArray[np.float64]:
    """Return the first `count` rows of the orthonormal DCT-II of a side, float64 (count, 64).

    Source: Ahmed, Natarajan and Rao, "Discrete Cosine Transform", IEEE Transactions on Computers, 1974, equation 1,
    scaled so that rows have unit length.
    """
    frequencies, positions = np.arange(count)[:, np.newaxis], np.arange(SIDE_PX)
    basis = np.sqrt(2.0 / SIDE_PX) * np.cos(np.pi * (positions + 0.5) * frequencies / SIDE_PX)
    basis[0] /= np.sqrt(2.0)
    return np.asarray(basis, dtype=np.float64)


class DctDescriptor(Descriptor):
    """224 luminance and 2 x 14 colour DCT coefficients, and 4 numbers that only flat images feel: 256 in all.

    The luminance's mean is left out, so brightness does not count; normalisation makes contrast not count. An image
    without texture would be left with nothing but amplified noise: the last four numbers, a constant and the mean
    colour at the strength of one grey level of contrast, give it a stable direction of its own.
    """

    def __init__(self) -> None:
        self.spec = "dct"
        self.fingerprint = f"dct-1:{SIDE_PX}px-{LUMA_COEFFICIENTS}y-{CHROMA_COEFFICIENTS}c-{CHROMA_WEIGHT}w"
        self.dimension = LUMA_COEFFICIENTS + 2 * CHROMA_COEFFICIENTS + 4
        self.reduce_to_px = 2 * SIDE_PX
        self.default_radius = DEFAULT_RADIUS
        # The very first coefficient is the mean: the luminance goes without it, colour keeps it.
        luma_rows, luma_columns = _lowest_frequencies(LUMA_COEFFICIENTS + 1)
        self._luma = (luma_rows[1:], luma_columns[1:])
        self._chroma = _lowest_frequencies(CHROMA_COEFFICIENTS)
        # Orthonormal rows keep the sum of squares; dividing by the side makes the unit grey levels.
        self._basis = _dct_basis(1 + max(int(luma_rows.max()), int(luma_columns.max())))

    def prepare(self, pixels: Pixels) -> NDArray[np.uint8]:
        """Return the uint8 (64, 64, 3) thumbnail."""
        return thumbnail(pixels, SIDE_PX)

    def features(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 (n, 256): luminance, Cb, Cr coefficients, flatness part."""
        spectrum = self._spectrum(prepared)
        luma = spectrum[:, 0, *self._luma]
        chroma = CHROMA_WEIGHT * spectrum[:, 1:, *self._chroma].transpose(0, 2, 1).reshape(len(prepared), -1)
        parts = [luma, chroma, self._flatness(spectrum[:, :, 0, 0])]
        return np.concatenate(parts, axis=1, dtype=np.float32, casting="same_kind")

    def _spectrum(self, prepared: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return float64 (n, 3, k, k): the low frequencies of Y, Cb and Cr, in grey levels.

        One matrix product an image and a step, of the same shape each time: a single product over the batch would
        be rounded differently for each size of the batch. float64 leaves nothing of what is left of that (and of
        differences between processors) after the rounding to float16.
        """
        planes = np.ascontiguousarray(prepared.transpose(0, 3, 1, 2), dtype=np.float64)
        low = np.matmul(np.matmul(self._basis, planes), self._basis.T) / SIDE_PX
        colours = np.matmul(_YCBCR_OF_RGB, low.reshape(len(prepared), 3, -1))
        return np.asarray(colours.reshape(low.shape), dtype=np.float64)

    @staticmethod
    def _flatness(mean_ycbcr: NDArray[np.float64]) -> NDArray[np.float64]:
        centred = (mean_ycbcr - np.array([127.5, 0, 0])) / 127.5
        direction = np.concatenate([np.ones((len(centred), 1)), centred], axis=1)
        unit = direction / np.linalg.norm(direction, axis=1, keepdims=True)
        return np.asarray(FLOOR_GREY_LEVELS * unit, dtype=np.float64)
