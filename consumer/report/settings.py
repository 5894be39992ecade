"""The settings of ``neardup report``."""

from collections.abc import Iterator
from dataclasses import dataclass

from consumer.verdicts.settings import SpanSettings
from neardup.settings.decoding import DecodingSettings
from neardup.settings.options import option, refuse
from neardup.settings.parsers import number
from neardup.settings.subjects import DUPLICATES, FILES, TOPICS


@dataclass(frozen=True, kw_only=True)
class ReportSettings(SpanSettings, DecodingSettings):
    """All settings of ``neardup report``."""

    source: str | None = option(
        "SOURCE",
        "verdicts that neardup folder wrote (verdicts.jsonl), or the folder of neardup bootstrap --report; without it, "
        "the span of the verdict topic that --from and --to name",
        None,
        subject=FILES,
        common=True,
    )
    output: str = option("--output", "HTML file to write", "report.html", subject=FILES, common=True, env="")
    image_folder: str | None = option(
        "--image-folder",
        "folder in which the images lie by their names, if that is not where they were judged; of a stream, that of "
        "the seeds",
        None,
        subject=FILES,
        common=True,
    )
    fps: float = option(
        "--fps", "frames per second that were taken from video clips", 1.0, number(0.001, 1000), subject=FILES
    )
    descriptor: str | None = option(
        "--descriptor",
        "descriptor of the verdicts, if it is none that ships: the map of a folder run needs it",
        None,
        subject=DUPLICATES,
    )
    weights: str | None = option("--weights", "weights file of that descriptor", None, subject=DUPLICATES)
    dead_letters_topic: str = option(
        "--dead-letters-topic",
        "topic of the images that could not be judged",
        "images.dead",
        subject=TOPICS,
        aliases=("--dead-letters",),
    )

    def check(self) -> None:
        """Refuse settings that contradict one another.

        Raises
        ------
        Misconfigured
            With a line for each contradiction.
        """
        refuse(self._contradictions())

    def _contradictions(self) -> Iterator[str]:
        has_span = self.since is not None or self.until is not None
        if self.source is None and not has_span:
            yield (
                "SOURCE: name the verdicts.jsonl of neardup folder, the folder of neardup bootstrap --report, or a "
                "span of the verdict topic by --from, such as --from 24h"
            )
        if self.source is not None and has_span:
            yield "SOURCE: with --from or --to the verdict topic is read, and no file"
