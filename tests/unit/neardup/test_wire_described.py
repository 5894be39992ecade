"""A described image on the wire: read back as it was written, byte for byte as documented, and nothing else."""

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from consumer.messages import ImageMessage
from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.descriptors.dct import DctDescriptor
from neardup.errors import BadDescription, Misconfigured
from neardup.index.base import IndexMeta, require_fit
from neardup.relation.describing import Describer
from neardup.relation.kept import stored_kept
from neardup.relation.looks.second_look import VERSION as LOOK_VERSION
from neardup.relation.rule import Relation
from neardup.types import Query, Symmetry, Variant
from neardup.wire_described import DescribedImage, Place, decode_described, encode_described, made_for
from tests.support.forms import collage, scene
from tests.support.indexes import with_relation
from tests.support.processes import photo

DCT = DctDescriptor()
RELATIONS = {
    "plain": Relation(0.1),
    "flips": Relation(0.1, match_flips=True),
    "all symmetries, changes": Relation(0.1, local_change=3.0, match_flips=True, match_rotations=True),
    "look": Relation(0.1, agreement=0.5),
    "parts": Relation(0.1, agreement=0.5, match_parts=True),
    "everything": Relation(0.1, 3.0, 0.5, match_flips=True, match_rotations=True, match_parts=True),
}
META = IndexMeta("default", 3, "dct", "dct-1", 4, 0.2)
SOURCE = Place("images", 2, 7, 1_700_000_000_000, b"camera")
ROW = np.array([1.0, 0.0, 0.0, 0.0], dtype=np.float16)
SMALL = DescribedImage(
    SOURCE,
    Query(SOURCE.coordinates, "bild-ä", ROW, 1_699_999_999_500, None, (Variant(Symmetry.MIRROR, -ROW),), frames=2),
    made_for="dct-1 (none)",
    uri="file:///a.jpg",
    passed=(("camera", b"\x00\xff"), ("site", None)),
)
GOLDEN = (
    # ND, version 1, flags 3; partition, offset, timestamp, captured at, frames
    "4e440103" "02000000" "0700000000000000" "0068e5cf8b010000" "0c66e5cf8b010000" "02000000"
    # 2 variants of 4 numbers, nothing kept of nothing, 2 headers
    "0200" "04000000" "00000000" "0000" "02000000"
    # what it was described for, topic, image id, URI
    "0c00" "6463742d3120286e6f6e6529" "0600" "696d61676573" "0700" "62696c642dc3a4" "0d00" "66696c653a2f2f2f612e6a7067"
    # the key; the headers
    "06000000" "63616d657261" "0600" "63616d657261" "02000000" "00ff" "0400" "73697465" "ffffffff"
    # as it came, and mirrored; the numbers of each
    "0000" "0100" "003c000000000000" "00bc008000800080"
)  # fmt: skip


def described(relation: Relation, image: bytes | None = None) -> DescribedImage:
    describer = Describer(DCT, relation)
    pixels = collage(scene(1), scene(2)) if image is None else decode(image)
    (first, *variants), *_ = describer.describe([describer.prepare(pixels)])
    query = Query("images-2-7", "a", first.descriptor, 5, first.kept, tuple(variants), 1, relation.match_parts)
    return DescribedImage(SOURCE, query, made_for(with_relation(META, relation)))


def told(image: DescribedImage) -> object:
    """Return all of an image in what can be compared."""
    query = image.query
    compared = [
        (each.symmetry, each.part, each.descriptor.tobytes(), None if each.kept is None else each.kept.tobytes())
        for each in query.compared
    ]
    fields = (query.key, query.image_id, query.captured_at_ms, query.frames, query.seeks_parts)
    return image.source, image.made_for, image.uri, image.passed, fields, compared


