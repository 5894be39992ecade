"""Members and recorded decisions as bytes.

A member's record, little-endian:

    offset  size  what
    0       1     version, 1
    1       1     thumbnail: 0 for none, 1 for one as `neardup.relation.local_change` makes it
    2       2     length of the key in bytes
    4       2     length of the image id in bytes
    6       8     captured_at_ms, signed
    14      ...   key, UTF-8; image id, UTF-8; descriptor, float16; thumbnail, if any

The descriptor takes 2 bytes a number, the thumbnail as many bytes as it has numbers. A record without a thumbnail is
what it was before there were any.
"""

import json
import struct
from typing import Any

import numpy as np

from neardup.errors import CorruptIndex
from neardup.relation.local_change import THUMBNAIL_BYTES
from neardup.search.sketches import Sketcher
from neardup.types import Decision, Descriptors, Member, Origin, Symmetry, Thumbnail, Verdict

RECORD_VERSION = 1
_THUMBNAIL_BYTES = {0: 0, 1: THUMBNAIL_BYTES}
"""By the second byte of a record."""
_HEADER = struct.Struct("<BBHHq")
_COMPONENTS = struct.Struct("<I")
_DECISION_TYPES = (str, str | None, float | int | None, int | None, int)
_RELATION_TYPES = (float | int | None, str)
_ORIGIN_TYPES = (str, int)


def encode_member(member: Member) -> bytes:
    """Return the record of a member; key and image id at most 65,535 bytes each."""
    key, image_id = member.key.encode(), member.image_id.encode()
    thumbnail = b"" if member.thumbnail is None else member.thumbnail.tobytes()
    header = _HEADER.pack(RECORD_VERSION, bool(thumbnail), len(key), len(image_id), member.captured_at_ms)
    return header + key + image_id + np.ascontiguousarray(member.descriptor, dtype="<f2").tobytes() + thumbnail


def split_record(record: bytes, dimension: int) -> tuple[bytes, Descriptors]:
    """Return a record's head (all but the numbers) and its descriptor, float16 (d,).

    Raises
    ------
    CorruptIndex
        Unknown version, other dimension, numbers that are none, or not a record at all.
    """
    if len(record) < _HEADER.size or record[0] != RECORD_VERSION:
        raise CorruptIndex(f"not a member record of version {RECORD_VERSION}: {record[:16]!r}")
    _, thumbnail, key_bytes, id_bytes, _ = _HEADER.unpack_from(record)
    if thumbnail not in _THUMBNAIL_BYTES:
        raise CorruptIndex(f"a member record has a thumbnail of kind {thumbnail}, which this version does not know")
    head_bytes = _HEADER.size + key_bytes + id_bytes
    if len(record) - head_bytes != 2 * dimension + _THUMBNAIL_BYTES[thumbnail]:
        what = f"{dimension} numbers" + (" and a thumbnail" if thumbnail else "")
        raise CorruptIndex(f"a member record of {len(record)} bytes does not hold {what}")
    descriptor = np.frombuffer(record, dtype="<f2", count=dimension, offset=head_bytes).astype(np.float16)
    if not np.isfinite(descriptor).all():  # a single NaN would hide every other member of its cell
        raise CorruptIndex(f"a member record holds NaN or infinity: {record[:64]!r}")
    return record[:head_bytes], descriptor


def thumbnail_in(record: bytes) -> Thumbnail | None:
    """Return the thumbnail of a record that `split_record` can read, uint8 (b,), read-only; None without one."""
    return np.frombuffer(record[-THUMBNAIL_BYTES:], dtype=np.uint8) if record[1] else None


def required_thumbnail(record: bytes) -> Thumbnail:
    """Return the same.

    Raises
    ------
    CorruptIndex
        There is none.
    """
    thumbnail = thumbnail_in(record)
    if thumbnail is None:
        raise CorruptIndex(f"a member record has no thumbnail, which local change needs: {record[:64]!r}")
    return thumbnail


