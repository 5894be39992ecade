"""The batch job: describe, compare, cluster, write, store. Usable without a command line."""

import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import redis
from numpy.typing import NDArray

from bootstrap.assembly import Assembly
from bootstrap.calibration.choice import Calibration
from bootstrap.calibration.seeds import calibrate_seeds
from bootstrap.describe import DescribedSeeds, Unreadable, describe_seeds
from bootstrap.importing import import_snapshot
from bootstrap.progress import shown_progress
from bootstrap.projecting import describe_projected
from bootstrap.settings import Settings
from bootstrap.snapshot import CarryOver, Snapshot, Stored, export_snapshot, require_writable, store
from bootstrap.stopwatch import Stopwatch
from neardup.cells import Cells
from neardup.decode_limits import DecodeLimits
from neardup.decode_settings import decode_limits, work_limits
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.descriptors.projected import pca_of
from neardup.duplicates import Duplicates
from neardup.images import Images, images_of
from neardup.index.base import IndexMeta
from neardup.index.build import live_generation
from neardup.index.carry import Predecessor, find_predecessor, live_pca
from neardup.index.connection import connect, masked, require_no_eviction
from neardup.index.keys import IndexKeys
from neardup.kmeans import fit_bounded_centroids, fit_centroids
from neardup.pca import Pca
from neardup.relation import Relation
from neardup.sources import ImageSet, SourceImage, find_images
from neardup.types import Descriptors, Member

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeedResult:
    """What the job found out about a seed set, and about the members that were carried over into its index.

    Both have a row each: first the members, then the seeds that were described, in their order.

    Attributes
    ----------
    assembly
        Who is a member, and what each duplicates.
    cells
        The centroids, fit on the members; each is the nearest of at least one.
    clusters
        intp (n,): the cell of each row.
    unreadable
        What was left out.
    descriptor, fingerprint
        Spec and fingerprint of the descriptor.
    pca
        What projects it, if anything does.
    calibration
        Where the radius is from; None when it was given.
    """

    assembly: Assembly
    cells: Cells
    clusters: NDArray[np.intp]
    unreadable: list[Unreadable]
    descriptor: str
    fingerprint: str
    pca: Pca | None = None
    calibration: Calibration | None = None

    @property
    def descriptors(self) -> Descriptors:
        """float16 (n, d), a row each."""
        return self.assembly.finder.descriptors[: len(self.clusters)]

    @property
    def images(self) -> list[Member]:
        """What each row is."""
        return self.assembly.rows[: len(self.clusters)]

    @property
    def uniques(self) -> NDArray[np.intp]:
        """Rows of the unique seeds in order, intp (u,)."""
        return self.assembly.uniques

    @property
    def duplicates(self) -> Duplicates:
        """What each row duplicates."""
        return self.assembly.finder.found

    @property
    def radius(self) -> float:
        """Largest L2 distance that counts as duplicate, inclusive."""
        return self.relation.radius

    @property
    def relation(self) -> Relation:
        """When an image is a duplicate of another."""
        return self.assembly.relation

    @property
    def counts(self) -> dict[str, int]:
        """Images, unique, duplicates, unreadable; and members carried over, the images among them included."""
        images, unique = len(self.assembly.candidates), self.assembly.unique
        return {
            "images": images,
            "unique": unique,
            "duplicates": images - unique,
            "unreadable": len(self.unreadable),
            "carried": self.assembly.kept,
        }

    def snapshot(self) -> Snapshot:
        """Return what goes into the index: the centroids, and the unique images as members."""
        meta = IndexMeta(
            name="",
            generation=0,
            descriptor=self.descriptor,
            fingerprint=self.fingerprint,
            dimension=self.descriptors.shape[1],
            radius=self.radius,
            clusters=len(self.cells),
            seed=self.counts,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            local_change=self.relation.local_change,
            match_flips=self.relation.match_flips,
            match_rotations=self.relation.match_rotations,
            calibration=self.calibration.document() if self.calibration else {},
        )
        rows = self.assembly.members
        return Snapshot(meta, self.cells, [self.assembly.rows[row] for row in rows], self.clusters[rows], self.pca)


