"""The duplicates of a folder, or of any images, in groups."""

import os
from collections.abc import Iterable, Iterator
from typing import overload

import numpy as np

from neardup.describe_batch import Compared
from neardup.descriptors import DEFAULT
from neardup.errors import BadInput, Misconfigured
from neardup.library.describing import describe_all
from neardup.library.groups import Duplicate, FoundDuplicates, Group, K, Unreadable
from neardup.library.images import ImageLike, Readable, is_one_image, readable
from neardup.library.options import descriptor_of, relation_of, require_workers
from neardup.relation.describing import Describer
from neardup.relation.edit import edit_of
from neardup.relation.images import Images, packed
from neardup.relation.nearest import nearest_variants
from neardup.relation.rule import Relation
from neardup.search.duplicates import Duplicates
from neardup.search.duplicates import find_duplicates as found_among
from neardup.sources.files import find_images
from neardup.sources.images import as_bad_input
from neardup.types import Descriptors

_NORM_SLACK = 2e-3
_PAIRS_BYTES = 64 * 1024 * 1024
_DIMENSIONS = 2


@overload
def find_duplicates(  # type: ignore[overload-overlap]  # a text is a path, never an iterable of texts
    images: str | os.PathLike[str],
    *,
    radius: float | None = ...,
    descriptor: str = ...,
    local_change: float | None = ...,
    agreement: float | None = ...,
    match_flips: bool = ...,
    match_rotations: bool = ...,
    match_parts: bool = ...,
    largest_first: bool = ...,
    workers: int | None = ...,
) -> FoundDuplicates[str]: ...
@overload
def find_duplicates(
    images: Iterable[ImageLike] | Descriptors,
    *,
    radius: float | None = ...,
    descriptor: str = ...,
    local_change: float | None = ...,
    agreement: float | None = ...,
    match_flips: bool = ...,
    match_rotations: bool = ...,
    match_parts: bool = ...,
    workers: int | None = ...,
) -> FoundDuplicates[int]: ...
def find_duplicates(
    images: str | os.PathLike[str] | Iterable[ImageLike] | Descriptors,
    *,
    radius: float | None = None,
    descriptor: str = DEFAULT,
    local_change: float | None = None,
    agreement: float | None = None,
    match_flips: bool = False,
    match_rotations: bool = False,
    match_parts: bool = False,
    largest_first: bool = False,
    workers: int | None = None,
) -> FoundDuplicates[str] | FoundDuplicates[int]:
    """Find the duplicates in a folder, or among images or descriptors.

    An image is a duplicate if it is alike to an earlier image that is kept; it then names the nearest of these. The
    result is the same as comparing every pair, but the search is that of the batch job: even for 100,000 images, most
    of the time goes into describing them.

    Parameters
    ----------
    images
        A folder, with all folders below (hidden files and the litter of storage servers are passed over), or a video
        clip; or an iterable of images; or an array of descriptors, as `describe` returns it. The order of the images
        decides which one is kept: in a folder that of the names.
    radius
        Largest distance of a duplicate, 0 to 2, inclusive; None takes the descriptor's own.
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
    largest_first
        Of a folder: whether pictures with more pixels come before others, and clips last. So the largest copy is kept.
    workers
        Processes that decode; None takes one for each processor, and none for up to 8 images.

    Returns
    -------
    FoundDuplicates
        The groups. They call images by their path below the folder, or by their position in the iterable.

    Raises
    ------
    Misconfigured
        The folder does not exist, or an option is out of its range or needs more than descriptors.

    Examples
    --------
    >>> import neardup
    >>> for group in neardup.find_duplicates("photos"):
    ...     print(group.kept, [each.image for each in group.duplicates])
    cat.jpg ['cat_small.jpg']
    """
    require_workers(workers)
    if largest_first and not isinstance(images, str | os.PathLike):
        raise Misconfigured("largest_first is for a folder: of many images, the earlier one is kept")
    if isinstance(images, np.ndarray):
        rows = _checked(images)
        switches = match_flips or match_rotations or match_parts
        wants_images = switches or local_change is not None or agreement is not None
        relation = _relation_of_rows(rows, radius, descriptor, wants_images=wants_images)
        return _found(list(range(len(rows))), Images(rows), [], relation)
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
    describer = Describer(chosen, relation)
    if isinstance(images, str | os.PathLike):
        in_folder = find_images([os.fspath(images)])
        in_folder = in_folder.largest_first() if largest_first else in_folder
        return _found(*_described(((each.image_id, each) for each in in_folder), describer, workers), relation)
    if is_one_image(images):
        raise TypeError("find_duplicates takes a folder or many images, not a single image")
    return _found(*_described(enumerate(map(readable, images)), describer, workers), relation)


