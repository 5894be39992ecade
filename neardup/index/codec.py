"""Members and recorded decisions as bytes.

A member's record, little-endian:

    offset  size  what
    0       1     version, 1
    1       1     reserved, 0
    2       2     length of the key in bytes
    4       2     length of the image id in bytes
    6       8     captured_at_ms, signed
    14      ...   key, UTF-8; image id, UTF-8; descriptor, float16

The descriptor's length is what remains: 2 bytes a number.
"""

import json
import struct

import numpy as np

from neardup.errors import CorruptIndex
from neardup.types import Decision, Member, Verdict

RECORD_VERSION = 1
_HEADER = struct.Struct("<BBHHq")
_DECISION_TYPES = (str, str | None, float | int | None, int | None, int)


def encode_member(member: Member) -> bytes:
    """Return the record of a member; key and image id at most 65,535 bytes each."""
    key, image_id = member.key.encode(), member.image_id.encode()
    header = _HEADER.pack(RECORD_VERSION, 0, len(key), len(image_id), member.captured_at_ms)
    return header + key + image_id + np.ascontiguousarray(member.descriptor, dtype="<f2").tobytes()


def decode_member(record: bytes, dimension: int) -> Member:
    """Read `encode_member`.

    Raises
    ------
    CorruptIndex
        Unknown version, other dimension, numbers that are none, or not a record at all.
    """
    if len(record) < _HEADER.size or record[0] != RECORD_VERSION:
        raise CorruptIndex(f"not a member record of version {RECORD_VERSION}: {record[:16]!r}")
    _, _, key_bytes, id_bytes, captured_at_ms = _HEADER.unpack_from(record)
    texts_end = _HEADER.size + key_bytes + id_bytes
    if len(record) - texts_end != 2 * dimension:
        raise CorruptIndex(f"a member record of {len(record)} bytes does not hold {dimension} numbers")
    try:
        key = record[_HEADER.size : _HEADER.size + key_bytes].decode()
        image_id = record[_HEADER.size + key_bytes : texts_end].decode()
    except UnicodeDecodeError as exc:
        raise CorruptIndex(f"a member record's texts are not UTF-8: {record[:32]!r}") from exc
    descriptor = np.frombuffer(record, dtype="<f2", offset=texts_end).astype(np.float16)
    if not np.isfinite(descriptor).all():  # a single NaN would hide every other member of its cell
        raise CorruptIndex(f"the member record of {key!r} holds NaN or infinity")
    return Member(key, image_id, descriptor, captured_at_ms)


def encode_decision(decision: Decision) -> bytes:
    """Return a decision as compact JSON, small enough to keep one for each image."""
    fields = [
        decision.verdict.value,
        decision.duplicate_of,
        decision.l2_distance,
        decision.cluster,
        decision.generation,
    ]
    return json.dumps(fields, separators=(",", ":")).encode()


def decode_decision(recorded: bytes) -> Decision:
    """Read `encode_decision`.

    Raises
    ------
    CorruptIndex
        Not a recorded decision.
    """
    try:
        fields = json.loads(recorded)
        verdict, duplicate_of, l2_distance, cluster, generation = fields
        decision = Decision(Verdict(verdict), duplicate_of, l2_distance, cluster, generation)
    except (ValueError, TypeError, RecursionError) as exc:
        raise CorruptIndex(f"not a recorded decision: {recorded[:80]!r}") from exc
    if not all(isinstance(value, kinds) for value, kinds in zip(fields, _DECISION_TYPES, strict=True)):
        raise CorruptIndex(f"not a recorded decision: {recorded[:80]!r}")
    return decision
