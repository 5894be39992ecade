"""The settings of folder mode, and of undoing what it did."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from consumer.settings import JudgingSettings
from neardup.descriptors.names import DEFAULT, SPECS
from neardup.settings.options import option
from neardup.settings.parsers import number, one_of
from neardup.settings.relation import RelationSettings, radius_option
from neardup.settings.subjects import DUPLICATES, FILES, REDIS

MEMORY = "memory"
"""Name of folder mode's in-memory index."""
MOVE = "move"
KEEP = ("best", "largest", "oldest", "first")
ACTS = ("link", MOVE, "trash", "delete")
"""As in `neardup.tidy`, which is not imported here: it would delay ``--help``."""
_OF_MEMORY = ("radius", *(field.name for field in fields(RelationSettings)))
"""Fields that an index in Redis brings with it."""


@dataclass(frozen=True, kw_only=True)
class FolderSettings(RelationSettings, JudgingSettings):
    """All settings of folder mode, ``neardup folder``."""

    input: str = option(
        "PATH",
        "folder, image or video clip to judge",
        subject=FILES,
        common=True,
        aliases=("--input",),
        env="NEARDUP_INPUT",
    )
    output: str = option(
        "--output", "file for the verdicts, one JSON document per line", "verdicts.jsonl", subject=FILES, common=True
    )
    fps: float = option("--fps", "frames per second taken from a video clip", 1.0, number(0.001, 1000), subject=FILES)
    against: str | None = option(
        "--against",
        "folder of pictures to compare with as well, each of which is kept and never touched",
        None,
        subject=FILES,
        common=True,
    )
    keep: str | None = option(
        "--keep",
        "plan which files of each group may go: all but the best (most pixels), the largest (most bytes), the oldest, "
        "or the first that was judged",
        None,
        one_of(*KEEP),
        subject=FILES,
        common=True,
    )
    crops: bool = option(
        "--crops",
        "with --keep: pictures that show only a part of another may go, too",
        default=False,
        subject=FILES,
    )
    apply: str | None = option(
        "--apply",
        "act on the plan that the same command wrote without it: link equal files to the one that is kept, move files, "
        "put them in the trash, or delete them",
        None,
        one_of(*ACTS),
        subject=FILES,
        common=True,
    )
    yes: bool = option(
        "--yes", "with --apply: judge, plan, and act on the plan at once, unseen", default=False, subject=FILES
    )
    to: str | None = option(
        "--to", "with --apply move: folder to move to (duplicates beside the output if not told)", None, subject=FILES
    )
    largest_first: bool = option(
        "--largest-first",
        "judge pictures with more pixels first and clips last, so that of several copies the largest is unique",
        default=False,
        subject=FILES,
        common=True,
    )
    index: str = option(
        "--index",
        f"name of an index in Redis to use and add to; {MEMORY} keeps one for this run only, without a server",
        MEMORY,
        subject=REDIS,
        common=True,
    )
    descriptor: str | None = option(
        "--descriptor",
        f"with --index {MEMORY}: {SPECS} (default there: {DEFAULT}); else it must match the index's own, "
        "and only the PATH of a file:PATH may differ",
        None,
        subject=DUPLICATES,
    )
    radius: float | None = radius_option(
        f"with --index {MEMORY}: largest distance that counts as duplicate, or auto for the descriptor's own"
    )

    @classmethod
    def implied(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the profile's values for settings not given; none with an index in Redis, which has its own."""
        return super().implied(given) if given.get("index", MEMORY) == MEMORY else {}

    @classmethod
    def refused(cls, flags: Mapping[str, str], given: Mapping[str, Any]) -> Iterator[str]:
        """Yield a line for each flag that has no effect: an index in Redis keeps its bootstrap's values."""
        told = {**cls.implied(given), **given}
        if told.get("index", MEMORY) == MEMORY:
            if told.get("match_parts") and told.get("agreement") is None:
                yield (
                    "--match-parts works only with --agreement, such as --agreement auto: parts of different pictures "
                    "are often near each other, and only a second look tells which show the same"
                )
        else:
            for name in _OF_MEMORY:
                if name in flags:
                    yield f"{flags[name]} works only with --index {MEMORY}; an index in Redis has its bootstrap's"
            if told.get("against"):
                yield f"--against works only with --index {MEMORY}; an index in Redis is compared with already"
        yield from _refused_of_tidying(told)


def _refused_of_tidying(told: Mapping[str, Any]) -> Iterator[str]:
    for name in ("apply", "crops"):
        if told.get(name) and not told.get("keep"):
            yield f"--{name} works only with --keep, which says what is kept"
    if told.get("yes") and not told.get("apply"):
        yield "--yes works only with --apply, which it lets act without a dry run before"
    if told.get("to") and told.get("apply") != MOVE:
        yield f"--to works only with --apply {MOVE}"


@dataclass(frozen=True, kw_only=True)
class UndoSettings:
    """All settings of ``neardup undo``."""

    file: str = option("FILE", "undo file of neardup folder --apply", subject=FILES, common=True)
