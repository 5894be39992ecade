"""From image messages to outcomes: the real descriptor, the index in memory, no Kafka."""

import base64
import io
import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from consumer.claim_checks.reader import UriReader
from consumer.handler import Handler, Outcome, OutputTopics
from consumer.messages import ENVELOPE_HEADER, ImageMessage, OutgoingMessage, encode_envelope
from consumer.metrics import STAGES, Metrics
from neardup.capture_time import WrongTime
from neardup.decoding.limits import DecodeLimits
from neardup.decoding.pool import DecodeHere, DecodePool
from neardup.descriptors.dct import DctDescriptor
from neardup.errors import RedisUnavailable
from neardup.index.base import IndexMeta
from neardup.index.memory import MemoryIndex
from neardup.index.stored.codec import encode_member
from neardup.relation.looks.second_look import DEFAULT_AGREEMENT
from neardup.relation.rule import Relation
from neardup.types import Decision, Pixels, Query, Verdict
from tests.support.indexes import with_relation
from tests.support.processes import photo

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SENT_MS = 1_700_000_000_000
MAX_BYTES, MAX_PIXELS = 100_000, 100_000
BLACK_SHEEP_PX = 77


class Descriptor(DctDescriptor):
    """The real one, which notes the threads that it is called in and can be made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared_in: set[str] = set()
        self.described_in: set[str] = set()
        self.batches: list[int] = []

    def prepare(self, pixels: Pixels) -> NDArray[np.uint8]:
        self.prepared_in.add(threading.current_thread().name)
        prepared = super().prepare(pixels)
        if pixels.shape[0] == BLACK_SHEEP_PX:
            prepared = np.zeros_like(prepared)
            prepared[0, 0] = (1, 2, 3)
        return prepared

    def features(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.described_in.add(threading.current_thread().name)
        self.batches.append(len(prepared))
        features = super().features(prepared)
        # An image that the descriptor cannot make numbers of, as a network may meet one.
        features[(prepared[:, 0, 0] == (1, 2, 3)).all(axis=1)] = np.nan
        return features


class Index(MemoryIndex):
    """The index in memory, which notes its calls and can be away."""

    def __init__(self, meta: IndexMeta) -> None:
        super().__init__(meta)
        self.batches: list[int] = []
        self.away = False

    def decide(self, queries: Sequence[Query]) -> list[Decision]:
        if self.away:
            raise RedisUnavailable("away")
        self.batches.append(len(queries))
        return super().decide(queries)


@pytest.fixture
def descriptor() -> Descriptor:
    return Descriptor()


@pytest.fixture
def index(descriptor: Descriptor) -> Index:
    return Index(
        IndexMeta(
            name="default",
            generation=1,
            descriptor=descriptor.spec,
            fingerprint=descriptor.fingerprint,
            dimension=descriptor.dimension,
            radius=descriptor.default_radius,
        )
    )


def compares(index: Index, relation: Relation) -> None:
    """Let the index decide by another relation, as a new generation may."""
    index.meta = with_relation(index.meta, relation)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def handler(descriptor: Descriptor, index: Index, metrics: Metrics, tmp_path: Path) -> Iterator[Handler]:
    with ThreadPoolExecutor(2, thread_name_prefix="decode") as executor:
        yield Handler(
            descriptor=descriptor,
            index=index,
            topics=OutputTopics("verdicts", "dead"),
            executor=executor,
            decoder=DecodeHere(DecodeLimits(MAX_BYTES, MAX_PIXELS)),
            uris=UriReader([tmp_path.as_uri()], MAX_BYTES),
            metrics=metrics,
            now=lambda: NOW,
        )


def messages(*values: bytes | None, start: int = 0) -> list[ImageMessage]:
    return [
        ImageMessage("images", 0, offset, SENT_MS, b"k%d" % offset, value) for offset, value in enumerate(values, start)
    ]


def handle(handler: Handler, batch: Sequence[ImageMessage]) -> list[Outcome]:
    return handler.decide(handler.describe(batch))


def sent(outcome: Outcome) -> OutgoingMessage:
    """Return the one message that an outcome publishes."""
    (message,) = outcome.outgoing
    return message


def documented(outcome: Outcome) -> dict[str, Any]:
    """Return the verdict that an outcome publishes."""
    document: dict[str, Any] = json.loads(sent(outcome).value or b"")
    return document


def said(outcomes: Sequence[Outcome]) -> list[str]:
    """Return each outcome as a word: its verdict, or the reason of its dead letter."""
    return [
        outcome.error.reason if outcome.error else outcome.judged.decision.verdict.value if outcome.judged else "?"
        for outcome in outcomes
    ]


def test_images_are_judged_in_order_against_one_another(handler: Handler, index: Index) -> None:
    outcomes = handle(handler, messages(photo(1), photo(2), photo(1, quality=60), photo(1)))
    assert said(outcomes) == ["unique", "unique", "duplicate", "duplicate"]
    assert [member.image_id for member in index.members()] == ["images-0-0", "images-0-1"]
    last = outcomes[-1].judged
    assert last is not None
    assert (last.decision.duplicate_of, last.decision.l2_distance) == ("images-0-0", 0.0)
    assert said(handle(handler, messages(photo(2, quality=50), photo(3), start=4))) == ["duplicate", "unique"]


def test_a_unique_is_published_with_its_member_on_every_delivery(handler: Handler, index: Index) -> None:
    batch = messages(photo(1), photo(1, quality=60))
    unique, duplicate = handle(handler, batch)
    again, _ = handle(handler, batch)
    [member] = index.members()
    assert dict(sent(unique).headers)["member"] == base64.b64encode(encode_member(member))
    assert sent(again).headers == sent(unique).headers
    assert sent(duplicate).headers == (("verdict", b"duplicate"),)


def test_a_verdict_tells_how_many_frames_an_image_has(handler: Handler) -> None:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("white", "black", "white")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    animation, still = handle(handler, messages(buffer.getvalue(), photo(1)))
    assert json.loads(sent(animation).value or b"")["frames"] == 3
    assert "frames" not in json.loads(sent(still).value or b"")


def test_bad_messages_go_where_they_belong_and_hold_up_nobody(handler: Handler) -> None:
    batch = messages(b"", photo(1), b"garbage", photo(2)[:-400], None, photo(3), b"8BPS", bytes(MAX_BYTES + 1))
    outcomes = handle(handler, batch)
    assert said(outcomes) == [
        "empty",
        "unique",
        "undecodable",
        "truncated",
        "empty",
        "unique",
        "unsupported-format",
        "too-many-bytes",
    ]
    assert [outcome.message for outcome in outcomes] == batch
    for outcome in outcomes:
        assert sent(outcome).key == outcome.message.key
        assert sent(outcome).topic == ("dead" if outcome.error else "verdicts")
        assert (outcome.error is None) != (outcome.judged is None)


def test_every_topic_that_an_outcome_goes_to_is_told_beforehand(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = OutputTopics(**{field.name: f"topic of {field.name}" for field in fields(OutputTopics)})
    monkeypatch.setattr(handler._judge, "_topics", every)
    outcomes = handle(handler, messages(photo(1), photo(1), b"garbage"))
    topics = {message.topic for outcome in outcomes for message in outcome.outgoing}
    assert topics == set(every.names) == {f"topic of {field.name}" for field in fields(OutputTopics)}


def test_a_unique_image_goes_on_as_it_came_with_what_its_verdict_says(
    handler: Handler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(handler._judge, "_topics", OutputTopics("verdicts", "dead", "uniques"))
    (tmp_path / "2.jpg").write_bytes(photo(2))
    sent_with = (("image_id", "bild-ä".encode()), ("odd", b"\xff"))
    carried, copy, broken = messages(photo(1), photo(1, quality=60), b"garbage")
    carried = replace(carried, headers=sent_with)
    check = replace(carried, offset=7, key=None, value=encode_envelope((tmp_path / "2.jpg").as_uri()))
    check = replace(check, headers=(ENVELOPE_HEADER,))
    one, repeated, refused, two = handle(handler, [carried, copy, broken, check])
    assert [message.topic for message in one.outgoing] == ["verdicts", "uniques"]
    assert [message.topic for message in (*repeated.outgoing, *refused.outgoing)] == ["verdicts", "dead"]
    assert (one.outgoing[1].key, one.outgoing[1].value) == (carried.key, carried.value)
    assert one.outgoing[1].headers[:2] == sent_with
    assert one.outgoing[1].headers[2:] == (
        ("unique.image_id", "bild-ä".encode()),
        ("unique.source", b"images-0-0"),
        ("unique.index", b"default"),
        ("unique.generation", b"1"),
        ("unique.captured_at", b"2023-11-14T22:13:20.000Z"),
        ("unique.decided_at", b"2026-01-02T03:04:05.000Z"),
    )
    # A claim check goes on as one; a second image has a distance from the first.
    assert (two.outgoing[1].key, two.outgoing[1].value) == (None, check.value)
    headers = dict(two.outgoing[1].headers)
    assert headers["content-type"] == b"application/json"
    document = json.loads(two.outgoing[0].value or b"")
    assert headers["unique.distance"] == str(document["distance"]).encode()
    assert headers["unique.image_id"] == b"images-0-7"


def test_a_unique_image_that_is_delivered_again_says_the_same(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler._judge, "_topics", OutputTopics("verdicts", "dead", "uniques"))
    batch = messages(photo(1))
    (first,), (again,) = handle(handler, batch), handle(handler, batch)
    assert again.outgoing == first.outgoing


def test_a_verdict_carries_the_clocks_time(handler: Handler) -> None:
    (outcome,) = handle(handler, messages(photo(1)))
    document = documented(outcome)
    assert document["decided_at"] == "2026-01-02T03:04:05.000Z"
    assert document["descriptor"] == DctDescriptor().fingerprint


def test_a_verdict_says_where_its_image_and_the_member_are(handler: Handler, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(photo(1))
    uri = (tmp_path / "1.jpg").as_uri()
    envelope = json.dumps({"uri": uri}).encode()
    headers = (("content-type", b"application/json"), ("captured_at", b"2023-11-14T00:00:00Z"))
    by_uri, *carried = messages(envelope, photo(1))
    first, second = map(documented, handle(handler, [replace(by_uri, headers=headers), *carried]))
    assert (first["uri"], first["captured_at"], first["member"]) == (uri, "2023-11-14T00:00:00.000Z", None)
    assert (second["uri"], second["captured_at"]) == (None, "2023-11-14T22:13:20.000Z")
    assert second["member"] == {"key": "images-0-0", "captured_at": "2023-11-14T00:00:00.000Z"}


def test_a_verdict_takes_along_the_headers_that_it_is_told_to(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "_pass_headers", ("camera", "site"))
    headers = (("camera", b"door"), ("private", b"x"), ("camera", b"\xff"))
    (message,) = messages(photo(1))
    (outcome,) = handle(handler, [replace(message, headers=headers)])
    assert sent(outcome).headers[2:] == (("camera", b"door"), ("camera", b"\xff"))


def test_one_undescribable_image_spoils_only_itself(handler: Handler, descriptor: Descriptor) -> None:
    sheep = photo(9, size=(100, BLACK_SHEEP_PX))
    assert said(handle(handler, messages(photo(1), sheep, photo(2), photo(1)))) == [
        "unique",
        "undescribable",
        "unique",
        "duplicate",
    ]
    assert descriptor.batches == [4, 1, 1, 1, 1]


def test_an_undescribable_image_alone_is_tried_once(handler: Handler, descriptor: Descriptor) -> None:
    assert said(handle(handler, messages(photo(9, size=(100, BLACK_SHEEP_PX))))) == ["undescribable"]
    assert descriptor.batches == [1]


def test_a_batch_is_described_and_decided_as_one(handler: Handler, descriptor: Descriptor, index: Index) -> None:
    handle(handler, messages(photo(1), b"garbage", photo(2), photo(3)))
    assert (descriptor.batches, index.batches) == ([3], [3])


def test_a_batch_without_images_asks_nobody(handler: Handler, descriptor: Descriptor, index: Index) -> None:
    assert said(handle(handler, messages(b"", b"garbage"))) == ["empty", "undecodable"]
    assert (descriptor.batches, index.batches) == ([], [])
    assert handle(handler, []) == []


def test_decoding_runs_in_the_executor_and_describing_does_not(handler: Handler, descriptor: Descriptor) -> None:
    handle(handler, messages(*(photo(seed) for seed in range(6))))
    assert all(name.startswith("decode") for name in descriptor.prepared_in)
    assert descriptor.described_in == {threading.current_thread().name}


def test_processes_decode_as_threads_do(handler: Handler, index: Index, metrics: Metrics, tmp_path: Path) -> None:
    values = [photo(1), b"", photo(1, quality=60), b"garbage", *(photo(seed) for seed in range(2, 20)), photo(2)[:-400]]
    limits = DecodeLimits(MAX_BYTES, MAX_PIXELS)
    with DecodePool(2, limits) as pool, ThreadPoolExecutor(2) as executor:
        other = Handler(
            descriptor=DctDescriptor(),
            index=MemoryIndex(index.meta),
            topics=OutputTopics("verdicts", "dead"),
            executor=executor,
            decoder=pool,
            uris=UriReader([tmp_path.as_uri()], MAX_BYTES),
            metrics=metrics,
            now=lambda: NOW,
        )
        there = handle(other, messages(*values))
    assert [outcome.outgoing for outcome in there] == [
        outcome.outgoing for outcome in handle(handler, messages(*values))
    ]
    assert set(said(there)) == {"unique", "duplicate", "empty", "undecodable", "truncated"}


def test_a_message_delivered_again_gets_its_verdict_again(handler: Handler, index: Index) -> None:
    batch = messages(photo(1), photo(1, quality=60), b"garbage")
    first, again = handle(handler, batch), handle(handler, batch)
    assert [outcome.outgoing for outcome in first] == [outcome.outgoing for outcome in again]
    assert said(again) == ["unique", "duplicate", "undecodable"]
    assert len(list(index.members())) == 1


def test_deciding_may_be_repeated_after_an_outage(handler: Handler, index: Index) -> None:
    described = handler.describe(messages(photo(1), b"garbage"))
    index.away = True
    with pytest.raises(RedisUnavailable):
        handler.decide(described)
    index.away = False
    assert said(handler.decide(described)) == ["unique", "undecodable"]


def test_an_envelopes_image_is_read_where_it_is_allowed(handler: Handler, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(1))
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "large.jpg").write_bytes(bytes(MAX_BYTES + 1))
    uris = [(tmp_path / name).as_uri() for name in ("a.jpg", "empty.jpg", "large.jpg", "missing.jpg")]
    batch = [
        ImageMessage(
            "images", 0, offset, 0, None, json.dumps(document).encode(), (("content-type", b"application/json"),)
        )
        for offset, document in enumerate([*({"uri": uri} for uri in [*uris, "file:///etc/passwd"]), {}])
    ]
    assert said(handle(handler, batch)) == [
        "unique",
        "empty",
        "too-many-bytes",
        "uri-unreadable",
        "uri-not-allowed",
        "bad-envelope",
    ]
    assert said(handle(handler, messages(photo(1), start=10))) == ["duplicate"]


def test_the_publishers_own_id_and_time_reach_the_index(handler: Handler, index: Index) -> None:
    headers = (("image_id", b"camera/1"), ("captured_at", b"1699999912345"))
    handle(handler, [ImageMessage("images", 0, 0, SENT_MS, None, photo(1), headers)])
    (member,) = index.members()
    assert (member.key, member.image_id, member.captured_at_ms) == ("images-0-0", "camera/1", 1_699_999_912_345)


@pytest.mark.parametrize(
    ("header", "sent_ms", "reason", "said"),
    [
        (b"2036-01-01T00:00:00Z", SENT_MS, "future", "captured at 2036-01-01T00:00:00.000+00:00"),
        (b"1970-01-01T00:00:05Z", SENT_MS, "early", "captured at 1970-01-01T00:00:05.000+00:00"),
        (b"1699999912", SENT_MS, "early", "captured at 1699999912, which would be a time in seconds"),
        (None, SENT_MS * 1000, "future", "captured at 1700000000000000, which would be a time in microseconds"),
        (None, 2_082_758_400_000, "future", "captured at 2036-01-01T00:00:00.000+00:00"),
        (b"0", SENT_MS, "missing", None),
        (None, -1, "missing", None),
    ],
)
def test_a_wrong_clock_is_counted_and_told_and_its_time_unknown(  # noqa: PLR0917 - a case a line
    handler: Handler,
    index: Index,
    metrics: Metrics,
    caplog: pytest.LogCaptureFixture,
    header: bytes | None,
    sent_ms: int,
    reason: str,
    said: str | None,
) -> None:
    headers = () if header is None else (("captured_at", header),)
    batch = [ImageMessage("images", 0, number, sent_ms, None, photo(number), headers) for number in range(3)]
    handle(handler, [*batch, *messages(photo(3), start=3)])
    assert [member.captured_at_ms for member in index.members()] == [0, 0, 0, SENT_MS]
    counted = {wrong.value: int(metrics.unknown_times.labels(wrong.value)._value.get()) for wrong in WrongTime}
    assert counted == {wrong.value: 3 if wrong == reason else 0 for wrong in WrongTime}
    warnings = [record.getMessage() for record in caplog.records]
    if said is None:
        assert warnings == []
    else:
        (warning,) = warnings  # one for a batch, whatever is in it
        assert warning.startswith("the capture time of 3 of 4 images counts as unknown; here it is 2026-01-02T03:04:05")
        assert f"images-0-0 was {said}" in warning


def test_an_image_was_not_captured_after_it_was_sent(handler: Handler, index: Index, metrics: Metrics) -> None:
    headers = (("captured_at", str(SENT_MS + 8 * 3_600_000).encode()),)
    handle(handler, [ImageMessage("images", 0, 0, SENT_MS, None, photo(1), headers)])
    assert [member.captured_at_ms for member in index.members()] == [SENT_MS]
    assert metrics.unknown_times.labels("future")._value.get() == 0


def turned(image: bytes, *steps: Image.Transpose) -> bytes:
    """Return a JPEG after these steps."""
    picture: Image.Image = Image.open(io.BytesIO(image))
    for step in steps:
        picture = picture.transpose(step)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return file.getvalue()


MIRRORED = turned(photo(1), Image.Transpose.FLIP_LEFT_RIGHT)
RADIUS = DctDescriptor().default_radius


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("relation", "expected"),
    [
        (Relation(RADIUS), "unique"),
        (Relation(RADIUS, match_rotations=True), "unique"),
        (Relation(RADIUS, match_flips=True), "duplicate"),
        (Relation(RADIUS, match_flips=True, match_rotations=True), "duplicate"),
    ],
)
def test_a_mirrored_copy_is_found_where_flips_are_matched(
    handler: Handler, index: Index, relation: Relation, expected: str, *, together: bool
) -> None:
    compares(index, relation)
    batches = [messages(photo(1), MIRRORED)] if together else [messages(photo(1)), messages(MIRRORED, start=1)]
    assert [word for batch in batches for word in said(handle(handler, batch))] == ["unique", expected]


def test_how_a_copy_was_turned_is_published(handler: Handler, index: Index) -> None:
    compares(index, Relation(RADIUS, match_flips=True, match_rotations=True))
    flip, quarter = Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90
    batch = messages(
        photo(1), turned(photo(1), flip), turned(photo(1), quarter), turned(photo(1), flip, quarter), photo(2)
    )
    outcomes = handle(handler, batch)
    assert said(outcomes) == ["unique", "duplicate", "duplicate", "duplicate", "unique"]
    told = [json.loads(sent(outcome).value or b"")["symmetry"] for outcome in outcomes]
    # What is told is what to do to the image in hand, so that it is the member: turn it back.
    assert told == [None, "mirror", "rotate270", "mirror-rotate90", None]
    assert len(list(index.members())) == 2


def test_a_frame_in_which_something_has_changed_is_unique(handler: Handler, index: Index) -> None:
    compares(index, Relation(2.0, local_change=3.0))
    scene = Image.open(io.BytesIO(photo(1, quality=95))).resize((320, 240))
    visitor = scene.copy()
    visitor.paste((255, 40, 40), (250, 150, 290, 210))

    def jpeg(picture: Image.Image, quality: int) -> bytes:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return file.getvalue()

    outcomes = handle(handler, messages(jpeg(scene, 90), jpeg(scene, 70), jpeg(visitor, 90), jpeg(visitor, 70)))
    assert said(outcomes) == ["unique", "duplicate", "unique", "duplicate"]
    documents = [json.loads(sent(outcome).value or b"") for outcome in outcomes]
    assert documents[3]["duplicate_of"] == "images-0-2"
    changes = [document["local_change"] for document in documents]
    assert (changes[0], changes[2]) == (None, None)
    assert 0 <= changes[1] <= 3.0
    assert 0 <= changes[3] <= 3.0
    assert all(member.kept is not None for member in index.members())


def test_an_image_that_shows_something_else_is_unique(handler: Handler, index: Index) -> None:
    compares(index, Relation(2.0, agreement=DEFAULT_AGREEMENT, match_flips=True))
    flip = Image.Transpose.FLIP_LEFT_RIGHT
    outcomes = handle(handler, messages(photo(1), photo(1, quality=60), photo(2), turned(photo(2), flip)))
    documents = [json.loads(sent(outcome).value or b"") for outcome in outcomes]
    assert [document["duplicate_of"] for document in documents] == [None, "images-0-0", None, "images-0-2"]
    for document in documents:
        needed = document["agreement_needed"]
        assert (needed is None) == (document["agreement"] is None) == (document["verdict"] == "unique")
        assert needed is None or 0 <= needed <= document["agreement"]
    assert [document["edit"] and document["edit"]["mirrored"] for document in documents] == [None, False, None, True]


def test_images_are_described_again_for_a_generation_that_compares_otherwise(
    handler: Handler, index: Index, descriptor: Descriptor
) -> None:
    handle(handler, messages(photo(1)))
    described = handler.describe(messages(b"garbage", MIRRORED, start=1))
    compares(index, Relation(RADIUS, match_flips=True))
    assert said(handler.decide(described)) == ["undecodable", "duplicate"]
    assert descriptor.batches == [1, 1, 2]


def test_two_messages_may_share_an_id(handler: Handler) -> None:
    headers = (("image_id", b"same"),)
    batch = [ImageMessage("images", 0, offset, 0, None, photo(offset), headers) for offset in range(2)]
    assert said(handle(handler, batch)) == ["unique", "unique"]


def test_stages_are_timed(handler: Handler, metrics: Metrics) -> None:
    handle(handler, messages(photo(1)))
    counts = {
        stage: metrics.registry.get_sample_value("neardup_stage_seconds_count", {"stage": stage}) for stage in STAGES
    }
    assert counts == {stage: int(stage in {"decode", "describe", "decide"}) for stage in STAGES}


def test_verdicts_are_enumerated() -> None:
    assert [verdict.value for verdict in Verdict] == ["unique", "duplicate"]
