"""Verdicts read back: what is taken, what is refused, and why."""

import json
from collections import namedtuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.verdicts.images import file_of
from consumer.verdicts.told import Broken, LinePlace, NotTold, RecordPlace, ToldLetter, ToldVerdict, names_of
from neardup.types import Verdict
from tests.support.verdict_lines import duplicate, line, unique

PLACE = LinePlace(Path("verdicts.jsonl"), 3)
Record = namedtuple("Record", "topic partition offset timestamp key value headers")  # noqa: PYI024 - as kafka-python's


def told(document: dict[str, object]) -> ToldVerdict:
    return ToldVerdict.of_line(line(document), PLACE)


def test_a_verdict_says_what_its_document_says() -> None:
    found = told(duplicate(7, of=3, uri="https://example.org/a.jpg"))
    assert (found.image_id, found.verdict, found.duplicate_of) == ("image-7", Verdict.DUPLICATE, "image-3")
    assert (found.distance, found.radius, found.cluster) == (0.125, 0.36, 0)
    assert (found.uri, found.member_key) == ("https://example.org/a.jpg", "images-0-3")
    assert found.source == RecordPlace("images", 0, 7, 1_767_225_600_007)
    assert (found.place, found.headers, found.of_file) == (PLACE, (), False)
    assert found.document["latency_ms"] == 373


def test_a_record_brings_its_place_and_its_headers() -> None:
    record = Record("verdicts", 2, 40, 99, b"key", line(unique(1)), [("verdict", b"unique")])
    found = ToldVerdict.of_record(record)
    assert found.place == RecordPlace("verdicts", 2, 40, 99)
    assert str(found.place) == "verdicts-2-40"
    assert found.headers == (("verdict", b"unique"),)


def test_images_of_a_group_name_the_same_group() -> None:
    first, copy = told(unique(3)), told(duplicate(7, of=3))
    assert first.group == copy.group == "images-0-3"
    # A seed is called by its path, and in folder mode all are by what they are called.
    assert told(duplicate(7, of=3, member={"key": "seeds/a.jpg", "captured_at": None})).group == "seeds/a.jpg"
    assert told(duplicate(7, of=3, member=None)).group == "image-3"
    first, copy = told(unique(3, "files")), told(duplicate(7, 3, "files", member={"key": "file:/p/3:9:9"}))
    assert first.of_file
    assert first.group == copy.group == "image-3"


def test_a_verdict_of_the_topic_is_on_no_file_whatever_it_says(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    document = unique(3, "files", uri=(tmp_path / "secret").as_uri())
    found = ToldVerdict.of_record(Record("verdicts", 2, 40, 99, b"key", line(document), []))
    assert (found.of_file, found.group, file_of(found)) == (False, "files-0-3", None)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"schema": "neardup.verdict/2"}, "no verdict: its schema is 'neardup.verdict/2', not 'neardup.verdict/1'"),
        ({"schema": None}, "no verdict: its schema is missing, not 'neardup.verdict/1'"),
        ({"verdict": "perhaps"}, "its verdict is 'perhaps'"),
        ({"image_id": None}, "its image_id is missing"),
        ({"image_id": 7}, "its image_id is 7"),
        ({"radius": "0.3"}, "its radius is '0.3'"),
        ({"distance": True}, "its distance is True"),
        ({"cluster": 1.5}, "its cluster is 1.5"),
        ({"cluster": 1 << 63}, "its cluster is 9223372036854775808"),
        ({"source": []}, "its source is []"),
        ({"source": {"topic": "images", "partition": 0, "offset": "1"}}, "its offset is '1'"),
        ({"member": {}}, "its key is missing"),
        ({"uri": ["\x1b[31m"]}, r"its uri is ['\x1b[31m']"),
    ],
)
def test_what_is_no_verdict_is_refused_with_the_reason(changed: dict[str, object], why: str) -> None:
    with pytest.raises(NotTold) as caught:
        told({**unique(1), **changed})
    assert str(caught.value) == why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "not JSON: Expecting value"),
        (b"[]", "not a JSON object"),
        (b"\xff\xfe{}", "not JSON: "),
        (b"[" * 100_000, "not JSON: "),
        (line({**unique(1), "distance": float("nan")}), "not JSON: NaN is no JSON"),
        (line(unique(1)).replace(b"0.9,", b"1e999,"), "its distance is inf"),
        (line(unique(1))[:-20], "not JSON: "),
        (json.dumps(unique(1, image_id="\ud800")).encode(), r"its image_id is no text: '\ud800'"),
    ],
)
def test_what_is_no_json_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(NotTold) as caught:
        ToldVerdict.of_line(text, PLACE)
    assert str(caught.value).startswith(why)


@given(st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=4).map(json.dumps))
def test_nothing_else_is_raised(text: str | bytes) -> None:
    with pytest.raises(NotTold) as caught:
        ToldVerdict.of_line(text if isinstance(text, bytes) else text.encode(), PLACE)
    assert "\n" not in str(caught.value)


@given(st.dictionaries(st.sampled_from(sorted(unique(1))), st.none() | st.integers() | st.text() | st.lists(st.text())))
def test_a_field_of_another_kind_is_refused_or_not_looked_at(changed: dict[str, object]) -> None:
    document = {**unique(1), **changed}
    refused = ""
    try:
        assert dict(told(document).document) == document
    except NotTold as error:
        refused = str(error)
    assert not refused or any(name in refused for name in changed)


def test_dead_letters_are_read_from_both() -> None:
    of_line = ToldLetter.of_line(b'{"image_id": "a", "reason": "empty", "detail": "no bytes"}', PLACE)
    assert (of_line.image_id, of_line.reason, of_line.detail) == ("a", "empty", "no bytes")
    headers = [("error.reason", b"empty"), ("error.detail", b"no \xff bytes"), ("error.source", b"images-0-1")]
    record = Record("images.dead", 0, 4, 99, None, b"", headers)
    assert ToldLetter.of_record(record) == ToldLetter(
        "images-0-1", "empty", "no \ufffd bytes", RecordPlace("images.dead", 0, 4, 99)
    )
    named = record._replace(headers=[*headers, ("image_id", b"a")])
    assert ToldLetter.of_record(named).image_id == "a"
    with pytest.raises(NotTold, match=r"no header error\.reason"):
        ToldLetter.of_record(record._replace(headers=[]))


def test_of_what_is_broken_the_first_are_named_and_all_are_counted() -> None:
    broken = Broken(most_examples=2)
    for number in range(5):
        broken.add(LinePlace(Path("v.jsonl"), number + 1), NotTold("not JSON"))
    assert broken.count == 5
    assert names_of(broken.examples, broken.count) == [
        "v.jsonl, line 1: not JSON",
        "v.jsonl, line 2: not JSON",
        "and 3 more",
    ]
    assert names_of([], 0) == []
