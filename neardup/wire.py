"""The verdict on the wire, in both directions: the consumer publishes it, and a repair puts members back by it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from neardup.index.base import IndexMeta
from neardup.index.stored.codec import decode_member, encode_member
from neardup.search.distance import similarity
from neardup.types import Decision, Member, Verdict

Headers = tuple[tuple[str, bytes | None], ...]

VERDICT_SCHEMA = "neardup.verdict/1"
VERDICT_HEADER = "verdict"
"""Header of every verdict: ``unique`` or ``duplicate``."""
MEMBER_HEADER = "member"
"""Header of a unique's verdict: its record in the index, some 570 bytes for 256 numbers.

From these records ``neardup index repair`` puts back what Redis lost. The record travels with the verdict,
and in no topic of its own, because then nobody can have one without the other: whoever was told that an image is
unique was told in the same message what makes it a member.
"""


class SourceMessage(Protocol):
    """The message that an image came in, as far as its verdict names it."""

    @property
    def topic(self) -> str: ...  # noqa: D102 - Kafka's own names

    @property
    def partition(self) -> int: ...  # noqa: D102 - as above

    @property
    def offset(self) -> int: ...  # noqa: D102 - as above

    @property
    def timestamp_ms(self) -> int: ...  # noqa: D102 - as above

    @property
    def key(self) -> bytes | None: ...  # noqa: D102 - as above


@dataclass(frozen=True, slots=True)
class Judged:
    """A message with the decision on its image; `meta` is of the index that decided.

    `member` is what the image is as a member when it is unique; `frames` counts those of its file, or its pages.
    """

    message: SourceMessage
    image_id: str
    decision: Decision
    meta: IndexMeta
    decided_at: datetime
    member: Member | None = None
    frames: int = 1


@dataclass(frozen=True, slots=True)
class UniqueVerdict:
    """A unique's verdict as it is read back.

    Attributes
    ----------
    index, generation
        What decided.
    fingerprint
        Of the descriptor.
    member_record
        The member header; None without one.
    """

    index: str
    generation: int
    fingerprint: str
    member_record: bytes | None

    def member(self, dimension: int) -> Member | None:
        """Return the member of `dimension` numbers that the verdict carries; None if it carries none.

        Raises
        ------
        CorruptIndex
            The header is no record of such a member.
        """
        return decode_member(self.member_record, dimension) if self.member_record else None


def encode_verdict(judged: Judged) -> tuple[bytes, Headers]:
    """Return value and headers of the verdict on a message.

    That of a unique carries the member's record, on every delivery: see `MEMBER_HEADER`.
    """
    value = json.dumps(verdict_document(judged), ensure_ascii=False, separators=(",", ":")).encode()
    headers: Headers = ((VERDICT_HEADER, judged.decision.verdict.value.encode()),)
    if judged.member is not None and judged.decision.verdict is Verdict.UNIQUE:
        headers += ((MEMBER_HEADER, encode_member(judged.member)),)
    return value, headers


def decode_unique(value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> UniqueVerdict | None:
    """Read what `encode_verdict` made of a unique; None for whatever its headers do not call one.

    Raises
    ------
    ValueError
        It is called one, and the value is no verdict.
    """
    named = dict(headers)
    if named.get(VERDICT_HEADER) != Verdict.UNIQUE.value.encode():
        return None
    try:
        document = json.loads(value or b"")
        index = document["index"]
        return UniqueVerdict(index["name"], int(index["generation"]), document["descriptor"], named.get(MEMBER_HEADER))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as exc:
        raise ValueError("no verdict of a unique") from exc


def verdict_document(judged: Judged) -> dict[str, Any]:
    """Return the verdict as a JSON document, as the consumer's ``schemas/verdict.schema.json`` describes it."""
    message, decision, meta = judged.message, judged.decision, judged.meta
    l2_distance = decision.l2_distance
    decided_at = judged.decided_at.astimezone(UTC)
    return {
        "schema": VERDICT_SCHEMA,
        "image_id": judged.image_id,
        **({"frames": judged.frames} if judged.frames > 1 else {}),
        "verdict": decision.verdict.value,
        "duplicate_of": decision.duplicate_of,
        "distance": l2_distance,
        "similarity": None if l2_distance is None else similarity(l2_distance),
        "radius": meta.radius,
        "local_change": decision.local_change,
        "symmetry": decision.symmetry.value if decision.verdict is Verdict.DUPLICATE else None,
        "cluster": decision.cluster,
        "index": {"name": meta.name, "generation": decision.generation},
        "descriptor": meta.fingerprint,
        "source": {
            "topic": message.topic,
            "partition": message.partition,
            "offset": message.offset,
            "timestamp": message.timestamp_ms,
        },
        "decided_at": decided_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "latency_ms": max(0, int(decided_at.timestamp() * 1000) - message.timestamp_ms),
    }
