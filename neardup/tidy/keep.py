"""Which image of a group is kept, and which of the others may go."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from neardup.tidy.groups import Group, Picture, Shows

FIRST = "first"


@dataclass(frozen=True, slots=True)
class Measured:
    """An image of a group with its size, which its header tells.

    Attributes
    ----------
    width_px, height_px
        As they are stored; 0 where the header cannot be read.
    """

    picture: Picture
    width_px: int
    height_px: int

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width_px * self.height_px


Rank = tuple[int, ...]
KEEP: Mapping[str, Callable[[Measured], Rank]] = MappingProxyType(
    {
        "best": lambda each: (-each.pixels, -each.picture.file.size, each.picture.file.mtime_ns),
        "largest": lambda each: (-each.picture.file.size, -each.pixels, each.picture.file.mtime_ns),
        "oldest": lambda each: (each.picture.file.mtime_ns,),
        FIRST: lambda each: (each.picture.place,),
    }
)
"""By name of the rule: what makes an image come first. What is equal by it goes by path, so that two runs agree."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What becomes of a group.

    Attributes
    ----------
    kept
        The image that stays for those that go; None where none may go.
    going
        Image files that may go.
    staying
        All others, each with the reason; empty for `kept`.
    """

    kept: Measured | None
    going: tuple[Measured, ...] = ()
    staying: Mapping[str, str] = field(default_factory=dict)


def choose(group: Group, measured: Mapping[str, Measured], rule: str, *, crops: bool = False) -> Choice:
    """Return what is kept of a group and what may go.

    An image goes only in favour of one that shows as much. Never one that is no file of its own, or more than it shows.

    Parameters
    ----------
    group
        What is alike.
    measured
        Its images, by key.
    rule
        Of `KEEP`.
    crops
        Whether images that show only a part of the group's first go, too.
    """
    reasons = {each.file.key: why_it_stays(each) for each in group.pictures}
    able = [measured[each.file.key] for each in group.pictures if not reasons[each.file.key]]
    if group.first is not None and group.first.is_reference:
        kept = None if _is_odd(group.first) else measured[group.first.file.key]
    else:
        kept = min(able, key=lambda each: (*KEEP[rule](each), each.picture.file.path), default=None)
    if kept is None:
        return Choice(None, (), reasons)
    going = [each for each in able if each is not kept]
    if crops and group.first is not None:
        going += [measured[each.file.key] for each in group.pictures if _is_crop(each)]
    gone = {each.picture.file.key for each in going}
    if not gone:
        return Choice(None, (), reasons)
    return Choice(kept, tuple(going), {key: why for key, why in reasons.items() if key not in gone})


def why_it_stays(picture: Picture) -> str:
    """Return why an image is neither removed nor kept for others; empty if it may be."""
    if picture.is_reference:
        return "of the reference"
    return _is_odd(picture) or picture.shows.value


def _is_odd(picture: Picture) -> str:
    """Return why an image does not stand for its file; empty if it does."""
    if not picture.file.is_image:
        return "a frame of a clip"
    if picture.file.by_link:
        return "a link leads to it"
    return f"one of {picture.frames} frames or pages" if picture.frames > 1 else ""


def _is_crop(picture: Picture) -> bool:
    return picture.shows is Shows.PART and not picture.is_reference and not _is_odd(picture)
