"""A described image on the wire, in both directions: describers publish it, deciders and a rebuild read it.

All that a verdict needs, and no picture; little-endian, version 1:

    offset  size  what
    0       2     ``ND``
    2       1     version, 1
    3       1     flags: 1 the image's message had a key, 2 it named its image by a URI, 4 parts were looked for
    4       4     partition, signed
    8       8     offset, signed
    16      8     Kafka's timestamp of the image's message in milliseconds, signed
    24      8     captured_at_ms, signed; 0 for unknown
    32      4     frames
    36      2     variants V, at least 1
    38      4     numbers of a descriptor D
    42      4     bytes B that are kept of the image, and of each of its parts
    46      2     of how many K something is kept: 0, or the image and each of its parts
    48      4     headers that the verdict is to carry H
    52      ...   texts in UTF-8, each after its length in 2 bytes: what it was described for, topic, image id, URI
            ...   the key, after its length in 4 bytes, if there is one
            ...   H headers: the name as a text; the value after its length in 4 bytes, 0xffffffff for null
            ...   V times: the symmetry in 1 byte by its place in `neardup.types.Symmetry`, 1 byte 1 for a part and 0
                  for the whole; of a part left, top, right and bottom as float64
            ...   V times D descriptor numbers, float16
            ...   K times B bytes
    end-4   4     CRC-32 of all before it

What is kept after a symmetry follows from what is kept without one, so it is not sent. Any later version will begin
with ``ND`` and a version, too, and end with a checksum: so what is damaged is told apart from what is newer.
"""

import re
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from neardup.errors import BadDescription, Misconfigured
from neardup.index.base import IndexMeta
from neardup.relation.describing import PreparedImage, View, variants_of
from neardup.relation.kept import ALL_PARTS, Parts
from neardup.relation.looks.second_look import VERSION as LOOK_VERSION
from neardup.types import Box, Descriptors, Kept, Query, Symmetry, Variant
from neardup.wire import Headers, SourceMessage

DESCRIBED_VERSION = 1
_MAGIC = b"ND"
_HEAD = struct.Struct("<2sBBiqqqIHIIHI")
_SHORT, _LONG, _BOX, _VIEW = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<4d"), struct.Struct("<BB")
_VERSION_AT = 2
_KEY, _URI, _PARTS = 1, 2, 4
_NULL = 0xFFFF_FFFF
_SYMMETRIES = tuple(Symmetry)
_AS_IT_CAME = View(Symmetry.NONE)
_KEPT_BYTES = {parts.nbytes for parts in ALL_PARTS}
_NORM_TOLERANCE = 0.01
"""float16 keeps the norm within 0.001; further off, distances would not be those of unit vectors."""
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
"""What Kafka takes for the name of a topic."""


@dataclass(frozen=True, slots=True)
class Place:
    """The message that an image came in, as its verdict names it; without the image."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None

    @property
    def coordinates(self) -> str:
        """``topic-partition-offset``: the key of the image's decision."""
        return f"{self.topic}-{self.partition}-{self.offset}"


@dataclass(frozen=True, slots=True)
class DescribedImage:
    """An image with all that its verdict needs.

    Attributes
    ----------
    source
        Its message.
    query
        What it is compared by; its key is the message's coordinates.
    made_for
        The descriptor and the relation it was described for, as `made_for` tells them.
    uri
        Where it is, if its message was a claim check.
    passed
        Headers of the message that its verdict is to carry.
    """

    source: SourceMessage
    query: Query
    made_for: str
    uri: str | None = None
    passed: Headers = ()


def made_for(meta: IndexMeta) -> str:
    """Return how an index wants images described, as text: where two differ, images cannot be judged by the other.

    The descriptor's fingerprint, and of the relation what describing depends on: not its radius.
    """
    relation = meta.relation
    looks = f" of version {LOOK_VERSION}" if Parts.LOOK in relation.parts else ""
    parts = "parts" if relation.match_parts else "no parts"
    return f"{meta.fingerprint} ({', '.join(relation.described_after)}; {parts}; keeping {relation.parts}{looks})"


# -- writing ----------------------------------------------------------------------------------------------------------


