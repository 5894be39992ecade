"""The verdicts of a run in folder mode, read back."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from neardup.errors import Misconfigured
from neardup.report.entry import About, Bad, Entry, Judged, Kind, Read
from neardup.report.sources.broken import Broken
from neardup.report.sources.files import Files, root_of
from neardup.report.sources.verdicts import judged_of
from neardup.tidy.lines import Document, read_lines
from neardup.tidy.places import Places


class RunSource:
    """The verdicts of a run in folder mode, or of any file that has a verdict on each line.

    Parameters
    ----------
    path
        The file of verdicts; that of dead letters, and the groups, lie beside it.
    files
        Reads the images.
    """

    def __init__(self, path: Path, files: Files) -> None:
        self._path, self._files = path, files
        self._broken, self._notes = Broken(), list[str]()
        self._root: Path | None = None

    @property
    def about(self) -> About:
        """See `neardup.report.entry.Source`; by the name of the folder, once that is known."""
        name = self._root.name if self._root else str(self._path)
        return About(Kind.FOLDER, name, place=str(self._root or ""))

    def read(self) -> Iterator[Judged | Bad]:
        """See `Source`.

        Raises
        ------
        Misconfigured
            The file cannot be read, or has lines of which none is a verdict.
        """
        self._broken = Broken()
        count = 0
        for judged in self._read(self._path):
            count += 1
            self._root = self._root or root_of([judged.entry])
            yield judged
        if self._broken.count and not count:
            raise Misconfigured(f"there is no verdict in {self._path}: {self._broken.examples[0]}")
        letters = Places.beside(self._path).dead
        for number, line in read_lines(letters, self._broken.add) if letters.exists() else ():
            texts = [line.get(name) for name in ("image_id", "reason", "detail")]
            if all(isinstance(text, str) for text in texts):
                yield Bad(*map(str, texts))
            else:
                self._broken.add(f"{letters}, line {number}: no dead letter")

    def _read(self, path: Path) -> Iterator[Judged]:
        for number, line in read_lines(path, self._broken.add):
            try:
                judged = judged_of(line)
            except ValueError as exc:
                self._broken.add(f"{path}, line {number}: {exc}")
            else:
                yield judged

    def notes(self) -> Sequence[str]:
        """See `Source`."""
        return [*self._broken.told(), *self._notes]

    def kept(self) -> frozenset[str]:
        """Return the images that the rule of the run's ``--keep`` has chosen; where there are no groups, none."""
        table = Places.beside(self._path).groups_jsonl
        if not table.exists():
            return frozenset()
        wrong = Broken()
        kept = frozenset(str(row.get("image")) for _, row in read_lines(table, wrong.add) if _is_kept(row))
        if wrong.count:
            self._notes = [f"{wrong.count} lines of {table} are damaged: which image is kept is not known of all"]
        return kept

    def images(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Read]]:
        """See `Source`."""
        return self._files.images(entries)


def _is_kept(row: Document) -> bool:
    return row.get("keep") is True and row.get("why") == ""
