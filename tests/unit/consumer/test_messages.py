"""The wire contracts: what comes in, and what goes out."""

import importlib.resources
import json
import string
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.messages import (
    LAST_CAPTURED_AT_MS,
    MAX_DETAIL_CHARACTERS,
    MAX_ENVELOPE_BYTES,
    MAX_IMAGE_ID_BYTES,
    BadCapturedAt,
    ImageMessage,
    dead_letter,
    last_offsets,
    parse_message,
    verdict_message,
)
from neardup.errors import BadEnvelope, BadImageId, BadInput, EmptyImage, UndecodableImage
from neardup.index.base import IndexMeta
from neardup.types import Decision, Verdict
from neardup.wire import Headers, Judged, encode_verdict

TIMESTAMP_MS = 1_700_000_000_000
META = IndexMeta(name="default", generation=3, descriptor="dct", fingerprint="dct-1", dimension=4, radius=0.2)


def message(value: bytes | None = b"image", *headers: tuple[str, bytes | None], offset: int = 7) -> ImageMessage:
    return ImageMessage("images", 2, offset, TIMESTAMP_MS, b"camera", value, headers)


def envelope(document: object, *headers: tuple[str, bytes | None]) -> ImageMessage:
    value = document if isinstance(document, bytes) else json.dumps(document).encode()
    return message(value, ("content-type", b"application/json"), *headers)


def schema(name: str) -> dict[str, Any]:
    text = importlib.resources.files("consumer").joinpath("schemas", f"{name}.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


# The image id.


def test_without_an_id_the_coordinates_are_the_id() -> None:
    assert parse_message(message()).image_id == "images-2-7"


@pytest.mark.parametrize("image_id", ["a", "Straße/7 ä.jpg", "x" * MAX_IMAGE_ID_BYTES, "\N{GRINNING FACE}", " "])
def test_the_header_gives_the_id(image_id: str) -> None:
    assert parse_message(message(b"image", ("image_id", image_id.encode()))).image_id == image_id


def test_the_last_of_several_headers_counts() -> None:
    request = parse_message(message(b"image", ("image_id", b"first"), ("image_id", b"second")))
    assert request.image_id == "second"


def test_a_null_header_is_none() -> None:
    request = parse_message(message(b"image", ("image_id", None), ("captured_at", None), ("content-type", None)))
    assert (request.image_id, request.captured_at_ms, request.data) == ("images-2-7", TIMESTAMP_MS, b"image")


@pytest.mark.parametrize(
    "image_id",
    [
        b"",
        b"\xff",
        b"a\nb",
        b"a\x00",
        b"\x7f",
        "\x85".encode(),
        "\u2028".encode(),
        b"x" * (MAX_IMAGE_ID_BYTES + 1),
        "ä".encode() * (MAX_IMAGE_ID_BYTES // 2 + 1),
    ],
)
def test_a_bad_id_is_refused(image_id: bytes) -> None:
    with pytest.raises(BadImageId):
        parse_message(message(b"image", ("image_id", image_id)))


@pytest.mark.parametrize("value", [None, b""])
def test_a_message_without_value_is_an_empty_image(value: bytes | None) -> None:
    with pytest.raises(EmptyImage):
        parse_message(message(value))


# When it was captured.


@pytest.mark.parametrize(
    ("text", "captured_at_ms"),
    [
        ("0", 0),
        ("1700000000123", 1_700_000_000_123),
        (str(LAST_CAPTURED_AT_MS), LAST_CAPTURED_AT_MS),
        ("2023-11-14T22:13:20Z", TIMESTAMP_MS),
        ("2023-11-14T22:13:20.123456+00:00", TIMESTAMP_MS + 123),
        ("2023-11-14T23:13:20+01:00", TIMESTAMP_MS),
        ("1969-12-31T23:59:59Z", -1000),
    ],
)
def test_captured_at_is_milliseconds_or_iso_8601(text: str, captured_at_ms: int) -> None:
    assert parse_message(message(b"image", ("captured_at", text.encode()))).captured_at_ms == captured_at_ms


def test_without_captured_at_kafkas_timestamp_counts() -> None:
    assert parse_message(message()).captured_at_ms == TIMESTAMP_MS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "-1",
        "1.5",
        "2023-11-14T22:13:20",  # no zone
        "2023-11-14",
        str(LAST_CAPTURED_AT_MS + 1),
        "9" * 30,  # more than a member's record holds
        "9" * 5000,  # more than Python reads
    ],
)
def test_any_other_captured_at_is_refused(text: str) -> None:
    with pytest.raises(BadCapturedAt, match="ISO 8601"):
        parse_message(message(b"image", ("captured_at", text.encode())))


