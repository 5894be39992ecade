"""What a look-up finds, as JSON: the verdict that the image would get, and its nearest members, each explained."""

from datetime import datetime
from typing import Any

from neardup.capture_time import moment
from neardup.index.base import IndexMeta
from neardup.index.looking.neighbours import Neighbour, Neighbours
from neardup.relation.comparison import compare_described
from neardup.relation.edit import look_document
from neardup.search.distance import similarity
from neardup.types import Query, Symmetry, Variant, Verdict

Document = dict[str, Any]

LOOKUP_SCHEMA = "neardup.lookup/1"


def lookup_document(query: Query, found: Neighbours, meta: IndexMeta, uri: str | None, at: datetime) -> Document:
    """Return what was found near an image; takes a second look at each member where the index asks for one."""
    decision = found.decision
    return {
        "schema": LOOKUP_SCHEMA,
        "image_id": None if query.image_id == query.key else query.image_id,
        **({"frames": query.frames} if query.frames > 1 else {}),
        "verdict": decision.verdict.value,
        "duplicate_of": decision.duplicate_of,
        "distance": decision.l2_distance,
        "similarity": None if decision.l2_distance is None else similarity(decision.l2_distance),
        "radius": meta.radius,
        "local_change": decision.local_change,
        "symmetry": decision.symmetry.value if decision.verdict is Verdict.DUPLICATE else None,
        **look_document(meta.relation, decision.look, decision.symmetry),
        "cluster": decision.cluster,
        "index": {"name": meta.name, "generation": decision.generation, "members": found.members},
        "descriptor": meta.fingerprint,
        "uri": uri,
        "exact": found.exact,
        "neighbours": [_neighbour(query, each, meta) for each in found.nearest],
        "looked_up_at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def _neighbour(query: Query, near: Neighbour, meta: IndexMeta) -> Document:
    member, relation = near.member, meta.relation
    stored = Variant(Symmetry.NONE, member.descriptor, member.kept)
    compared = compare_described(query.compared, [stored], relation, meta.fingerprint)
    why = compared.why if near.counts else f"{compared.why}, too old by the retention"
    return {
        "image_id": member.image_id,
        "key": member.key,
        "captured_at": moment(member.captured_at_ms) if member.captured_at_ms else None,
        "distance": compared.distance,
        "similarity": similarity(compared.distance),
        "within_radius": compared.distance <= compared.radius,
        "duplicate": compared.verdict is Verdict.DUPLICATE and near.counts,
        "why": why,
        "symmetry": compared.symmetry.value,
        "part": None if compared.part is None else list(compared.part),
        "local_change": compared.local_change,
        **look_document(relation, compared.look, compared.symmetry),
        "cluster": near.cluster,
    }
