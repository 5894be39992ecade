"""The settings of ``neardup calibrate``."""

from dataclasses import dataclass
from pathlib import Path

from neardup.settings.options import option, refuse
from neardup.settings.parsers import number
from neardup.settings.redis import RedisSettings
from neardup.settings.subjects import DUPLICATES, FILES, RUNNING


@dataclass(frozen=True)
class CalibrateSettings(RedisSettings):
    """All settings of ``neardup calibrate``."""

    false_pairs: float = option(
        "--false-pairs",
        "largest share of all pairs of different images that may count as duplicates",
        1e-6,
        number(1e-9, 1e-3),
        subject=DUPLICATES,
        common=True,
    )
    pairs: Path | None = option(  # noqa: RUF009 - a dataclass field, as all of these
        "--pairs",
        "CSV file of labelled pairs: image_a,image_b,same or image_a,image_b,different; an image is an "
        "image id or a key of the index, or a file",
        None,
        Path,
        subject=FILES,
        common=True,
    )
    run: Path | None = option(  # noqa: RUF009 - as above
        "--run",
        "with --pairs: judge by a run, and by no index: by its report (report.html), by verdicts.jsonl of neardup "
        "folder, or by the folder of neardup bootstrap --report",
        None,
        Path,
        subject=FILES,
        common=True,
    )
    descriptor: str | None = option(
        "--descriptor",
        "the index's file:PATH, if its model is elsewhere on this machine and labelled images are files; with --run, "
        "the run's descriptor, if it is none that ships",
        None,
        subject=DUPLICATES,
    )
    weights: str | None = option(
        "--weights",
        "weights file of the index's descriptor, if it has one and labelled images are files",
        None,
        subject=DUPLICATES,
    )
    as_json: bool = option(
        "--json", "print one JSON document instead of lines", default=False, subject=RUNNING, common=True
    )

    def check(self) -> None:
        """Refuse a run without pairs: it has nothing else to be judged by.

        Raises
        ------
        Misconfigured
            In one line.
        """
        refuse(
            ["--run works only with --pairs, which says what is same and different"]
            if self.run and not self.pairs
            else []
        )
