"""The second look: whether two images that are near each other show the same, point by point.

A descriptor sees a picture as a whole, so pages of one layout, cards of one kind and garments on white lie near one
another. What tells them apart is small: a name, a digit, a seam. So the points of a picture that stand out are kept,
with what each looks like from close by, and two pictures are compared in these steps:

1. Points that look alike are paired, and the pairs that agree on one scale and one shift are found. Strangers end here.
2. An affine map is fitted to these: it says how the later picture was cropped, scaled, squeezed or turned a little.
3. The agreement is the share of the earlier picture's points, of those that the later one shows, that are found again
   where the map puts them. What is stuck on, cut away or covered costs its points; another text costs nearly all.
4. Drawn pictures may be one form, filled in otherwise. So the later one is measured where the earlier one has its
   cells: a few that differ are enough to tell (`neardup.relation.looks.contradiction`).

How much agreement is needed is another matter (`needed_agreement`): half of the points of a photo are plenty, but half
of those of a drawn page are its lines and headings. A mirrored or turned picture does not agree with its original; what
is asked for that way is compared by a look of its own (`transformed_look`).

The numbers kept are integers, all sums are of integers, and the rest is done number by number: the same on every
machine, whatever else is in the batch. docs/second-look.md says how it was chosen, and what it misses.

What is kept of each picture is in `neardup.relation.looks.look`, the map in `neardup.relation.looks.common_map`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.errors import Misconfigured
from neardup.relation.looks.common_map import FITTED_PX, CommonMap, ReadLook, fitted_map, from_whole, read_look
from neardup.relation.looks.contradiction import LaterPlane, cells_contradict, contradicts
from neardup.relation.looks.look import (
    CELLS,
    CODE,
    COLOUR,
    COUNT,
    GREY,
    HEAD_BYTES,
    LOOK_BYTES,
    PLAINNESS,
    STORED_LOOK_BYTES,
    Way,
    code_numbers,
    part_of,
    plane_of,
    points_of,
    size_of,
    stored_cells_of,
    stored_points_of,
    transformed_codes,
    transformed_look,
)
from neardup.relation.looks.pairing import NORM, codes_of, evened, likeness_of, paired
from neardup.relation.looks.points import LEVELS
from neardup.relation.symmetry import moved_box

VERSION = 2
"""Changes whenever the bytes of a look, or what is computed from them, would."""
_FOUND = 0.75 * NORM**2
"""Least product of the codes of two points, where the map says that they belong together: a cosine of 0.75."""
_LEAST_PAIRS = 6
"""Fewer pairs of points say nothing: strangers have as many by chance."""
_FIRST_POINTS, _FIRST_STORED_POINTS = 64, 32
_LEAST_FIRST_PAIRS = 4
"""A first comparison is of so many of the strongest points; with fewer pairs among them there is no second."""
_LEAST_TURNED_PAIRS = 6
"""Likewise after a mirroring or turn: there are seven of these, so that more strangers get here."""
_LEAST_FOUND = 7
"""Likewise of the earlier image's points that are found where a map puts them."""
_FEWEST_POINTS = 8
"""With fewer than that, a picture is blank: there is nothing to compare."""
_BLANK_L2 = 0.5
"""Blank pictures within that are the same."""
_PLAIN_ENOUGH = 0.5
_MORE_IF_PLAIN = 4 / 3
"""A picture of which half or more is plain needs 7/3 of the agreement."""
_AS_FAR_AS_L2 = 0.4
_LESS_IF_NEAR = 0.3
"""From that distance on all of the agreement is needed, and with descriptors that are equal so much less."""
_LEAST_COVER = 0.2
_LEAST_DRAWN_COVER = 0.5
"""Drawn pictures of which neither lies within the other by half have a pattern in common, and nothing else."""
_MORE_IF_TURNED = 1.3
UNLIKE_L2: float = 2.0
"""The largest distance there is. That of a part of an image counts as such: parts of different pictures are often next
to equal, so nothing is blank within it, and all of the agreement is needed."""
SURE = 0.8
"""With that much agreement, nobody asks whether a mirrored or turned picture would agree better."""
TURNED_L2 = 0.64
"""Mirrored and turned copies are looked for up to here: beyond are too many strangers for seven more looks at each."""
AGREEMENT_DIGITS = 3
"""Agreement, and how much of it is needed, are told in thousandths."""
NEVER = 2.0
"""A needed agreement that no pair has."""
DEFAULT_AGREEMENT = 0.3
"""What ``--agreement auto`` stands for."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ways:
    """Mirrorings and turns of the later image, and whether a duplicate may have had them.

    Attributes
    ----------
    looked_for
        It may, and its descriptor hardly tells: each pair within `TURNED_L2` is compared after each of these, too.
    forbidden
        It may not. A pair that agrees better after one of these is no duplicate, however near it is.
    """

    looked_for: tuple[Way, ...] = ()
    forbidden: tuple[Way, ...] = ()


_NO_WAYS = Ways()


@dataclass(frozen=True, slots=True)
class Looks:
    """What a second look at pairs of images finds, a row for each pair.

    Attributes
    ----------
    agreement
        float64 (n,), in [0, 1], in thousandths: the share of the earlier image's points within the common part that the
        later one shows in their place; 0 where no common part is found, or nothing can be compared.
    needed
        float64 (n,): how much of it the pair needs to be a duplicate; `NEVER` where none is enough.
    maps
        float64 (n, 2, 3): the affine map from the later image to the earlier one, x and y from 0 to 1 in both, from the
        top left; zeros where no common part is found.
    brightness
        float64 (n,), in grey levels: by how much the common part is brighter in the later image.
    contrast
        float64 (n,): the ratio of the later image's contrast to the earlier one's.
    colour
        float64 (n, 2): by how much the common part is bluer (Cb) and redder (Cr) in the later image, in levels of 256.
    cover
        float64 (n,), in [0, 1]: the share of an image's points that lie within the common part, of the image that shows
        less besides, and with a part of an image always of the earlier one; 1 where there is no common part.
    way
        intp (n,): 0 for the later image as it was given, k where it agrees best after the k-th way that was asked for.
    """

    agreement: _Floats
    needed: _Floats
    maps: _Floats
    brightness: _Floats
    contrast: _Floats
    colour: _Floats
    way: NDArray[np.intp]
    cover: _Floats

    @classmethod
    def of_nothing(cls, count: int) -> "Looks":
        """Return rows of what is not a number, to be filled in."""
        agreement, needed, brightness, contrast, cover = (np.full(count, np.nan) for _ in range(5))
        maps, colour = (np.full((count, *shape), np.nan) for shape in ((2, 3), (2,)))
        return cls(agreement, needed, maps, brightness, contrast, colour, np.zeros(count, dtype=np.intp), cover)

    @classmethod
    def of_strangers(cls, count: int) -> "Looks":
        """Return rows of pairs that have no part in common; how much they need is yet to be filled in."""
        agreement, needed, brightness = np.zeros((3, count))
        contrast, cover = np.ones((2, count))
        maps, colour = np.zeros((count, 2, 3)), np.zeros((count, 2))
        return cls(agreement, needed, maps, brightness, contrast, colour, np.zeros(count, dtype=np.intp), cover)


def looks(
    one: NDArray[np.uint8],
    many: NDArray[np.uint8],
    l2: _Floats,
    least: float,
    ways: Ways = _NO_WAYS,
) -> Looks:
    """Compare the look of a later image, or of a part of it, with those of many earlier ones.

    Parameters
    ----------
    one
        uint8 (LOOK_BYTES,) or (STORED_LOOK_BYTES,), of the later image. If it is of a part, maps are still from the
        whole.
    many
        uint8 (n, LOOK_BYTES) or (n, STORED_LOOK_BYTES), of the earlier ones: what is stored of them counts.
    l2
        float64 (n,): the distance of each pair's descriptors.
    least
        Agreement that photos need; see `needed_agreement`.
    ways
        What may have been done to a duplicate besides, and what may not.

    Raises
    ------
    Misconfigured
        The looks have another size or type: they were made by another version.
    """
    _check(one, 1, "a look")
    _check(many, 2, "looks")
    found = _agreements(one, many)
    unsure = np.flatnonzero((l2 <= TURNED_L2) & (found.agreement < SURE))
    if ways.looked_for and len(unsure):
        for number, promising in enumerate(_promising(one, ways.looked_for, many[unsure]), 1):
            if promising.any():
                rows = unsure[promising]
                turned = transformed_look(one, *ways.looked_for[number - 1])
                _take_better(found, rows, _agreements(turned, many[rows]), number)
    # Rounded before anything is decided: whoever is told these numbers decides by them alike.
    found.agreement[:] = np.round(found.agreement, AGREEMENT_DIGITS)
    drawn = many[:, CELLS] > 0
    # Where cells are compared, the lines of a form need not be told from what fills it in.
    compared = drawn & (plane_of(one) is not None)
    plainness = np.where(compared, 0, many[:, PLAINNESS]) / 255
    part = part_of(one)
    proving = l2 if part is None else np.full_like(l2, UNLIKE_L2)
    blank = np.minimum(one[COUNT], many[:, COUNT]) < _FEWEST_POINTS
    needed = needed_agreement(least, plainness, proving, found.cover, turned=found.way > 0)
    of_blank = np.where(proving <= _BLANK_L2, 0.0, NEVER)
    found.needed[:] = np.where(blank, of_blank, np.round(needed, AGREEMENT_DIGITS))
    rows = np.flatnonzero((found.agreement >= found.needed) & drawn & ~blank)
    if len(rows):
        found.needed[_contradicted(one, many, found, rows, ways.looked_for)] = NEVER
    doubtful = np.flatnonzero((found.agreement >= found.needed) & (found.agreement < SURE) & ~blank)
    for way in ways.forbidden if len(doubtful) else ():
        other = _agreements(transformed_look(one, *way), many[doubtful])
        better = np.round(other.agreement, AGREEMENT_DIGITS) > found.agreement[doubtful]
        found.needed[doubtful[better]] = NEVER
    if part is not None:
        for number in np.unique(found.way).tolist():
            rows = np.flatnonzero(found.way == number)
            box = moved_box(part, *ways.looked_for[number - 1]) if number else part
            found.maps[rows] = from_whole(found.maps[rows], box)
    return found


def _contradicted(
    one: NDArray[np.uint8], many: NDArray[np.uint8], found: Looks, rows: NDArray[np.intp], ways: Sequence[Way]
) -> list[int]:
    """Return which of these rows, with earlier pictures that are drawn, have too much that differs or too little."""
    planes: dict[int, LaterPlane | None] = {}
    differ = []
    for row in rows.tolist():
        way = int(found.way[row])
        if way not in planes:
            plane = plane_of(transformed_look(one, *ways[way - 1]) if way else one)
            planes[way] = None if plane is None else LaterPlane(plane)
        later, cells, size, shares = planes[way], stored_cells_of(many[row]), size_of(many[row]), found.maps[row]
        if later is not None:
            contradicted = contradicts(later, cells, size, shares)
        else:
            comparable = one[CELLS] > 0 and way == 0
            contradicted = comparable and cells_contradict(stored_cells_of(one), cells, (size_of(one), size), shares)
        if contradicted or found.cover[row] < _LEAST_DRAWN_COVER:
            differ.append(row)
    return differ


def _take_better(found: Looks, rows: NDArray[np.intp], other: Looks, way: int) -> None:
    """Replace what was found for these rows where the images agree better after a way."""
    better = other.agreement > found.agreement[rows]
    for name in ("agreement", "maps", "brightness", "contrast", "colour", "cover"):
        getattr(found, name)[rows[better]] = getattr(other, name)[better]
    found.way[rows[better]] = way


def needed_agreement(
    least: float, plainness: _Floats, l2: _Floats, cover: _Floats, *, turned: NDArray[np.bool_]
) -> _Floats:
    """Return how much agreement pairs need to be duplicates, at most 1.

    What two plain pictures have in common is often their layout, so they need more. So do pictures of which neither
    lies within the other, as a crop or an inset does: regular patterns agree after a shift. And so do those that were
    compared seven times more, mirrored and turned. Pictures whose descriptors are next to equal need less.

    Parameters
    ----------
    least
        Of a picture without plain parts.
    plainness
        float64 (n,), in [0, 1]: how much of the earlier picture is plain.
    l2
        float64 (n,): distances of descriptors.
    cover
        float64 (n,), in [0, 1]: see `Looks`.
    turned
        bool (n,): whether they agree after a mirroring or turn.
    """
    plain = np.minimum(plainness / _PLAIN_ENOUGH, 1.0)
    near = np.maximum(1 - l2 / _AS_FAR_AS_L2, 0.0)
    needed = least * (1 + _MORE_IF_PLAIN * plain) * (1 - _LESS_IF_NEAR * near) / np.maximum(cover, _LEAST_COVER)
    return np.minimum(needed * np.where(turned, _MORE_IF_TURNED, 1.0), 1.0)


def _agreements(one: NDArray[np.uint8], many: NDArray[np.uint8]) -> Looks:
    found = Looks.of_strangers(len(many))
    ours = points_of(one)
    later, codes = read_look(one[:HEAD_BYTES], ours, is_part=part_of(one) is not None), codes_of(ours)
    for start in range(0, len(many), _TOGETHER) if len(ours) else ():
        _compare(later, codes, many[start : start + _TOGETHER], found, start)
    return found


_TOGETHER = 16
"""Pairs compared at a time: what is made of them stays in the processor's cache."""
_TURNED_TOGETHER = 4
"""The same where each is compared after every mirroring and turn."""


