"""Spans of a real verdict topic, and the images that verdicts are on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition

from consumer.messages import ENVELOPE_HEADER, encode_envelope
from consumer.verdicts.images import FetchedImage, Images
from consumer.verdicts.reading import Noticed, letters_of_topic, verdicts_of_topic
from consumer.verdicts.settings import SpanSettings, moment
from consumer.verdicts.told import LinePlace, ToldVerdict
from neardup.errors import Misconfigured
from tests.support.transports import KafkaRig, Sent, until_deadline
from tests.support.verdict_lines import line, unique

pytestmark = pytest.mark.kafka

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
NOON_MS = int(1000 * NOON.timestamp())
MINUTE_MS = 60_000


@pytest.fixture
def span(kafka: KafkaRig) -> SpanSettings:
    # The rig's topic of two partitions: here it holds verdicts.
    return SpanSettings(bootstrap_servers=kafka.address, verdicts_topic=kafka.images)


def write(kafka: KafkaRig, numbers: Sequence[int], partition: int = 0) -> None:
    """Write verdicts, one each minute from noon."""
    kafka.write(
        [
            Sent(
                line(unique(number)),
                partition,
                timestamp_ms=NOON_MS + MINUTE_MS * number,
                headers=(("verdict", b"unique"),),
            )
            for number in numbers
        ]
    )


def read(span: SpanSettings, since: str | None = None, until: str | None = None) -> tuple[list[int], Noticed]:
    """Return the numbers of the verdicts in a span, and what was noticed."""
    noticed = Noticed()
    settings = replace(span, since=since and moment(since), until=until and moment(until))  # type: ignore[arg-type]
    found = verdicts_of_topic(settings, noticed, client_id="test", now=lambda: NOON)
    return sorted(told.source.offset for told in found), noticed


def test_all_is_read_that_is_there_when_it_begins(kafka: KafkaRig, span: SpanSettings) -> None:
    write(kafka, range(10))
    write(kafka, range(10, 1200), partition=1)
    noticed = Noticed()
    found = verdicts_of_topic(span, noticed, client_id="test")
    first = next(found)
    write(kafka, range(2000, 2010))
    assert sorted([first.source.offset, *(told.source.offset for told in found)]) == list(range(1200))
    assert noticed == Noticed()
    assert first.headers == (("verdict", b"unique"),)


def test_an_empty_topic_has_none(span: SpanSettings) -> None:
    assert read(span) == ([], Noticed())
    assert read(span, "2h", "1h") == ([], Noticed())


def test_a_span_of_times_holds_its_first_moment_and_not_its_last(kafka: KafkaRig, span: SpanSettings) -> None:
    write(kafka, range(0, 10, 2))
    write(kafka, range(1, 10, 2), partition=1)
    assert read(span, "2026-01-31T12:03:00Z", "2026-01-31T12:07:00Z")[0] == [3, 4, 5, 6]
    assert read(span, "2026-01-31T12:03:00.001Z")[0] == [4, 5, 6, 7, 8, 9]
    assert read(span, None, "2026-01-31T12:02:00Z")[0] == [0, 1]
    assert read(span, "2h", "2026-01-31T12:01:00Z") == ([0], Noticed())
    assert read(span, "2026-02-01T00:00:00Z")[0] == []


def test_a_span_of_offsets_is_of_the_partitions_that_are_named(kafka: KafkaRig, span: SpanSettings) -> None:
    write(kafka, range(10))
    write(kafka, range(10, 20), partition=1)
    assert read(span, "0:8,1:9")[0] == [8, 9, 19]
    assert read(span, "0:2", "0:5")[0] == [2, 3, 4]
    assert read(span, None, "1:2")[0] == [10, 11]
    assert read(span, "0:7", "2026-01-31T12:09:00Z")[0] == [7, 8]
    assert read(span, "0:10")[0] == []
    assert read(span, "0:9", "0:900")[0] == [9]


@pytest.mark.parametrize(
    ("since", "until", "why"),
    [
        ("0:11", None, "--from 0:11: .* ends at offset 10"),
        ("7:0", None, "--from: topic .* has no partition 7: it has 0, 1"),
        (None, "7:0", "--to: topic .* has no partition 7"),
        ("0:1", "1:1", "--from and --to name different partitions"),
        ("0:5", "0:4", "--from is later than --to"),
        ("1h", "2h", "--from is later than --to"),
    ],
)
def test_a_span_that_cannot_be_is_refused(
    kafka: KafkaRig, span: SpanSettings, since: str | None, until: str | None, why: str
) -> None:
    write(kafka, range(10))
    with pytest.raises(Misconfigured, match=why):
        read(span, since, until)


def test_a_topic_that_is_not_there_is_refused(span: SpanSettings) -> None:
    with pytest.raises(Misconfigured, match="--verdicts-topic: there is no topic 'no-such-topic'"):
        read(replace(span, verdicts_topic="no-such-topic"))


def test_what_the_topic_no_longer_has_is_said(kafka: KafkaRig, span: SpanSettings) -> None:
    write(kafka, range(10))
    delete_before(kafka, 6)
    topic = f"{kafka.images}-0"
    assert read(span) == ([6, 7, 8, 9], Noticed())
    numbers, noticed = read(span, "0:2")
    assert (numbers, noticed.gone) == ([6, 7, 8, 9], [f"{topic}: offsets 2 to 5 are no longer in the topic"])
    numbers, noticed = read(span, None, "0:4")
    assert (numbers, noticed.gone) == ([], [f"{topic}: offsets 0 to 3 are no longer in the topic"])
    numbers, noticed = read(span, "2026-01-31T12:02:00Z")
    assert numbers == [6, 7, 8, 9]
    (said,) = noticed.gone
    assert said.startswith(f"{topic} begins at offset 6: earlier records are no longer in the topic, and some")
    # What is left reaches back far enough.
    assert read(span, "2026-01-31T12:08:00Z") == ([8, 9], Noticed())
    assert read(span, "0:6") == ([6, 7, 8, 9], Noticed())


def delete_before(kafka: KafkaRig, offset: int) -> None:
    kafka.admin.delete_records({TopicPartition(kafka.images, 0): offset})


def test_what_is_deleted_while_it_is_read_is_said(kafka: KafkaRig, span: SpanSettings) -> None:
    # More than one fetch brings, so that some are still to be fetched.
    padding = "x" * 5000
    kafka.write([Sent(line(unique(number, padding=padding))) for number in range(3000)])
    noticed = Noticed()
    found = verdicts_of_topic(replace(span, max_message_bytes=16_384), noticed, client_id="test")
    numbers = [next(found).source.offset]
    delete_before(kafka, 2900)
    numbers += [told.source.offset for told in found]
    (said,) = noticed.gone
    behind = max(number for number in numbers if number < 2900) + 1
    assert said == f"{kafka.images}-0: offsets {behind} to 2899 are no longer in the topic"
    assert numbers == [*range(behind), *range(2900, 3000)]


def test_broken_records_are_counted_and_named(kafka: KafkaRig, span: SpanSettings) -> None:
    write(kafka, [0])
    kafka.write([Sent(b"no verdict"), Sent(None, key=b"tombstone"), Sent(line({**unique(3), "verdict": 1}))])
    write(kafka, [4])
    numbers, noticed = read(span)
    assert numbers == [0, 4]
    assert noticed.broken.count == 3
    assert noticed.broken.examples[0].startswith(f"{kafka.images}-0-1: not JSON: ")
    assert noticed.broken.examples[2] == f"{kafka.images}-0-3: its verdict is 1"


def test_what_was_told_twice_is_given_once(kafka: KafkaRig, span: SpanSettings) -> None:
    write(kafka, [0, 1, 2, 1, 2, 3])
    numbers, noticed = read(span)
    assert (numbers, noticed.repeated) == ([0, 1, 2, 3], 2)


def test_what_was_not_committed_is_not_read(kafka: KafkaRig, span: SpanSettings) -> None:
    with transaction(kafka, "aborted") as (send, producer):
        send(line(unique(1)))
        producer.abort_transaction()
    write(kafka, [2])
    with transaction(kafka, "committed") as (send, producer):
        send(line(unique(3)))
        producer.commit_transaction()
    with transaction(kafka, "open") as (send, producer):
        send(line(unique(4)))
        assert read(span) == ([2, 3], Noticed())
        producer.abort_transaction()
    assert read(span) == ([2, 3], Noticed())


@contextmanager
def transaction(kafka: KafkaRig, name: str) -> Iterator[tuple[Callable[[bytes], None], Any]]:
    """Begin a transaction; give what sends in it, and its producer."""
    with KafkaProducer(bootstrap_servers=kafka.address, transactional_id=f"{kafka.group}-{name}") as producer:
        producer.init_transactions()
        producer.begin_transaction()
        yield lambda value: producer.send(kafka.images, value, partition=0).get(30), producer


def test_dead_letters_of_the_same_span(kafka: KafkaRig, span: SpanSettings) -> None:
    headers = (("error.reason", b"empty"), ("error.detail", b"no bytes"), ("error.source", b"images-0-1"))
    kafka.write(
        [Sent(None, key=b"k", headers=headers, timestamp_ms=NOON_MS + number * MINUTE_MS) for number in range(4)]
    )
    noticed = Noticed()
    settings = replace(span, verdicts_topic="anything", since=moment("2026-01-31T12:02:00Z"))
    letters = list(letters_of_topic(settings, kafka.images, noticed, flag="--dead-letters-topic", client_id="test"))
    assert [str(letter.place) for letter in letters] == [f"{kafka.images}-0-{offset}" for offset in (2, 3)]
    assert {(letter.image_id, letter.reason) for letter in letters} == {("images-0-1", "empty")}
    by_offset = replace(settings, since=moment("0:900"))
    letters = list(letters_of_topic(by_offset, kafka.images, noticed, flag="--dead-letters-topic", client_id="test"))
    assert len(letters) == 4


# Images.


def on(kafka: KafkaRig, offset: int, timestamp_ms: int = NOON_MS, uri: str | None = None) -> ToldVerdict:
    """Return a verdict on the image at an offset."""
    source = {"topic": kafka.images, "partition": 0, "offset": offset, "timestamp": timestamp_ms}
    return _told(unique(offset, source=source, uri=uri))


def _told(document: dict[str, Any]) -> ToldVerdict:
    return ToldVerdict.of_line(line(document), LinePlace(Path("made up"), 1))


@pytest.fixture
def images(kafka: KafkaRig) -> Iterator[Images]:
    with Images(kafka.settings, client_id="test") as opened:
        yield opened


def test_an_image_is_fetched_in_any_order(kafka: KafkaRig, images: Images) -> None:
    kafka.write([Sent(b"%d" % number * 1000, timestamp_ms=NOON_MS, key=b"cam") for number in range(40)])
    kafka.write([Sent(b"other partition", 1, timestamp_ms=NOON_MS)])
    for offset in (5, 6, 7, 7, 39, 0, 20):
        assert images.fetch(on(kafka, offset)) == FetchedImage(data=b"%d" % offset * 1000)
    elsewhere = {"topic": kafka.images, "partition": 1, "offset": 0, "timestamp": NOON_MS}
    assert images.fetch(_told(unique(0, source=elsewhere))).data == b"other partition"
    record = images.record(on(kafka, 3).source)
    assert record is not None
    assert (record.key, record.offset) == (b"cam", 3)
    # What comes later is there, too.
    kafka.write([Sent(b"late", timestamp_ms=NOON_MS)])
    assert images.fetch(on(kafka, 40)).data == b"late"


def test_an_image_that_the_topic_no_longer_has_is_said_to_be_gone(kafka: KafkaRig, images: Images) -> None:
    kafka.write([Sent(b"%d" % number, timestamp_ms=NOON_MS) for number in range(10)])
    assert images.fetch(on(kafka, 3)).data == b"3"
    delete_before(kafka, 6)
    gone = FetchedImage(gone=f"{kafka.images}-0-4 is no longer in its topic")
    for _ in until_deadline():
        if images.fetch(on(kafka, 4)) == gone:
            break
    assert images.fetch(on(kafka, 4)) == gone
    assert images.fetch(on(kafka, 6)).data == b"6"
    assert images.fetch(on(kafka, 9)).data == b"9"
    assert images.fetch(on(kafka, 10)).gone == f"{kafka.images}-0-10 is no longer in its topic"
    # Another message in the same place: the topic was made anew.
    assert images.fetch(on(kafka, 7, timestamp_ms=NOON_MS - 1)).gone is not None
    nowhere = {"topic": "no-such-topic", "partition": 0, "offset": 1, "timestamp": 1}
    assert images.fetch(_told(unique(0, source=nowhere))).gone == "no-such-topic-0-1 is no longer in its topic"
    for odd in (
        {"partition": 9},
        {"partition": -1},
        {"offset": -1},
        {"offset": (1 << 63) - 1},
        {"topic": "a b/.."},
        {"topic": ".."},
    ):
        nowhere = {"topic": kafka.images, "partition": 0, "offset": 1, "timestamp": 1, **odd}
        assert images.fetch(_told(unique(0, source=nowhere))).gone is not None


def test_a_claim_check_is_told_and_not_read(kafka: KafkaRig, images: Images) -> None:
    uri = "https://example.org/a.jpg?signature=x"
    assert images.fetch(on(kafka, 0, uri=uri)) == FetchedImage(uri=uri)
    kafka.write([Sent(encode_envelope(uri), headers=(ENVELOPE_HEADER,), timestamp_ms=NOON_MS)])
    # Its verdict says so; were it to say nothing, the message still does.
    assert images.fetch(on(kafka, 0)) == FetchedImage(uri=uri)


def test_a_place_that_holds_no_message_is_gone(kafka: KafkaRig, images: Images) -> None:
    with transaction(kafka, "aborted") as (send, producer):
        send(b"never was")
        producer.abort_transaction()
    kafka.write([Sent(b"image", timestamp_ms=NOON_MS)])
    assert images.fetch(on(kafka, 0)).gone == f"{kafka.images}-0-0 is no longer in its topic"
    assert images.fetch(on(kafka, 2)).data == b"image"


def test_a_large_image_is_fetched(kafka: KafkaRig, images: Images) -> None:
    large = bytes(range(256)) * 20_000
    kafka.write([Sent(large, timestamp_ms=NOON_MS), Sent(b"small", timestamp_ms=NOON_MS)])
    assert images.fetch(on(kafka, 0)).data == large
    assert images.fetch(on(kafka, 1)).data == b"small"
