"""The lines that the job ends with."""

from collections.abc import Iterator

import numpy as np

from bootstrap.calibration.wording import agreement_origin, radius_origin
from bootstrap.generation.assembly import Assembly
from bootstrap.generation.inheritance import changes, told
from bootstrap.generation.job import Outcome
from bootstrap.report.listing import GROUPS_FILE
from bootstrap.seeds.describe import reasons
from bootstrap.seeds.result import SeedResult
from bootstrap.settings import Settings
from neardup.index.base import IndexMeta
from neardup.index.stored.connection import masked
from neardup.index.stored.generations import Previous
from neardup.relation.rule import Relation
from neardup.sources.clip_report import told_in_sum
from neardup.wording import counted

_LISTED = 20


def summary(outcome: Outcome, settings: Settings) -> str:
    """Return the summary of a run, a subject a line."""
    lines = [*_about_dry_run(outcome, settings), *_lines(outcome, settings)]
    width = max(len(subject) for subject, _ in lines) + 2
    return "\n".join(f"{subject:{width}}{text}".rstrip() for subject, text in lines)


def _lines(outcome: Outcome, settings: Settings) -> Iterator[tuple[str, str]]:
    meta = outcome.meta
    if outcome.result:
        yield from _about_seeds(outcome.result, settings)
        if outcome.clips:
            yield "clips", told_in_sum(outcome.clips)
    else:
        yield from _about_import(outcome.assembly, settings)
    if outcome.assembly.kept:
        yield "carried", _about_carried(outcome)
    yield from _about_change(outcome)
    yield "clusters", _about_clusters(outcome)
    yield from _about_calibration(meta)
    yield from _about_relation(meta.relation, agreement_origin(meta.calibration))
    yield "descriptor", f"{meta.descriptor}, {meta.dimension} numbers"
    if settings.profile:
        second = ", where the index itself says nothing" if outcome.inherited else ""
        yield "profile", f"{settings.profile}{second}"
    if not settings.dry_run:
        yield "index", f"{meta.name}, generation {meta.generation}, at {masked(settings.redis_url)}"
    if outcome.previous:
        yield "previous", _about_previous(outcome.previous, settings)
    yield "seconds", _about_time(outcome)
    if settings.export:
        yield "export", str(settings.export)
    if settings.report:
        yield "report", f"{settings.report}; neardup report {settings.report} makes a page of it"


def _about_dry_run(outcome: Outcome, settings: Settings) -> Iterator[tuple[str, str]]:
    if not settings.dry_run:
        return
    live = f"generation {outcome.before.generation} stays live" if outcome.before.generation else "there is none yet"
    yield "dry run", f"nothing was written; index {settings.index} at {masked(settings.redis_url)}: {live}"
    dropping, assembly = outcome.dropping, outcome.assembly
    if dropping and dropping.refusal:
        yield "refused", f"it would end with exit code 2: {dropping.refusal}"
    dropped = dropping.dropped if dropping else 0
    yield "members", f"{assembly.kept} kept, {dropped} dropped, {assembly.added} added"


def _about_change(outcome: Outcome) -> Iterator[tuple[str, str]]:
    dropping, before = outcome.dropping, outcome.before
    if dropping and dropping.dropped:
        yield "dropped", f"{dropping.dropped} of {dropping.members} members: {dropping.why}"
    if outcome.inherited:
        yield "inherited", f"{told(outcome.inherited)}; from generation {before.generation}"
    if before.meta and (changed := changes(before.meta, outcome.meta)):
        yield "changed", ", ".join(changed)


def _about_previous(previous: Previous, settings: Settings) -> str:
    again = f"neardup index rollback --index {settings.index} makes it live again"
    return f"generation {previous.generation}, kept for {settings.keep_previous}: {again}"


def _about_calibration(meta: IndexMeta) -> Iterator[tuple[str, str]]:
    yield "radius", f"{meta.radius:g} ({radius_origin(meta.calibration)})"
    if meta.calibration.get("warning"):
        yield "warning", meta.calibration["warning"]
    if meta.calibration.get("copied"):
        copied = counted(meta.calibration["copied"], "image")
        yield "copies", f"{copied}, left out of the calibration as edited copies of others"


def _about_relation(relation: Relation, agreed: str) -> Iterator[tuple[str, str]]:
    if relation.local_change is not None:
        yield "change", f"{relation.local_change:g} grey levels at most, locally"
    if relation.agreement is not None:
        yield "agreement", f"{relation.agreement:g} at least, by a second look{f' ({agreed})' if agreed else ''}"
    if relation.symmetries:
        yield "symmetries", ", ".join(relation.symmetries)
    if relation.match_parts:
        yield "parts", "an image is also compared by parts of it"


def _about_seeds(result: SeedResult, settings: Settings) -> Iterator[tuple[str, str]]:
    counts, groups = result.counts, counted(len(result.assembly.groups()), "group")
    yield "images", str(counts["images"])
    yield "unique", str(counts["unique"])
    yield "duplicates", f"{counts['duplicates']} in {groups}{_listed(counts, settings)}"
    by_reason = ", ".join(f"{count} {reason}" for reason, count in reasons(result.unreadable).items())
    yield "unreadable", f"{counts['unreadable']}" + (f": {by_reason}" if by_reason else "")
    for item in result.unreadable[:_LISTED]:
        yield "", f"{item.image_id}: {item.reason}, {' '.join(item.detail.split())}"
    if len(result.unreadable) > _LISTED:
        yield "", f"and {len(result.unreadable) - _LISTED} more"


def _listed(counts: dict[str, int], settings: Settings) -> str:
    if settings.report is not None:
        return f" -> {settings.report / GROUPS_FILE}"
    return "; --report FOLDER lists them" if counts["duplicates"] else ""


def _about_import(assembly: Assembly, settings: Settings) -> Iterator[tuple[str, str]]:
    yield "imported", f"{counted(assembly.unique, 'member')} from {settings.import_from}"
    duplicates = len(assembly.candidates) - assembly.unique
    if duplicates:
        yield "duplicates", str(duplicates)


def _about_carried(outcome: Outcome) -> str:
    left_out = outcome.assembly.left_out
    text = f"{counted(outcome.assembly.kept, 'member')} of the generation before"
    return text + (f"; {left_out} left out, within the radius of others" if left_out else "")


def _about_clusters(outcome: Outcome) -> str:
    clusters, sizes = outcome.meta.clusters, outcome.cluster_sizes
    divided = f", divided into {len(sizes)}" if len(sizes) > clusters else ""
    return f"{clusters}{divided}, with {np.median(sizes):.0f} members in the median and {sizes.max()} at most"


def _about_time(outcome: Outcome) -> str:
    seconds = outcome.stopwatch.seconds
    texts = [f"{phase} {spent_s:.1f}" for phase, spent_s in seconds.items()]
    if outcome.result and seconds.get("describe"):
        texts[0] += f" ({outcome.result.counts['images'] / seconds['describe']:.0f} images/s)"
    return ", ".join(texts)