def _check(looked: NDArray[np.uint8], dimensions: int, what: str) -> None:
    if looked.ndim != dimensions or looked.dtype != np.uint8 or looked.shape[-1] not in {LOOK_BYTES, STORED_LOOK_BYTES}:
        raise Misconfigured(
            f"{what} of {looked.dtype} {looked.shape}, {STORED_LOOK_BYTES} or {LOOK_BYTES} bytes each are needed: the "
            "index was filled by another version; bootstrap it again"
        )


def _compare(later: ReadLook, codes: NDArray[np.float32], many: NDArray[np.uint8], found: Looks, start: int) -> None:
    theirs = stored_points_of(many)
    # Most strangers end after a quarter of the work: the strongest points of both come first.
    first = paired(likeness_of(codes[:_FIRST_POINTS], codes_of(theirs[:, :_FIRST_STORED_POINTS])))
    rows = np.flatnonzero(first.paired.sum(axis=1) >= _LEAST_FIRST_PAIRS)
    if not len(rows):
        return
    pairs = paired(likeness_of(codes, codes_of(theirs[rows])))
    for place in np.flatnonzero(pairs.paired.sum(axis=1) >= _LEAST_PAIRS).tolist():
        row = int(rows[place])
        earlier = read_look(many[row, :HEAD_BYTES], theirs[row])
        points = np.flatnonzero(pairs.paired[place])
        fitted = fitted_map(later, earlier, pairs.nearest[place, points], points)
        if fitted is not None:
            _measure(later, earlier, pairs.likeness[place], fitted, found, start + row)


