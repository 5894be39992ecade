"""The verdict on the wire: as its schema says, and read back as it was written."""

import base64
import importlib.resources
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import jsonschema
import numpy as np
import pytest

from consumer.messages import ImageMessage
from neardup.errors import CorruptIndex
from neardup.index.base import IndexMeta
from neardup.index.stored.codec import encode_member
from neardup.types import Decision, Look, Member, Origin, Symmetry, Verdict
from neardup.wire import Judged, decode_unique, encode_verdict, verdict_document

TIMESTAMP_MS = 1_700_000_000_000
CAPTURED_AT_MS = TIMESTAMP_MS - 500
DECIDED_AT = datetime.fromtimestamp(1_700_000_001.25, UTC)
META = IndexMeta(name="default", generation=3, descriptor="dct", fingerprint="dct-1", dimension=4, radius=0.2)
MESSAGE = ImageMessage("images", 2, 7, TIMESTAMP_MS, b"camera", b"image")


def schema() -> dict[str, Any]:
    text = importlib.resources.files("consumer").joinpath("schemas", "verdict.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def judged(decision: Decision, decided_at: datetime = DECIDED_AT, frames: int = 1, meta: IndexMeta = META) -> Judged:
    return Judged(MESSAGE, "bild-ä", CAPTURED_AT_MS, decision, meta, decided_at, frames=frames)


FIRST = Decision(Verdict.UNIQUE, None, None, None, 3)
UNIQUE = Decision(Verdict.UNIQUE, None, 0.9, 4, 3)
DUPLICATE = Decision(Verdict.DUPLICATE, "seed/1.jpg", 0.1, 0, 2, origin=Origin("images-0-4", TIMESTAMP_MS - 86_400_001))

LOOKED_AT = replace(META, agreement=0.7)
LOOK = Look(0.917, 0.31, (0.5, 0.0, 0.25, 0.0, 1.0, 0.0), -3.5, 1.25, (-4.0, 8.5))
NOTHING_TO_SEE = Look(0.0, 0.0, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 0.0, 1.0, (0.0, 0.0))
SEEN = replace(DUPLICATE, symmetry=Symmetry.MIRROR, look=LOOK)
BLANK = replace(DUPLICATE, look=NOTHING_TO_SEE)


def is_date_time(text: object) -> bool:
    if text is None:
        return True
    assert isinstance(text, str)
    return "T" in text and datetime.fromisoformat(text).utcoffset() == timedelta(0)


def valid_verdict(document: object) -> None:
    formats = jsonschema.FormatChecker(())
    formats.checks("date-time", ValueError)(is_date_time)
    jsonschema.Draft202012Validator(schema(), format_checker=formats).validate(document)


@pytest.mark.parametrize("decision", [FIRST, UNIQUE, DUPLICATE], ids=["empty-index", "unique", "duplicate"])
def test_a_verdict_is_as_its_schema_says(decision: Decision) -> None:
    valid_verdict(verdict_document(judged(decision)))


def test_a_verdict_has_every_field_of_its_schema() -> None:
    # Readers may count on them all, also where the schema does not require one that came later.
    document = verdict_document(judged(SEEN, frames=12, meta=LOOKED_AT))
    assert list(document) == list(schema()["properties"])
    assert list(document["edit"]) == list(schema()["properties"]["edit"]["properties"])


@pytest.mark.parametrize("decision", [FIRST, UNIQUE, SEEN, BLANK], ids=["empty-index", "unique", "seen", "blank"])
def test_a_verdict_after_a_second_look_is_as_its_schema_says(decision: Decision) -> None:
    valid_verdict(verdict_document(judged(decision, meta=LOOKED_AT)))


def test_a_verdict_says_what_a_second_look_found() -> None:
    document = verdict_document(judged(SEEN, meta=LOOKED_AT))
    assert (document["agreement"], document["agreement_needed"]) == (0.917, 0.31)
    assert document["edit"] == {
        "mirrored": True,
        "turned": 0.0,
        "scale": [0.5, 1.0],
        "box": [0.25, 0.0, 0.75, 1.0],
        "inset": [0.0, 0.0, 1.0, 1.0],
        "brightness": -3.5,
        "contrast": 1.25,
        "colour": [-4.0, 8.5],
    }


def test_agreement_and_edit_are_there_where_a_second_look_is_taken_and_only_there() -> None:
    unique, blank = (verdict_document(judged(decision, meta=LOOKED_AT)) for decision in (UNIQUE, BLANK))
    assert (unique["agreement"], unique["agreement_needed"], unique["edit"]) == (None, None, None)
    assert (blank["agreement"], blank["agreement_needed"], blank["edit"]) == (0.0, 0.0, None)
    assert {"agreement", "agreement_needed", "edit"}.isdisjoint(verdict_document(judged(DUPLICATE)))


def test_a_decision_that_comes_again_is_told_in_full_though_no_second_look_is_taken_by_now() -> None:
    now, then = (verdict_document(judged(SEEN, meta=meta)) for meta in (META, LOOKED_AT))
    assert now == then


@pytest.mark.parametrize("frames", [2, 1000])
def test_a_verdict_tells_how_many_frames_there_are(frames: int) -> None:
    document = verdict_document(judged(DUPLICATE, frames=frames))
    valid_verdict(document)
    assert document["frames"] == frames


def test_a_verdict_on_a_still_tells_of_no_frames() -> None:
    assert "frames" not in verdict_document(judged(DUPLICATE))


def test_a_verdict_says_it_all() -> None:
    document = verdict_document(judged(DUPLICATE))
    assert document.pop("similarity") == pytest.approx(1 - 0.1**2 / 2)
    assert document == {
        "schema": "neardup.verdict/1",
        "image_id": "bild-ä",
        "verdict": "duplicate",
        "duplicate_of": "seed/1.jpg",
        "distance": 0.1,
        "radius": 0.2,
        "local_change": None,
        "symmetry": "none",
        "cluster": 0,
        "index": {"name": "default", "generation": 2},
        "descriptor": "dct-1",
        "source": {"topic": "images", "partition": 2, "offset": 7, "timestamp": TIMESTAMP_MS},
        "uri": None,
        "captured_at": "2023-11-14T22:13:19.500Z",
        "member": {"key": "images-0-4", "captured_at": "2023-11-13T22:13:19.999Z"},
        "decided_at": "2023-11-14T22:13:21.250Z",
        "latency_ms": 1250,
    }


def test_a_verdict_says_where_the_image_is() -> None:
    uri = "https://host/a.jpg?signature=ä"
    assert verdict_document(replace(judged(UNIQUE), uri=uri))["uri"] == uri


@pytest.mark.parametrize("captured_at_ms", [0, 2**63 - 1, -(2**63)])
def test_a_time_that_is_unknown_or_impossible_is_null(captured_at_ms: int) -> None:
    duplicate = replace(DUPLICATE, origin=Origin("seeds/1.jpg", captured_at_ms))
    document = verdict_document(replace(judged(duplicate), captured_at_ms=captured_at_ms))
    assert (document["captured_at"], document["member"]) == (None, {"key": "seeds/1.jpg", "captured_at": None})
    valid_verdict(document)


def test_a_duplicate_of_which_the_member_was_not_recorded_has_none() -> None:
    document = verdict_document(judged(replace(DUPLICATE, origin=None)))
    assert document["member"] is None
    valid_verdict(document)


def test_the_first_verdict_of_an_empty_index_has_no_distance() -> None:
    document = verdict_document(judged(FIRST))
    assert (document["distance"], document["similarity"], document["cluster"]) == (None, None, None)


def test_a_clock_that_is_behind_gives_no_negative_latency() -> None:
    early = DECIDED_AT - timedelta(hours=1)
    assert verdict_document(judged(UNIQUE, early))["latency_ms"] == 0


def test_decided_at_is_utc_whatever_the_clocks_zone() -> None:
    elsewhere = DECIDED_AT.astimezone(timezone(timedelta(hours=9)))
    assert verdict_document(judged(UNIQUE, elsewhere))["decided_at"] == "2023-11-14T22:13:21.250Z"


@pytest.mark.parametrize("decision", [UNIQUE, DUPLICATE])
def test_a_verdict_repeats_itself_in_a_header(decision: Decision) -> None:
    value, headers = encode_verdict(judged(decision))
    assert headers == (("verdict", decision.verdict.value.encode()),)
    assert json.loads(value) == verdict_document(judged(decision))
    assert "bild-ä".encode() in value


def test_headers_that_are_passed_on_follow_its_own() -> None:
    passed = (("camera", b"\xff"), ("camera", None))
    _, headers = encode_verdict(replace(judged(UNIQUE), member=MEMBER, passed=passed))
    assert [name for name, _ in headers] == ["verdict", "member", "camera", "camera"]
    assert headers[2:] == passed


# Read back.

MEMBER = Member("images-2-7", "bild-ä", np.array([0.6, 0.8], dtype=np.float16), TIMESTAMP_MS)


@pytest.mark.parametrize("decision", [FIRST, UNIQUE])
def test_a_unique_is_read_back_with_its_member(decision: Decision) -> None:
    value, headers = encode_verdict(replace(judged(decision), member=MEMBER))
    assert dict(headers).keys() == {"verdict", "member"}
    read = decode_unique(value, [("verdict", b"duplicate"), ("\\xff", b"odd"), *headers])
    assert read is not None
    assert (read.index, read.generation, read.fingerprint) == ("default", 3, "dct-1")
    member = read.member(2)
    assert member is not None
    assert (member.key, member.image_id, member.captured_at_ms) == ("images-2-7", "bild-ä", TIMESTAMP_MS)
    assert member.descriptor.tolist() == MEMBER.descriptor.tolist()
    with pytest.raises(CorruptIndex):
        read.member(3)


def test_the_member_is_text_and_earlier_ones_are_read_as_well() -> None:
    value, headers = encode_verdict(replace(judged(UNIQUE), member=MEMBER))
    record = encode_member(MEMBER)
    assert dict(headers)["member"] == base64.b64encode(record)
    for header in (base64.b64encode(record), record):
        read = decode_unique(value, [("verdict", b"unique"), ("member", header)])
        assert read is not None
        member = read.member(2)
        assert member is not None
        assert encode_member(member) == record


def test_a_unique_without_its_member_is_read_back_without() -> None:
    read = decode_unique(*encode_verdict(judged(UNIQUE)))
    assert read is not None
    assert read.member(2) is None


def test_a_duplicate_carries_no_member_and_is_not_read_back() -> None:
    value, headers = encode_verdict(replace(judged(DUPLICATE), member=MEMBER))
    assert dict(headers).keys() == {"verdict"}
    assert decode_unique(value, headers) is None
    assert decode_unique(value, ()) is None


@pytest.mark.parametrize("generation", ['"x"', "null", "NaN", "Infinity", "1" * 5000])
def test_no_generation_is_no_verdict(generation: str) -> None:
    value = f'{{"index": {{"name": "default", "generation": {generation}}}, "descriptor": "dct-1"}}'.encode()
    with pytest.raises(ValueError, match="no verdict"):
        decode_unique(value, [("verdict", b"unique")])


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"[]", b"{}", b'{"index": null}', b"[" * 100_000])
def test_what_is_no_verdict_is_told_as_that(value: bytes | None) -> None:
    with pytest.raises(ValueError, match="no verdict"):
        decode_unique(value, [("verdict", b"unique")])


# The schema.


@pytest.mark.parametrize(
    "change",
    [
        {"decided_at": "yesterday"},
        {"decided_at": "2023-11-14T22:13:21"},
        {"duplicate_of": None},
        {"distance": None},
        {"distance": -0.1},
        {"verdict": "maybe"},
        {"more": 1},
        {"captured_at": "yesterday"},
        {"member": {"key": "images-0-4"}},
        {"schema": "neardup.verdict/2"},
    ],
)
def test_the_verdicts_schema_refuses_what_is_no_verdict(change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        valid_verdict(verdict_document(judged(DUPLICATE)) | change)
