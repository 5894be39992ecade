"""The images that are shown: which of all, in which order, each with the one that it was compared with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neardup.report.entry import Entry, Judged, Kind, Place, Source
from neardup.report.sample import chosen
from neardup.report.tally import Tally, number_of

_OTHER_TEXT_BYTES = 180
"""Of an image on the page, besides its names: numbers, and what separates them."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown, in the order of judging.

    Attributes
    ----------
    entries
        The images; first those that were there before.
    others
        intp (n,): the row of the image that each was compared with, -1 where none is known.
    kept
        bool (n,): whether it is to come first in its group.
    """

    entries: Sequence[Entry]
    others: NDArray[np.intp]
    kept: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.entries)

    @property
    def own(self) -> int:
        """How many of them were judged here."""
        return sum(not each.is_outside for each in self.entries)


def gathered(source: Source, tally: Tally, most: int, most_bytes: int, radius: float) -> Shown:
    """Read a source once more, for what is shown of it.

    Parameters
    ----------
    source
        As it was counted.
    tally
        Of all of it.
    most, most_bytes
        How many images, and about how many bytes all that the page says of them.
    radius
        Around which images are looked at most.
    """
    wanted = chosen(tally, most, radius)
    found = [each.entry for each in source.read() if isinstance(each, Judged) and number_of(each.entry.key) in wanted]
    if source.about.kind is Kind.TOPIC:
        found.sort(key=lambda entry: (entry.judged_ms, entry.key))
    found = _within(found, most_bytes)
    entries = [*_outside(found), *found]
    rows = {entry.key: row for row, entry in enumerate(entries)}
    others = [rows.get(entry.other, -1) if entry.other else -1 for entry in entries]
    return Shown(entries, np.array(others, dtype=np.intp), _kept(entries, others, source.kept()))


def _within(entries: Sequence[Entry], most_bytes: int) -> list[Entry]:
    """Return as many as have room: where names are very long, not all that were chosen."""
    sizes = [_text_bytes(entry) for entry in entries]
    if sum(sizes) <= most_bytes:
        return list(entries)
    # Unique images first, or many duplicates would need one that is not judged here.
    order = sorted(range(len(entries)), key=lambda row: (entries[row].is_duplicate, number_of(entries[row].key)))
    within = np.cumsum([sizes[row] for row in order]) <= most_bytes
    return [entries[row] for row in sorted(row for row, fits in zip(order, within, strict=True) if fits)]


def _text_bytes(entry: Entry) -> int:
    names = (entry.name, entry.other_name or "", entry.done)
    # As JSON in a page; what is not ASCII is written as it is, or escaped to six bytes.
    return _OTHER_TEXT_BYTES + sum(len(name) if name.isascii() else 3 * len(name) for name in names)


def _outside(entries: Sequence[Entry]) -> list[Entry]:
    """Return the images that some of these duplicate, and that are none of them."""
    known = {entry.key for entry in entries}
    missing = {entry.other: entry for entry in entries if entry.other is not None and entry.other not in known}
    return [_before(key, entry) for key, entry in missing.items() if entry.is_duplicate]


def _before(key: str, duplicate: Entry) -> Entry:
    name = duplicate.other_name or key
    return Entry(key, name, is_duplicate=False, place=_place_before(key, name), is_outside=True)


def _place_before(key: str, name: str) -> Place:
    """Return where a member from before may be: its key tells its message, a whole path as its name the file."""
    numbers = key.rsplit("-", 2)
    if len(numbers) == 3 and all(number.isdecimal() for number in numbers[1:]):  # noqa: PLR2004 - topic-partition-offset
        return Place(topic=numbers[0], partition=int(numbers[1]), offset=int(numbers[2]))
    return Place(path=name if name.startswith("/") else None)


def _kept(entries: Sequence[Entry], others: Sequence[int], names: frozenset[str]) -> NDArray[np.bool_]:
    """Return which images come first in their groups: those that a rule has chosen, else the unique ones."""
    kept = np.zeros(len(entries), dtype=np.bool_)
    heads = [
        other if entry.is_duplicate else row for row, (entry, other) in enumerate(zip(entries, others, strict=True))
    ]
    of_rule = {heads[row]: row for row, entry in enumerate(entries) if entry.name in names}
    for head in {head for row, head in enumerate(heads) if entries[row].is_duplicate}:
        kept[of_rule.get(head, head)] = True
    return kept