def cluster_seeds(descriptors: Descriptors, clusters: int | None = None) -> tuple[Cells, NDArray[np.intp]]:
    """Cluster descriptors, and return the cells and the cell of each row; every cell has at least one row.

    Parameters
    ----------
    descriptors
        float16 (n, d), unit norm, n at least 1.
    clusters
        How many, at most; None makes as many as keep a cell at a few hundred rows.
    """
    centroids = fit_bounded_centroids(descriptors) if clusters is None else fit_centroids(descriptors, clusters)
    # A centroid that is nobody's nearest can go without moving anybody else to another cell.
    used, assigned = np.unique(Cells(centroids).assign(descriptors), return_inverse=True)
    return Cells(centroids[used]), assigned.astype(np.intp)


def analyse_seeds(
    described: DescribedSeeds,
    descriptor: Descriptor,
    *,
    clusters: int | None = None,
    radius: float | None = None,
    relation: Relation | None = None,
    predecessor: Predecessor | None = None,
    stopwatch: Stopwatch | None = None,
) -> SeedResult:
    """Find the duplicates among the described seeds, and cluster the members.

    Parameters
    ----------
    described
        From `bootstrap.describe.describe_seeds`.
    descriptor
        What described them.
    clusters
        As in `cluster_seeds`.
    radius
        Largest L2 distance that counts as duplicate; None takes the descriptor's default.
    relation
        What else decides, as the seeds were described for it; its own radius does not count.
    predecessor
        Whose members are carried over.
    stopwatch
        Told the seconds of both phases.
    """
    stopwatch = stopwatch or Stopwatch()
    radius = descriptor.default_radius if radius is None else radius
    relation = replace(relation or Relation(radius), radius=radius)
    with stopwatch.phase("compare"):
        assembly = assemble(predecessor, described.members(), described.compared, relation)
    with stopwatch.phase("cluster"):
        descriptors = assembly.finder.descriptors
        # Of the members alone: cells are to hold a few hundred of them, however many copies there are.
        cells, _ = cluster_seeds(descriptors[assembly.members], clusters)
        assigned = cells.assign(descriptors)
    return SeedResult(
        assembly,
        cells,
        assigned,
        described.unreadable,
        descriptor.spec,
        descriptor.fingerprint,
        pca_of(descriptor),
    )


def assemble(
    predecessor: Predecessor | None, candidates: Sequence[Member], images: Images, relation: Relation
) -> Assembly:
    """Judge candidates against the members of the generation before, if any, and against one another."""
    if predecessor is None or predecessor.meta is None:
        return Assembly([], candidates, images, relation)
    carried = predecessor.news()
    _LOG.info("%d members of generation %d are carried over", len(carried), predecessor.generation)
    return Assembly(carried, candidates, images, relation, predecessor.meta.relation)


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
    """

    meta: IndexMeta
    result: SeedResult | None
    assembly: Assembly
    cluster_sizes: NDArray[np.intp]
    stopwatch: Stopwatch = field(default_factory=Stopwatch)


def run(settings: Settings) -> Outcome | None:
    """Do what the settings say, from the seeds (or the imported file) to the live index.

    Returns None when the index exists and the settings ask to leave it alone then.

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
        from bootstrap.report import require_report  # noqa: PLC0415 - only when asked for

        require_report(settings.report)
    if settings.export is not None:
        require_writable(settings.export)


