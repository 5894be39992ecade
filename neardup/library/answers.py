"""An index's answer for an image, and the names of images in it."""

import os
from dataclasses import dataclass

from neardup.errors import BadImageId
from neardup.library.images import ImageLike
from neardup.relation.edit import Edit
from neardup.types import Symmetry, Verdict

_MOST_NAME_BYTES = 65_535
"""Of a name in a member's record (`neardup.index.stored.codec`)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An index's answer for an image.

    Attributes
    ----------
    verdict
        `Verdict.UNIQUE` or `Verdict.DUPLICATE`; compares equal to ``"unique"`` or ``"duplicate"``.
    duplicate_of
        Name of the nearest member that it duplicates; None for a unique image, as all below.
    distance
        L2 distance to that member, in [0, 2]; 0 is identical.
    symmetry
        What was done to the image before it matched.
    local_change
        Largest difference in one place, in grey levels; also None if not requested.
    agreement
        Share of what both show that is the same, 0 to 1; also None if not requested.
    edit
        How the image differs from the one that it duplicates; also None if not requested.

    Examples
    --------
    >>> import neardup
    >>> index = neardup.Index()
    >>> index.add("photos/cat.jpg").duplicate_of is None
    True
    >>> index.query("photos/cat.jpg").duplicate_of
    'photos/cat.jpg'
    """

    verdict: Verdict
    duplicate_of: str | None = None
    distance: float | None = None
    symmetry: Symmetry = Symmetry.NONE
    local_change: float | None = None
    agreement: float | None = None
    edit: Edit | None = None


def path_of(image: ImageLike) -> str | None:
    """Return what an image is called that was given no name: its path, None when it has none."""
    if not isinstance(image, str | os.PathLike):
        return None
    # A path may hold bytes that are no UTF-8.
    return os.fsencode(image).decode("utf-8", "replace")


def checked_name(name: str) -> str:
    """Return a name that can be stored.

    Raises
    ------
    BadImageId
        It cannot.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError as exc:
        raise BadImageId(f"name {name!r} cannot be written as UTF-8") from exc
    if size > _MOST_NAME_BYTES:
        raise BadImageId(f"name {name[:40]!r}... has {size} bytes, the limit is {_MOST_NAME_BYTES}")
    return name
