"""Calibrates a live index from its members and from labelled pairs. Read-only."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bootstrap.calibration import radius
from bootstrap.calibration.copies import sifted, stays
from bootstrap.calibration.distances import in_order_of_digest, most_images, nearest_pairs
from bootstrap.calibration.isolation import originals_of
from bootstrap.calibration.tail import tail_bound
from bootstrap.calibration.together import bounded, share_within
from bootstrap.live.radius import set_radius
from bootstrap.live.reading import Block, LiveGeneration
from bootstrap.marked.labels import LabelledPair, errors_at, fewest_errors, named_images, refuse
from neardup.decoding.decode import decode
from neardup.errors import BadInput
from neardup.index.base import IndexMeta
from neardup.index.descriptor import descriptor_of
from neardup.relation.describing import Describer
from neardup.relation.images import Images, joined, side_by_side
from neardup.relation.rule import Relation
from neardup.search.distance import paired_l2_distances
from neardup.types import Symmetry, Variant

Document = dict[str, Any]


class Members:
    """A sample of the members of a generation, and the requested ones among them.

    Attributes
    ----------
    count
        Number of all members.
    sample
        All different, as good as random: those with the smallest digests.
    found
        What the requested members are compared by, by image id or key.
    """

    def __init__(self, generation: LiveGeneration, wanted: Mapping[str, int]) -> None:
        self.count = 0
        self.found: dict[str, Variant] = {}
        self._most = most_images(generation.meta.dimension)
        parts = generation.meta.relation.parts
        kept = np.empty((0, parts.stored_nbytes), dtype=np.uint8) if parts else None
        self.sample = Images(np.empty((0, generation.meta.dimension), dtype=np.float16), kept)
        for block in generation.blocks():
            self.count += len(block.heads)
            self._find(block, wanted)
            self.sample = joined(self.sample, Images(block.descriptors, block.kept))
            if len(self.sample) > 2 * self._most:
                self._shrink()
        self._shrink()

    def _find(self, block: Block, wanted: Mapping[str, int]) -> None:
        for row in range(len(block.heads)) if wanted else ():
            member = block.member(row)
            # A name that a spreadsheet would run as a formula has ./ in front in a report's CSV.
            for name in (member.image_id, member.key, f"./{member.image_id}"):
                if name in wanted:
                    self.found.setdefault(name, Variant(Symmetry.NONE, member.descriptor, member.kept))

    def _shrink(self) -> None:
        self.sample = self.sample.at(in_order_of_digest(self.sample.descriptors)[: self._most])


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
        document["marked"] = _judged(labels, described, generation.meta.relation, document["proposed"])
        document["members_at"] = {"now": members.count, "best": members.count - _left_out(generation, document)}
    return document


def _proposal(generation: LiveGeneration, members: Members, false_pairs: float) -> Document:
    meta = generation.meta
    document: Document = {
        "index": meta.name,
        "generation": meta.generation,
        "radius": meta.radius,
        "agreement": meta.agreement,
        "calibration": meta.calibration,
        "members": members.count,
        "compared": len(members.sample),
        "copied": 0,
        "false_pairs": false_pairs,
        "confidence": radius.CONFIDENCE,
        **dict.fromkeys(("bound", "proposed", "rate", "rate_proposed", "exponent", "shown")),
        "edits": _edits_of(meta.calibration),
        "extrapolated": False,
    }
    if len(members.sample) >= radius.FEWEST_IMAGES:
        by = _by_distance if meta.agreement is None else _by_both
        document |= by(meta, members.sample, false_pairs, document["edits"].get(f"{radius.REACH:g}", 0.0))
    return document


def _by_distance(meta: IndexMeta, sample: Images, false_pairs: float, reach: float) -> Document:
    """Return what the distances of members beyond the radius propose."""
    comparisons = len(meta.relation.described_after)
    different = sample.descriptors[stays(originals_of(sample.descriptors))]
    found: Document = {"copied": len(sample) - len(different)}
    if len(different) < radius.FEWEST_IMAGES:
        return found
    rate = false_pairs / comparisons
    near = nearest_pairs(different, radius.enough_for(len(sample), rate), meta.radius)
    bound = tail_bound(near, rate, radius.CONFIDENCE)
    if bound is None:
        return found
    allowed = radius.rounded_down(min(2.0, bound.radius))
    proposed = max(allowed, reach)
    return found | {
        "bound": allowed,
        "proposed": proposed,
        "rate": radius.shown_rate(comparisons * radius.rate_within(near, bound.fit, meta.radius)),
        "rate_proposed": radius.shown_rate(comparisons * radius.rate_within(near, bound.fit, proposed)),
        "exponent": round(bound.fit.exponent, 2),
        "extrapolated": allowed < meta.radius,
    }


def _by_both(meta: IndexMeta, sample: Images, false_pairs: float, reach: float) -> Document:
    """Return what members beyond the radius propose that agree by as much as the index asks for.

    Of nearer ones nothing is known: those that agree never became members.
    """
    assert meta.agreement is not None  # noqa: S101 - else they are compared by distance
    comparisons = len(meta.relation.described_after)
    candidate = max(meta.radius, _number(meta.calibration.get("candidate")))
    relation = replace(meta.relation, radius=candidate)
    sift = sifted(sample, np.arange(len(sample)), relation, floor=meta.radius)
    different, pairs = len(sift.different), sift.pairs
    found: Document = {"compared": len(sift.rows), "copied": len(sift.rows) - different}
    if different < radius.FEWEST_IMAGES:
        return found
    bound = bounded(pairs, meta.agreement, false_pairs / comparisons, candidate)
    # Nothing is known that speaks against the radius, but for a law that continues below it.
    allowed = bound.radius if bound.tail else max(meta.radius, bound.radius)
    proposed = min(candidate, max(allowed, reach))
    return found | {
        "bound": allowed,
        "proposed": proposed,
        "candidate": candidate,
        "looked": len(pairs.near),
        "agreed": len(bound.false),
        "rate": radius.shown_rate(comparisons * share_within(bound, meta.radius)) if bound.tail else None,
        "rate_proposed": radius.shown_rate(comparisons * share_within(bound, proposed)),
        "exponent": round(bound.tail.fit.exponent, 2) if bound.tail else None,
        "shown": None if bound.shown is None else radius.shown_rate(comparisons * bound.shown),
        "extrapolated": allowed < meta.radius,
    }


def _number(value: object) -> float:
    """Return a number that an index holds; it may hold anything."""
    return float(value) if isinstance(value, int | float) else 0.0


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
) -> dict[str, Variant]:
    described, wrong = dict(members.found), []
    files = [name for name in lines if name not in described]
    describer = Describer(descriptor_of(generation, *model), _as_it_came(generation.meta.relation)) if files else None
    for name in files:
        try:
            described[name] = _describe(Path(name), describer)
        except OSError as exc:
            reason = exc.strerror or exc
            wrong.append(f"line {lines[name]}: {name!r} is neither a member nor a readable file ({reason})")
        except BadInput as exc:
            wrong.append(f"line {lines[name]}: {name!r} is not an image that can be described ({exc.reason}): {exc}")
    refuse(pairs, wrong)
    return described


def _left_out(generation: LiveGeneration, document: Document) -> int:
    """Return how many members would duplicate others at the radius with the fewest errors."""
    best = float(document["marked"]["fewest_errors"]["radius"])
    if best <= generation.meta.radius:
        return 0
    found = set_radius(generation.client, generation.meta.name, best, "calibrate", dry_run=True)
    return len(found["left_out"])


def _as_it_came(relation: Relation) -> Relation:
    return Relation(relation.radius, relation.local_change, relation.agreement)


def _describe(path: Path, describer: Describer | None) -> Variant:
    assert describer is not None  # noqa: S101 - there are files, so it was made
    pixels = decode(path.read_bytes(), reduce_to_px=describer.reduce_to_px)
    return describer.describe([describer.prepare(pixels)])[0][0]


def _judged(
    labels: Sequence[LabelledPair], described: Mapping[str, Variant], relation: Relation, proposed: float | None
) -> Document:
    ones, twos = (
        side_by_side([[described[label.images[side]]] for label in labels], relation.parts) for side in (0, 1)
    )
    distances = paired_l2_distances(ones.descriptors, twos.descriptors)
    # Nobody says which of the two came first. What else decides rules a pair out at any radius.
    allowed = relation.allow_both_ways(ones.kept, np.arange(len(labels)), twos.kept, distances)
    counted = np.where(allowed, distances, np.inf)
    return {
        "same": sum(label.same for label in labels),
        "different": sum(not label.same for label in labels),
        "now": errors_at(labels, counted, relation.radius),
        "proposed": None if proposed is None else errors_at(labels, counted, proposed),
        "fewest_errors": fewest_errors(labels, counted),
        "pairs": [
            {"line": label.line, "images": list(label.images), "same": label.same, "distance": float(l2), "allowed": ok}
            for label, l2, ok in zip(labels, distances, allowed.tolist(), strict=True)
        ],
    }