def _promising(one: NDArray[np.uint8], ways: Sequence[Way], many: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return for each way which pairs are worth a look after it, bool (k, n), by their first points."""
    ours = points_of(one)[:_FIRST_POINTS]
    if not len(ours):
        return np.zeros((len(ways), len(many)), dtype=np.bool_)
    theirs = codes_of(stored_points_of(many)[:, :_FIRST_STORED_POINTS])
    turned = evened(transformed_codes(code_numbers(ours), ways))[:, np.newaxis]
    counts = [
        paired(likeness_of(turned, theirs[start : start + _TURNED_TOGETHER])).paired.sum(axis=2)
        for start in range(0, len(theirs), _TURNED_TOGETHER)
    ]
    return np.concatenate(counts, axis=1) >= _LEAST_TURNED_PAIRS


def _measure(  # noqa: PLR0917 - two looks, what is known of the pair, and where it is written down
    later: ReadLook, earlier: ReadLook, likeness: NDArray[np.float32], fitted: CommonMap, found: Looks, row: int
) -> None:
    """Write down how far two looks agree under a map."""
    back = fitted.inverse()
    places = back(earlier.places)
    # A point's level in the later image; half a level is a factor of 2 ** 0.5 in area, which needs no logarithm.
    levels = earlier.levels + int(np.searchsorted(_HALF_LEVELS, back.area)) - LEVELS
    there = earlier.rows[:, CODE].any(axis=1)
    inside = there & ((places > 1) & (places < later.size - 1)).all(axis=1)
    visible = inside & (levels >= 0) & (levels < LEVELS)
    if not visible.any():
        return
    # Few points are alike at all, so that only these are measured.
    alike = np.flatnonzero((likeness > _FOUND) & visible[:, None])
    theirs, ours = np.divmod(alike, likeness.shape[1])
    right, down = np.abs(places[theirs] - later.places[ours]).T
    near = np.maximum(right, down) < FITTED_PX * max(back.area, 1.0) ** 0.5
    in_place = alike[near & (np.abs(levels[theirs] - later.levels[ours]) <= 1)]
    found_again = np.zeros_like(likeness)
    found_again.put(in_place, likeness.take(in_place))
    best = found_again.argmax(axis=1)
    hits = np.flatnonzero(found_again.any(axis=1))
    if len(hits) < _LEAST_FOUND:
        return
    found.agreement[row] = len(hits) / np.count_nonzero(visible)
    seen = fitted(later.places)
    within = ((seen > 0) & (seen < earlier.size)).all(axis=1)
    # A part counts as a picture shown inside. One that shows a part of the earlier one is what forms have in common.
    found.cover[row] = max(0.0 if later.is_part else within.mean(), inside.sum() / there.sum())
    shares = fitted.turn * later.size[:, None] / earlier.size
    found.maps[row] = np.column_stack([shares.T, fitted.shift / earlier.size])
    ours, theirs = later.rows[best[hits]], earlier.rows[hits]
    count = len(hits)
    greys, colours = np.array([ours.T[GREY : COLOUR + 1], theirs.T[GREY : COLOUR + 1]], dtype=np.int64).swapaxes(0, 1)
    sums, squares = greys.sum(axis=1).tolist(), (greys * greys).sum(axis=1).tolist()
    found.brightness[row] = (sums[0] - sums[1]) / count
    power, their_power = (count * square - one * one + count for one, square in zip(sums, squares, strict=True))
    found.contrast[row] = (power / their_power) ** 0.5
    for axis, shift in enumerate((4, 0)):
        later_sum, earlier_sum = (colours >> shift & 15).sum(axis=1).tolist()
        found.colour[row, axis] = 16 * (later_sum - earlier_sum) / count


_HALF_LEVELS = 2.0 ** (np.arange(-LEVELS, LEVELS) + 0.5)
"""Areas at which a point of one image lies nearer to the next level of the other."""