def _checked(rows: Descriptors) -> Descriptors:
    if rows.dtype != np.float16 or rows.ndim != _DIMENSIONS:
        raise Misconfigured(
            f"an array of {rows.dtype} {rows.shape}: it should be descriptors, float16 (n, d), as neardup.describe "
            "returns them; images go into a list"
        )
    norms = np.linalg.norm(rows.astype(np.float32), axis=1)
    wrong = np.flatnonzero(~(np.abs(norms - 1.0) <= _NORM_SLACK))
    if len(wrong):
        raise Misconfigured(
            f"descriptors should have length 1, and row {wrong[0]} has {norms[wrong[0]]:g}: divide each row by its "
            "length before it becomes float16"
        )
    return rows


def _relation_of_rows(rows: Descriptors, radius: float | None, descriptor: str, *, wants_images: bool) -> Relation:
    if wants_images:
        raise Misconfigured("local_change, agreement and the match_ options need images, not descriptors")
    chosen = descriptor_of(descriptor)
    if radius is None and rows.shape[1] != chosen.dimension:
        raise Misconfigured(
            f"descriptors of {rows.shape[1]} numbers, but {descriptor!r} has {chosen.dimension}: say which descriptor "
            "made them, or give a radius"
        )
    return relation_of(chosen, radius=radius, local_change=None, agreement=None)


def _described(
    images: Iterable[tuple[K, Readable]], describer: Describer, workers: int | None
) -> tuple[list[K], Images | None, list[Unreadable[K]]]:
    """Return who was described, what they are compared by (None when nobody was), and what was left out."""
    keys: list[K] = []
    described: list[K] = []
    unreadable: list[Unreadable[K]] = []

    def noted() -> Iterator[Readable]:
        for key, image in images:
            keys.append(key)
            yield image

    def compared() -> Iterator[Compared]:
        for number, outcome in enumerate(describe_all(noted(), describer, workers)):
            if isinstance(outcome, BadInput | OSError):
                error = as_bad_input(outcome)
                unreadable.append(Unreadable(keys[number], error.reason, str(error)))
            else:
                described.append(keys[number])
                yield outcome

    return described, packed(compared(), describer.parts), unreadable


def _found(
    keys: list[K], images: Images | None, unreadable: list[Unreadable[K]], relation: Relation
) -> FoundDuplicates[K]:
    if images is None or not len(images):
        return FoundDuplicates((), (), tuple(unreadable), relation.radius)
    found = found_among(images, relation)
    told = dict(_told(keys, images, found, relation))
    groups = tuple(
        Group(keys[row], tuple(told[duplicate] for duplicate in duplicates))
        for row, duplicates in found.groups().items()
    )
    kept = tuple(keys[row] for row in np.flatnonzero(found.is_unique).tolist())
    return FoundDuplicates(groups, kept, tuple(unreadable), relation.radius)


def _told(keys: list[K], images: Images, found: Duplicates, relation: Relation) -> Iterator[tuple[int, Duplicate[K]]]:
    """Iterate over (row, what is told of it) of the duplicates: the symmetry, too, which the finder leaves out."""
    all_rows = np.flatnonzero(~found.is_unique)
    step = max(1, _PAIRS_BYTES // (8 * images.descriptors.shape[1]))
    for start in range(0, len(all_rows), step):
        rows = all_rows[start : start + step]
        others = images.with_variants().at(found.unique_of[rows])
        for row, near in zip(rows.tolist(), nearest_variants(images, rows, others, relation), strict=True):
            symmetry, look = near.symmetry, near.look
            yield (
                row,
                Duplicate(
                    keys[row],
                    float(found.l2_distance[row]),
                    symmetry,
                    near.local_change,
                    None if look is None else look.agreement,
                    None if look is None else edit_of(look, symmetry),
                ),
            )
