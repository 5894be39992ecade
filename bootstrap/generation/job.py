"""The batch job: describe, compare, cluster, write, store. Also usable as a function."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from bootstrap.calibration.looking import AGREEMENTS
from bootstrap.calibration.radius import Calibration
from bootstrap.calibration.seeds import SecondLook, calibrate_seeds
from bootstrap.generation.assembly import Assembly, assemble
from bootstrap.generation.dropping import Dropping
from bootstrap.generation.importing import import_snapshot
from bootstrap.generation.inheritance import Before, begin, find_before, obstacle_to, relation_by
from bootstrap.generation.snapshot import (
    CarryOver,
    Snapshot,
    export_snapshot,
    require_writable,
    snapshot_of,
    store,
)
from bootstrap.generation.stopwatch import Stopwatch
from bootstrap.seeds.analyse import analyse_seeds
from bootstrap.seeds.describe import DescribedSeeds, describe_seeds
from bootstrap.seeds.projecting import describe_projected
from bootstrap.seeds.result import SeedResult
from bootstrap.seeds.spread import describe_spread
from bootstrap.settings import HERE, Settings
from neardup.cli.images import found_images
from neardup.cli.progress import Advance, shown_progress
from neardup.decoding.limits import DecodeLimits
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.engine import Engine
from neardup.errors import Misconfigured
from neardup.index.base import IndexMeta
from neardup.index.carry import Predecessor, another_finished, find_predecessor
from neardup.index.live import live_generation
from neardup.index.stored.connection import connect, masked, require_no_eviction
from neardup.index.stored.generations import Previous, previous_generation
from neardup.index.stored.keys import IndexKeys
from neardup.relation.images import images_of
from neardup.relation.rule import Relation
from neardup.settings.decoding import decode_limits, work_limits
from neardup.settings.profiles import Auto
from neardup.sources.clip_report import ClipReport
from neardup.sources.files import ImageSet
from neardup.sources.images import SourceImage
from neardup.sources.names import text_of

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a run of the job did, or would do.

    Attributes
    ----------
    meta
        Of the generation that is live now; after a dry run, of the one that would be.
    result
        About the seeds; None after an import.
    assembly
        Who is a member.
    cluster_sizes
        Members of each cell, those that clusters were divided into; after a dry run, of each centroid.
    stopwatch
        Seconds of each phase.
    clips
        What became of each video clip among the seeds.
    before
        What was live.
    dropping
        What was dropped of it; None where nothing was asked of it.
    inherited
        What was inherited from it, by field of `IndexMeta`.
    previous
        The generation that a rollback would make live again.
    """

    meta: IndexMeta
    result: SeedResult | None
    assembly: Assembly
    cluster_sizes: NDArray[np.intp]
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    clips: Sequence[ClipReport] = ()
    before: Before = field(default_factory=Before)
    dropping: Dropping | None = None
    inherited: Mapping[str, Any] = field(default_factory=dict)
    previous: Previous | None = None


def run(settings: Settings) -> Outcome | None:
    """Run the job, from the seeds (or the imported file) to the live index.

    Returns None if the index exists and the settings ask to leave it alone.

    What can be known to fail is tried before the work starts: the addresses, the folders, the extras, what would drop
    members. The index is published last: an error before leaves the old one live.

    Raises
    ------
    Misconfigured, RedisUnavailable
        One clear line; the old index is live.
    """
    settings.check()
    client = _open_redis(settings)
    if settings.if_missing and live_generation(client, settings.index) is not None:
        return None
    _check_outputs(settings)
    with _engine(settings) as engine:
        if settings.import_from is not None:
            return _run_import(settings, settings.import_from, client, engine)
        return _run_seeds(settings, client, engine)


def _engine(settings: Settings) -> AbstractContextManager[Engine | None]:
    if settings.engine == HERE:
        return nullcontext()
    from bootstrap.cluster import ray_engine  # noqa: PLC0415 - only when asked for

    return ray_engine(settings.ray_address, settings.workers)


def _open_redis(settings: Settings) -> redis.Redis:
    IndexKeys(settings.index)  # refuses a bad name
    client = connect(settings.redis_url, settings.redis_password)
    require_no_eviction(client)
    _LOG.info("index %s at %s", settings.index, masked(settings.redis_url))
    return client


