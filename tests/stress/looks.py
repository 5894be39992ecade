"""What the messages show, where a second look decides: few pictures in many forms, and what each form makes of a pair.

Which of two pictures within the radius are duplicates is asked of the relation pair by pair, one earlier picture at a
time, as it is stored: an index asks it of whole batches, of members and of images that are none yet.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from neardup.relation.insets import cropped as part_of
from neardup.relation.kept import stored_kept
from neardup.relation.looks.look import look_of
from neardup.relation.rule import Relation
from neardup.types import Box, Kept, Pixels
from tests.support.drawings import cropped, jpeg_of, page, photo
from tests.support.forms import collage

RADIUS = 0.1
RELATIONS = {
    "plain": Relation(RADIUS),
    "look": Relation(RADIUS, agreement=0.3),
    "symmetries": Relation(RADIUS, agreement=0.3, turned_by_look=True, match_flips=True, match_rotations=True),
    "parts": Relation(
        RADIUS, agreement=0.3, turned_by_look=True, match_flips=True, match_rotations=True, match_parts=True
    ),
}
"""What decides: distance alone, a second look too, that mirrored and turned, and all of it by parts as well."""
PICTURES = 6
INSIDE = 6
"""The form that shows the picture beside another one; a part of it is near the picture."""


def _with_another_half(pixels: Pixels) -> Pixels:
    changed = pixels.copy()
    changed[:, pixels.shape[1] // 2 :] = pixels[::-1, pixels.shape[1] // 2 :]
    return changed


_FORMS: tuple[Callable[[Pixels], Pixels], ...] = (
    lambda pixels: pixels,
    jpeg_of,
    lambda pixels: cropped(pixels, 0.3),
    _with_another_half,
    lambda pixels: np.ascontiguousarray(pixels[:, ::-1]),
    lambda pixels: np.ascontiguousarray(np.rot90(pixels)),
    lambda pixels: collage(pixels, photo(1000, pixels.shape[1], pixels.shape[0])),
)
FORMS = len(_FORMS)


def make_looks(parts: Sequence[Box]) -> Kept:
    """Return the looks of each form of each picture and of its parts; a third of the pictures are pages.

    They are uint8 (PICTURES * FORMS, 1 + number of parts, LOOK_BYTES).
    """
    pictures = [photo(number) if number % 3 else page(number) for number in range(PICTURES)]
    shown = [form(picture) for picture in pictures for form in _FORMS]
    return np.stack(
        [np.stack([look_of(each), *(look_of(part_of(each, part), part) for part in parts)]) for each in shown]
    )


def shown(rng: np.random.Generator, picture: NDArray[np.intp] | int, size: int = 1) -> NDArray[np.intp]:
    """Return rows of `make_looks`: the picture in some form, or one time in six any picture."""
    forms = picture * FORMS + rng.integers(0, FORMS, size)
    return np.where(rng.random(size) < 1 / 6, rng.integers(0, PICTURES * FORMS, size), forms)


def duplicates(
    relation: Relation,
    looks: Kept,
    later: tuple[NDArray[np.intp], NDArray[np.intp]],
    earlier: NDArray[np.intp],
    l2: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Return which pairs within the radius are duplicates, bool (n,).

    Looks are told by their rows in `make_looks`, those of the later images also by which view of them is near.
    """
    if relation.agreement is None:
        return np.ones(len(l2), dtype=np.bool_)
    allowed = np.zeros(len(l2), dtype=np.bool_)
    for row in np.unique(earlier).tolist():
        pairs, stored = np.flatnonzero(earlier == row), stored_kept(looks[row, 0])
        assert stored is not None
        repeated = np.broadcast_to(stored, (len(pairs), len(stored)))
        rows = np.ravel_multi_index(later, looks.shape[:2])[pairs]
        allowed[pairs] = relation.check(looks.reshape(-1, looks.shape[2]), rows, repeated, l2[pairs]).allowed
    return allowed
