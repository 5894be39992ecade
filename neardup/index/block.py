"""Members in one growing matrix, and the search for the nearest."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from neardup.search.distance import l2_distances
from neardup.types import Descriptors, Match, Member, Query

Scalar = TypeVar("Scalar", bound=np.generic)

_FIRST_ROWS = 16
_AHEAD_BYTES = 64 * 1024 * 1024
_FLOAT32_EPSILON = 2.0**-24
_FLOAT16_EPSILON = 2.0**-11
_FLOAT16_SMALLEST_HALF = 2.0**-25


def _every(_: Member) -> bool:
    return True


class MemberBlock:
    """An append-only list of members whose descriptors form one matrix.

    Parameters
    ----------
    dimension
        Length of a descriptor.
    """

    def __init__(self, dimension: int) -> None:
        self._members: list[Member] = []
        self._keys: set[str] = set()
        self._float16: Descriptors = np.empty((_FIRST_ROWS, dimension), dtype=np.float16)
        self._float32: NDArray[np.float32] = np.empty((_FIRST_ROWS, dimension), dtype=np.float32)
        self._slack = _slack(dimension)
        self._coming: Sequence[Descriptors] = ()
        self._places: dict[bytes, int] = {}
        self._ahead: dict[bytes, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        """Iterate over the members in insertion order."""
        return iter(tuple(self._members))

    def __contains__(self, key: object) -> bool:
        """Return whether a member has this key."""
        return key in self._keys

    @property
    def descriptors(self) -> Descriptors:
        """The members' descriptors, float16 (n, d); a view."""
        return self._float16[: len(self._members)]

    @property
    def nbytes(self) -> int:
        """Memory held by the matrices, in bytes."""
        return self._float16.nbytes + self._float32.nbytes

    def append(self, member: Member) -> None:
        """Add one member at the end."""
        row = len(self._members)
        if row == len(self._float16):
            self._grow()
        self._float16[row] = member.descriptor
        self._float32[row] = member.descriptor
        self._members.append(member)
        self._keys.add(member.key)

    def _grow(self) -> None:
        rows = 2 * len(self._float16)
        self._float16 = _with_rows(self._float16, rows)
        self._float32 = _with_rows(self._float32, rows)

    def look_ahead(self, descriptors: Sequence[Descriptors]) -> None:
        """Say what will be asked for next, so that it is compared together: one by one, memory is too slow.

        What was said before is forgotten.

        Parameters
        ----------
        descriptors
            float16 (d,) each, unit norm, in the order in which they are asked for.
        """
        self._ahead = {}
        self._coming, self._places = descriptors, {each.tobytes(): place for place, each in enumerate(descriptors)}

    def _closeness(self, descriptor: Descriptors) -> NDArray[np.float32]:
        """Return the float32 products with all members, (n,); the array is the caller's own."""
        count, key = len(self._members), descriptor.tobytes()
        if key in self._places and key not in self._ahead:
            first = self._places[key]
            some = self._coming[first : first + max(1, _AHEAD_BYTES // (4 * max(1, count)))]
            products = np.stack(some).astype(np.float32) @ self._float32[:count].T
            self._ahead = {each.tobytes(): row for each, row in zip(some, products, strict=True)}
        ahead, wide = self._ahead.get(key), descriptor.astype(np.float32)
        if ahead is None:
            return np.asarray(self._float32[:count] @ wide)
        return np.concatenate([ahead, self._float32[len(ahead) : count] @ wide])

    def nearest(self, descriptor: Descriptors, counts: Callable[[Member], bool] = _every) -> Match | None:
        """Return the nearest member by exact distance, the first inserted on a tie; None when there is none.

        Parameters
        ----------
        descriptor
            float16 (d,), unit norm.
        counts
            Which members count.
        """
        closeness = self._closeness(descriptor)
        while closeness.size and np.isfinite(closeness.max()):
            # A float32 pass selects the few rows that can be nearest; only these are measured exactly.
            rows = np.flatnonzero(closeness >= closeness.max() - self._slack)
            counting = [row for row in rows.tolist() if counts(self._members[row])]
            if len(counting) == len(rows):
                exact = l2_distances(descriptor[np.newaxis], self._float16[rows])[0]
                best = int(exact.argmin())
                return Match(self._members[int(rows[best])], float(exact[best]))
            closeness[np.setdiff1d(rows, counting)] = -np.inf
        return None

    def within(self, descriptor: Descriptors, radius: float) -> list[tuple[int, Match]]:
        """Return every member within the radius of float16 (d,), inclusive, by exact distance, with its place."""
        closeness = self._closeness(descriptor)
        rows = np.flatnonzero(closeness >= 1.0 - radius * radius / 2.0 - self._slack)
        exact = l2_distances(descriptor[np.newaxis], self._float16[rows])[0]
        return [
            (row, Match(self._members[row], l2_distance))
            for row, l2_distance in zip(rows.tolist(), exact.tolist(), strict=True)
            if l2_distance <= radius
        ]


def _slack(dimension: int) -> float:
    """Return the largest error of the float32 pass when it compares two rows.

    Twice the worst case of a float32 dot product of unit vectors (Higham, Accuracy and Stability of Numerical
    Algorithms, section 3.1), and the norms of rows rounded to float16: half the difference of two squares, each
    within twice the norm's own error of 1. A tenth more for the terms of second order.
    """
    products = dimension * _FLOAT32_EPSILON
    norms = _FLOAT16_EPSILON + _FLOAT16_SMALLEST_HALF * math.sqrt(dimension)
    return 1.1 * (2.0 * products / (1.0 - products) + 2.0 * norms)


def _with_rows(matrix: NDArray[Scalar], rows: int) -> NDArray[Scalar]:
    grown = np.empty((rows, matrix.shape[1]), dtype=matrix.dtype)
    grown[: len(matrix)] = matrix
    return grown


def member_of(query: Query) -> Member:
    """Return the member that a unique query becomes."""
    return Member(query.key, query.image_id, query.descriptor, query.captured_at_ms, query.kept)