def _check_outputs(settings: Settings) -> None:
    if settings.report is not None:
        from bootstrap.report.pictures import require_report  # noqa: PLC0415 - only when asked for

        require_report(settings.report)
    if settings.export is not None:
        require_writable(settings.export)


def _run_import(settings: Settings, path: Path, client: redis.Redis, engine: Engine | None) -> Outcome:
    stopwatch = Stopwatch()
    descriptor = load_descriptor(settings.descriptor, settings.weights)
    with stopwatch.phase("import"):
        imported = import_snapshot(path, descriptor)
    radius = imported.meta.radius if settings.radius is None else settings.radius
    calibration = imported.meta.calibration if settings.radius is None else {}
    relation = replace(imported.meta.relation, radius=radius)
    before = find_before(settings, client)
    if before.meta is not None:
        obstacle = obstacle_to(before.meta, imported.meta.fingerprint, relation.parts)
        before = replace(before, obstacle=obstacle)
    dropping = Dropping(settings, client, before)
    dropping.check_obstacle()
    predecessor = _predecessor(settings, client, before, imported.meta.fingerprint, relation)
    images = images_of(imported.members, relation.parts)
    with stopwatch.phase("compare"):
        assembly = assemble(predecessor, imported.members, images, relation, engine)
    dropping.check_assembly(assembly)

    def counts() -> dict[str, int]:
        return {**imported.meta.seed, "carried": assembly.kept}

    meta = replace(imported.meta, radius=radius, seed=counts(), calibration=calibration)
    snapshot = snapshot_of(assembly, meta, imported.cells, imported.pca)
    carry_over = CarryOver(predecessor, assembly, counts, dropping.check_assembly) if predecessor else None
    outcome = Outcome(snapshot.meta, None, assembly, _sizes(snapshot), stopwatch, before=before, dropping=dropping)
    return _finish(settings, client, snapshot, carry_over, outcome, engine=engine)


def _run_seeds(settings: Settings, client: redis.Redis, engine: Engine | None) -> Outcome:
    stopwatch = Stopwatch()
    limits = decode_limits(settings)
    seeds = found_images(
        settings.seeds,
        settings.fps,
        own=[path for path in (settings.report, settings.export) if path is not None],
        largest_first=settings.largest_first,
        formats=limits.formats,
        write=_LOG.info,
    )
    start = begin(settings, client)
    settings, before = start.settings, start.before
    dropping = Dropping(settings, client, before)
    dropping.check_obstacle()
    if settings.radius is not None:
        dropping.check_relation(relation_by(settings, settings.radius))
    with stopwatch.phase("describe"):
        descriptor, described = _describe(settings, before, seeds, start.raw, limits, engine=engine)
    calibration = None
    if settings.radius is None:
        with stopwatch.phase("calibrate"):
            calibration = _calibrate(settings, seeds, described, descriptor, limits)
    relation = relation_by(settings, settings.radius or 0.0)
    if calibration is not None:
        relation = replace(relation, radius=calibration.radius, agreement=calibration.agreement)
    predecessor = _predecessor(settings, client, before, descriptor.fingerprint, relation)
    result = analyse_seeds(
        described,
        descriptor,
        clusters=settings.clusters,
        radius=relation.radius,
        relation=relation,
        predecessor=predecessor,
        stopwatch=stopwatch,
        engine=engine,
    )
    dropping.check_assembly(result.assembly)
    result = replace(result, calibration=calibration)
    if settings.report is not None:
        from bootstrap.report.listing import write_listing  # noqa: PLC0415 - as below
        from bootstrap.report.pictures import write_report  # noqa: PLC0415 - matplotlib is an extra

        head = {"name": ", ".join(map(text_of, settings.seeds)), "index": settings.index, "fps": settings.fps}
        with stopwatch.phase("report"):
            write_report(result, seeds, settings.report, limits)
            write_listing(result, seeds, settings.report, head, limits)
    snapshot = result.snapshot()
    if "calibration" in start.inherited:
        snapshot = replace(snapshot, meta=replace(snapshot.meta, calibration=start.inherited["calibration"]))
    carry_over = None
    if predecessor:
        carry_over = CarryOver(predecessor, result.assembly, lambda: result.counts, dropping.check_assembly)
    outcome = Outcome(
        snapshot.meta,
        result,
        result.assembly,
        _sizes(snapshot),
        stopwatch,
        clips=seeds.clip_reports,
        before=before,
        dropping=dropping,
        inherited=start.inherited,
    )
    return _finish(settings, client, snapshot, carry_over, outcome, engine=engine)