def test_captured_at_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(BadCapturedAt):
        parse_message(message(b"image", ("captured_at", b"\xff\xfe")))


# Envelopes.


def test_an_envelope_names_a_uri() -> None:
    request = parse_message(envelope({"uri": "file:///a.jpg"}))
    assert (request.image_id, request.data, request.uri) == ("images-2-7", None, "file:///a.jpg")


def test_an_envelopes_own_id_comes_before_the_headers() -> None:
    document = {"uri": "file:///a.jpg", "image_id": "envelope's"}
    assert parse_message(envelope(document, ("image_id", b"header's"))).image_id == "envelope's"
    assert parse_message(envelope({"uri": "file:///a.jpg"}, ("image_id", b"header's"))).image_id == "header's"


@pytest.mark.parametrize(
    "content_type", [b"application/json", b"Application/JSON; charset=utf-8", b" application/json "]
)
def test_the_content_type_makes_the_envelope(content_type: bytes) -> None:
    request = parse_message(message(b'{"uri": "file:///a.jpg"}', ("content-type", content_type)))
    assert request.uri == "file:///a.jpg"


@pytest.mark.parametrize("content_type", [b"image/jpeg", b"", b"application/jsonl", b"\xff"])
def test_any_other_content_type_is_an_image(content_type: bytes) -> None:
    request = parse_message(message(b'{"uri": "file:///a.jpg"}', ("content-type", content_type)))
    assert request.data == b'{"uri": "file:///a.jpg"}'


@pytest.mark.parametrize(
    "document",
    [
        b"{",
        b"\xff\xfe\xfd",
        b"[" * 60_000,
        b"{}" + b" " * MAX_ENVELOPE_BYTES,
        b'{"uri": 1' + b"1" * 5000 + b"}",
        [],
        "file:///a.jpg",
        None,
        {},
        {"image_id": "a"},
        {"uri": ""},
        {"uri": None},
        {"uri": 7},
        {"uri": ["file:///a.jpg"]},
        {"uri": "file:///a.jpg", "image_id": None},
        {"uri": "file:///a.jpg", "image_id": 7},
        {"uri": "file:///a.jpg", "more": "x"},
    ],
)
def test_a_bad_envelope_is_refused(document: object) -> None:
    with pytest.raises(BadEnvelope):
        parse_message(envelope(document))


@pytest.mark.parametrize("image_id", ["", "a\nb", "x" * (MAX_IMAGE_ID_BYTES + 1), "\ud800"])
def test_an_envelopes_bad_id_is_refused(image_id: str) -> None:
    with pytest.raises(BadImageId):
        parse_message(envelope({"uri": "file:///a.jpg", "image_id": image_id}))


