"""Calibrates a live index from its members and from labelled pairs. Read-only."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bootstrap.calibration import radius
from bootstrap.calibration.distances import in_order_of_digest, most_images, nearest_pairs
from bootstrap.calibration.isolation import originals_of
from bootstrap.calibration.labels import LabelledPair, errors_at, fewest_errors, named_images, refuse
from bootstrap.calibration.tail import tail_bound
from bootstrap.live.reading import Block, LiveGeneration
from neardup.decoding.decode import decode
from neardup.descriptors.base import Descriptor
from neardup.errors import BadInput
from neardup.index.descriptor import descriptor_of
from neardup.index.stored.codec import decode_head
from neardup.search.distance import paired_l2_distances
from neardup.types import Descriptors

Document = dict[str, Any]


class Members:
    """A sample of the members of a generation, and the requested ones among them.

    Attributes
    ----------
    count
        Number of all members.
    sample
        float16 (n, d), all different, as good as random: those with the smallest digests.
    found
        Descriptors of the requested members, by image id or key.
    """

    def __init__(self, generation: LiveGeneration, wanted: Mapping[str, int]) -> None:
        self.count = 0
        self.found: dict[str, Descriptors] = {}
        self._most = most_images(generation.meta.dimension)
        self.sample = np.empty((0, generation.meta.dimension), dtype=np.float16)
        for block in generation.blocks():
            self.count += len(block.heads)
            self._find(block, wanted)
            self.sample = np.concatenate([self.sample, block.descriptors])
            if len(self.sample) > 2 * self._most:
                self._shrink()
        self._shrink()

    def _find(self, block: Block, wanted: Mapping[str, int]) -> None:
        if not wanted:
            return
        for head, row in zip(block.heads, block.descriptors, strict=True):
            key, image_id, _ = decode_head(head)
            for name in (image_id, key):
                if name in wanted:
                    self.found.setdefault(name, row)

    def _shrink(self) -> None:
        self.sample = self.sample[in_order_of_digest(self.sample)[: self._most]]


def calibrate_live(
    generation: LiveGeneration,
    false_pairs: float,
    pairs: Path | None,
    labels: Sequence[LabelledPair],
    weights: str | None,
    *,
    descriptor: str | None = None,
) -> Document:
    """Return what calibration would choose now, and what it would change, as a document for JSON.

    Members lie farther than the radius from one another, so nothing is known about nearer pairs: the tail is fitted on
    the pairs beyond the radius, and extended below it.

    Parameters
    ----------
    generation
        The live generation.
    false_pairs
        Rate to keep.
    pairs, labels
        File of labelled pairs (for messages), and its contents.
    weights, descriptor
        Weights of the descriptor, and its name where it lies elsewhere, for images that are files.

    Raises
    ------
    Misconfigured, Unavailable
        A labelled image is neither a member nor a readable file; or Redis fails.
    """
    lines = named_images(labels)
    members = Members(generation, lines)
    document = _proposal(generation, members, false_pairs)
    if labels:
        described = _described(generation, members, pairs or Path(), lines, (descriptor, weights))
        document["marked"] = _judged(labels, described, generation.meta.radius, document["proposed"])
    return document


def _proposal(generation: LiveGeneration, members: Members, false_pairs: float) -> Document:
    meta = generation.meta
    comparisons = len(meta.relation.views)
    images = len(members.sample)
    document: Document = {
        "index": meta.name,
        "generation": meta.generation,
        "radius": meta.radius,
        "calibration": meta.calibration,
        "members": members.count,
        "compared": images,
        "copied": 0,
        "false_pairs": false_pairs,
        "confidence": radius.CONFIDENCE,
        **dict.fromkeys(("bound", "proposed", "rate", "rate_proposed", "exponent")),
        "edits": _edits_of(meta.calibration),
        "extrapolated": False,
    }
    wanted = radius.enough_for(images, false_pairs / comparisons)
    near = None
    if images >= radius.FEWEST_IMAGES:
        different = members.sample[originals_of(members.sample) == np.arange(images)]
        document["copied"] = images - len(different)
        if len(different) >= radius.FEWEST_IMAGES:
            near = nearest_pairs(different, wanted, meta.radius)
    bound = tail_bound(near, false_pairs / comparisons, radius.CONFIDENCE) if near else None
    if near is None or bound is None:
        return document
    allowed = radius.rounded_down(min(2.0, bound.radius))
    proposed = max(allowed, document["edits"].get(f"{radius.REACH:g}", 0.0))
    document["bound"], document["proposed"] = allowed, proposed
    document["rate"] = radius.shown_rate(comparisons * radius.rate_within(near, bound.fit, meta.radius))
    document["rate_proposed"] = radius.shown_rate(comparisons * radius.rate_within(near, bound.fit, proposed))
    document["exponent"] = round(bound.fit.exponent, 2)
    document["extrapolated"] = allowed < meta.radius
    return document


def _edits_of(calibration: Mapping[str, Any]) -> dict[str, float]:
    """Return the edits' quantiles that the bootstrap measured; an index may hold anything."""
    edits = calibration.get("edits")
    if not isinstance(edits, dict):
        return {}
    return {str(name): float(value) for name, value in edits.items() if isinstance(value, int | float)}


def _described(
    generation: LiveGeneration,
    members: Members,
    pairs: Path,
    lines: Mapping[str, int],
    model: tuple[str | None, str | None],
) -> dict[str, Descriptors]:
    described, wrong = dict(members.found), []
    files = [name for name in lines if name not in described]
    descriptor = descriptor_of(generation, *model) if files else None
    for name in files:
        try:
            described[name] = _describe(Path(name), descriptor)
        except OSError as exc:
            reason = exc.strerror or exc
            wrong.append(f"line {lines[name]}: {name!r} is neither a member nor a readable file ({reason})")
        except BadInput as exc:
            wrong.append(f"line {lines[name]}: {name!r} is not an image that can be described ({exc.reason}): {exc}")
    refuse(pairs, wrong)
    return described


def _describe(path: Path, descriptor: Descriptor | None) -> Descriptors:
    assert descriptor is not None  # noqa: S101 - there are files, so it was loaded
    pixels = decode(path.read_bytes(), reduce_to_px=descriptor.reduce_to_px)
    row: Descriptors = descriptor.describe([descriptor.prepare(pixels)])[0]
    return row


def _judged(
    labels: Sequence[LabelledPair], described: Mapping[str, Descriptors], radius: float, proposed: float | None
) -> Document:
    ones, twos = (np.stack([described[label.images[side]] for label in labels]) for side in (0, 1))
    distances = paired_l2_distances(ones, twos)
    return {
        "same": sum(label.same for label in labels),
        "different": sum(not label.same for label in labels),
        "now": errors_at(labels, distances, radius),
        "proposed": None if proposed is None else errors_at(labels, distances, proposed),
        "fewest_errors": fewest_errors(labels, distances),
        "pairs": [
            {"line": label.line, "images": list(label.images), "same": label.same, "distance": float(l2)}
            for label, l2 in zip(labels, distances, strict=True)
        ],
    }
