"""What an operator may want to know about a live index: sizes, one member, and the members near an image.

Everything here only reads, and gives a document that JSON can hold.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from heapq import nsmallest
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.live.decisions import remembered
from bootstrap.live.reading import Block, LiveGeneration
from neardup.capture_time import moment
from neardup.decoding.decode import decode
from neardup.errors import BadInput, Misconfigured
from neardup.index.base import decision_of
from neardup.index.descriptor import descriptor_of
from neardup.index.live import count_events
from neardup.index.stored.codec import head_key
from neardup.index.stored.connection import translated_errors
from neardup.index.stored.generations import Previous, previous_generation
from neardup.index.stored.removals import Removals
from neardup.relation.describing import Describer
from neardup.relation.edit import look_document
from neardup.relation.rule import Relation
from neardup.search.distance import l2_distances, similarity
from neardup.types import Descriptors, Match, Member, Pixels, Variant

Document = dict[str, Any]

_SCAN = 1000
_MEASURED = 2000
"""Keys of a kind whose memory is asked for; the rest is taken to be like them."""


# -- stats ------------------------------------------------------------------------------------------------------------


def stats(generation: LiveGeneration) -> Document:
    """Return what a generation is made for, how large it is, and what it takes in Redis."""
    meta, layout = generation.meta, generation.layout()
    sizes = np.array(generation.sizes(layout.leaves), dtype=np.int64)
    in_log, trimmed = count_events(generation.client, generation.live)
    previous = previous_generation(generation.client, meta.name)
    memory, keys = _memory(generation, previous)
    generation.require_live()
    members = int(sizes.sum())
    return {
        "index": meta.name,
        "generation": meta.generation,
        "descriptor": meta.descriptor,
        "fingerprint": meta.fingerprint,
        "dimension": meta.dimension,
        "radius": meta.radius,
        "calibration": meta.calibration,
        "local_change": meta.local_change,
        "agreement": meta.agreement,
        "symmetries": [symmetry.value for symmetry in meta.relation.symmetries],
        "match_parts": meta.match_parts,
        "created_at": meta.created_at,
        "previous": kept(previous),
        "seed": meta.seed,
        "members": members,
        "clusters": {"count": int((sizes > 0).sum()), "centroids": len(generation.roots), **_spread(sizes[sizes > 0])},
        "splits": len(layout.splits),
        "events": {"in_log": in_log, "ever": trimmed + in_log},
        "decisions": keys["decisions"],
        "removed": len(Removals(generation.client, meta.name)),
        "memory_bytes": memory,
        "bytes_a_member": round(memory["members"] / members, 1) if members else None,
    }


def kept(previous: Previous | None) -> Document | None:
    """Return which generation a rollback would make live again, if any, and for how long."""
    return None if previous is None else {"generation": previous.generation, "left_s": previous.left_ms // 1000}


def _spread(sizes: NDArray[np.int64]) -> dict[str, int]:
    if not len(sizes):
        return {"p1": 0, "p50": 0, "p99": 0, "max": 0}
    low, median, high = (int(value) for value in np.percentile(sizes, [1, 50, 99]))
    return {"p1": low, "p50": median, "p99": high, "max": int(sizes.max())}


def _memory(generation: LiveGeneration, previous: Previous | None) -> tuple[dict[str, int], dict[str, int]]:
    """Return bytes in Redis and numbers of keys, by kind, of all keys of the index."""
    names: dict[str, list[bytes]] = {"members": [], "decisions": [], "log": [], "previous": [], "rest": []}
    counts = dict.fromkeys(names, 0)
    kept = generation.keys.of_generation(previous.generation).removesuffix("*").encode() if previous else None
    for key in scan_keys(generation):
        kind = "previous" if kept and key.startswith(kept) else _kind(generation, key)
        counts[kind] += 1
        if len(names[kind]) < _MEASURED:
            names[kind].append(key)
    memory = {}
    for kind, sample in names.items():
        measured = _measured(generation, sample)
        memory[kind] = round(sum(measured) * counts[kind] / len(sample)) if sample else 0
    return memory, counts


def _kind(generation: LiveGeneration, key: bytes) -> str:
    keys = generation.keys
    if key.startswith(keys.decided("").encode()):
        return "decisions"
    if key.startswith(keys.cell(generation.number, 0).removesuffix("0").encode()):
        return "members"
    return "log" if key == keys.log(generation.number).encode() else "rest"


def _measured(generation: LiveGeneration, keys: Sequence[bytes]) -> list[int]:
    with translated_errors():
        pipeline = generation.client.pipeline(transaction=False)
        for key in keys:
            pipeline.memory_usage(key, samples=0)
        return [size or 0 for size in pipeline.execute()]


def scan_keys(generation: LiveGeneration) -> Iterator[bytes]:
    """Iterate over the names of all keys under the index's prefix, each once or, rarely, twice."""
    with translated_errors():
        yield from generation.client.scan_iter(match=generation.keys.pattern, count=_SCAN)


# -- show -------------------------------------------------------------------------------------------------------------


def show(generation: LiveGeneration, wanted: str) -> Document:
    """Return every member with this image id or key, and what is remembered of the key: decision and removal."""
    layout = generation.layout()
    found = list(generation.members_called({wanted}))
    nearest = _nearest_others(generation, found)
    return {
        "wanted": wanted,
        "unknown": [] if found else [wanted],
        "members": [
            {
                **described(member),
                "cell": cell,
                "root": layout.root_of(cell),
                "nearest": near,
                "decision": remembered(generation, member.key),
            }
            for (member, cell), near in zip(found, nearest, strict=True)
        ],
        "decision": remembered(generation, wanted),
        "removed": _removal(generation, wanted),
    }


