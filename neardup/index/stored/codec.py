"""Members and recorded decisions as bytes.

A member's record, little-endian:

    offset  size  what
    0       1     version, 1
    1       1     what is kept besides: 0 for nothing, 1 for a thumbnail, 2 for a look, 3 for both
    2       2     length of the key in bytes
    4       2     length of the image id in bytes
    6       8     captured_at_ms, signed
    14      ...   key, UTF-8; image id, UTF-8; descriptor, float16; what is kept besides

The descriptor takes 2 bytes a number, what is kept besides as many bytes as `neardup.relation.kept` says. A record
without any is what it was before there was any.
"""

import json
import struct
from typing import Any

import numpy as np

from neardup.errors import CorruptIndex
from neardup.relation.kept import ALL_PARTS, Parts, narrowed, parts_of, stored_kept
from neardup.search.sketches import Sketcher
from neardup.types import Decision, Descriptors, Kept, Look, Member, Origin, Symmetry, Verdict

RECORD_VERSION = 1
KEPT_BYTES = {int(parts): parts.stored_nbytes for parts in ALL_PARTS}
"""By the second byte of a record."""
_HEADER = struct.Struct("<BBHHq")
_COMPONENTS = struct.Struct("<I")
_DECISION_TYPES = (str, str | None, float | int | None, int | None, int)
_RELATION_TYPES = (float | int | None, str)
_ORIGIN_TYPES = (str, int)
_LOOK_NUMBERS = 12
_TEXT_OF = json.JSONEncoder(separators=(",", ":"))


def encode_member(member: Member) -> bytes:
    """Return the record of a member; key and image id at most 65,535 bytes each."""
    key, image_id = member.key.encode(), member.image_id.encode()
    stored = stored_kept(member.kept)
    kept = b"" if stored is None else stored.tobytes()
    header = _HEADER.pack(RECORD_VERSION, parts_of(member.kept), len(key), len(image_id), member.captured_at_ms)
    return header + key + image_id + np.ascontiguousarray(member.descriptor, dtype="<f2").tobytes() + kept


def split_record(record: bytes, dimension: int) -> tuple[bytes, Descriptors]:
    """Return a record's head (all but the numbers) and its descriptor, float16 (d,).

    Raises
    ------
    CorruptIndex
        Unknown version, other dimension, numbers that are none, or not a record at all.
    """
    if len(record) < _HEADER.size or record[0] != RECORD_VERSION:
        raise CorruptIndex(f"not a member record of version {RECORD_VERSION}: {record[:16]!r}")
    _, kind, key_bytes, id_bytes, _ = _HEADER.unpack_from(record)
    if kind not in KEPT_BYTES:
        raise CorruptIndex(f"a member record is of kind {kind}, which this version does not know")
    head_bytes = _HEADER.size + key_bytes + id_bytes
    if len(record) - head_bytes != 2 * dimension + KEPT_BYTES[kind]:
        what = f"{dimension} numbers" + (f" and {Parts(kind)}" if kind else "")
        raise CorruptIndex(f"a member record of {len(record)} bytes does not hold {what}")
    descriptor = np.frombuffer(record, dtype="<f2", count=dimension, offset=head_bytes).astype(np.float16)
    if not np.isfinite(descriptor).all():  # a single NaN would hide every other member of its cell
        raise CorruptIndex(f"a member record holds NaN or infinity: {record[:64]!r}")
    return record[:head_bytes], descriptor


def dimension_of(record: bytes) -> int:
    """Return how many numbers a record has that is told by itself alone.

    Raises
    ------
    CorruptIndex
        It is no record of a member.
    """
    if len(record) < _HEADER.size or record[0] != RECORD_VERSION or record[1] not in KEPT_BYTES:
        raise CorruptIndex(f"not a member record of version {RECORD_VERSION}: {record[:16]!r}")
    _, kind, key_bytes, id_bytes, _ = _HEADER.unpack_from(record)
    numbers_bytes: int = len(record) - _HEADER.size - key_bytes - id_bytes - KEPT_BYTES[kind]
    if numbers_bytes <= 0 or numbers_bytes % 2:
        raise CorruptIndex(f"a member record of {len(record)} bytes has no room for its numbers")
    return numbers_bytes // 2


def kept_in(record: bytes) -> Kept | None:
    """Return what is kept besides in a record that `split_record` can read, uint8 (b,), read-only; None for nothing."""
    return np.frombuffer(record[-KEPT_BYTES[record[1]] :], dtype=np.uint8) if record[1] else None


def required_kept(record: bytes, parts: Parts) -> Kept | None:
    """Return these parts of the same.

    Raises
    ------
    CorruptIndex
        One is missing.
    """
    if missing := parts & ~Parts(record[1]):
        raise CorruptIndex(f"a member record does not hold {missing}, which this index compares: {record[:64]!r}")
    return narrowed(kept_in(record), parts)


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
    kept = kept_in(record)
    return Member(key, image_id, descriptor, captured_at_ms, None if kept is None else kept.copy())


def encode_decision(decision: Decision) -> bytes:
    """Return a decision as compact JSON, small enough to keep one for each image.

    What a unique does not have is left out at the end, as it was before there was any of it. A look, the only list
    among the fields, comes last.
    """
    fields: list[Any] = [
        decision.verdict.value,
        decision.duplicate_of,
        decision.l2_distance,
        decision.cluster,
        decision.generation,
    ]
    origin = decision.origin
    told = (origin, decision.local_change, decision.look)
    if decision.symmetry is not Symmetry.NONE or any(each is not None for each in told):
        fields += [decision.local_change, decision.symmetry.value]
    if origin is not None:
        fields += [origin.key, origin.captured_at_ms]
    if decision.look is not None:
        look = decision.look
        fields.append([look.agreement, look.needed, *look.map, look.brightness, look.contrast, *look.colour])
    return _TEXT_OF.encode(fields).encode()


def decode_decision(recorded: bytes) -> Decision:
    """Read `encode_decision`.

    Raises
    ------
    CorruptIndex
        Not a recorded decision.
    """
    try:
        fields = json.loads(recorded)
        look = _look(fields.pop()) if isinstance(fields[-1], list) else None
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
            look=look,
        )
    except (ValueError, TypeError, LookupError, RecursionError) as exc:
        raise CorruptIndex(f"not a recorded decision: {recorded[:80]!r}") from exc
    kinds_of = _DECISION_TYPES + (_RELATION_TYPES if more else ()) + (_ORIGIN_TYPES if origin else ())
    if not all(isinstance(value, kinds) for value, kinds in zip(fields, kinds_of, strict=True)):
        raise CorruptIndex(f"not a recorded decision: {recorded[:80]!r}")
    return decision


def _look(numbers: list[Any]) -> Look:
    if len(numbers) != _LOOK_NUMBERS or not all(isinstance(number, float | int) for number in numbers):
        raise ValueError("not a look")
    agreement, needed, *affine, brightness, contrast, bluer, redder = numbers
    a, b, c, d, e, f = affine
    return Look(agreement, needed, (a, b, c, d, e, f), brightness, contrast, (bluer, redder))


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
