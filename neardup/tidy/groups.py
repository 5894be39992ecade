"""Groups of images by the verdicts of a run: one that is unique, with all that duplicate it."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Self

from neardup.relation.edit import Edit
from neardup.sources.names import name_of, text_of

_WHOLE_SHARE = 0.94
"""Of an image's area: how much of it is all of it. By the second look, whole copies of 60 photos, down to a quarter of
their size, showed 0.951 of it at least, and copies that had lost 3 % at each side 0.926 at most."""


@dataclass(frozen=True, slots=True)
class JudgedFile:
    """The file that an image came from, as it was when it was judged.

    Attributes
    ----------
    key
        What identifies the image: that of its message, and of its member.
    path
        The file's; of a frame, its clip's.
    size, mtime_ns
        Bytes, and nanoseconds since the epoch.
    is_image
        Whether it is the image, and not a clip that a frame is of.
    by_link
        Whether a link led to it.
    """

    key: str
    path: str
    size: int
    mtime_ns: int
    is_image: bool = True
    by_link: bool = False

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {**asdict(self), "path": text_of(self.path)}

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read `document`."""
        return cls(**{**document, "path": name_of(document["path"])})


class Shows(Enum):
    """How much a duplicate shows of the image that it duplicates, as people are told why it stays."""

    ALL = ""
    PART = "shows a part of it"
    MORE = "shows more than it"
    UNKNOWN = "no common part was found"


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that was judged.

    Attributes
    ----------
    image_id
        What it is called; of a file of the folder, its path below that.
    place
        When it was judged: 0 is the first.
    file
        What it came from.
    frames
        How many frames or pages its file has.
    member
        Key of the member that it duplicates; None of a unique image.
    duplicate_of, distance
        Of the verdict.
    shows
        How much of that member.
    done
        What was done to it, in words; empty where nothing is known.
    is_reference
        Whether it is of the folder that is never touched.
    """

    image_id: str
    place: int
    file: JudgedFile
    frames: int = 1
    member: str | None = None
    duplicate_of: str | None = None
    distance: float | None = None
    shows: Shows = Shows.ALL
    done: str = ""
    is_reference: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Images that are alike: more than one.

    Attributes
    ----------
    first
        The unique one; None where that is no image of this run, but a member of an index from before.
    pictures
        All, in the order of judging.
    """

    first: Picture | None
    pictures: tuple[Picture, ...]


def picture_of(verdict: dict[str, Any], file: JudgedFile, place: int, *, is_reference: bool = False) -> Picture:
    """Return what groups need to know of a verdict, as the consumer publishes it."""
    is_duplicate = verdict["verdict"] == "duplicate"
    edit = edit_in(verdict) if is_duplicate else None
    return Picture(
        image_id=verdict["image_id"],
        place=place,
        file=file,
        frames=verdict.get("frames", 1),
        member=verdict["member"]["key"] if is_duplicate and verdict["member"] else None,
        duplicate_of=verdict["duplicate_of"],
        distance=verdict["distance"] if is_duplicate else None,
        shows=_shows(edit, looked="edit" in verdict) if is_duplicate else Shows.ALL,
        done=told_done(edit, verdict["symmetry"]) if is_duplicate else "",
        is_reference=is_reference,
    )


def edit_in(verdict: dict[str, Any]) -> Edit | None:
    """Return what a verdict document tells of how an image differs; None where it tells nothing."""
    told: dict[str, Any] | None = verdict.get("edit")
    if told is None:
        return None
    values: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in told.items()}
    return Edit(**values)


def _shows(edit: Edit | None, *, looked: bool) -> Shows:
    if edit is None:
        return Shows.UNKNOWN if looked else Shows.ALL
    if _area(edit.inset) < _WHOLE_SHARE:
        return Shows.MORE
    return Shows.PART if _area(edit.box) < _WHOLE_SHARE else Shows.ALL


def _area(box: tuple[float, float, float, float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def told_done(edit: Edit | None, symmetry: str) -> str:
    """Return what was done to a copy, in words; empty where nothing is known."""
    return str(edit) if edit else "" if symmetry == "none" else symmetry


def groups_of(pictures: Iterable[Picture]) -> Iterator[Group]:
    """Iterate over the groups of more than one image, in the order of their first."""
    groups: dict[str, list[Picture]] = {}
    for picture in sorted(pictures, key=lambda picture: picture.place):
        groups.setdefault(picture.member or picture.file.key, []).append(picture)
    for key, found in groups.items():
        if len(found) > 1:
            yield Group(next((each for each in found if each.file.key == key), None), tuple(found))