def encode_described(image: DescribedImage) -> bytes:
    """Return the value of the message that a describer publishes."""
    query, source = image.query, image.source
    compared = query.compared
    kept = [each.kept for each in compared if each.symmetry is Symmetry.NONE and each.kept is not None]
    has_key, has_uri = source.key is not None, image.uri is not None
    head = _HEAD.pack(
        *(_MAGIC, DESCRIBED_VERSION, _KEY * has_key | _URI * has_uri | _PARTS * query.seeks_parts),
        *(source.partition, source.offset, source.timestamp_ms, query.captured_at_ms, query.frames),
        *(len(compared), len(query.descriptor), len(kept[0]) if kept else 0, len(kept), len(image.passed)),
    )
    texts = (image.made_for, source.topic, query.image_id, image.uri or "")
    body = b"".join(
        [
            head,
            *map(_text, texts),
            b"" if source.key is None else _LONG.pack(len(source.key)) + source.key,
            *(_text(name) + _value(value) for name, value in image.passed),
            *map(_view, compared),
            *(np.ascontiguousarray(each.descriptor, dtype="<f2").tobytes() for each in compared),
            *(each.tobytes() for each in kept),
        ]
    )
    return body + _LONG.pack(zlib.crc32(body))


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _SHORT.pack(len(encoded)) + encoded


def _value(value: bytes | None) -> bytes:
    return _LONG.pack(_NULL) if value is None else _LONG.pack(len(value)) + value


def _view(variant: Variant) -> bytes:
    symmetry = _SYMMETRIES.index(variant.symmetry)
    return _VIEW.pack(symmetry, variant.part is not None) + (_BOX.pack(*variant.part) if variant.part else b"")


# -- reading ----------------------------------------------------------------------------------------------------------


def decode_described(value: bytes | None) -> DescribedImage:
    """Read `encode_described`.

    Raises
    ------
    BadDescription
        It is none, or damaged.
    Misconfigured
        Another version of neardup wrote it.
    """
    body = _checked(value or b"")
    try:
        return _read(_Reader(body))
    except (UnicodeDecodeError, struct.error) as exc:
        raise BadDescription(f"a described image of {len(body)} bytes cannot be read: {exc}") from exc


def _checked(value: bytes) -> bytes:
    """Return the value without its checksum."""
    if len(value) < _HEAD.size + _LONG.size or not value.startswith(_MAGIC):
        raise BadDescription(f"not a described image: {value[:16]!r}")
    body, (checksum,) = value[: -_LONG.size], _LONG.unpack(value[-_LONG.size :])
    if zlib.crc32(body) != checksum:
        raise BadDescription(f"a described image of {len(value)} bytes is damaged: its checksum differs")
    if value[_VERSION_AT] != DESCRIBED_VERSION:
        raise Misconfigured(
            f"a described image has version {value[_VERSION_AT]}, this version of neardup reads {DESCRIBED_VERSION}: "
            "run the same version wherever descriptors are written and read"
        )
    return body


class _Reader:
    """Takes bytes from the front; struct.error where there are too few."""

    def __init__(self, data: bytes, at: int = _HEAD.size) -> None:
        self.data = data
        self._at = at

    def take(self, count: int) -> bytes:
        self._at += count
        if self._at > len(self.data):
            raise struct.error(f"it ends {self._at - len(self.data)} bytes too early")
        return self.data[self._at - count : self._at]

    def short(self) -> int:
        return int(_SHORT.unpack(self.take(_SHORT.size))[0])

    def long(self) -> int:
        return int(_LONG.unpack(self.take(_LONG.size))[0])

    def text(self) -> str:
        return self.take(self.short()).decode()

    def value(self) -> bytes | None:
        length = self.long()
        return None if length == _NULL else self.take(length)

    def view(self) -> View:
        symmetry, is_part = _VIEW.unpack(self.take(_VIEW.size))
        _require(symmetry < len(_SYMMETRIES) and is_part in {0, 1}, "a symmetry or a part that is none")
        box: Box | None = _BOX.unpack(self.take(_BOX.size)) if is_part else None
        return View(_SYMMETRIES[symmetry], box)

    def numbers(self, rows: int, columns: int) -> Descriptors:
        data = self.take(2 * rows * columns)
        numbers: Descriptors = np.frombuffer(data, dtype="<f2").astype(np.float16).reshape(rows, columns)
        return numbers

    def kept(self, size: int) -> Kept:
        # A copy: the message would stay in memory with it.
        return np.frombuffer(self.take(size), dtype=np.uint8).copy()

    def end(self) -> None:
        _require(self._at == len(self.data), f"{len(self.data) - self._at} bytes too many")


