"""The thumbnails of a report: of those that are looked at first, as long as there is room."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from neardup.report.described import Described
from neardup.report.entry import Source
from neardup.report.making import Looking
from neardup.report.pixels import Picture, kept_thumb, side_px
from neardup.report.shown import Shown
from neardup.wording import counted


@dataclass(frozen=True, slots=True)
class Thumbs:
    """Thumbnails.

    Attributes
    ----------
    images
        WebP each.
    by_row
        Which of them each shown image has, -1 for none.
    pictures
        What became of the images that were read, by row.
    """

    images: list[bytes]
    by_row: list[int]
    pictures: dict[int, Picture] = field(default_factory=dict)


def thumbs_of(source: Source, shown: Shown, known: Described, looking: Looking, notes: list[str]) -> Thumbs:
    """Make the thumbnails of shown images; add to the notes which of them have none, and why.

    Raises
    ------
    Misconfigured, Unavailable
        The images cannot be looked for.
    """
    most = looking.making.size
    wanted = _by_interest(shown, known)[: most.thumbs]
    rows = {shown.entries[row].key: row for row in wanted}
    made, missing, room = Thumbs([], [-1] * len(shown)), Counter[str](), most.thumb_bytes
    of_index = 0
    with looking.making.shows("shrink", len(wanted)) as progress:
        images = source.images([shown.entries[row] for row in wanted])
        for picture in looking.decoding.pictures(images, side_px(len(wanted))):
            progress(1)
            row = rows[picture.entry.key]
            made.pictures[row] = picture
            thumb = picture.thumb
            if thumb is None and row in known.kept:
                thumb = kept_thumb(known.kept[row])
                of_index += 1
            if thumb is None:
                missing[picture.missing] += 1
            elif (size := len(thumb) * 4 // 3 + 6) <= room:  # as base64
                made.by_row[row] = len(made.images)
                made.images.append(thumb)
                room -= size
    notes += _told(shown, made, missing, of_index)
    return made


def _by_interest(shown: Shown, known: Described) -> list[int]:
    """Return all rows: groups first, then unique images by how near another one is."""
    is_duplicate = np.array([entry.is_duplicate for entry in shown.entries], dtype=np.bool_)
    heads = np.where(is_duplicate, shown.others, np.arange(len(shown)))
    grouped = set(heads[is_duplicate].tolist())
    far = [np.inf if distance is None else distance for distance in known.distances]
    ranks = [
        (0, float(head), row) if head in grouped else (1, far[row], row) for row, head in enumerate(heads.tolist())
    ]
    return sorted(range(len(shown)), key=ranks.__getitem__)


def _told(shown: Shown, made: Thumbs, missing: Counter[str], of_index: int) -> list[str]:
    notes = [f"No thumbnail of {counted(count, 'image')}: {why}" for why, count in missing.most_common()]
    if of_index:
        notes.append(f"The thumbnails of {of_index} images are what the index keeps of them, small and grey")
    if len(made.images) + missing.total() < len(shown):
        notes.append(f"{len(made.images)} of {len(shown)} images shown have a thumbnail, so that the page stays small")
    return notes