_CHARACTERS = st.text(
    st.sampled_from([*string.ascii_letters, "\n", "\x00", "\x7f", "\x9f", "\u2028", "ä", "\U0001f600"])
)
_VALUES = st.one_of(_CHARACTERS, st.text(), st.none(), st.integers(), st.lists(st.text(max_size=2), max_size=2))
_DOCUMENTS = st.one_of(
    st.dictionaries(st.sampled_from(["uri", "image_id", "URI", ""]), _VALUES),
    st.fixed_dictionaries({"uri": _CHARACTERS}, optional={"image_id": _VALUES}),
    _VALUES,
)
_IDS_AROUND_THE_LIMIT = st.integers(MAX_IMAGE_ID_BYTES - 1, MAX_IMAGE_ID_BYTES + 1).map(
    lambda size: {"uri": "file:///a.jpg", "image_id": "x" * size}
)


@given(st.one_of(_DOCUMENTS, _IDS_AROUND_THE_LIMIT))
def test_the_envelopes_schema_says_what_is_accepted(document: Any) -> None:  # noqa: ANN401 - any JSON
    valid = jsonschema.Draft202012Validator(schema("envelope")).is_valid(document)
    if isinstance(document, dict) and isinstance(document.get("image_id"), str):
        # The one rule that a schema cannot say, as its description does.
        valid = valid and len(document["image_id"].encode()) <= MAX_IMAGE_ID_BYTES
    try:
        parse_message(envelope(document))
        accepted = True
    except BadInput:
        accepted = False
    assert accepted == valid


@given(st.binary(), st.lists(st.tuples(st.sampled_from(["image_id", "captured_at", "content-type"]), st.binary())))
def test_no_message_is_anything_but_a_request_or_bad_input(value: bytes, headers: list[tuple[str, bytes]]) -> None:
    try:
        request = parse_message(message(value, *headers))
    except BadInput:
        return
    assert (request.data is None) != (request.uri is None)
    assert 1 <= len(request.image_id.encode()) <= MAX_IMAGE_ID_BYTES
    assert -(2**63) <= request.captured_at_ms < 2**63


# Verdicts.


def test_a_verdict_keeps_the_key() -> None:
    decision = Decision(Verdict.UNIQUE, None, 0.9, 4, 3)
    judged = Judged(message(), "bild-ä", TIMESTAMP_MS, decision, META, datetime.fromtimestamp(1_700_000_001.25, UTC))
    sent = verdict_message("verdicts", judged)
    assert (sent.topic, sent.key) == ("verdicts", b"camera")
    assert (sent.value, sent.headers) == encode_verdict(judged)


@pytest.mark.parametrize("name", ["envelope", "verdict"])
def test_the_schemas_ship_with_the_package_and_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))


# Dead letters.


@pytest.mark.parametrize("value", [None, b"", bytes(range(256))])
@pytest.mark.parametrize("key", [None, b"", b"\xff"])
def test_a_dead_letter_is_the_message_and_what_is_wrong_with_it(key: bytes | None, value: bytes | None) -> None:
    headers: Headers = (("image_id", b"\xff"), ("null", None), ("image_id", b"again"))
    letter = dead_letter("dead", ImageMessage("images", 2, 7, 0, key, value, headers), UndecodableImage("no image ä"))
    assert (letter.topic, letter.key, letter.value) == ("dead", key, value)
    assert letter.headers == (
        *headers,
        ("error.reason", b"undecodable"),
        ("error.detail", "no image ä".encode()),
        ("error.source", b"images-2-7"),
    )


def test_the_detail_is_one_short_line() -> None:
    letter = dead_letter("dead", message(), UndecodableImage("a\nb\x1b[31m\ud800" + "x" * 10_000))
    detail = dict(letter.headers)["error.detail"]
    assert detail is not None
    assert detail.startswith(b"a b [31m?xxx")
    assert len(detail) == MAX_DETAIL_CHARACTERS


# Offsets.


def test_the_offset_to_commit_is_behind_the_last_message_of_each_partition() -> None:
    batch = [ImageMessage("images", partition, offset, 0, None, b"") for partition, offset in [(0, 4), (1, 9), (0, 5)]]
    assert last_offsets(batch) == {("images", 0): 6, ("images", 1): 10}
    assert last_offsets([]) == {}