def _read(reader: _Reader) -> DescribedImage:
    _, _, flags, partition, offset, timestamp_ms, captured_at_ms, frames, *counts = _HEAD.unpack_from(reader.data)
    variants, dimension, kept_bytes, kept_count, headers = counts
    described_for, topic, image_id, uri = (reader.text() for _ in range(4))
    key = reader.take(reader.long()) if flags & _KEY else None
    passed = tuple((reader.text(), reader.value()) for _ in range(headers))
    views = tuple(reader.view() for _ in range(variants))
    descriptors = reader.numbers(variants, dimension)
    kept = [reader.kept(kept_bytes) for _ in range(kept_count)]
    reader.end()
    _require(partition >= 0 and offset >= 0 and _TOPIC.fullmatch(topic) is not None, "no place of a message")
    _require(flags <= _KEY | _URI | _PARTS and frames > 0 and bool(image_id), "a field that no image has")
    _require(bool(flags & _URI) or not uri, "a URI that it says it has not")
    _require(kept_bytes in _KEPT_BYTES and bool(kept_bytes) == bool(kept_count), "something kept that nothing makes")
    _check_views(views, kept_count)
    _check_unit(descriptors)
    seeks_parts = bool(flags & _PARTS)
    _require(seeks_parts or all(view.part is None for view in views), "parts that nobody looked for")
    source = Place(topic, partition, offset, timestamp_ms, key)
    image = PreparedImage(views, (), tuple(kept or [None]), frames, seeks_parts, descriptors)
    return DescribedImage(
        source=source,
        query=_query(source, image_id, captured_at_ms, image),
        made_for=described_for,
        uri=uri if flags & _URI else None,
        passed=passed,
    )


def _query(source: Place, image_id: str, captured_at_ms: int, image: PreparedImage) -> Query:
    first, *others = variants_of(image)
    return Query(
        key=source.coordinates,
        image_id=image_id,
        descriptor=first.descriptor,
        captured_at_ms=captured_at_ms,
        kept=first.kept,
        variants=tuple(others),
        frames=image.frames,
        seeks_parts=image.seeks_parts,
    )


def _check_views(views: tuple[View, ...], kept_count: int) -> None:
    """Require the order of `neardup.relation.describing.PreparedImage.views`: after each symmetry the same parts."""
    _require(bool(views) and views[0] == _AS_IT_CAME, "no image as it came")
    if len(views) == 1:
        _require(kept_count in {0, 1}, "something else kept than of the image and each of its parts")
        return
    wholes = [number for number, view in enumerate(views) if view.part is None]
    each = len(views) // len(wholes)
    _require(wholes == list(range(0, len(views), each)), "parts that do not go with every symmetry")
    symmetries = [views[number].symmetry for number in wholes]
    _require(len({*symmetries}) == len(symmetries), "a symmetry twice")
    _require(all(view.symmetry == symmetries[number // each] for number, view in enumerate(views)), "a stray part")
    _require(kept_count in {0, each}, "something else kept than of the image and each of its parts")
    _require(all(_is_box(view.part) for view in views if view.part is not None), "a part outside of the image")


def _is_box(box: Box) -> bool:
    left, top, right, bottom = box
    return 0.0 <= left < right <= 1.0 and 0.0 <= top < bottom <= 1.0


def _check_unit(descriptors: Descriptors) -> None:
    norms = np.linalg.norm(descriptors.astype(np.float32), axis=1)
    # A number that is none is within no tolerance.
    _require(bool((np.abs(norms - 1.0) <= _NORM_TOLERANCE).all()), "descriptors that are not of length 1")


def _require(holds: bool, wrong: str) -> None:  # noqa: FBT001 - the condition itself
    if not holds:
        raise BadDescription(f"a described image has {wrong}")
