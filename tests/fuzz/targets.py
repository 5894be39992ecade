"""What is fuzzed: functions of bytes that return, whatever the bytes are; anything raised is a defect."""

import contextlib
import os
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from consumer.messages import CONTROL, MAX_IMAGE_ID_BYTES, ImageMessage, ImageRequest, dead_letter, parse_message
from neardup.decoding.decode import decode
from neardup.decoding.formats import FORMATS, MORE_FORMATS
from neardup.decoding.limits import DecodeLimits
from neardup.errors import BadDescription, BadInput, CorruptIndex, Misconfigured, reasons
from neardup.index.stored.codec import (
    decode_decision,
    decode_member,
    decode_sketcher,
    encode_decision,
    encode_member,
    encode_sketcher,
    required_kept,
    split_record,
)
from neardup.index.stored.records import read_records
from neardup.relation.kept import ALL_PARTS, Parts
from neardup.search.sketches import Sketcher
from neardup.types import Decision, Descriptors, Look, Member, Origin, Query, Symmetry, Variant, Verdict
from neardup.wire_described import DESCRIBED_VERSION, DescribedImage, Place, decode_described, encode_described
from tests.support.odd_files import odd_files

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("NEARDUP_DATA") or ROOT / "../shared/data").resolve() / "odd"
LARGEST_SEED_BYTES = 60_000
"""Larger files are mutated too seldom where it matters, and decoded too slowly."""
DIMENSION = 8
MOST_PIXELS = 500_000


