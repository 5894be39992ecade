"""The batch job: describe, compare, cluster, write, store. Also usable as a function."""

import logging
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import redis
from numpy.typing import NDArray

from bootstrap.calibration.radius import Calibration
from bootstrap.calibration.seeds import calibrate_seeds
from bootstrap.generation.assembly import Assembly, assemble
from bootstrap.generation.importing import import_snapshot
from bootstrap.generation.snapshot import (
    CarryOver,
    Snapshot,
    Stored,
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
from bootstrap.settings import Settings
from neardup.cli.images import found_images
from neardup.cli.progress import Advance, shown_progress
from neardup.decoding.limits import DecodeLimits
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.index.base import IndexMeta
from neardup.index.carry import Predecessor, find_predecessor, live_pca
from neardup.index.live import live_generation
from neardup.index.stored.connection import connect, masked, require_no_eviction
from neardup.index.stored.keys import IndexKeys
from neardup.relation.images import images_of
from neardup.relation.rule import Relation
from neardup.relation.symmetry import switches_of
from neardup.settings.decoding import decode_limits, work_limits
from neardup.sources.clip_report import ClipReport
from neardup.sources.files import ImageSet
from neardup.sources.images import SourceImage

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a run of the job did.

    Attributes
    ----------
    meta
        Of the generation that is live now.
    result
        About the seeds; None after an import.
    assembly
        Who is a member.
    cluster_sizes
        Members of each cell, those that clusters were divided into.
    stopwatch
        Seconds of each phase.
    clips
        What became of each video clip among the seeds.
    """

    meta: IndexMeta
    result: SeedResult | None
    assembly: Assembly
    cluster_sizes: NDArray[np.intp]
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    clips: Sequence[ClipReport] = ()


def run(settings: Settings) -> Outcome | None:
    """Run the job, from the seeds (or the imported file) to the live index.

    Returns None if the index exists and the settings ask to leave it alone.

    What can be known to fail is tried before the work starts: the addresses, the folders, the extras. The index is
    published last: an error before leaves the old one live.

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
    if settings.import_from is not None:
        return _run_import(settings, settings.import_from, client)
    return _run_seeds(settings, client)


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


def _run_import(settings: Settings, path: Path, client: redis.Redis) -> Outcome:
    stopwatch = Stopwatch()
    descriptor = load_descriptor(settings.descriptor, settings.weights)
    with stopwatch.phase("import"):
        imported = import_snapshot(path, descriptor)
    radius = imported.meta.radius if settings.radius is None else settings.radius
    calibration = imported.meta.calibration if settings.radius is None else {}
    relation = replace(imported.meta.relation, radius=radius)
    predecessor = _predecessor(settings, client, imported.meta.fingerprint, relation)
    images = images_of(imported.members, with_thumbnails=relation.has_thumbnails)
    with stopwatch.phase("compare"):
        assembly = assemble(predecessor, imported.members, images, relation)

    def counts() -> dict[str, int]:
        return {**imported.meta.seed, "carried": assembly.kept}

    meta = replace(imported.meta, radius=radius, seed=counts(), calibration=calibration)
    snapshot = snapshot_of(assembly, meta, imported.cells, imported.pca)
    carry_over = CarryOver(predecessor, assembly, counts) if predecessor else None
    stored = _finish(settings, client, snapshot, carry_over, stopwatch)
    return Outcome(stored.meta, None, assembly, stored.cluster_sizes, stopwatch)


def _run_seeds(settings: Settings, client: redis.Redis) -> Outcome:
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
    raw = load_descriptor(settings.descriptor, settings.weights)
    with stopwatch.phase("describe"):
        descriptor, described = _describe(settings, client, seeds, raw, limits)
    calibration = None
    if settings.radius is None:
        with stopwatch.phase("calibrate"):
            calibration = _calibrate(settings, seeds, described, descriptor, limits)
    predecessor = _predecessor(settings, client, descriptor.fingerprint, _relation(settings))
    result = analyse_seeds(
        described,
        descriptor,
        clusters=settings.clusters,
        radius=settings.radius if calibration is None else calibration.radius,
        relation=_relation(settings),
        predecessor=predecessor,
        stopwatch=stopwatch,
    )
    result = replace(result, calibration=calibration)
    if settings.report is not None:
        from bootstrap.report.pictures import write_report  # noqa: PLC0415 - matplotlib is an extra

        with stopwatch.phase("report"):
            write_report(result, seeds, settings.report, limits)
    carry_over = CarryOver(predecessor, result.assembly, lambda: result.counts) if predecessor else None
    stored = _finish(settings, client, result.snapshot(), carry_over, stopwatch)
    return Outcome(stored.meta, result, result.assembly, stored.cluster_sizes, stopwatch, seeds.clip_reports)


def _describe(
    settings: Settings, client: redis.Redis, seeds: ImageSet, raw: Descriptor, limits: DecodeLimits
) -> tuple[Descriptor, DescribedSeeds]:
    describe_limited = partial(describe_seeds, limits=limits, work_limits=work_limits(settings))

    def describe(images: Iterable[SourceImage], total: int | None, descriptor: Descriptor) -> DescribedSeeds:
        with shown_progress("describe", total, write=_LOG.info) as progress:
            return describe_limited(
                images, descriptor, _relation(settings), workers=settings.workers, progress=progress
            )

    live = None if settings.fresh else live_pca(client, settings.index)
    return describe_projected(seeds, raw, describe, settings.project, whiten=settings.whiten, live=live)


def _calibrate(
    settings: Settings, seeds: ImageSet, described: DescribedSeeds, descriptor: Descriptor, limits: DecodeLimits
) -> Calibration:
    calibration = calibrate_seeds(
        seeds,
        [image.image_id for image in described.images],
        described.descriptors,
        descriptor,
        settings.false_pairs,
        comparisons=1 + len(_relation(settings).symmetries),
        limits=limits,
        workers=settings.workers,
    )
    for warning in calibration.warnings:
        _LOG.warning("%s", warning)
    return calibration


def _relation(settings: Settings) -> Relation:
    """Return what decides beside the radius, which is not known yet."""
    return Relation(0.0, settings.local_change, **switches_of(settings))


def _predecessor(settings: Settings, client: redis.Redis, fingerprint: str, relation: Relation) -> Predecessor | None:
    if settings.fresh:
        return None
    return find_predecessor(client, settings.index, fingerprint, with_thumbnails=relation.has_thumbnails)


def _finish(
    settings: Settings, client: redis.Redis, snapshot: Snapshot, carry_over: CarryOver | None, stopwatch: Stopwatch
) -> Stored:
    if settings.export is not None:
        with stopwatch.phase("export"), _shown("export", snapshot) as progress:
            export_snapshot(snapshot, settings.export, progress=progress)
    with stopwatch.phase("store"), _shown("store", snapshot) as progress:
        stored = store(snapshot, client, settings.index, carry_over, progress=progress)
    _LOG.info("index %s: generation %d is live", stored.meta.name, stored.meta.generation)
    return stored


def _shown(what: str, snapshot: Snapshot) -> AbstractContextManager[Advance]:
    return shown_progress(what, len(snapshot.members), "members", write=_LOG.info)
