"""How one image differs from another, and whether that makes it a duplicate."""

from neardup.descriptors import DEFAULT
from neardup.library.describing import compared_or_raise
from neardup.library.images import ImageLike
from neardup.library.options import descriptor_of, relation_of
from neardup.relation.comparison import Comparison, compare_described
from neardup.relation.describing import Describer


def compare(
    image: ImageLike,
    other: ImageLike,
    *,
    radius: float | None = None,
    descriptor: str = DEFAULT,
    local_change: float | None = None,
    agreement: float | None = None,
    match_flips: bool = False,
    match_rotations: bool = False,
    match_parts: bool = False,
) -> Comparison:
    """Compare an image with another, and decide whether it is a duplicate of it.

    Parameters
    ----------
    image, other
        Paths, encoded bytes, PIL images or arrays. With symmetries it is `image` that is mirrored and turned, and
        with parts it is `image` that may show the other inside a larger picture.
    radius
        Largest distance of a duplicate, 0 to 2; None takes the descriptor's own.
    descriptor
        ``dct``, ``copynet`` and others.
    local_change
        Largest difference in one place, in grey levels, that a duplicate may have; None compares only the whole.
    agreement
        Least share of what both show that is the same in a duplicate, 0 to 1, by a second look; None takes none.
    match_flips, match_rotations
        Whether a mirrored image, and one turned by 90, 180 or 270 degrees, is a duplicate, too.
    match_parts
        Whether an image that shows an earlier one inside a larger picture is a duplicate, too; needs `agreement`.

    Returns
    -------
    Comparison
        Of the variant of the image that makes it a duplicate; else of the nearest one.

    Raises
    ------
    BadInput
        An image cannot be decoded or described; the message says which.
    OSError
        A file cannot be read.
    Misconfigured
        An option is out of its range, or needs another.

    Examples
    --------
    >>> import neardup
    >>> found = neardup.compare("photos/cat_small.jpg", "photos/cat.jpg")
    >>> found.verdict == "duplicate", found.radius
    (True, 0.36)
    >>> found.why
    'distance 0.0... is within the radius 0.360'
    """
    chosen = descriptor_of(descriptor)
    relation = relation_of(
        chosen,
        radius=radius,
        local_change=local_change,
        agreement=agreement,
        match_flips=match_flips,
        match_rotations=match_rotations,
        match_parts=match_parts,
    )
    first, second = compared_or_raise([image, other], Describer(chosen, relation), None)
    return compare_described(first, second, relation, chosen.fingerprint)
