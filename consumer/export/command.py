"""``neardup export``: the verdicts of a span of the topic, or of a run in folder mode, as a file for other tools.

Exit codes: 0 all is exported, 1 Kafka is unavailable, 2 wrong settings, a topic, a span or a file that is not there,
nothing to export, or an output that cannot be written, 3 exported but for what standard error tells, 130 interrupted.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from consumer.export.pictures import Named, Pictures, Written
from consumer.export.rows import Picture, row_of
from consumer.export.settings import ALL, ExportSettings
from consumer.export.tables import Write, csv_file, jsonl_file, parquet_file
from consumer.export.tools import coco_file, cvat_file, fiftyone_folder, labelstudio_file
from consumer.messages import CONTROL
from consumer.verdicts.images import Images
from consumer.verdicts.reading import Noticed, verdicts_of_run, verdicts_of_topic
from consumer.verdicts.told import ToldVerdict, names_of
from neardup.cli.progress import shown_progress
from neardup.errors import Misconfigured
from neardup.types import Verdict
from neardup.wording import counted

EXIT_INCOMPLETE = 3
CLIENT_ID = "neardup-export"
_CHUNK = 200
"""Verdicts at a time: their images are fetched in the order of their messages, which is quicker."""
_MOST_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class _Format:
    """How a format is written.

    Attributes
    ----------
    open
        Begins it.
    usable
        Whether it can take an image.
    sized
        Whether it tells sizes.
    """

    open: Callable[[Path], AbstractContextManager[Write]]
    usable: Callable[[Picture], bool] = lambda _: True
    sized: bool = True


def _is_named(picture: Picture) -> bool:
    return picture.name is not None


def _is_file(picture: Picture) -> bool:
    return picture.path is not None


_FORMATS = {
    "csv": _Format(csv_file),
    "jsonl": _Format(jsonl_file),
    "parquet": _Format(parquet_file),
    "coco": _Format(coco_file, _is_named),
    "labelstudio": _Format(labelstudio_file, _is_named, sized=False),
    "cvat": _Format(cvat_file, _is_named),
    "fiftyone": _Format(fiftyone_folder, _is_file, sized=False),
}


@dataclass(slots=True)
class _Done:
    """What was exported, and which images are missing."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    left_out: int = 0
    without_image: int = 0
    examples: list[str] = field(default_factory=list)

    def miss(self, told: ToldVerdict, picture: Picture, *, left_out: bool) -> None:
        """Take an image that cannot be named, or be written where that was asked for."""
        self.left_out += left_out
        self.without_image += not left_out
        if len(self.examples) < _MOST_EXAMPLES:
            why = picture.missing or "it is no file of this machine"
            self.examples.append(f"{CONTROL.sub(' ', told.image_id)}: {CONTROL.sub(' ', why)}")


def export_verdicts(settings: ExportSettings) -> int:
    """Write the verdicts that are asked for.

    Returns
    -------
    int
        The exit code: 0, or 3 where something was left out, of which a line tells on standard error.

    Raises
    ------
    KafkaUnavailable
        It may be temporary.
    Misconfigured
        There is nothing to read, or the output cannot be written; what was there stays.
    """
    noticed, done = Noticed(), _Done()
    form = _FORMATS[settings.format]
    with ExitStack() as stack:
        images = stack.enter_context(Images(settings, client_id=CLIENT_ID))
        progress = stack.enter_context(shown_progress("export", None, "verdicts"))
        write = stack.enter_context(form.open(settings.output))
        pictures = _pictures(settings, images, form)
        for chunk in _chunks(_wanted(settings, noticed)):
            for told, picture in zip(chunk, pictures.of(chunk), strict=True):
                usable = form.usable(picture)
                if not usable or (picture.missing is not None and settings.images is not None):
                    done.miss(told, picture, left_out=not usable)
                if usable:
                    write(row_of(told, picture), picture)
                    done.verdicts[told.verdict] += 1
            progress(len(chunk))
        _refuse_nothing(settings, noticed, done)
    exported = done.verdicts.total()
    by_verdict = ", ".join(f"{count} {verdict.value}" for verdict, count in sorted(done.verdicts.items()))
    sys.stdout.write(f"{counted(exported, 'image')}{by_verdict and f' ({by_verdict})'} -> {settings.output}\n")
    return _told(noticed, done)


def _pictures(settings: ExportSettings, images: Images, form: _Format) -> Pictures:
    if settings.images is None:
        return Named(sized=form.sized)
    return Written(settings.images, images, settings.image_url)


def _wanted(settings: ExportSettings, noticed: Noticed) -> Iterator[ToldVerdict]:
    found = (
        verdicts_of_topic(settings, noticed, client_id=CLIENT_ID)
        if settings.run is None
        else verdicts_of_run(settings.run, noticed)
    )
    return (told for told in found if settings.which in {ALL, told.verdict})


def _chunks(found: Iterator[ToldVerdict]) -> Iterator[list[ToldVerdict]]:
    while chunk := list(islice(found, _CHUNK)):
        yield chunk


def _refuse_nothing(settings: ExportSettings, noticed: Noticed, done: _Done) -> None:
    """Refuse what would be an empty file by mistake, before it takes the place of an earlier one."""
    if done.verdicts.total():
        return
    if done.left_out:
        raise Misconfigured(
            f"--format {settings.format}: no image can be named, so there is nothing to export; {done.examples[0]}"
        )
    if noticed.broken.count and settings.run is not None:
        raise Misconfigured(f"{settings.run} holds no verdicts: {noticed.broken.examples[0]}")


def _told(noticed: Noticed, done: _Done) -> int:
    lines = [*noticed.gone]
    if noticed.repeated:
        lines.append(f"{noticed.repeated} verdicts were told twice, and are exported once")
    incomplete = bool(noticed.gone or noticed.broken.count or done.left_out or done.without_image)
    if noticed.broken.count:
        lines += _listed(f"{noticed.broken.count} are no verdicts, and left out", noticed.broken.examples)
    for count, what in (
        (done.left_out, "images are left out, as there is no file or URI to name them by"),
        (done.without_image, "images could not be written, and are exported without a place"),
    ):
        if count:
            lines += _listed(f"{count} {what}", names_of(done.examples, max(count, len(done.examples))))
    sys.stderr.writelines(f"{line}\n" for line in lines)
    return EXIT_INCOMPLETE if incomplete else 0


def _listed(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"{title}:"
    yield from (f"  {line}" for line in lines)