def head_key(head: bytes) -> bytes:
    """Return the key in a record's head, UTF-8."""
    key_bytes = _HEADER.unpack_from(head)[2]
    return head[_HEADER.size : _HEADER.size + key_bytes]


def decode_head(head: bytes) -> tuple[str, str, int]:
    """Return key, image id and captured_at_ms of a record's head.

    Raises
    ------
    CorruptIndex
        The texts are not UTF-8.
    """
    _, _, key_bytes, _, captured_at_ms = _HEADER.unpack_from(head)
    texts = head[_HEADER.size :]
    try:
        return texts[:key_bytes].decode(), texts[key_bytes:].decode(), captured_at_ms
    except UnicodeDecodeError as exc:
        raise CorruptIndex(f"a member record's texts are not UTF-8: {head[:32]!r}") from exc


def decode_member(record: bytes, dimension: int) -> Member:
    """Read `encode_member`; errors as `split_record` and `decode_head`."""
    head, descriptor = split_record(record, dimension)
    key, image_id, captured_at_ms = decode_head(head)
    thumbnail = thumbnail_in(record)
    return Member(key, image_id, descriptor, captured_at_ms, None if thumbnail is None else thumbnail.copy())


def encode_decision(decision: Decision) -> bytes:
    """Return a decision as compact JSON, small enough to keep one for each image.

    What a unique does not have is left out at the end, as it was before there was any of it.
    """
    fields: list[Any] = [
        decision.verdict.value,
        decision.duplicate_of,
        decision.l2_distance,
        decision.cluster,
        decision.generation,
    ]
    origin = decision.origin
    if origin is not None or decision.local_change is not None or decision.symmetry is not Symmetry.NONE:
        fields += [decision.local_change, decision.symmetry.value]
    if origin is not None:
        fields += [origin.key, origin.captured_at_ms]
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
        verdict, duplicate_of, l2_distance, cluster, generation, *more = fields
        local_change, symmetry, *origin = more or (None, Symmetry.NONE.value)
        decision = Decision(
            verdict=Verdict(verdict),
            duplicate_of=duplicate_of,
            l2_distance=l2_distance,
            cluster=cluster,
            generation=generation,
            local_change=local_change,
            symmetry=Symmetry(symmetry),
            origin=Origin(*origin) if origin else None,
        )
    except (ValueError, TypeError, RecursionError) as exc:
        raise CorruptIndex(f"not a recorded decision: {recorded[:80]!r}") from exc
    kinds_of = _DECISION_TYPES + (_RELATION_TYPES if more else ()) + (_ORIGIN_TYPES if origin else ())
    if not all(isinstance(value, kinds) for value, kinds in zip(fields, kinds_of, strict=True)):
        raise CorruptIndex(f"not a recorded decision: {recorded[:80]!r}")
    return decision


def encode_sketcher(sketcher: Sketcher) -> bytes:
    """Return a sketcher as bytes: the number of components, the mean, the basis row by row, float32."""
    return b"".join(
        [
            _COMPONENTS.pack(len(sketcher.basis)),
            sketcher.mean.astype("<f4").tobytes(),
            sketcher.basis.astype("<f4").tobytes(),
        ]
    )


def decode_sketcher(stored: bytes | None, dimension: int) -> Sketcher:
    """Read `encode_sketcher`.

    Raises
    ------
    CorruptIndex
        It is none, or of another dimension.
    """
    if stored is None or len(stored) < _COMPONENTS.size:
        raise CorruptIndex("there is no projection")
    (components,) = _COMPONENTS.unpack_from(stored)
    if len(stored) != _COMPONENTS.size + 4 * dimension * (components + 1):
        raise CorruptIndex(f"the projection of {len(stored)} bytes is not one of {dimension} numbers")
    numbers = np.frombuffer(stored, dtype="<f4", offset=_COMPONENTS.size).astype(np.float32).reshape(-1, dimension)
    if not np.isfinite(numbers).all():
        raise CorruptIndex("the projection holds NaN or infinity")
    return Sketcher(numbers[0], numbers[1:])
