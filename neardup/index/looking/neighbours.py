"""The members nearest to an image, and the verdict that it would get now; changes nothing."""

from dataclasses import dataclass

import numpy as np

from neardup.index.batch import Batch
from neardup.index.looking.nearest import measure, nearest
from neardup.index.redis import RedisIndex
from neardup.index.view import GenerationView
from neardup.types import Decision, Member, Query


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A member near an image.

    Attributes
    ----------
    l2_distance
        Of the image's nearest variant, in [0, 2].
    cluster
        Number of its cell.
    counts
        Whether it counts for the image, by the retention.
    """

    member: Member
    l2_distance: float
    cluster: int
    counts: bool


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What was found near an image.

    Attributes
    ----------
    decision
        What the index would decide now; what it duplicates is among the nearest.
    nearest
        The nearest members, the nearest first; equally near ones by their keys. What the image duplicates takes the
        place of the last, if it is none of them.
    exact
        Whether no member that is left out is nearer than these, but for what takes the place of the last. Otherwise
        this holds within the radius, and beyond it they are the nearest of those that seem so by their sketches.
    members
        How many members there are.
    """

    decision: Decision
    nearest: tuple[Neighbour, ...]
    exact: bool
    members: int


def neighbours(index: RedisIndex, query: Query, limit: int) -> Neighbours:
    """Return the `limit` members nearest to an image, and the verdict that it would get now.

    Raises
    ------
    RedisUnavailable, RelationMismatch, Misconfigured
        As `Index.decide`.
    """
    return index.preview(query, lambda batch, view: _found(query, batch, view, limit, index.meta.radius))


def _found(query: Query, batch: Batch, view: GenerationView, limit: int, radius: float) -> Neighbours:
    [draft] = batch.draft(0)
    descriptors = np.stack([variant.descriptor for variant in query.compared])
    measured, exact = nearest(view, descriptors, limit, radius)
    near = measured.told(limit)
    origin = draft.decision.origin
    if origin is not None and all(member.key != origin.key for member, _ in near):
        # More members than were asked for are nearer, and differ in what else decides.
        near[limit - 1 :] = measure(view, descriptors, batch.slots_of(0, origin.key))[0].told(1)
    told = [
        Neighbour(member, l2_distance, cell, batch.counts(0, member.key, member.captured_at_ms))
        for member, (l2_distance, cell) in near
    ]
    return Neighbours(draft.decision, tuple(told), exact, len(view))