def _describe(
    settings: Settings,
    before: Before,
    seeds: ImageSet,
    raw: Descriptor,
    limits: DecodeLimits,
    *,
    engine: Engine | None,
) -> tuple[Descriptor, DescribedSeeds]:
    if engine is None:
        describe_by = partial(describe_seeds, workers=settings.workers)
    else:
        describe_by = partial(describe_spread, engine=engine, weights=settings.weights)
    describe_limited = partial(describe_by, limits=limits, work_limits=work_limits(settings))

    def describe(images: Iterable[SourceImage], total: int | None, descriptor: Descriptor) -> DescribedSeeds:
        with shown_progress("describe", total, write=_LOG.info) as progress:
            return describe_limited(images, descriptor, relation_by(settings), progress=progress)

    live = (before.live.meta.fingerprint, before.live.pca) if before.live and before.live.pca else None
    return describe_projected(seeds, raw, describe, settings.project, whiten=settings.whiten, live=live)


def _calibrate(
    settings: Settings, seeds: ImageSet, described: DescribedSeeds, descriptor: Descriptor, limits: DecodeLimits
) -> Calibration:
    relation, second_look = relation_by(settings), None
    if relation.agreement is not None:
        agreements = AGREEMENTS if isinstance(settings.agreement, Auto) else (relation.agreement,)
        second_look = SecondLook(described.compared, relation, agreements)
    calibration = calibrate_seeds(
        seeds,
        [image.image_id for image in described.images],
        described.descriptors,
        descriptor,
        settings.false_pairs,
        comparisons=len(relation.described_after),
        second_look=second_look,
        limits=limits,
        workers=settings.workers,
    )
    for warning in calibration.warnings:
        _LOG.warning("%s", warning)
    return calibration


def _predecessor(
    settings: Settings, client: redis.Redis, before: Before, fingerprint: str, relation: Relation
) -> Predecessor | None:
    """Return the generation to carry members over from; None carries none.

    Raises
    ------
    Misconfigured
        Another one went live after the settings were inherited.
    """
    if settings.fresh:
        return None
    if before.obstacle:
        _LOG.warning("no member of generation %s is carried over: %s", before.generation, before.obstacle)
        return None
    found = find_predecessor(client, settings.index, fingerprint, relation.parts)
    if found.generation != (before.generation or 0):
        raise Misconfigured(another_finished(settings.index))
    return found


def _sizes(snapshot: Snapshot) -> NDArray[np.intp]:
    return np.bincount(snapshot.clusters, minlength=len(snapshot.cells))


def _finish(
    settings: Settings,
    client: redis.Redis,
    snapshot: Snapshot,
    carry_over: CarryOver | None,
    planned: Outcome,
    *,
    engine: Engine | None,
) -> Outcome:
    """Store a snapshot, unless it was only to be planned, and return what was done."""
    if settings.dry_run:
        pca = "" if snapshot.pca is None else snapshot.pca.fingerprint  # as the build tells it
        return replace(planned, meta=replace(planned.meta, pca=pca))
    if settings.export is not None:
        with planned.stopwatch.phase("export"), _shown("export", snapshot) as progress:
            export_snapshot(snapshot, settings.export, progress=progress)
    by = (engine, partial(connect, settings.redis_url, settings.redis_password)) if engine else None
    with planned.stopwatch.phase("store"), _shown("store", snapshot) as progress:
        stored = store(snapshot, client, settings.index, carry_over, keep_ms=settings.keep_ms, progress=progress, by=by)
    previous = previous_generation(client, settings.index)
    kept = f"generation {previous.generation} is kept" if previous else "no earlier one is kept"
    _LOG.info("index %s: generation %d is live, %s", stored.meta.name, stored.meta.generation, kept)
    return replace(planned, meta=stored.meta, cluster_sizes=stored.cluster_sizes, previous=previous)


def _shown(what: str, snapshot: Snapshot) -> AbstractContextManager[Advance]:
    return shown_progress(what, len(snapshot.members), "members", write=_LOG.info)
