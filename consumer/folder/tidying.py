"""After judging: the groups, and with ``--keep`` the plan; with ``--apply`` acting on it; and ``neardup undo``.

Exit codes of ``neardup undo``: 0 all is back where it was, 2 no such file, or none of ours, 4 some files could not be
put back, each with a line that says why, 130 interrupted (Ctrl-C).
"""

import logging
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from consumer.folder.resume import decided_by
from consumer.folder.settings import MOVE, FolderSettings, UndoSettings
from neardup.cli.progress import shown_progress
from neardup.errors import Misconfigured
from neardup.settings.decoding import decode_limits
from neardup.sources.images import FileImage
from neardup.sources.names import text_of
from neardup.tidy.act import DONE, Tally, apply
from neardup.tidy.files import Reader
from neardup.tidy.groups import Group, Picture, groups_of
from neardup.tidy.keep import FIRST, Measured, choose
from neardup.tidy.lines import Document
from neardup.tidy.places import Places
from neardup.tidy.plan import Plan, Step, planned, read_plan, targets_of_links, write_plan
from neardup.tidy.tables import Row, rows_of, write_tables
from neardup.tidy.undo import Undone, read_undo, undo
from neardup.wording import counted

EXIT_SOME_LEFT = 4
_log = logging.getLogger(__name__)
_UNITS = ("kB", "MB", "GB", "TB")


def tidy(settings: FolderSettings, places: Places, pictures: Iterable[Picture]) -> None:
    """Write the groups of what was judged, and with ``--keep`` the plan.

    Raises
    ------
    Misconfigured
        A file cannot be written.
    """
    groups = list(groups_of(pictures))
    rows, steps = _rows_and_steps(settings, groups)
    write_tables(places, rows)
    sys.stdout.write(f"{counted(len(groups), 'group')} -> {places.groups_csv}, {places.groups_jsonl}\n")
    if settings.keep is not None:
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        write_plan(places.plan, Plan(_settings_of_plan(settings), made_at, tuple(steps)))
        sys.stdout.write(_told_plan(steps, len(rows), places, is_dry=settings.apply is None))
    places.journal.unlink(missing_ok=True)


def _settings_of_plan(settings: FolderSettings) -> Document:
    return {**decided_by(settings), "keep": settings.keep, "crops": settings.crops}


def _rows_and_steps(settings: FolderSettings, groups: Sequence[Group]) -> tuple[list[Row], list[Step]]:
    formats = decode_limits(settings).formats
    targets = targets_of_links(settings.input) if settings.keep and groups else set[str]()
    rows, steps, reader = list[Row](), list[Step](), Reader()
    with shown_progress("plan", sum(len(each.pictures) for each in groups), write=_log.info) as progress:
        for number, group in enumerate(groups, 1):
            measured = {each.file.key: _measured(each, formats) for each in group.pictures}
            choice = choose(group, measured, settings.keep or FIRST, crops=settings.crops)
            going, changed = planned(choice, reader, targets) if settings.keep else ([], {})
            steps += going
            rows += rows_of(number, group, measured, {**choice.staying, **changed})
            progress(len(group.pictures))
    return rows, steps


def _measured(picture: Picture, formats: tuple[str, ...]) -> Measured:
    is_image = picture.file.is_image
    return Measured(picture, *(FileImage("", picture.file.path).size_px(formats) if is_image else (0, 0)))


def _told_plan(steps: Sequence[Step], images: int, places: Places, *, is_dry: bool) -> str:
    if not steps:
        return f"nothing to do: none of these {images} images may go -> {places.plan}\n"
    size = told_size(sum(step.file.size for step in steps))
    told = f"{len(steps)} of these {images} images may go, {size} -> {places.plan}\n"
    how = "nothing was touched; the same command with --apply link, move, trash or delete acts on that plan\n"
    return told + how if is_dry else told


def told_size(size: int) -> str:
    """Return a number of bytes as people read it."""
    if size < 1000:  # noqa: PLR2004 - as kilo says
        return counted(size, "byte")
    number = float(size)
    for unit in _UNITS:
        number /= 1000
        if number < 1000 or unit == _UNITS[-1]:  # noqa: PLR2004 - as above
            break
    return f"{number:.1f} {unit}"


def apply_plan(settings: FolderSettings, places: Places) -> int:
    """Act on the plan that a run without ``--apply`` wrote; return the exit code.

    Raises
    ------
    Misconfigured
        There is none, or one of other settings; or the undo file cannot be written.
    """
    plan = _plan_of(settings, places)
    folder = os.path.realpath(settings.input)
    folder = folder if Path(folder).is_dir() else str(Path(folder).parent)
    to = _destination(settings, places)
    act, tally = settings.apply or "", Tally()
    try:
        with shown_progress(act, len(plan.steps), "files", write=_log.info) as progress:
            apply(plan, act, folder, places.undo, to, tally=tally, progress=progress)
    finally:
        for why in tally.left:
            _log.warning("left alone: %s", text_of(why))
        sys.stdout.write(_told_tally(tally, act, to, places))
    return EXIT_SOME_LEFT if tally.left else 0


def _plan_of(settings: FolderSettings, places: Places) -> Plan:
    if not places.plan.exists():
        raise Misconfigured(
            f"--apply: there is no {places.plan}: run the same command without --apply first, and look at it"
        )
    plan, asked = read_plan(places.plan), _settings_of_plan(settings)
    other = [name for name in asked if plan.settings.get(name) != asked[name]]
    if other:
        told = "; ".join(f"{name} was {plan.settings.get(name)!r} and is {asked[name]!r}" for name in other)
        raise Misconfigured(
            f"--apply: {places.plan} is of other settings ({told}): run the same command without --apply first"
        )
    return plan


def _destination(settings: FolderSettings, places: Places) -> Path:
    to = Path(os.path.realpath(settings.to or places.duplicates))
    if settings.apply == MOVE and settings.against and to.is_relative_to(os.path.realpath(settings.against)):
        raise Misconfigured(f"--to {to}: it lies in {settings.against}, which is never touched")
    return to


def _told_tally(tally: Tally, act: str, to: Path, places: Places) -> str:
    parts = [f"{DONE[act]} {counted(tally.files, 'file')}, {told_size(tally.size)}{f' -> {to}' if act == MOVE else ''}"]
    if tally.before:
        parts.append(f"{tally.before} were done before")
    if tally.left:
        parts.append(f"{len(tally.left)} left alone")
    told = "; ".join(parts) + "\n"
    return told + f"neardup undo {places.undo} puts back what was moved or linked\n" if tally.files else told


def undo_file(settings: UndoSettings) -> int:
    """Put back what an undo file tells of; return the exit code.

    Raises
    ------
    Misconfigured
        It cannot be read, or is no undo file.
    """
    deeds, undone = read_undo(Path(settings.file)), Undone()
    try:
        with shown_progress("undo", len(deeds), "files") as progress:
            undo(deeds, undone, progress)
    finally:
        for why in undone.left:
            sys.stderr.write(f"not put back: {text_of(why)}\n")
        told = f"put back {counted(undone.back, 'file')}"
        told += f"; {undone.before} were there already" if undone.before else ""
        told += f"; {len(undone.left)} could not be put back" if undone.left else ""
        sys.stdout.write(f"{told}\n")
    return EXIT_SOME_LEFT if undone.left else 0