@dataclass(frozen=True)
class Target:
    """A function of bytes, and bytes to begin with."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]


# Decoding. The first byte says how.


def decode_anything(data: bytes) -> None:
    """Decode all but the first byte."""
    how = data[0] if data else 0
    limits = DecodeLimits(
        max_pixels=MOST_PIXELS,
        accept_truncated=bool(how & 2),
        formats=(*FORMATS, *MORE_FORMATS) if how & 4 else FORMATS,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd metadata
        try:
            pixels = decode(data[1:], reduce_to_px=16 if how & 1 else None, limits=limits)
        except BadInput as error:
            require(type(error).reason in reasons() and bool(str(error)), "a reason and a detail")
            return
    require(pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3, "uint8 (height, width, 3)")
    require(0 < pixels.shape[0] * pixels.shape[1] <= MOST_PIXELS, "no more pixels than allowed")


def encoded_images() -> Iterator[bytes]:
    """Yield the small ones of the odd files, made and real."""
    small = [file.data for file in odd_files()]
    if FOLDER.is_dir():
        small += [path.read_bytes() for path in sorted(FOLDER.rglob("*")) if path.is_file() and path.suffix != ".md"]
    for data in small:
        if len(data) <= LARGEST_SEED_BYTES:
            for how in range(8):
                yield bytes([how]) + data


# Messages. The first byte says which headers there are; each part goes after its length.


def parse_anything(data: bytes) -> None:
    """Parse a message, and write its dead letter if it is bad."""
    message = message_of(data)
    try:
        request = parse_message(message)
    except BadInput as error:
        ours = dict(dead_letter("dead", message, error).headers[len(message.headers) :])
        require(list(ours) == ["error.reason", "error.detail", "error.source"], "our three headers")
        require(CONTROL.search((ours["error.detail"] or b"").decode()) is None, "a detail in one line")
        return
    check_request(request)


def check_request(request: ImageRequest) -> None:
    """Require what the index and the log rely on."""
    require(1 <= len(request.image_id.encode()) <= MAX_IMAGE_ID_BYTES, "an image id that is neither empty nor long")
    require(CONTROL.search(request.image_id) is None, "an image id without control characters")
    require((request.data is None) != (request.uri is None), "an image or a URI")
    member = Member("t-0-1", request.image_id, np.ones(DIMENSION, dtype=np.float16), request.captured_at_ms)
    stored = decode_member(encode_member(member), DIMENSION)
    require(stored.image_id == request.image_id, "an image id that can be stored")


def message_of(data: bytes) -> ImageMessage:
    """Return the message that bytes stand for."""
    flags, rest = (data[0] if data else 0), data[1:]
    headers: list[tuple[str, bytes | None]] = [("content-type", b"application/json")] if flags & 1 else []
    for bit, name in ((2, "image_id"), (4, "captured_at"), (8, "content-type"), (16, "image_id")):
        if flags & bit:
            length, rest = (rest[0] if rest else 0), rest[1:]
            headers.append((name, rest[:length]))
            rest = rest[length:]
    if flags & 32:
        headers.append(("image_id", None))
    return ImageMessage("images", 0, 7, 1_700_000_000_000, None, None if flags & 64 else rest, tuple(headers))


def messages() -> Iterator[bytes]:
    """Yield messages of every kind."""
    envelope = b'{"image_id": "camera/1", "uri": "file:///a.jpg"}'
    for image_id in (b"camera/1", "\N{GRINNING FACE}".encode(), b"\xff", b"a\nb", b""):
        for captured_at in (b"1700000000000", b"2026-01-01T12:00:00+01:00", b"tomorrow", b"9" * 30):
            head = bytes([len(image_id)]) + image_id + bytes([len(captured_at)]) + captured_at
            yield bytes([2 | 4]) + head + b"image"
            yield bytes([1 | 2 | 4]) + head + envelope
    for value in (envelope, b'{"uri": "x", "image_id": "\\ud800"}', b"[" * 100, b'{"uri": 1e999}', b"\xef\xbb\xbf{}"):
        yield b"\x01" + value


# Records. The first byte says of what kind.


def read_anything(data: bytes) -> None:
    """Read bytes as if they had come from Redis."""
    kind, rest = (data[0] if data else 0) % 4, data[1:]
    with contextlib.suppress(CorruptIndex):
        if kind == 0:
            member = decode_member(rest, DIMENSION)
            require(encode_member(member)[2:] == rest[2:], "a member that is written as it was read")
        elif kind == 1:
            require(decode_decision(encode_decision(decode_decision(rest))) == decode_decision(rest), "a decision")
        elif kind == 2:
            require(encode_sketcher(decode_sketcher(rest, DIMENSION))[4:] == rest[4:], "a projection")
        else:
            check_at_once(rest)
            split_record(rest, DIMENSION)
            required_kept(rest, Parts.THUMBNAIL)
            required_kept(rest, Parts.LOOK)


def check_at_once(record: bytes) -> None:
    """Require that a record is read among others as it is by itself."""
    other = encode_member(Member("k", "id", np.ones(DIMENSION, dtype=np.float16)))
    told = [
        told_by(lambda: split_record(record, DIMENSION)[1]),
        told_by(lambda: read_records([other, record, other], DIMENSION)[1][1]),
    ]
    require(told[0] == told[1], "the same of a record among others")


def told_by(read: Callable[[], Descriptors]) -> bytes | str:
    """Return the numbers that are read, or what is said to be wrong."""
    try:
        return read().tobytes()
    except CorruptIndex as error:
        return str(error)


def records() -> Iterator[bytes]:
    """Yield a record of each kind."""
    numbers = np.linspace(-1, 1, DIMENSION, dtype=np.float16)
    for parts in ALL_PARTS:
        kept = np.zeros(parts.nbytes, dtype=np.uint8) if parts else None
        record = encode_member(Member("images-0-1", "camera/ä", numbers, 12345, kept))
        yield b"\0" + record
        yield b"\3" + record
    look = Look(0.9, 0.3, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), 2.5, 1.25, (-4.0, 8.0))
    decisions = [
        Decision(Verdict.UNIQUE, None, None, None, 1),
        Decision(Verdict.DUPLICATE, "camera/1", 0.25, 3, 2, 1.5),
        Decision(Verdict.DUPLICATE, "camera/1", 0.25, 3, 2, origin=Origin("images-0-1", 12345)),
        Decision(Verdict.DUPLICATE, "camera/1", 0.25, 3, 2, look=look),
    ]
    for decision in decisions:
        yield b"\1" + encode_decision(decision)
    basis = np.eye(2, DIMENSION, dtype=np.float32)
    yield b"\2" + encode_sketcher(Sketcher(np.zeros(DIMENSION, dtype=np.float32), basis))


# Described images. The first byte says whether the checksum is made right, or nothing but damage would be found.


def read_description(data: bytes) -> None:
    """Read bytes as if they had come from the descriptor topic."""
    value = data[1:]
    if data and data[0] % 2:
        value = value[:-4] + zlib.crc32(value[:-4]).to_bytes(4, "little")
    try:
        image = decode_described(value)
    except BadInput as error:
        require(type(error) is BadDescription and bool(str(error)), "a reason and a detail")
        return
    except Misconfigured:
        require(value[2] != DESCRIBED_VERSION, "another version")
        return
    require(encode_described(image) == value, "an image that is written as it was read")
    require(len({len(each.descriptor) for each in image.query.compared}) == 1, "variants of one length")


def descriptions() -> Iterator[bytes]:
    """Yield described images of every kind."""
    numbers = np.eye(1, DIMENSION, dtype=np.float16)[0]
    symmetries = (Symmetry.NONE, Symmetry.MIRROR, Symmetry.ROTATE_90)
    for parts in ALL_PARTS:
        kept = np.zeros(parts.nbytes, dtype=np.uint8) if parts else None
        for box in (None, (0.25, 0.0, 1.0, 0.5)):
            shown = [(symmetry, part) for symmetry in symmetries for part in ((None, box) if box else (None,))]
            _, *variants = (Variant(symmetry, numbers, kept, part) for symmetry, part in shown)
            source = Place("images", 1, 2, 1_700_000_000_000, b"camera" if box else None)
            query = Query(source.coordinates, "camera/ä", numbers, 12345, kept, tuple(variants), 1, box is not None)
            image = DescribedImage(source, query, "dct-1", "file:///a.jpg" if box else None, (("a", b"b"), ("c", None)))
            value = encode_described(image)
            yield b"\0" + value
            yield b"\1" + value


def require(holds: bool, what: str) -> None:  # noqa: FBT001 - the condition itself
    """Raise when something does not hold."""
    if not holds:
        raise AssertionError(f"not so: {what}")


TARGETS = {
    target.name: target
    for target in (
        Target("decode", decode_anything, encoded_images),
        Target("envelope", parse_anything, messages),
        Target("record", read_anything, records),
        Target("description", read_description, descriptions),
    )
}
