"""The interface of an index, and its metadata."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from neardup.descriptors.names import hardly_sees_turns
from neardup.descriptors.pca import Pca
from neardup.errors import CorruptIndex, IndexMismatch, RelationMismatch
from neardup.relation.kept import parts_of
from neardup.relation.looks.second_look import VERSION as LOOK_VERSION
from neardup.relation.rule import Relation
from neardup.relation.symmetry import SWITCHES, Switches, switches_of
from neardup.types import Decision, Match, Member, Origin, Query, Symmetry, Verdict

FORMAT_VERSION = 3
"""Version of the metadata and of the member records."""
LOOK_FORMAT_VERSION = 4
"""The same with a second look. Versions that know none refuse it; of an index without one they notice nothing."""
_READABLE = {2, FORMAT_VERSION, LOOK_FORMAT_VERSION}
"""Other versions are refused. Version 2 had neither symmetries nor local change: both are off."""

_JSON_TYPES = {
    "name": str,
    "generation": int,
    "descriptor": str,
    "fingerprint": str,
    "dimension": int,
    "radius": int | float,
    "clusters": int,
    "seed": dict,
    "created_at": str,
    "pca": str,
    "local_change": int | float | None,
    "agreement": int | float | None,
    **dict.fromkeys(SWITCHES, bool),
    "calibration": dict,
    "carried_from": int,
}


@dataclass(frozen=True, slots=True)
class IndexMeta(Switches):
    """What an index is made for; stored with it.

    Attributes
    ----------
    name, generation
        Which index; each bootstrap makes a new generation.
    descriptor
        Spec of the descriptor (``dct``), from which a consumer loads it.
    fingerprint
        Fingerprint of the descriptor that made the members; any other is refused.
    dimension
        Length of a descriptor.
    radius
        Largest L2 distance that counts as duplicate, inclusive.
    clusters
        Number of centroids; 0 without centroids.
    seed
        What the bootstrap counted: images, unique, duplicates, unreadable.
    created_at
        UTC, ISO 8601.
    pca
        Fingerprint of the principal components that make its descriptors short; empty without any.
    local_change, agreement
        What else decides, beside the radius and the switches; see `neardup.relation.rule.Relation`.
    calibration
        How the radius was found (docs/calibration.md); empty when it was given.
    carried_from
        Number of the generation whose members were carried over; 0 where none were.
    """

    name: str
    generation: int
    descriptor: str
    fingerprint: str
    dimension: int
    radius: float
    clusters: int = 0
    seed: dict[str, int] = field(default_factory=dict)
    created_at: str = ""
    format_version: int = FORMAT_VERSION
    local_change: float | None = None
    pca: str = ""
    calibration: dict[str, Any] = field(default_factory=dict)
    carried_from: int = 0
    agreement: float | None = None

    @property
    def relation(self) -> Relation:
        """When an image is a duplicate of a member."""
        turned_by_look = hardly_sees_turns(self.descriptor)
        return Relation(self.radius, self.local_change, self.agreement, turned_by_look, **switches_of(self))

    def to_json(self) -> bytes:
        """Return the metadata as UTF-8 JSON."""
        fields = asdict(self)
        fields |= look_fields(fields.pop("agreement"), match_parts=fields.pop("match_parts"))
        if self.agreement is not None:
            fields["format_version"] = LOOK_FORMAT_VERSION
        return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()

    def check_descriptor(self, fingerprint: str) -> None:
        """Refuse a descriptor that is not the one that made the members.

        Raises
        ------
        IndexMismatch
            Comparing vectors of two descriptors fails, or silently gives wrong verdicts.
        """
        if fingerprint != self.fingerprint:
            raise IndexMismatch(
                f"index {self.name!r}, generation {self.generation}, was built with descriptor {self.fingerprint}, but "
                f"this process uses {fingerprint}: use the version, descriptor and weights of its bootstrap, "
                "or bootstrap again and restart"
            )

    def read_pca(self, stored: bytes | None) -> Pca | None:
        """Return the principal components that are stored with it; None when it has none.

        Raises
        ------
        CorruptIndex
            They are missing, or not those that it names.
        """
        if not self.pca:
            return None
        if stored is None:
            raise CorruptIndex("the principal components of its descriptors are missing")
        pca = Pca.from_bytes(stored)
        if pca.fingerprint != self.pca:
            raise CorruptIndex(f"the principal components are {pca.fingerprint}, not {self.pca}")
        return pca

    @classmethod
    def from_json(cls, text: bytes) -> "IndexMeta":
        """Read `to_json`.

        Raises
        ------
        CorruptIndex
            Not JSON, or fields are missing or of another type.
        IndexMismatch
            Written by another format version, or its looks are of another version.
        """
        try:
            fields = json.loads(text)
            version = fields["format_version"]
            readable = version in _READABLE
        except (ValueError, KeyError, TypeError, RecursionError) as exc:
            raise CorruptIndex(f"the metadata is not readable: {text[:80]!r}") from exc
        if not readable:
            raise IndexMismatch(f"the index has format {version}, this version reads {FORMAT_VERSION}: bootstrap again")
        check_look(fields)
        if version == LOOK_FORMAT_VERSION:
            fields["format_version"] = FORMAT_VERSION
        try:
            meta = cls(**fields)
        except TypeError as exc:
            raise CorruptIndex(f"the metadata has unexpected fields: {exc}") from exc
        wrong = [name for name, kinds in _JSON_TYPES.items() if not isinstance(getattr(meta, name), kinds)]
        if wrong:
            raise CorruptIndex(f"the metadata has values of the wrong type: {', '.join(wrong)}")
        if meta.match_parts and meta.agreement is None:
            raise CorruptIndex("the metadata ask for parts without a second look")
        return meta


def look_fields(agreement: float | None, *, match_parts: bool) -> dict[str, Any]:
    """Return the fields of metadata that tell of a second look: none where none is taken."""
    if agreement is None:
        return {}
    return {"agreement": agreement, "look_version": LOOK_VERSION, "match_parts": match_parts}


def check_look(fields: dict[str, Any]) -> None:
    """Take the version out of `look_fields`, and refuse looks of another one.

    Raises
    ------
    IndexMismatch
        They cannot be compared with those of this version.
    """
    version = fields.pop("look_version", None)
    if fields.get("agreement") is not None and version != LOOK_VERSION:
        raise IndexMismatch(
            f"its looks have version {version}, this version of neardup takes those of version {LOOK_VERSION}: "
            "bootstrap it again"
        )


@dataclass(frozen=True, slots=True)
class IndexStats:
    """Sizes of an index as far as this process knows them.

    Attributes
    ----------
    members, clusters
        Counts.
    cluster_sizes
        Members of each cluster.
    cache_bytes
        Bytes of memory that this process uses for descriptors.
    retries
        Commits that this process repeated because another process had appended in between.
    """

    members: int
    clusters: int
    cluster_sizes: tuple[int, ...]
    cache_bytes: int
    retries: int


def decision_of(match: Match | None, meta: IndexMeta, cluster: int | None, *, known: bool = False) -> Decision:
    """Return the verdict that the nearest member gives: duplicate within the radius, inclusive; else unique.

    `match` is never the query's own record. A `known` query, whose key is among the members, stays unique.
    If local change counts, or a second look is taken, `match` holds what was found.
    """
    differs = match is not None and not meta.relation.allows(match.local_change, match.look)
    if known or differs or match is None or match.l2_distance > meta.radius:
        return Decision(Verdict.UNIQUE, None, match.l2_distance if match else None, cluster, meta.generation)
    return Decision(
        verdict=Verdict.DUPLICATE,
        duplicate_of=match.member.image_id,
        l2_distance=match.l2_distance,
        cluster=cluster,
        generation=meta.generation,
        local_change=match.local_change,
        symmetry=match.symmetry,
        origin=Origin(match.member.key, match.member.captured_at_ms),
        look=match.look,
    )


def require_fit(queries: Sequence[Query], relation: Relation, *, as_stored: bool = False) -> None:
    """Refuse queries that were described for another relation, for example before a new generation went live.

    Parameters
    ----------
    queries
        Their variants, and what is kept of them, are looked at.
    relation
        Of the index.
    as_stored
        Whether the queries are members as they were stored, without variants.

    Raises
    ------
    RelationMismatch
        One would be compared in another way than the index promises.
    """
    symmetries = () if as_stored else relation.described_after[1:]
    with_parts = relation.match_parts and not as_stored
    for query in queries:
        described = tuple(variant.symmetry for variant in query.variants if variant.part is None)
        fits = described == symmetries and query.seeks_parts == with_parts
        if not fits or parts_of(query.kept) != relation.parts:
            raise RelationMismatch(
                f"{query.key} was described {_told(described, query.seeks_parts)} and has {parts_of(query.kept)} kept, "
                f"the index compares images {_told(symmetries, with_parts)} and {relation.parts}: describe it again"
            )


def _told(symmetries: Sequence[Symmetry], with_parts: bool) -> str:  # noqa: FBT001 - told with the first
    after = f"after {', '.join(symmetries)}" if symmetries else "as it came"
    return f"{after}, {'with' if with_parts else 'without'} parts,"


class Index(Protocol):
    """Decides verdicts and keeps members.

    There is one operation: for other processes, search, decision and insertion of a unique image are a single atomic
    step.
    """

    @property
    def meta(self) -> IndexMeta:
        """What the index is made for."""

    def decide(self, queries: Sequence[Query]) -> list[Decision]:
        """Decide a batch, in order, and insert its unique images.

        A key that was decided before gets the same verdict and changes nothing. Images of one batch are also compared
        with one another.

        Raises
        ------
        RedisUnavailable
            Nothing is known to be committed; the same call may be repeated.
        RelationMismatch
            Some queries may be committed. Describe them all again for the current `meta`, and repeat the call.
        Misconfigured
            The index is gone, or does not fit this process any more.
        """

    def members(self) -> Iterator[Member]:
        """Iterate over all members, cell by cell, in insertion order within each."""

    def pca(self) -> Pca | None:
        """Return the principal components that make its descriptors short; None without any.

        Raises
        ------
        RedisUnavailable, CorruptIndex
            They cannot be read.
        """

    def stats(self) -> IndexStats:
        """Return sizes, with at most one short round trip."""