def sealed(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


def changed(at: int, to: bytes, image: DescribedImage = SMALL) -> bytes:
    """Return an image with other bytes somewhere, and the checksum of these."""
    body = encode_described(image)[:-4]
    return sealed(body[:at] + to + body[at + len(to) :])


def test_the_bytes_are_those_of_the_first_version_for_ever() -> None:
    body = bytes.fromhex(GOLDEN)
    assert encode_described(SMALL).hex() == sealed(body).hex()
    assert told(decode_described(sealed(body))) == told(SMALL)


@pytest.mark.parametrize("relation", RELATIONS.values(), ids=RELATIONS)
def test_what_is_compared_is_read_back_to_the_bit(relation: Relation) -> None:
    for image in (None, photo(1)):
        written = described(relation, image)
        read = decode_described(encode_described(written))
        assert told(read) == told(written)
        require_fit([read.query], relation)
    assert len(described(relation).query.compared) > 1 or not (relation.match_flips or relation.match_parts)


def test_the_largest_descriptor_and_any_number_of_headers_fit() -> None:
    row = np.zeros(load_descriptor("pixels:320").dimension, dtype=np.float16)
    row[0] = 1.0
    query = replace(SMALL.query, descriptor=row, variants=())
    image = replace(SMALL, query=query, passed=(("camera", b"north"),) * 70_000)
    assert told(decode_described(encode_described(image))) == told(image)


def test_what_is_there_or_not_is_told_apart() -> None:
    for key in (None, b"", b"k"):
        for uri in (None, "https://example.org/ä"):
            image = replace(SMALL, source=replace(SOURCE, key=key), uri=uri, passed=())
            assert told(decode_described(encode_described(image))) == told(image)


def test_an_image_message_is_a_source() -> None:
    message = ImageMessage("images", 2, 7, SOURCE.timestamp_ms, b"camera", b"image")
    assert encode_described(replace(SMALL, source=message)) == encode_described(SMALL)


def test_a_damaged_message_is_bad_whatever_is_damaged() -> None:
    value = encode_described(SMALL)
    for at in range(len(value)):
        with pytest.raises(BadDescription):
            decode_described(value[:at] + bytes([value[at] ^ 0x41]) + value[at + 1 :])
        with pytest.raises(BadDescription):
            decode_described(value[:at])


@pytest.mark.parametrize("value", [None, b"", b"image", b"ND", b"\xff\xd8\xff" + bytes(100)])
def test_what_is_no_described_image_is_bad(value: bytes | None) -> None:
    with pytest.raises(BadDescription, match="not a described image"):
        decode_described(value)


def test_another_version_is_no_damage() -> None:
    with pytest.raises(Misconfigured, match="version 2, this version of neardup reads 1: run the same version") as said:
        decode_described(changed(2, b"\x02"))
    assert not isinstance(said.value, BadDescription)


@pytest.mark.parametrize(
    ("at", "to", "says"),
    [
        (3, b"\x83", "a field that no image has"),
        (4, b"\xff\xff\xff\xff", "no place of a message"),
        (32, b"\x00\x00\x00\x00", "a field that no image has"),
        (36, b"\x00\x00", "bytes too many"),
        (38, b"\x05\x00", "bytes too early"),
        (46, b"\x01\x00", "something kept that nothing makes"),
        (42, b"\x01\x00\x00\x00", "something kept that nothing makes"),
        (48, b"\xff\xff\xff\xff", "bytes too early"),
        (68, b"a/b", "no place of a message"),
        (-20, b"\x09", "a symmetry or a part"),
        (-20, b"\x01", "no image as it came"),
        (-18, b"\x00", "a symmetry twice"),
        (-16, b"\x00\x7e", "not of length 1"),
        (-16, b"\x00\x7c", "not of length 1"),
        (-16, b"\x00\x38", "not of length 1"),
    ],
)
def test_what_no_describer_writes_is_bad_though_the_checksum_is_right(at: int, to: bytes, says: str) -> None:
    at = at if at >= 0 else len(encode_described(SMALL)) - 4 + at
    with pytest.raises(BadDescription, match=says):
        decode_described(changed(at, to))


def test_what_is_kept_is_of_the_image_and_of_each_of_its_parts() -> None:
    looked_at = described(RELATIONS["look"])
    kept = looked_at.query.kept
    assert kept is not None
    value = encode_described(looked_at)[:-4]
    twice = sealed(value[:46] + b"\x02\x00" + value[48:] + kept.tobytes())
    with pytest.raises(BadDescription, match="something else kept than of the image"):
        decode_described(twice)
    stored = replace(looked_at, query=replace(looked_at.query, kept=stored_kept(kept)))
    with pytest.raises(BadDescription, match="something kept that nothing makes"):
        decode_described(encode_described(stored))


def test_parts_have_to_lie_in_the_image_and_go_with_every_symmetry() -> None:
    part = Variant(Symmetry.NONE, ROW, None, (0.25, 0.0, 1.0, 0.5))
    good = replace(SMALL, query=replace(SMALL.query, variants=(part,), seeks_parts=True))
    assert told(decode_described(encode_described(good))) == told(good)
    for box in ((0.5, 0.0, 0.25, 0.5), (0.0, 0.0, 1.5, 1.0), (float("nan"), 0.0, 1.0, 1.0)):
        bad = replace(good, query=replace(good.query, variants=(replace(part, part=box),)))
        with pytest.raises(BadDescription, match="outside of the image"):
            decode_described(encode_described(bad))
    mirrored = Variant(Symmetry.MIRROR, ROW)
    for variants in ((part, mirrored), (mirrored, replace(part, symmetry=Symmetry.MIRROR))):
        with pytest.raises(BadDescription, match="every symmetry"):
            decode_described(encode_described(replace(good, query=replace(good.query, variants=variants))))
    unasked = replace(good, query=replace(good.query, seeks_parts=False))
    with pytest.raises(BadDescription, match="nobody looked for"):
        decode_described(encode_described(unasked))


def test_what_it_is_made_for_tells_apart_what_is_compared_otherwise_and_nothing_else() -> None:
    told_of = {name: made_for(with_relation(META, relation)) for name, relation in RELATIONS.items()}
    assert len(set(told_of.values())) == len(RELATIONS)
    assert made_for(with_relation(META, replace(RELATIONS["plain"], radius=0.3))) == told_of["plain"]
    assert made_for(replace(META, fingerprint="dct-2")) != made_for(META)
    assert made_for(META) == "dct-1 (none; no parts; keeping nothing)"
    assert told_of["parts"] == f"dct-1 (none; parts; keeping a look of version {LOOK_VERSION})"
