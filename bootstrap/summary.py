"""The lines that the job ends with."""

from collections.abc import Iterator

import numpy as np

from bootstrap.describe import reasons
from bootstrap.job import Outcome, SeedResult
from bootstrap.settings import Settings
from neardup.index.connection import masked

_LISTED = 20


def summary(outcome: Outcome, settings: Settings) -> str:
    """Return the summary of a run, a subject a line."""
    lines = list(_lines(outcome, settings))
    width = max(len(subject) for subject, _ in lines) + 2
    return "\n".join(f"{subject:{width}}{text}".rstrip() for subject, text in lines)


def _lines(outcome: Outcome, settings: Settings) -> Iterator[tuple[str, str]]:
    meta = outcome.meta
    if outcome.result:
        yield from _about_seeds(outcome.result)
    else:
        yield "imported", f"{outcome.cluster_sizes.sum()} members from {settings.import_from}"
    yield "clusters", _about_clusters(outcome.cluster_sizes)
    yield "radius", f"{meta.radius:g} ({'given' if settings.threshold is not None else 'default'})"
    yield "descriptor", f"{meta.descriptor}, {meta.dimension} numbers"
    yield "index", f"{meta.name}, generation {meta.generation}, at {masked(settings.redis_url)}"
    yield "seconds", _about_time(outcome)
    if settings.export:
        yield "export", str(settings.export)
    if settings.report:
        yield "report", str(settings.report)


def _about_seeds(result: SeedResult) -> Iterator[tuple[str, str]]:
    counts = result.counts
    yield "images", str(counts["images"])
    yield "unique", str(counts["unique"])
    yield "duplicates", f"{counts['duplicates']} in {len(result.duplicates.groups())} groups"
    by_reason = ", ".join(f"{count} {reason}" for reason, count in reasons(result.unreadable).items())
    yield "unreadable", f"{counts['unreadable']}" + (f": {by_reason}" if by_reason else "")
    for item in result.unreadable[:_LISTED]:
        yield "", f"{item.image_id}: {item.reason}, {' '.join(item.detail.split())}"
    if len(result.unreadable) > _LISTED:
        yield "", f"and {len(result.unreadable) - _LISTED} more"


def _about_clusters(sizes: np.ndarray[tuple[int], np.dtype[np.intp]]) -> str:
    return f"{len(sizes)}, with {np.median(sizes):.0f} members in the median and {sizes.max()} at most"


def _about_time(outcome: Outcome) -> str:
    seconds = outcome.stopwatch.seconds
    texts = [f"{phase} {spent_s:.1f}" for phase, spent_s in seconds.items()]
    if outcome.result and seconds.get("describe"):
        texts[0] += f" ({len(outcome.result.images) / seconds['describe']:.0f} images/s)"
    return ", ".join(texts)