def _run_import(settings: Settings, path: Path, client: redis.Redis) -> Outcome:
    stopwatch = Stopwatch()
    descriptor = load_descriptor(settings.descriptor, settings.weights)
    with stopwatch.phase("import"):
        imported = import_snapshot(path, descriptor)
    radius = imported.meta.radius if settings.threshold is None else settings.threshold
    calibration = imported.meta.calibration if settings.threshold is None else {}
    relation = replace(imported.meta.relation, radius=radius)
    predecessor = _predecessor(settings, client, imported.meta.fingerprint, relation)
    images = images_of(imported.members, with_thumbnails=relation.has_thumbnails)
    with stopwatch.phase("compare"):
        assembly = assemble(predecessor, imported.members, images, relation)

    def counts() -> dict[str, int]:
        return {**imported.meta.seed, "carried": assembly.kept}

    rows = assembly.members
    snapshot = Snapshot(
        replace(imported.meta, radius=radius, seed=counts(), calibration=calibration),
        imported.cells,
        [assembly.rows[row] for row in rows],
        imported.cells.assign(assembly.finder.descriptors[rows]),
        imported.pca,
    )
    carry_over = CarryOver(predecessor, assembly, counts) if predecessor else None
    stored = _finish(settings, client, snapshot, carry_over, stopwatch)
    return Outcome(stored.meta, None, assembly, stored.cluster_sizes, stopwatch)


def _run_seeds(settings: Settings, client: redis.Redis) -> Outcome:
    stopwatch = Stopwatch()
    seeds = find_images(settings.seeds, settings.fps)
    limits = decode_limits(settings)
    raw = load_descriptor(settings.descriptor, settings.weights)
    with stopwatch.phase("describe"):
        descriptor, described = _describe(settings, client, seeds, raw, limits)
    calibration = None
    if settings.threshold is None:
        with stopwatch.phase("calibrate"):
            calibration = _calibrate(settings, seeds, described, descriptor, limits)
    predecessor = _predecessor(settings, client, descriptor.fingerprint, _relation(settings))
    result = analyse_seeds(
        described,
        descriptor,
        clusters=settings.clusters,
        radius=settings.threshold if calibration is None else calibration.radius,
        relation=_relation(settings),
        predecessor=predecessor,
        stopwatch=stopwatch,
    )
    result = replace(result, calibration=calibration)
    if settings.report is not None:
        from bootstrap.report import write_report  # noqa: PLC0415 - matplotlib is an extra

        with stopwatch.phase("report"):
            write_report(result, seeds, settings.report, limits)
    carry_over = CarryOver(predecessor, result.assembly, lambda: result.counts) if predecessor else None
    stored = _finish(settings, client, result.snapshot(), carry_over, stopwatch)
    return Outcome(stored.meta, result, result.assembly, stored.cluster_sizes, stopwatch)


def _describe(
    settings: Settings, client: redis.Redis, seeds: ImageSet, raw: Descriptor, limits: DecodeLimits
) -> tuple[Descriptor, DescribedSeeds]:
    describe_limited = partial(describe_seeds, limits=limits, work_limits=work_limits(settings))

    def describe(images: Iterable[SourceImage], total: int | None, descriptor: Descriptor) -> DescribedSeeds:
        with shown_progress("describe", total, sys.stderr) as progress:
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
    return Relation(0.0, settings.local_change, settings.match_flips, settings.match_rotations)


def _predecessor(settings: Settings, client: redis.Redis, fingerprint: str, relation: Relation) -> Predecessor | None:
    if settings.fresh:
        return None
    return find_predecessor(client, settings.index, fingerprint, with_thumbnails=relation.has_thumbnails)


def _finish(
    settings: Settings, client: redis.Redis, snapshot: Snapshot, carry_over: CarryOver | None, stopwatch: Stopwatch
) -> Stored:
    if settings.export is not None:
        with stopwatch.phase("export"):
            export_snapshot(snapshot, settings.export)
    with stopwatch.phase("store"):
        stored = store(snapshot, client, settings.index, carry_over)
    _LOG.info("index %s: generation %d is live", stored.meta.name, stored.meta.generation)
    return stored
