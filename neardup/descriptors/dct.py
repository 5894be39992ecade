"""The default descriptor: low frequencies of an image's middle, and its look where these are few; no weights needed.

Every choice here was measured; docs/descriptors.md has the figures.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from neardup.descriptors.base import Descriptor, thumbnail
from neardup.descriptors.faint import FREQUENCIES, FinePart
from neardup.descriptors.names import unknown
from neardup.descriptors.trim import TRIMMING, trimmed
from neardup.types import Descriptors, Pixels

SIDE_PX = 64
LUMA_COEFFICIENTS = 98
CHROMA_COEFFICIENTS = 7  # of each of the two channels
LOOK_NUMBERS = 16
DEFAULT_RADIUS = 0.36
"""Just below one false pair in a million distinct photos."""
CHROMA_WEIGHT = 0.2
"""Enough to separate some garments on one background; with a third more, copies without colour are lost."""
FREQUENCY_POWER = 0.5
"""A coefficient is divided by its frequency to this power: crops and rotations move high frequencies most."""
NOISE_GREY_LEVELS = 0.2
"""Coefficients well below this count as they are, above it by their root: the root alone would amplify noise."""
LOOK_GREY_LEVELS = 0.5
"""Strength of the look in every image: flatter images are told apart by their colour and brightness alone."""
FEW_COEFFICIENTS = 4.0
"""With this few effective coefficients (a gradient has 3, one photo in a thousand 5), the look counts for half."""
LARGEST_ANGLE = 0.4
"""Most that its fine part turns a faint image's vector, in radians: see `neardup.descriptors.faint`."""
LOOK_RADIANS = np.array([5.0, 7.0, 7.0, 3.0])
"""Angle per unit of the root of the brightness, of Cb, of Cr and of the logarithm of contrast, in that order."""

# ITU-R BT.601, as JPEG uses it (JFIF 1.02): rows Y, Cb, Cr.
YCBCR_OF_RGB = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.168735892, -0.331264108, 0.5],
        [0.5, -0.418687589, -0.081312411],
    ]
)

_POSITIONS = np.arange(SIDE_PX) + 0.5


