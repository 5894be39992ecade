"""Takes members out of a live index for good, while consumers go on: a takedown, or an image that never was unique.

One script takes out all of them or none. It adds an event to the generation's log for each cell, by which consumers
learn of it, and a note for each member (`neardup.index.stored.removals`), by which a repair knows what to leave out.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import redis

from bootstrap.generation.snapshot import Snapshot, export_snapshot, require_writable
from bootstrap.live.decisions import naming
from bootstrap.live.inspection import described
from bootstrap.live.reading import LiveGeneration
from neardup.errors import Unavailable
from neardup.index.stored.codec import head_key, split_record
from neardup.index.stored.keys import IndexKeys
from neardup.index.stored.removals import Removal
from neardup.index.stored.scripts import GenerationScripts, Placed
from neardup.types import Member

Document = dict[str, Any]

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 20
"""Each time a member has just gone to another cell, or a new generation went live."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The members that are asked for, each with its cell, and the names that nothing has."""

    members: list[tuple[Member, int]]
    unknown: list[str]


def remove(
    client: redis.Redis, name: str, names: Sequence[str], by: str, *, save: Path | None = None, dry_run: bool = False
) -> Document:
    """Remove every member that is called so, by image id or key, and return what was done.

    When a name is unknown nothing is removed.

    Parameters
    ----------
    client
        From `neardup.index.stored.connection.connect`.
    name
        Of the index.
    names
        Image ids and keys, at least one.
    by
        Whoever asks for it, for the note.
    save
        File for what is removed, written before, in the format that ``neardup bootstrap --import`` reads.
    dry_run
        Only find out.

    Raises
    ------
    Misconfigured
        There is no such index, or the file cannot be written.
    Unavailable
        Redis does not answer, or the members do not stand still; nothing was removed, unless the reply was lost.
    """
    if save is not None:
        require_writable(save, "--save")
    for _ in range(_ATTEMPTS):
        generation = LiveGeneration(client, name)
        found = _find(generation, names)
        if dry_run or found.unknown:
            return _document(generation, found, by, None, dry_run=dry_run)
        if save is not None:
            export_snapshot(_snapshot(generation, found.members), save, "--save")
        if _remove(generation, found.members, by):
            _LOG.info(
                "index %s, generation %d: %d members removed by %s: %s",
                name,
                generation.number,
                len(found.members),
                by,
                ", ".join(member.key for member, _ in found.members),
            )
            return _document(generation, found, by, save, dry_run=False)
    raise Unavailable("the members were moved again and again while they were looked for, none was removed: try again")


def _find(generation: LiveGeneration, names: Sequence[str]) -> _Found:
    found = list(generation.members_called(set(names)))
    called = {text for member, _ in found for text in (member.key, member.image_id)}
    return _Found(found, [name for name in dict.fromkeys(names) if name not in called])


def _remove(generation: LiveGeneration, members: Sequence[tuple[Member, int]], by: str) -> bool:
    placed = _placed(generation, members)
    if len(placed) < len(members):
        return False
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    notes = [Removal(member.image_id, generation.number, at, by) for member, _ in members]
    scripts = GenerationScripts(generation.client, IndexKeys(generation.meta.name), generation.number)
    return scripts.remove(list(zip(placed, notes, strict=True)))


def _placed(generation: LiveGeneration, members: Sequence[tuple[Member, int]]) -> list[Placed]:
    """Return the members as they are stored; those that have left their cell are missing."""
    cells = sorted({cell for _, cell in members})
    layout = generation.layout()
    stored: dict[tuple[int, bytes], bytes] = {}
    for cell, records in zip(cells, generation.read_cells(cells), strict=True):
        for record in records:
            stored[cell, head_key(split_record(record, generation.meta.dimension)[0])] = record
    wanted = [(cell, member.key.encode()) for member, cell in members]
    return [Placed(key, cell, layout.root_of(cell), stored[cell, key]) for cell, key in wanted if (cell, key) in stored]


def _snapshot(generation: LiveGeneration, found: Sequence[tuple[Member, int]]) -> Snapshot:
    members = [member for member, _ in found]
    clusters = generation.roots.assign(np.stack([member.descriptor for member in members]))
    return Snapshot(generation.meta, generation.roots, members, clusters, generation.pca())


def _document(generation: LiveGeneration, found: _Found, by: str, saved: Path | None, *, dry_run: bool) -> Document:
    members = [] if found.unknown else [member for member, _ in found.members]
    named = naming(generation, {member.image_id for member in members}) if members else {}
    return {
        "index": generation.meta.name,
        "generation": generation.number,
        "dry_run": dry_run,
        "unknown": found.unknown,
        "by": by,
        "removed": [described(member) for member in members],
        "decisions": {"remembered": 0, "messages": [], **named},
        "saved": None if saved is None else str(saved),
    }
