"""The result of a search for duplicates: groups, each with the image that is kept first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from neardup.relation.edit import Edit
from neardup.types import Symmetry

K = TypeVar("K", str, int)
"""What tells images apart: their paths below the folder, or their positions."""


@dataclass(frozen=True, slots=True)
class Duplicate(Generic[K]):
    """An image that is a duplicate of the one kept.

    Attributes
    ----------
    image
        Which one: its path below the folder, or its position among the images given.
    distance
        L2 distance of the descriptors, in [0, 2]; 0 is identical.
    symmetry
        What was done to the image before it matched.
    local_change
        Largest difference in one place, in grey levels; None when it was not asked for.
    agreement
        Share of what both show that is the same, 0 to 1; None when it was not asked for.
    edit
        How the image differs from the one kept; None when it was not asked for.

    Examples
    --------
    >>> import neardup
    >>> group = neardup.find_duplicates("photos", match_flips=True).groups[0]
    >>> [(each.image, str(each.symmetry)) for each in group.duplicates]
    [('cat_mirrored.jpg', 'mirror'), ('cat_small.jpg', 'none')]
    """

    image: K
    distance: float
    symmetry: Symmetry = Symmetry.NONE
    local_change: float | None = None
    agreement: float | None = None
    edit: Edit | None = None


@dataclass(frozen=True, slots=True)
class Group(Generic[K]):
    """An image that is kept, and its duplicates.

    Attributes
    ----------
    kept
        The first of them.
    duplicates
        The others, in their order. Each is a duplicate of the one kept: there are no chains.

    Examples
    --------
    >>> import neardup
    >>> [group] = neardup.find_duplicates("photos")
    >>> group.kept
    'cat.jpg'
    """

    kept: K
    duplicates: tuple[Duplicate[K], ...]


@dataclass(frozen=True, slots=True)
class Unreadable(Generic[K]):
    """An image that was left out.

    Attributes
    ----------
    image
        Which one, as in `Duplicate`.
    reason
        A short slug, such as ``undecodable`` or ``truncated``; docs/wire-contracts.md lists them.
    detail
        What went wrong, in words.

    Examples
    --------
    >>> import neardup
    >>> [bad] = neardup.find_duplicates("photos").unreadable
    >>> bad.image, bad.reason
    ('notes.txt', 'undecodable')
    """

    image: K
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class FoundDuplicates(Generic[K]):
    """What `find_duplicates` found; iterating over it gives the groups, its length is their number.

    Attributes
    ----------
    groups
        In the order of the images that are kept.
    kept
        All images that are kept, in order; those without duplicates, too.
    unreadable
        What was left out, with its reason.
    radius
        Largest distance of a duplicate, inclusive.

    Examples
    --------
    >>> import neardup
    >>> found = neardup.find_duplicates("photos")
    >>> len(found), found.kept
    (1, ('cat.jpg', 'cat_mirrored.jpg', 'dog.jpg'))
    >>> [each.image for each in found.duplicates]
    ['cat_small.jpg']
    """

    groups: tuple[Group[K], ...]
    kept: tuple[K, ...]
    unreadable: tuple[Unreadable[K], ...]
    radius: float

    @property
    def duplicates(self) -> tuple[Duplicate[K], ...]:
        """The duplicates of all groups: what could be deleted."""
        return tuple(each for group in self.groups for each in group.duplicates)

    def __iter__(self) -> Iterator[Group[K]]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)
