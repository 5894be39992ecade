"""The result of comparing and clustering a seed set."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from bootstrap.calibration.radius import Calibration
from bootstrap.generation.assembly import Assembly
from bootstrap.generation.snapshot import Snapshot
from bootstrap.seeds.describe import Unreadable
from neardup.descriptors.pca import Pca
from neardup.index.base import IndexMeta
from neardup.relation.rule import Relation
from neardup.relation.symmetry import switches_of
from neardup.search.cells import Cells
from neardup.search.duplicates import Duplicates
from neardup.types import Descriptors, Member


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
            agreement=self.relation.agreement,
            **switches_of(self.relation),
            calibration=self.calibration.document() if self.calibration else {},
        )
        rows = self.assembly.members
        return Snapshot(meta, self.cells, [self.assembly.rows[row] for row in rows], self.clusters[rows], self.pca)
