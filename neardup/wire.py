"""The verdict on the wire, in both directions: the consumer publishes it, and a repair puts members back by it."""

import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from neardup.index.base import IndexMeta
from neardup.index.stored.codec import decode_member, encode_member
from neardup.relation.edit import look_document
from neardup.search.distance import similarity
from neardup.types import Decision, Member, Verdict

Headers = tuple[tuple[str, bytes | None], ...]

_EPOCH = datetime.fromtimestamp(0, UTC)

VERDICT_SCHEMA = "neardup.verdict/1"
VERDICT_HEADER = "verdict"
"""Header of every verdict: ``unique`` or ``duplicate``."""
MEMBER_HEADER = "member"
"""Header of a unique's verdict: its record in the index in base64, some 770 bytes for 256 numbers.

In base64, because tools that print messages as JSON take every header for text. Earlier verdicts hold the record
itself; they are read as well.

From these records ``neardup index repair`` puts back what Redis lost. The record travels with the verdict,
and in no topic of its own, because then nobody can have one without the other: whoever was told that an image is
unique was told in the same message what makes it a member.
"""
FILES_TOPIC = "files"
"""What folder mode calls the topic of its images."""
UNIQUE_PREFIX = "unique."
"""Begins the headers that a unique image's message gets, when the image itself goes on to another topic."""


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
    """A message with the decision on its image.

    Attributes
    ----------
    captured_at_ms
        When the image was taken, milliseconds since the epoch.
    meta
        Of the index that decided.
    member
        What the image is as a member when it is unique.
    uri
        Where the image is, if the message was a claim check.
    frames
        How many its file has, or pages.
    passed
        Headers of the message that its verdict is to carry.
    """

    message: SourceMessage
    image_id: str
    captured_at_ms: int
    decision: Decision
    meta: IndexMeta
    decided_at: datetime
    member: Member | None = None
    uri: str | None = None
    frames: int = 1
    passed: Headers = ()


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
        The member header as it came; None without one.
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
        return decode_member(_record_in(self.member_record), dimension) if self.member_record else None


def _record_in(header: bytes) -> bytes:
    try:
        # A record itself is never base64: it begins with the byte 1.
        return binascii.a2b_base64(header, strict_mode=True)
    except binascii.Error:
        return header


def member_record_of(headers: Iterable[tuple[str, bytes | None]]) -> bytes | None:
    """Return the record of the member that a verdict carries, which its reader decodes; None without one."""
    header = dict(headers).get(MEMBER_HEADER)
    return _record_in(header) if header else None


def encode_verdict(judged: Judged) -> tuple[bytes, Headers]:
    """Return value and headers of the verdict on a message.

    That of a unique carries the member's record, on every delivery: see `MEMBER_HEADER`.
    """
    value = json.dumps(verdict_document(judged), ensure_ascii=False, separators=(",", ":")).encode()
    headers: Headers = ((VERDICT_HEADER, judged.decision.verdict.value.encode()),)
    if judged.member is not None and judged.decision.verdict is Verdict.UNIQUE:
        headers += ((MEMBER_HEADER, binascii.b2a_base64(encode_member(judged.member), newline=False)),)
    return value, headers + judged.passed


def encode_unique_headers(judged: Judged) -> Headers:
    """Return what a unique image's message says of its verdict, when the image itself goes on to another topic.

    Each is a field of the verdict, as text; those that are null there are left out.
    """
    document = verdict_document(judged)
    index, source = document["index"], document["source"]
    told = {
        "image_id": document["image_id"],
        "source": f"{source['topic']}-{source['partition']}-{source['offset']}",
        "index": index["name"],
        "generation": index["generation"],
        "cluster": document["cluster"],
        "distance": document["distance"],
        "captured_at": document["captured_at"],
        "decided_at": document["decided_at"],
    }
    return tuple((f"{UNIQUE_PREFIX}{name}", str(text).encode()) for name, text in told.items() if text is not None)


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
    l2_distance, origin = decision.l2_distance, decision.origin
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
        **look_document(meta.relation, decision.look, decision.symmetry),
        "cluster": decision.cluster,
        "index": {"name": meta.name, "generation": decision.generation},
        "descriptor": meta.fingerprint,
        "source": {
            "topic": message.topic,
            "partition": message.partition,
            "offset": message.offset,
            "timestamp": message.timestamp_ms,
        },
        "uri": judged.uri,
        "captured_at": _captured_at(judged.captured_at_ms),
        "member": None if origin is None else {"key": origin.key, "captured_at": _captured_at(origin.captured_at_ms)},
        "decided_at": _iso(judged.decided_at.astimezone(UTC)),
        "latency_ms": max(0, int(judged.decided_at.timestamp() * 1000) - message.timestamp_ms),
    }


def _captured_at(captured_at_ms: int) -> str | None:
    """Return a time as ISO 8601; None for 0, when it is not known, as of seeds, and for what no calendar has."""
    try:
        return _iso(_EPOCH + timedelta(milliseconds=captured_at_ms)) if captured_at_ms else None
    except OverflowError:
        return None


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
