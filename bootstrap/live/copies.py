"""The whole of a live index, for a file or for another Redis, while consumers go on."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import redis

from bootstrap.generation.snapshot import Snapshot, export_snapshot, require_writable, store
from bootstrap.live.inspection import kept
from bootstrap.live.reading import LiveGeneration
from neardup.cli.progress import Shown, not_shown
from neardup.errors import Misconfigured
from neardup.index.build import MoreToCarry
from neardup.index.carry import Predecessor
from neardup.index.live import find_live
from neardup.index.stored.generations import previous_generation
from neardup.index.stored.keys import IndexKeys
from neardup.index.stored.removals import Removals

Document = dict[str, Any]

_LOG = logging.getLogger(__name__)


def whole(generation: LiveGeneration) -> Snapshot:
    """Return all members of a generation as they were at one moment, that of its last event that was read.

    Raises
    ------
    Misconfigured
        It has no members, or another one is live now.
    """
    require_members(generation)
    with generation.shown("read", None, "members") as progress:
        members = Predecessor(generation.client, generation.meta.name, generation.meta, progress).news().added
    descriptors = np.stack([member.descriptor for member in members])
    clusters = generation.roots.assign(descriptors)
    return Snapshot(generation.meta, generation.roots, members, clusters, generation.pca())


def require_members(generation: LiveGeneration) -> None:
    """Refuse a generation of no members, of which nothing can be made.

    Raises
    ------
    Misconfigured
        It has none.
    """
    if not any(generation.sizes(generation.layout().leaves)):
        raise Misconfigured(f"index {generation.meta.name!r} has no members: bootstrap it again")


def export(generation: LiveGeneration, path: Path) -> Document:
    """Write a live index to a file that ``neardup bootstrap --import`` reads; return what is in it.

    Raises
    ------
    Misconfigured
        The file cannot be written, or there is nothing to write.
    """
    require_writable(path, "FILE")
    snapshot = whole(generation)
    with generation.shown("write", len(snapshot.members), "members") as progress:
        export_snapshot(snapshot, path, "FILE", progress)
    return {
        "index": generation.meta.name,
        "generation": generation.number,
        "members": len(snapshot.members),
        "file": str(path),
        "bytes": path.stat().st_size,
    }


def copy_to(
    client: redis.Redis,
    name: str,
    target: redis.Redis,
    to_name: str,
    by: str,
    *,
    overwrite: bool,
    keep_ms: int = 0,
    shown: Shown = not_shown,
) -> Document:
    """Copy a live index, as of one moment, into another Redis, where it becomes live in one step.

    Decisions are not copied. What was removed on request is noted there, too.

    Parameters
    ----------
    client, name
        What is copied, and where it is.
    target, to_name
        Where to, another Redis or the same one, and what the copy is called.
    by
        Whoever asks for it, for the log.
    overwrite
        Whether an index of that name may lose its place; it keeps it if its consumers change it meanwhile.
    keep_ms
        How long what loses its place is kept for a rollback at the target, in milliseconds; 0 removes it at once.
    shown
        Shows the progress of reading and writing the members.

    Raises
    ------
    Misconfigured
        There is such an index, it changed meanwhile, or there is nothing to copy.
    CorruptIndex
        The index that would lose its place cannot be read.
    """
    IndexKeys(to_name)  # refuses a bad name
    generation = LiveGeneration(client, name, shown=shown)
    there = find_live(target, to_name)
    if there is not None and not overwrite:
        raise Misconfigured(
            f"there is an index {to_name!r} at the target, generation {there.meta.generation}: --overwrite puts the "
            "copy in its place, --to-index gives the copy another name"
        )
    instead_of = Predecessor(target, to_name, None if there is None else there.meta)
    instead_of.skip()
    snapshot = whole(generation)
    removals = Removals(client, name).stored()
    try:
        with shown("write", len(snapshot.members), "members") as progress:
            stored = store(snapshot, target, to_name, instead_of=instead_of, keep_ms=keep_ms, progress=progress)
    except MoreToCarry:
        raise Misconfigured(
            f"index {to_name!r} at the target changed while the copy was made, and stays as it is: stop its consumers, "
            "and copy again"
        ) from None
    Removals(target, to_name).add(removals)
    _LOG.info(
        "index %s, generation %d: %d members copied by %s to index %s, generation %d",
        *(name, generation.number, len(snapshot.members), by, to_name, stored.meta.generation),
    )
    return {
        "index": name,
        "generation": generation.number,
        "members": len(snapshot.members),
        "to": {"index": stored.meta.name, "generation": stored.meta.generation},
        "instead_of": None if there is None else there.meta.generation,
        "previous": kept(previous_generation(target, to_name)),
    }
