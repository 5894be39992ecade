"""Write a report: ``neardup report SOURCE``.

Exit codes

    0    the report is written
    1    Kafka cannot be reached: the same command may succeed later
    2    wrong arguments or settings, no such file, nothing that can be read, or the report cannot be written
    130  interrupted (Ctrl-C)
"""

import sys
from pathlib import Path
from typing import Any

from consumer.report.settings import ReportSettings
from neardup.wording import counted


def report(settings: ReportSettings) -> int:
    """Write a report, and say what it shows; return the exit code.

    Raises
    ------
    Misconfigured, Unavailable
        As above; what was at the output before stays.
    """
    from neardup.report.writing import write_report  # noqa: PLC0415 - numpy and Pillow: not for --help

    document = write_report(_source(settings), Path(settings.output), _making(settings))
    sys.stdout.write(f"{told(document)} -> {settings.output}\n")
    return 0


def _source(settings: ReportSettings) -> Any:  # noqa: ANN401 - a `Source`, which is imported late
    from consumer.report.topic import TopicSource  # noqa: PLC0415 - as above
    from neardup.report.sources.files import Files  # noqa: PLC0415
    from neardup.report.sources.opening import open_source  # noqa: PLC0415

    if settings.source is None:
        return TopicSource(settings)
    folder = None if settings.image_folder is None else Path(settings.image_folder)
    return open_source(Path(settings.source), Files(settings.max_image_bytes, settings.fps, folder), "SOURCE")


def _making(settings: ReportSettings) -> Any:  # noqa: ANN401 - a `Making`, likewise
    from neardup.cli.progress import shown_progress  # noqa: PLC0415 - as above
    from neardup.report.making import Making  # noqa: PLC0415
    from neardup.report.pixels import Decoding  # noqa: PLC0415
    from neardup.settings.decoding import decode_limits, work_limits  # noqa: PLC0415

    decoding = Decoding(decode_limits(settings), work_limits(settings))
    return Making(decoding=decoding, descriptor=settings.descriptor, weights=settings.weights, shows=shown_progress)


def told(document: dict[str, Any]) -> str:
    """Return the document of a report in one line."""
    counts, sampled = document["counts"], document["sampled"]
    shown = f"; {sampled['shown']} of them are shown" if sampled else ""
    images, duplicates = counted(counts["images"], "image"), counted(counts["duplicate"], "duplicate")
    return f"{images}: {counts['unique']} unique, {duplicates}; {counts['bad']} bad{shown}"