def _removal(generation: LiveGeneration, key: str) -> Document | None:
    removal = Removals(generation.client, generation.meta.name).of(key)
    return None if removal is None else asdict(removal)


def _nearest_others(generation: LiveGeneration, found: Sequence[tuple[Member, int]]) -> list[Document | None]:
    nearest: list[Document | None] = [None] * len(found)
    if not found:
        return nearest
    keys = [member.key.encode() for member, _ in found]
    queries = np.stack([member.descriptor for member, _ in found])
    for block in generation.blocks():
        distances = l2_distances(queries, block.descriptors)
        for row, key in enumerate(keys):
            distances[row, [head_key(head) == key for head in block.heads]] = np.inf
            best = int(distances[row].argmin())
            held = nearest[row]
            if np.isfinite(distances[row, best]) and (held is None or distances[row, best] < held["distance"]):
                nearest[row] = {**described(block.member(best)), "distance": float(distances[row, best])}
    return nearest


def described(member: Member) -> Document:
    """Return what names a member."""
    captured_at = moment(member.captured_at_ms) if member.captured_at_ms else None
    return {"image_id": member.image_id, "key": member.key, "captured_at": captured_at}


# -- neighbours -------------------------------------------------------------------------------------------------------


def neighbours(
    generation: LiveGeneration, image: str, limit: int, weights: str | None, descriptor: str | None = None
) -> Document:
    """Return the members nearest to an image by exact distance, and the verdict that it would get.

    A file does not tell when its image was captured, so every member counts for it, whatever the retention.

    Raises
    ------
    Misconfigured
        There is no such image, or the descriptor at hand is not the index's.
    """
    meta = generation.meta
    compared = describe_file(generation, Path(image), weights, descriptor)
    nearest, alike = _nearest_members(generation, compared, limit)
    verdict = decision_of(alike or next(iter(nearest), None), meta, None)
    return {
        "image": image,
        "verdict": verdict.verdict.value,
        "duplicate_of": verdict.duplicate_of,
        "radius": meta.radius,
        "cell": _home(generation, compared[0].descriptor),
        "neighbours": [
            {
                "distance": match.l2_distance,
                "similarity": similarity(match.l2_distance),
                "within_radius": match.l2_distance <= meta.radius,
                "local_change": match.local_change,
                "symmetry": match.symmetry.value,
                **look_document(meta.relation, match.look, match.symmetry),
                **described(match.member),
            }
            for match in nearest
        ],
    }


def describe_file(
    generation: LiveGeneration, image: Path, weights: str | None, spec: str | None = None
) -> tuple[Variant, ...]:
    """Return what an image file is compared by, as the index's members were described.

    Parameters
    ----------
    generation
        The live one.
    image
        The file.
    weights, spec
        As in `neardup.index.descriptor.descriptor_of`.

    Raises
    ------
    Misconfigured
        It cannot be read or judged, or there is no such descriptor here, or it is another one.
    """
    with _readable(image):
        encoded = image.read_bytes()  # before the descriptor, which may take seconds to load
        describer = Describer(descriptor_of(generation, spec, weights), generation.meta.relation)
        pixels = decode(encoded, reduce_to_px=describer.reduce_to_px)
        return describer.describe([describer.prepare(pixels)])[0]


def read_pixels(image: Path) -> Pixels:
    """Return an image file's pixels.

    Raises
    ------
    Misconfigured
        It cannot be read or decoded.
    """
    with _readable(image):
        return decode(image.read_bytes())


@contextmanager
def _readable(image: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise Misconfigured(f"cannot read {image}: {exc.strerror or exc}") from exc
    except BadInput as exc:
        raise Misconfigured(f"{image} is not an image that can be judged ({exc.reason}): {exc}") from exc


def _nearest_members(
    generation: LiveGeneration, compared: Sequence[Variant], limit: int
) -> tuple[list[Match], Match | None]:
    """Return the nearest members, and the nearest that the image duplicates."""
    # Every member is measured: slower than the search, and independent of it.
    nearest: list[Match] = []
    alike: list[Match] = []
    descriptors = np.stack([variant.descriptor for variant in compared])
    relation = generation.meta.relation
    for block in generation.blocks():
        l2 = l2_distances(descriptors, block.descriptors)
        variants = l2.argmin(axis=0)
        rows = np.argsort(l2.min(axis=0), kind="stable")[:limit]
        nearest += [
            _matched(relation, block, row, compared[variants[row]], l2[variants[row], row]) for row in rows.tolist()
        ]
        nearest = nsmallest(limit, nearest, key=attrgetter("l2_distance"))
        within = np.argwhere(l2 <= generation.meta.radius).tolist()
        alike += [_matched(relation, block, row, compared[variant], l2[variant, row]) for variant, row in within]
        alike = [match for match in alike if relation.allows(match.local_change, match.look)]
        alike = nsmallest(1, alike, key=attrgetter("l2_distance"))
    return nearest, next(iter(alike), None)


def _matched(relation: Relation, block: Block, row: int, variant: Variant, l2_distance: float) -> Match:
    member = block.member(row)
    found = relation.check_one(variant.kept, member.kept, float(l2_distance))
    return Match(member, float(l2_distance), found.local_change(0), found.symmetry(0, variant.symmetry), found.look(0))


def _home(generation: LiveGeneration, descriptor: Descriptors) -> int:
    layout = generation.layout()
    row = descriptor[np.newaxis]
    root = int(generation.roots.assign(row)[0])
    sketch = generation.sketcher.sketch(row)[0]
    return layout.leaf(root, sketch)
