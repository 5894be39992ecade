"""Where folder mode writes what."""

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Self

_USUAL = "verdicts.jsonl"


@dataclass(frozen=True, slots=True)
class Places:
    """The files beside that of the verdicts; each is written as ``.partial`` first, but for the undo file.

    Attributes
    ----------
    verdicts, dead
        A line for each image that was judged, and for each that could not be.
    groups_csv, groups_jsonl
        The images of each group that has more than one.
    plan
        What would be done to which file.
    undo
        What was done.
    journal
        What an interrupted run had judged.
    duplicates
        Folder for what is moved.
    """

    verdicts: Path
    dead: Path
    groups_csv: Path
    groups_jsonl: Path
    plan: Path
    undo: Path
    journal: Path
    duplicates: Path

    @classmethod
    def beside(cls, verdicts: Path) -> Self:
        """Return the places that go with a file of verdicts: with its name in front, unless it has the usual one."""
        stem = "" if verdicts.name == _USUAL else f"{verdicts.stem}."
        return cls(
            verdicts,
            verdicts.with_name(f"{verdicts.stem}.dead.jsonl"),
            verdicts.with_name(f"{stem}groups.csv"),
            verdicts.with_name(f"{stem}groups.jsonl"),
            verdicts.with_name(f"{stem}plan.jsonl"),
            verdicts.with_name(f"{stem}undo.jsonl"),
            verdicts.with_name(f"{verdicts.stem}.resume.jsonl"),
            verdicts.with_name("duplicates"),
        )

    @property
    def own(self) -> list[Path]:
        """All that is written: no image of the folder, wherever it lies."""
        paths: tuple[Path, ...] = astuple(self)
        return [*paths, *map(partial, paths)]


def partial(path: Path) -> Path:
    """Return the name that a file has until it is complete."""
    return path.with_name(f"{path.name}.partial")
