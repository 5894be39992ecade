"""What a bootstrap found out about each of its seeds, as a file beside its report, from which a page is made.

The first line tells of all: where it comes from, the radius, the descriptor. Then there is a line for each seed: its
verdict, or what is wrong with it.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neardup.errors import Misconfigured
from neardup.report.entry import About, Bad, Entry, Judged, Kind, Place, Read, corners_of
from neardup.report.sources.broken import Broken
from neardup.report.sources.files import Files
from neardup.sources.names import name_of, text_of
from neardup.tidy.lines import Document, line_of, read_lines, replacing
from neardup.types import Box

SCHEMA = "neardup.seeds/1"
SEEDS_FILE = "seeds.jsonl"
"""In the folder of a bootstrap's report."""


@dataclass(frozen=True, slots=True)
class Seed:
    """A seed that was compared, as a line of the file tells it; most of it as in `Entry`.

    Attributes
    ----------
    path
        Of its file, or of the clip that it is a frame of; None where that is not known.
    bytes, mtime_ns
        Of an image file.
    duplicate_of, duplicate_of_key
        Name and key of the member that it duplicates.
    nearest, distance
        Key of the nearest unique image before it, of a unique one; the distance to that, or to what it duplicates.
    shown, shows
        The part that both show: in the image, and in the member.
    """

    key: str
    name: str
    path: str | None
    bytes: int | None
    mtime_ns: int | None
    duplicate_of: str | None
    duplicate_of_key: str | None
    nearest: str | None
    distance: float | None
    is_ruled_out: bool
    cluster: int
    x: float
    y: float
    done: str
    shown: Box | None = None
    shows: Box | None = None

    def document(self) -> Document:
        """Return it as JSON can hold it."""
        return {
            "key": self.key,
            "image_id": self.name,
            "path": None if self.path is None else text_of(self.path),
            "bytes": self.bytes,
            "mtime_ns": self.mtime_ns,
            "verdict": "unique" if self.duplicate_of is None else "duplicate",
            "duplicate_of": self.duplicate_of,
            "duplicate_of_key": self.duplicate_of_key,
            "nearest": self.nearest,
            "distance": self.distance,
            "ruled_out": self.is_ruled_out,
            "cluster": self.cluster,
            "x": self.x,
            "y": self.y,
            "done": self.done,
            "inset": None if self.shown is None else list(self.shown),
            "box": None if self.shows is None else list(self.shows),
        }


def write_seeds(path: Path, head: Document, seeds: Iterable[Seed], unreadable: Iterable[Bad]) -> None:
    """Write the file.

    Parameters
    ----------
    path
        It is replaced when all is written.
    head
        ``name``, ``index``, ``generation``, ``descriptor``, ``fingerprint``, ``radius``,
        ``local_change``, ``agreement``, ``fps`` and ``made_at``.
    seeds, unreadable
        A line each.

    Raises
    ------
    Misconfigured
        It cannot be written.
    """
    with replacing(path) as file:
        file.write(line_of({"schema": SCHEMA, **head}))
        file.writelines(line_of(seed.document()) for seed in seeds)
        file.writelines(
            line_of({"image_id": bad.name, "reason": bad.reason, "detail": bad.detail}) for bad in unreadable
        )


class SeedsSource:
    """The seeds of a bootstrap, read back.

    Parameters
    ----------
    path
        The file.
    files
        Reads the images.

    Raises
    ------
    Misconfigured
        It is none, or cannot be read.
    """

    def __init__(self, path: Path, files: Files) -> None:
        self._path = path
        self._files = files
        _, self._head = next(read_lines(self._path), (0, Document()))
        if self._head.get("schema") != SCHEMA:
            raise Misconfigured(f"{self._path} is not what neardup bootstrap --report writes: name that folder")
        fps = self._head.get("fps")
        if isinstance(fps, int | float) and fps > 0:
            self._files = replace(files, fps=float(fps))
        self._broken = Broken()

    @property
    def about(self) -> About:
        """See `Source`."""
        name, descriptor = (str(self._head.get(each, "")) for each in ("name", "descriptor"))
        return About(Kind.BOOTSTRAP, name, descriptor=descriptor or None, place=str(self._path.absolute()))

    def read(self) -> Iterator[Judged | Bad]:
        """See `Source`."""
        self._broken = Broken()
        lines = read_lines(self._path, on_broken=self._broken.add)
        next(lines, None)
        for number, line in lines:
            try:
                yield self._judged(line) if "verdict" in line else _bad(line)
            except (KeyError, TypeError, ValueError) as exc:
                self._broken.add(f"{self._path}, line {number}: no seed: {exc}")

    def _judged(self, line: Mapping[str, Any]) -> Judged:
        is_duplicate = line["verdict"] == "duplicate"
        distance = line["distance"]
        if not (distance is None or math.isfinite(distance)):
            raise ValueError("its distance is no number")
        path = line["path"]
        entry = Entry(
            key=str(line["key"]),
            name=str(line["image_id"]),
            is_duplicate=is_duplicate,
            other=line["duplicate_of_key"] if is_duplicate else line["nearest"],
            other_name=line["duplicate_of"],
            distance=None if distance is None else float(distance),
            cluster=int(line["cluster"]),
            done=str(line["done"]),
            outline=_corners(line["inset"]),
            other_outline=_corners(line["box"]),
            place=Place(
                path=None if path is None else name_of(path), topic="", size=line["bytes"], mtime_ns=line["mtime_ns"]
            ),
            x=float(line["x"]),
            y=float(line["y"]),
        )
        head = self._head
        kept = head.get("local_change") is not None, head.get("agreement") is not None
        return Judged(entry, float(head["radius"]), str(head["fingerprint"]), kept, bool(line["ruled_out"]))

    def notes(self) -> Sequence[str]:
        """See `Source`."""
        return self._broken.told()

    def kept(self) -> frozenset[str]:
        """See `Source`."""
        return frozenset()

    def images(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Read]]:
        """See `Source`."""
        return self._files.images(entries)


def _corners(box: Sequence[float] | None) -> Any:  # noqa: ANN401 - an outline or None
    if box is None:
        return None
    left, top, right, bottom = map(float, box)
    return corners_of((left, top, right, bottom))


def _bad(line: Mapping[str, Any]) -> Bad:
    return Bad(str(line["image_id"]), str(line["reason"]), str(line["detail"]))
