"""From described seeds to duplicates, members and clusters."""

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bootstrap.generation.assembly import assemble
from bootstrap.generation.stopwatch import Stopwatch
from bootstrap.seeds.describe import DescribedSeeds
from bootstrap.seeds.result import SeedResult
from neardup.descriptors.base import Descriptor
from neardup.descriptors.projected import pca_of
from neardup.engine import Each, Engine
from neardup.index.carry import Predecessor
from neardup.relation.rule import Relation
from neardup.search.cells import Cells
from neardup.search.kmeans import fit_bounded_centroids, fit_centroids
from neardup.types import Descriptors


def cluster_seeds(
    descriptors: Descriptors, clusters: int | None = None, each: Each = map
) -> tuple[Cells, NDArray[np.intp]]:
    """Cluster descriptors, and return the cells and the cell of each row; every cell has at least one row.

    Parameters
    ----------
    descriptors
        float16 (n, d), unit norm, n at least 1.
    clusters
        How many, at most; None makes as many as keep a cell at a few hundred rows.
    each
        Does the fits and the blocks.
    """
    if clusters is None:
        centroids = fit_bounded_centroids(descriptors, each)
    else:
        (centroids,) = each(partial(fit_centroids, clusters=clusters), [descriptors])
    # A centroid that is nobody's nearest can go without moving anybody else to another cell.
    used, assigned = np.unique(Cells(centroids).assign(descriptors, each), return_inverse=True)
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
    engine: Engine | None = None,
) -> SeedResult:
    """Find the duplicates among the described seeds, and cluster the members.

    Parameters
    ----------
    described
        From `bootstrap.seeds.describe.describe_seeds`.
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
    engine
        Compares and clusters; None does it here.
    """
    stopwatch = stopwatch or Stopwatch()
    radius = descriptor.radius_for(relation.agreement if relation else None) if radius is None else radius
    relation = replace(relation or Relation(radius), radius=radius)
    with stopwatch.phase("compare"):
        assembly = assemble(predecessor, described.members(), described.compared, relation, engine)
    with stopwatch.phase("cluster"):
        descriptors = assembly.finder.descriptors
        # Of the members alone: cells are to hold a few hundred of them, however many copies there are.
        each = engine.map if engine else map
        cells, _ = cluster_seeds(descriptors[assembly.members], clusters, each)
        assigned = cells.assign(descriptors, each)
    return SeedResult(
        assembly,
        cells,
        assigned,
        described.unreadable,
        descriptor.spec,
        descriptor.fingerprint,
        pca_of(descriptor),
    )
