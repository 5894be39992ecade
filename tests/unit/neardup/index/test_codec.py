"""A record that is not ours is never taken for one."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest

from neardup.errors import CorruptIndex, IndexMismatch
from neardup.index.base import FORMAT_VERSION, IndexMeta
from neardup.index.stored.codec import (
    decode_decision,
    decode_head,
    decode_member,
    encode_decision,
    encode_member,
    head_key,
    required_kept,
    split_record,
)
from neardup.relation.kept import ALL_PARTS, Parts, divided
from neardup.relation.local_change import THUMBNAIL_BYTES
from neardup.relation.looks import second_look
from neardup.relation.rule import Relation
from neardup.relation.symmetry import SWITCHES
from neardup.types import Decision, Look, Member, Origin, Symmetry, Verdict
from tests.support.indexes import with_relation

DESCRIPTOR = np.array([0.5, -0.5, 0.5, 0.5], dtype=np.float16)
MEMBER = Member("images-3-17", "camera 1/фото", DESCRIPTOR, 1_700_000_000_123)
RECORD = encode_member(MEMBER)
THUMBNAIL = (np.arange(THUMBNAIL_BYTES) % 251).astype(np.uint8)
SHOWN = replace(MEMBER, kept=THUMBNAIL)
META = IndexMeta("photos", 3, "dct", "dct-1", 4, 0.3, 2, {"images": 10}, "2025-01-01T00:00:00Z")


LOOKED_AT = with_relation(META, Relation(0.25, agreement=0.5))


def test_the_layout_is_the_documented_one() -> None:
    key, image_id = MEMBER.key.encode(), MEMBER.image_id.encode()
    header = struct.pack("<BBHHq", 1, 0, len(key), len(image_id), MEMBER.captured_at_ms)
    assert header + key + image_id + struct.pack("<4e", 0.5, -0.5, 0.5, 0.5) == RECORD


def test_a_thumbnail_follows_the_numbers() -> None:
    plain, shown = RECORD, encode_member(SHOWN)
    assert shown == plain[:1] + b"\x01" + plain[2:] + THUMBNAIL.tobytes()
    member = decode_member(shown, 4)
    assert member.kept is not None
    assert np.array_equal(member.kept, THUMBNAIL)
    assert member.kept.base is None
    assert np.array_equal(member.descriptor, DESCRIPTOR)
    assert decode_head(split_record(shown, 4)[0]) == decode_head(split_record(plain, 4)[0])
    assert head_key(shown) == MEMBER.key.encode()
    assert decode_member(plain, 4).kept is None


@pytest.mark.parametrize(
    ("record", "why"),
    [
        pytest.param(RECORD[:1] + b"\x01" + RECORD[2:], "4 numbers and a thumbnail", id="none where one should be"),
        pytest.param(encode_member(SHOWN)[:1] + b"\0" + encode_member(SHOWN)[2:], "4 numbers", id="one too many"),
        pytest.param(encode_member(SHOWN)[:-1], "and a thumbnail", id="cut short"),
        pytest.param(RECORD[:1] + b"\x04" + RECORD[2:], "of kind 4", id="of a later version"),
    ],
)
def test_a_corrupt_thumbnail_is_refused(record: bytes, why: str) -> None:
    with pytest.raises(CorruptIndex, match=why):
        decode_member(record, 4)


@pytest.mark.parametrize("parts", ALL_PARTS, ids=str)
def test_each_kind_of_record_comes_back(parts: Parts) -> None:
    kept = (np.arange(parts.stored_nbytes) % 253).astype(np.uint8) if parts else None
    record = encode_member(replace(MEMBER, kept=kept))
    assert record[1] == parts
    found = divided(decode_member(record, 4).kept)
    assert list(found) == list(parts)
    for each in ALL_PARTS:
        if each & ~parts:
            with pytest.raises(CorruptIndex, match="does not hold a"):
                required_kept(record, each)
        else:
            held = divided(required_kept(record, each))
            assert all(np.array_equal(held[part], found[part]) for part in each)
    for other in ALL_PARTS:
        if other != parts:
            with pytest.raises(CorruptIndex, match="does not hold 4 numbers"):
                decode_member(record[:1] + bytes([other]) + record[2:], 4)


def test_what_is_required_has_to_be_there() -> None:
    held = required_kept(encode_member(SHOWN), Parts.THUMBNAIL)
    assert held is not None
    assert np.array_equal(held, THUMBNAIL)
    assert required_kept(RECORD, Parts.NOTHING) is None
    with pytest.raises(CorruptIndex, match="does not hold a thumbnail"):
        required_kept(RECORD, Parts.THUMBNAIL)


def test_big_endian_descriptors_are_stored_little_endian() -> None:
    assert encode_member(Member(MEMBER.key, MEMBER.image_id, DESCRIPTOR.astype(">f2"), MEMBER.captured_at_ms)) == RECORD


@pytest.mark.parametrize("length", range(len(RECORD)))
def test_no_part_of_a_record_is_a_record(length: int) -> None:
    with pytest.raises(CorruptIndex):
        decode_member(RECORD[:length], 4)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(RECORD + b"\0", id="one byte more"),
        pytest.param(b"\x02" + RECORD[1:], id="another version"),
        pytest.param(RECORD[:14] + b"\xff" + RECORD[15:], id="not UTF-8"),
        pytest.param(RECORD[:2] + b"\xff\xff" + RECORD[4:], id="key longer than the record"),
        pytest.param(RECORD[:-2] + np.float16(np.nan).tobytes(), id="NaN"),
        pytest.param(RECORD[:-2] + np.float16(np.inf).tobytes(), id="infinity"),
    ],
)
def test_a_corrupt_record_is_refused(record: bytes) -> None:
    with pytest.raises(CorruptIndex):
        decode_member(record, 4)


@pytest.mark.parametrize("dimension", [3, 5, 256])
def test_another_dimension_is_refused(dimension: int) -> None:
    with pytest.raises(CorruptIndex, match=f"{dimension} numbers"):
        decode_member(RECORD, dimension)


def test_a_decoded_descriptor_holds_no_reference_to_its_record() -> None:
    assert decode_member(RECORD, 4).descriptor.base is None


@pytest.mark.parametrize(
    "recorded",
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b'["unique",null,null,0]',
        b'["unique",null,null,0,1,2]',
        b'["perhaps",null,null,0,1]',
        b'[["unique"],null,null,0,1]',
        b'["unique",7,null,0,1]',
        b'["unique",null,"near",0,1]',
        b'["unique",null,null,0.5,1]',
        b'["unique",null,null,0,null]',
        b'["duplicate","a",0,0,1,2.5,"sideways"]',
        b'["duplicate","a",0,0,1,"much","mirror"]',
        b'["duplicate","a",0,0,1,2.5,"mirror",7]',
        b'["duplicate","a",0,0,1,2.5,"mirror",[0.9,0.3,1,0,0,0,1,0,0,1,0]]',
        b'["duplicate","a",0,0,1,2.5,"mirror",[0.9,0.3,1,0,0,0,1,0,0,1,0,"0"]]',
        b'["duplicate","a",0,0,1,2.5,"mirror","k",7,[]]',
        b'"uniqu"',
        b"[" * 100_000,
    ],
    ids=lambda recorded: recorded[:30],
)
def test_a_corrupt_decision_is_refused(recorded: bytes) -> None:
    with pytest.raises(CorruptIndex):
        decode_decision(recorded)


def test_a_decision_takes_few_bytes() -> None:
    decision = Decision(Verdict.DUPLICATE, "images-3-17", 0.123456789012345, 12, 3)
    assert len(encode_decision(decision)) < 64
    assert decode_decision(encode_decision(decision)) == decision


@pytest.mark.parametrize("symmetry", Symmetry)
@pytest.mark.parametrize("local_change", [None, 0.0, 2.75])
def test_how_an_image_matched_comes_back(symmetry: Symmetry, local_change: float | None) -> None:
    decision = Decision(Verdict.DUPLICATE, "images-3-17", 0.123, 12, 3, local_change, symmetry)
    recorded = encode_decision(decision)
    assert decode_decision(recorded) == decision
    plain = local_change is None and symmetry is Symmetry.NONE
    assert (len(json.loads(recorded)) == 5) is plain


@pytest.mark.parametrize("symmetry", [Symmetry.NONE, Symmetry.MIRROR])
def test_the_member_that_it_matched_comes_back(symmetry: Symmetry) -> None:
    origin = Origin("images-0-4", 1_700_000_000_000)
    decision = Decision(Verdict.DUPLICATE, "a", 0.25, 7, 1, symmetry=symmetry, origin=origin)
    assert decode_decision(encode_decision(decision)) == decision
    with pytest.raises(CorruptIndex):
        decode_decision(encode_decision(decision).replace(b'"images-0-4"', b"4"))


@pytest.mark.parametrize("origin", [None, Origin("images-0-4", 1_700_000_000_000)])
@pytest.mark.parametrize("symmetry", [Symmetry.NONE, Symmetry.MIRROR])
def test_what_a_second_look_found_comes_back(symmetry: Symmetry, origin: Origin | None) -> None:
    look = Look(0.917, 0.31, (0.5, -0.0123, 0.25, 0.0, 1.0, 0.0), -3.5, 1.25, (-4.0, 8.5))
    decision = Decision(Verdict.DUPLICATE, "a", 0.25, 7, 1, None, symmetry, origin, look)
    recorded = encode_decision(decision)
    assert decode_decision(recorded) == decision
    assert encode_decision(decode_decision(recorded)) == recorded
    assert recorded.endswith(b"[0.917,0.31,0.5,-0.0123,0.25,0.0,1.0,0.0,-3.5,1.25,-4.0,8.5]]")


def test_a_decision_of_before_is_read() -> None:
    decision = decode_decision(b'["duplicate","a",0.25,7,1]')
    assert decision == Decision(Verdict.DUPLICATE, "a", 0.25, 7, 1)
    assert (decision.local_change, decision.symmetry) == (None, Symmetry.NONE)


def test_metadata_of_before_is_read_and_compares_descriptors_alone() -> None:
    fields = json.loads(META.to_json())
    for name in ("local_change", "carried_from", *SWITCHES):
        fields.pop(name, None)
    meta = IndexMeta.from_json(json.dumps(fields | {"format_version": 2}).encode())
    assert meta.relation == Relation(0.3)
    assert meta.fingerprint == META.fingerprint


def test_metadata_hold_the_relation() -> None:
    relation = Relation(0.25, local_change=2.5, match_flips=True, match_rotations=True)
    assert IndexMeta.from_json(with_relation(META, relation).to_json()).relation == relation


def test_metadata_hold_the_second_look() -> None:
    relation = Relation(0.25, agreement=0.75)
    text = with_relation(META, relation).to_json()
    assert IndexMeta.from_json(text) == with_relation(META, relation)
    told = json.loads(text)
    assert (told["agreement"], told["look_version"], told["format_version"]) == (0.75, second_look.VERSION, 4)


def test_metadata_hold_the_parts_of_a_second_look() -> None:
    relation = Relation(0.25, agreement=0.75, match_parts=True)
    text = with_relation(META, relation).to_json()
    assert IndexMeta.from_json(text).relation == relation
    # Metadata of an index with a second look may be older than the switch.
    fields = json.loads(text)
    del fields["match_parts"]
    assert IndexMeta.from_json(json.dumps(fields).encode()).relation == replace(relation, match_parts=False)


@pytest.mark.parametrize("version", [0, 1, 7, None])
def test_looks_of_another_version_are_a_mismatch_that_says_what_to_do(version: int | None) -> None:
    fields = json.loads(with_relation(META, Relation(0.25, agreement=0.75)).to_json())
    with pytest.raises(IndexMismatch, match=f"its looks have version {version}, .* bootstrap it again"):
        IndexMeta.from_json(json.dumps(fields | {"look_version": version}).encode())


def test_other_fields_are_another_format() -> None:
    # A version that knows this format and not a field of it would call the index corrupt.
    format_3 = {"name", "generation", "descriptor", "fingerprint", "dimension", "radius", "clusters", "seed"}
    format_3 |= {"created_at", "format_version", "pca", "calibration", "local_change", "match_flips", "match_rotations"}
    format_3 |= {"carried_from"}
    assert (json.loads(META.to_json()).keys(), FORMAT_VERSION) == (format_3, 3)


def test_metadata_round_trip() -> None:
    assert IndexMeta.from_json(META.to_json()) == META


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"not json", id="no JSON"),
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param(b"[1]", id="a list"),
        pytest.param(b"7", id="a number"),
        pytest.param(b"{}", id="no version"),
        pytest.param(b"[" * 100_000, id="deeply nested"),
        pytest.param(json.dumps({"format_version": FORMAT_VERSION}).encode(), id="no fields"),
        pytest.param(META.to_json()[:-1] + b',"surplus":1}', id="a field too many"),
        pytest.param(META.to_json().replace(b'"dimension":4', b'"dimension":"4"'), id="a text for a number"),
        pytest.param(META.to_json().replace(b'"radius":0.3', b'"radius":null'), id="no radius"),
        pytest.param(META.to_json().replace(b'"match_flips":false', b'"match_flips":0'), id="a number for a switch"),
        pytest.param(
            with_relation(META, Relation(0.1, agreement=0.5)).to_json().replace(b":0.5", b':"a"'), id="agreement"
        ),
        pytest.param(
            META.to_json().replace(b'"match_flips"', b'"match_parts":true,"match_flips"'), id="parts without a look"
        ),
        pytest.param(META.to_json().replace(b'"local_change":null', b'"local_change":"off"'), id="a text for a limit"),
    ],
)
def test_corrupt_metadata_is_refused(text: bytes) -> None:
    with pytest.raises(CorruptIndex):
        IndexMeta.from_json(text)


def test_another_format_is_a_mismatch_that_says_what_to_do() -> None:
    text = META.to_json().replace(f'"format_version":{FORMAT_VERSION}'.encode(), b'"format_version":99')
    with pytest.raises(IndexMismatch, match=rf"format 99, this version reads {FORMAT_VERSION}: bootstrap again"):
        IndexMeta.from_json(text)