def _lowest_frequencies(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows and columns of the `count` lowest frequencies, leaving out the mean."""
    rows, columns = np.divmod(np.arange(SIDE_PX * SIDE_PX), SIDE_PX)
    order = np.lexsort((columns, rows + columns, rows * rows + columns * columns))[1 : count + 1]
    return rows[order], columns[order]


def dct_basis(count: int) -> NDArray[np.float64]:
    """Return the first `count` rows of the DCT-II along a side, float64 (count, 64).

    Orthonormal rows keep the sum of squares; these are also divided by the root of the side, so that coefficients are
    in grey levels.

    Source: Ahmed, Natarajan and Rao, "Discrete Cosine Transform", IEEE Transactions on Computers, 1974, equation 1.
    """
    frequencies = np.arange(count)[:, np.newaxis]
    basis = np.sqrt(2.0 / SIDE_PX) * np.cos(np.pi * _POSITIONS * frequencies / SIDE_PX)
    basis[0] /= np.sqrt(2.0)
    return np.asarray(basis / np.sqrt(SIDE_PX), dtype=np.float64)


def _hann_window() -> NDArray[np.float64]:
    """Return the weights of the pixels along a side, float64 (64,).

    Crops, rotations, logos and timestamps change the border, where the window is near zero.

    Source: Harris, "On the Use of Windows for Harmonic Analysis with the Discrete Fourier Transform", Proceedings of
    the IEEE, 1978, equation 23.
    """
    return np.asarray(np.sin(np.pi * _POSITIONS / SIDE_PX) ** 2)


class DctDescriptor(Descriptor):
    """98 luminance and 2 x 7 colour DCT coefficients, and 16 numbers for an image's look: 128 in all.

    The coefficients are those of a windowed thumbnail less its windowed mean, so brightness does not count. Their root
    is taken, so that no strong one drowns the others. Normalisation removes contrast.

    An image with few effective coefficients (fog, a sky, a covered lens) resembles all others of its kind. The fewer it
    has, the more its look counts: mean colour, brightness and contrast. In a photo the look counts for next to nothing.

    The vector of a faint image, one with hardly any coarse contrast, is turned by up to 0.4 radians towards a
    direction that all of its pixels determine: see `neardup.descriptors.faint`. Photos are not touched.

    Parameters
    ----------
    trim
        Whether bars and frames of one colour are trimmed first; see `trimmed`.
    """

    def __init__(self, *, trim: bool = True) -> None:
        self.trim = trim
        self.spec = "dct" if trim else "dct:notrim"
        counts = f"{LUMA_COEFFICIENTS}y-{CHROMA_COEFFICIENTS}c-{LOOK_NUMBERS}l"
        self.fingerprint = f"dct-3:{SIDE_PX}px-{counts}-{TRIMMING if trim else 'notrim'}"
        self.dimension = LUMA_COEFFICIENTS + 2 * CHROMA_COEFFICIENTS + LOOK_NUMBERS
        self.reduce_to_px = 2 * SIDE_PX
        self.default_radius = DEFAULT_RADIUS
        self._luma = _lowest_frequencies(LUMA_COEFFICIENTS)
        self._chroma = _lowest_frequencies(CHROMA_COEFFICIENTS)
        self._luma_weights = np.hypot(*self._luma) ** -FREQUENCY_POWER
        self._chroma_weights = CHROMA_WEIGHT * (1 + np.hypot(*self._chroma)) ** -FREQUENCY_POWER
        self._basis = dct_basis(1 + int(np.max(self._luma))) * _hann_window()
        self._fine = FinePart(dct_basis(FREQUENCIES), YCBCR_OF_RGB, self.dimension, LARGEST_ANGLE)
        of_ones = self._basis.sum(axis=1)
        self._of_a_constant = np.outer(of_ones, of_ones)

    def prepare(self, pixels: Pixels) -> NDArray[np.uint8]:
        """Return the uint8 (64, 64, 3) thumbnail of what is inside the bars."""
        return thumbnail(trimmed(pixels) if self.trim else pixels, SIDE_PX)

    @property
    def describer(self) -> Callable[[Sequence[NDArray[np.uint8]]], Descriptors]:
        """What `describe` does: all of it is a few tables; see `Descriptor.describer`."""
        return self.describe

    def features(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 (n, 128): luminance, Cb, Cr, look; for faint images, the fine part is added to all 128."""
        spectrum, means = self._spectrum(prepared)
        coefficients = np.ascontiguousarray(spectrum[:, 0, *self._luma])
        luma = self._luma_weights * _rooted(coefficients)
        chroma = self._chroma_weights * _rooted(np.ascontiguousarray(spectrum[:, 1:, *self._chroma]))
        look = _look(means, np.linalg.norm(coefficients, axis=1)) * _look_strength(np.square(luma))
        numbers = np.concatenate([luma, chroma.reshape(len(prepared), -1), look], axis=1)
        return self._fine.turn(numbers, prepared).astype(np.float32)

    def _spectrum(self, prepared: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return float64 (n, 3, k, k) low frequencies of Y, Cb and Cr less their means, and the means (n, 3).

        One matrix product per image and step, always of the same shape: a single product over the batch would be
        rounded differently for each batch size. In float64, what remains of such differences (and of those between
        processors) disappears in the rounding to float16.
        """
        planes = np.ascontiguousarray(prepared.transpose(0, 3, 1, 2), dtype=np.float64)
        low = np.matmul(np.matmul(self._basis, planes), self._basis.T)
        colours = np.matmul(YCBCR_OF_RGB, low.reshape(len(prepared), 3, -1)).reshape(low.shape)
        means = colours[:, :, 0, 0] / self._of_a_constant[0, 0]
        return colours - means[:, :, np.newaxis, np.newaxis] * self._of_a_constant, means


def _rooted(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(coefficients / np.sqrt(np.hypot(coefficients, NOISE_GREY_LEVELS)), dtype=np.float64)


def _look(mean_ycbcr: NDArray[np.float64], contrast: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return float64 (n, 16) unit vectors that turn with brightness, colour and contrast.

    Each of the four turns at two speeds: the fast one tells near values apart, the slow one far ones.

    Source: the cosine and sine features of Rahimi and Recht, "Random Features for Large-Scale Kernel Machines",
    NIPS 2007, algorithm 1, at chosen frequencies in place of random ones.
    """
    brightness = np.sqrt(np.clip(mean_ycbcr[:, 0], 0.0, 255.0) / 255.0)
    measures = [brightness, mean_ycbcr[:, 1] / 127.5, mean_ycbcr[:, 2] / 127.5, np.log1p(contrast)]
    angles = LOOK_RADIANS * np.stack(measures, axis=1)
    both = np.concatenate([angles, 2.0 * angles], axis=1)
    return np.asarray(np.concatenate([np.cos(both), np.sin(both)], axis=1) / np.sqrt(both.shape[1]))


def _look_strength(energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return float64 (n, 1): the length of the look beside coefficients with these energies, (n, m).

    Source: the effective number is the participation ratio of Bell and Dean, "Atomic vibrations in vitreous silica",
    Discussions of the Faraday Society, 1970: 1 for a single coefficient, m for equal ones.
    """
    total = energies.sum(axis=1, keepdims=True)
    effective = total**2 / np.maximum(np.square(energies).sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    few = (FEW_COEFFICIENTS / np.maximum(effective, 1.0)) ** 4
    return np.asarray(np.sqrt(LOOK_GREY_LEVELS + total * few), dtype=np.float64)


def from_spec(spec: str) -> DctDescriptor:
    """Return what ``dct`` or ``dct:notrim`` names; see `neardup.descriptors.names`."""
    if spec not in {"dct", "dct:notrim"}:
        raise unknown(spec)
    return DctDescriptor(trim=spec == "dct")
