"""Another radius for a live index: a new generation of the same members, while consumers go on.

Consumers read the radius when they load a generation, and compare a whole batch by it. Changed in place, it would hold
for some of them and not for others. So the members are carried over into a generation that has it, as by a bootstrap
without seeds: what consumers commit meanwhile is followed, and one step switches over.
"""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import redis

from bootstrap.generation.assembly import Assembly, assemble
from bootstrap.generation.snapshot import CarryOver, snapshot_of, store
from bootstrap.live.copies import require_members
from bootstrap.live.inspection import described, kept
from bootstrap.live.reading import LiveGeneration
from neardup.errors import Misconfigured
from neardup.index.carry import Predecessor
from neardup.index.stored.generations import previous_generation
from neardup.relation.images import Images
from neardup.relation.rule import Relation

Document = dict[str, Any]

_LOG = logging.getLogger(__name__)


def set_radius(
    client: redis.Redis,
    name: str,
    radius: float,
    by: str,
    *,
    keep_ms: int = 0,
    allow_dropping: bool = False,
    dry_run: bool,
) -> Document:
    """Give an index another radius, and return what that changes among its members.

    Parameters
    ----------
    client
        From `neardup.index.stored.connection.connect`.
    name
        Of the index.
    radius
        Largest L2 distance of a duplicate, inclusive, 0 to 2.
    by
        Whoever asks for it, for the log.
    keep_ms
        How long the generation with the radius before is kept for a rollback, in milliseconds; 0 removes it at once.
    allow_dropping
        Go ahead although members are left out.
    dry_run
        Only find out.

    Raises
    ------
    Misconfigured
        It has no members, some would be left out, or a bootstrap finished meanwhile.
    """
    generation = LiveGeneration(client, name)
    require_members(generation)
    before = generation.meta
    predecessor = Predecessor(client, name, before)
    assembly = assemble(predecessor, [], _no_images(before.dimension, before.relation), _with(before.relation, radius))

    def counts() -> dict[str, int]:
        return {**before.seed, "carried": assembly.kept}

    def refusal(assembly: Assembly) -> str:
        if not assembly.left_out or allow_dropping or radius == before.radius:
            return ""
        return (
            f"index {name!r}, generation {before.generation}: {assembly.left_out} of its "
            f"{assembly.kept + assembly.left_out} members would be left out, as they duplicate others by a radius of "
            f"{radius:g}. Allow it by --allow-dropping; --dry-run lists them"
        )

    def check(assembly: Assembly) -> None:
        if refused := refusal(assembly):
            raise Misconfigured(refused)

    document = {
        "index": name,
        "generation": generation.number,
        "dry_run": dry_run,
        "radius_before": before.radius,
        "radius": radius,
        "members_before": assembly.carried,
        "left_out": _left_out(assembly),
        "new_generation": None,
        "previous": None,
        "refusal": refusal(assembly),
    }
    if not dry_run and radius != before.radius:
        check(assembly)
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        meta = replace(before, radius=radius, seed=counts(), created_at=made_at, calibration={})
        snapshot = snapshot_of(assembly, meta, generation.roots, generation.pca())
        stored = store(snapshot, client, name, CarryOver(predecessor, assembly, counts, check), keep_ms=keep_ms)
        document |= {
            "new_generation": stored.meta.generation,
            "left_out": _left_out(assembly),
            "previous": kept(previous_generation(client, name)),
        }
        _LOG.info(
            "index %s: radius %g after %g, set by %s; generation %d is live, with %d members, %d left out",
            *(name, radius, before.radius, by, stored.meta.generation, assembly.kept, assembly.left_out),
        )
    return document | {"members": assembly.kept}


def _with(relation: Relation, radius: float) -> Relation:
    return replace(relation, radius=radius)


def _no_images(dimension: int, relation: Relation) -> Images:
    kept = np.empty((0, relation.parts.nbytes), dtype=np.uint8) if relation.parts else None
    return Images(np.empty((0, dimension), dtype=np.float16), kept)


def _left_out(assembly: Assembly) -> list[Document]:
    """Return the members that duplicate another by the new radius, each with that one and their distance."""
    found = assembly.finder.found
    return [
        {
            **described(assembly.rows[row]),
            "duplicate_of": assembly.rows[unique].image_id,
            "distance": float(found.l2_distance[row]),
        }
        for unique, rows in found.groups().items()
        for row in rows
    ]
