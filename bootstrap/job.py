"""The batch job: describe, cluster, compare, write, store. Usable without a command line."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import redis
from numpy.typing import NDArray

from bootstrap.describe import DescribedSeeds, SeedImage, Unreadable, describe_seeds
from bootstrap.duplicates import Duplicates, find_duplicates
from bootstrap.importing import import_snapshot
from bootstrap.progress import shown_progress
from bootstrap.settings import Settings
from bootstrap.snapshot import Snapshot, export_snapshot, require_writable, store
from neardup.cells import Cells
from neardup.decode import DecodeLimits
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.index.base import IndexMeta
from neardup.index.build import live_generation
from neardup.index.connection import connect, masked, require_no_eviction
from neardup.index.keys import IndexKeys
from neardup.kmeans import fit_bounded_centroids, fit_centroids
from neardup.sources import find_images
from neardup.types import Descriptors, Member

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeedResult:
    """What the job found out about a seed set.

    Attributes
    ----------
    images
        All that were described, in the order of the seeds.
    descriptors
        float16 (n, d), a row for each image.
    cells
        The centroids; each is the nearest of at least one image.
    clusters
        intp (n,): the cell of each image.
    duplicates
        What each image duplicates.
    unreadable
        What was left out.
    descriptor, fingerprint
        Spec and fingerprint of the descriptor.
    radius
        Largest L2 distance that counts as duplicate, inclusive.
    """

    images: list[SeedImage]
    descriptors: Descriptors
    cells: Cells
    clusters: NDArray[np.intp]
    duplicates: Duplicates
    unreadable: list[Unreadable]
    descriptor: str
    fingerprint: str
    radius: float

    @cached_property
    def uniques(self) -> NDArray[np.intp]:
        """Rows of the unique images in order, intp (u,)."""
        return np.flatnonzero(self.duplicates.is_unique)

    @property
    def counts(self) -> dict[str, int]:
        """Images, unique, duplicates, unreadable."""
        images, unique = len(self.images), len(self.uniques)
        unreadable = len(self.unreadable)
        return {"images": images, "unique": unique, "duplicates": images - unique, "unreadable": unreadable}

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
        )
        members = [self._member(int(row)) for row in self.uniques]
        return Snapshot(meta, self.cells, members, self.clusters[self.uniques])

    def _member(self, row: int) -> Member:
        image = self.images[row]
        return Member(image.key, image.image_id, self.descriptors[row], image.captured_at_ms)


class Stopwatch:
    """Seconds spent in each phase, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a block."""
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - began_s
            _LOG.debug("%s took %.3f s", name, self.seconds[name])


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
    stopwatch: Stopwatch | None = None,
) -> SeedResult:
    """Cluster the described seeds and find the duplicates inside each cluster.

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
    stopwatch
        Told the seconds of both phases.
    """
    stopwatch = stopwatch or Stopwatch()
    radius = descriptor.default_radius if radius is None else radius
    with stopwatch.phase("cluster"):
        cells, assigned = cluster_seeds(described.descriptors, clusters)
    with stopwatch.phase("compare"):
        duplicates = find_duplicates(described.descriptors, assigned, radius)
    return SeedResult(
        images=described.images,
        descriptors=described.descriptors,
        cells=cells,
        clusters=assigned,
        duplicates=duplicates,
        unreadable=described.unreadable,
        descriptor=descriptor.spec,
        fingerprint=descriptor.fingerprint,
        radius=radius,
    )


@dataclass(frozen=True)
class Outcome:
    """What a run of the job did.

    Attributes
    ----------
    meta
        Of the generation that is live now.
    result
        About the seeds; None after an import.
    cluster_sizes
        Members of each cluster.
    stopwatch
        Seconds of each phase.
    """

    meta: IndexMeta
    result: SeedResult | None
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
    client = connect(settings.redis_url)
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
        snapshot = import_snapshot(path, descriptor)
    if settings.threshold is not None:
        snapshot = replace(snapshot, meta=replace(snapshot.meta, radius=settings.threshold))
    return _finish(settings, client, snapshot, None, stopwatch)


def _run_seeds(settings: Settings, client: redis.Redis) -> Outcome:
    stopwatch = Stopwatch()
    seeds = find_images(settings.seeds, settings.fps)
    descriptor = load_descriptor(settings.descriptor, settings.weights)
    limits = DecodeLimits(settings.max_image_bytes, settings.max_image_pixels)
    with stopwatch.phase("describe"), shown_progress("describe", seeds.total, sys.stderr) as progress:
        described = describe_seeds(seeds, descriptor, workers=settings.workers, limits=limits, progress=progress)
    result = analyse_seeds(
        described, descriptor, clusters=settings.clusters, radius=settings.threshold, stopwatch=stopwatch
    )
    if settings.report is not None:
        from bootstrap.report import write_report  # noqa: PLC0415 - matplotlib is an extra

        with stopwatch.phase("report"):
            write_report(result, seeds, settings.report, limits)
    return _finish(settings, client, result.snapshot(), result, stopwatch)


def _finish(
    settings: Settings,
    client: redis.Redis,
    snapshot: Snapshot,
    result: SeedResult | None,
    stopwatch: Stopwatch,
) -> Outcome:
    if settings.export is not None:
        with stopwatch.phase("export"):
            export_snapshot(snapshot, settings.export)
    with stopwatch.phase("store"):
        meta = store(snapshot, client, settings.index)
    _LOG.info("index %s: generation %d is live", meta.name, meta.generation)
    sizes = np.bincount(snapshot.clusters, minlength=len(snapshot.cells))
    return Outcome(meta, result, sizes, stopwatch)
