"""Putting back what Redis lost, from real Kafka into real Redis."""

import base64
import gc
import json
import logging
import math
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import redis
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.record.default_records import DefaultRecordBatch

from bootstrap.generation.snapshot import store
from bootstrap.index import main
from bootstrap.live.copies import whole
from bootstrap.live.reading import LiveGeneration
from bootstrap.live.verify import Verification
from consumer.messages import ImageMessage, OutgoingMessage, verdict_message
from consumer.settings import KafkaSettings
from consumer.transport.kafka import KafkaSink
from neardup.cli.running import EXIT_MISCONFIGURED, EXIT_UNAVAILABLE
from neardup.index.block import member_of
from neardup.index.redis import RedisIndex
from neardup.index.stored.codec import head_key, split_record
from neardup.index.stored.keys import IndexKeys
from neardup.types import Decision, Query, Verdict
from neardup.wire import MEMBER_HEADER, Judged
from tests.support.live_index import DIMENSION, OPTIONS, build, queries, remove_keys, unit_rows
from tests.support.odd_headers import NotUtf8
from tests.support.told import Told
from tests.support.transports import create_topics

pytestmark = [pytest.mark.redis, pytest.mark.kafka]

Stored = dict[bytes, bytes]
WRONG_MS = (2_082_758_400_000, 1_700_000_000_000_000, 1_700_000_000, -1, -1_700_000_000_000)
"""Of 2036, in microseconds, in seconds, none, and before 1970."""


@pytest.fixture(scope="module")
def admin(kafka_address: str) -> Iterator[KafkaAdminClient]:
    admin = KafkaAdminClient(bootstrap_servers=kafka_address)
    yield admin
    admin.close()


class Rig:
    """An index, a verdict topic, and a consumer's way from the one to the other."""

    def __init__(self, client: redis.Redis, redis_url: str, kafka_address: str, admin: KafkaAdminClient) -> None:
        self.client = client
        self.topic = f"verdicts-{secrets.token_hex(4)}"
        self.kafka_address = kafka_address
        self.name = build(client)
        self.environ = {
            "NEARDUP_REDIS_URL": redis_url,
            "NEARDUP_INDEX": self.name,
            "NEARDUP_BOOTSTRAP_SERVERS": kafka_address,
            "NEARDUP_VERDICTS": self.topic,
        }
        create_topics(admin, {self.topic: 2})
        self.sink = KafkaSink(KafkaSettings(bootstrap_servers=kafka_address), [self.topic])
        self.sink.connect()

    def judge(self, images: Sequence[Query], index: RedisIndex | None = None) -> list[Verdict]:
        """Decide images and publish the verdicts."""
        index = index or RedisIndex(self.client, self.name, options=OPTIONS)
        verdicts = []
        for start in range(0, len(images), 64):
            batch = images[start : start + 64]
            decisions = index.decide(batch)
            verdicts += [decision.verdict for decision in decisions]
            self.sink.publish(
                [
                    verdict_message(self.topic, self.judged(image, decision, index))
                    for image, decision in zip(batch, decisions, strict=True)
                ]
            )
        return verdicts

    def judged(self, image: Query, decision: Decision, index: RedisIndex) -> Judged:
        message = ImageMessage(
            "images", 0, int(image.key.rpartition("-")[2]), 1_700_000_000_000, image.key.encode(), b""
        )
        return Judged(
            message, image.image_id, image.captured_at_ms, decision, index.meta, datetime.now(UTC), member_of(image)
        )

    def stored(self) -> Stored:
        """Return every key of the index as Redis dumps it."""
        keys = sorted(self.client.scan_iter(match=IndexKeys(self.name).pattern))
        dumped = {key: self.client.dump(key) for key in keys}
        return {key: value for key, value in dumped.items() if isinstance(value, bytes)}

    def lose_writes_since(self, stored: Stored) -> None:
        """Make Redis what it was, as after a crash with the end of its append-only file missing."""
        remove_keys(self.client, self.name)
        for key, value in stored.items():
            self.client.restore(key, 0, value)

    def members(self) -> dict[str, bytes]:
        return {member.key: member.descriptor.tobytes() for member in RedisIndex(self.client, self.name).members()}


@pytest.fixture
def rig(client: redis.Redis, redis_url: str, kafka_address: str, admin: KafkaAdminClient) -> Iterator[Rig]:
    made = Rig(client, redis_url, kafka_address, admin)
    yield made
    made.sink.close()
    admin.delete_topics([made.topic])
    remove_keys(client, made.name)


@pytest.fixture
def run(rig: Rig, capsys: pytest.CaptureFixture[str]) -> "Run":
    return Run(rig, capsys)


class Run:
    """Runs repair in this process and reads what it says."""

    def __init__(self, rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
        self._rig = rig
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str]:
        code = main(["repair", *arguments], self._rig.environ)
        said = self._capsys.readouterr()
        return code, said.out + said.err

    def document(self, *arguments: str) -> dict[str, object]:
        code, text = self(*arguments, "--json")
        assert code == 0, text
        document: dict[str, object] = json.loads(text)
        return document


def holds(rig: Rig) -> bool:
    document = Verification(rig.client, rig.name).run()
    assert document["holds"], document
    return True


def test_it_tells_how_far_it_is(rig: Rig, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.judge(queries(40))
    told = Told()
    monkeypatch.setattr("bootstrap.index.shown_progress", told)
    document = run.document()
    assert told.counts == {"read members": len(rig.members()), "read verdicts": document["read"]}


def as_it_was(message: OutgoingMessage) -> OutgoingMessage:
    """Return a verdict with its member in the form of earlier ones: the record itself."""
    headers = (
        (name, base64.b64decode(text or b"") if name == MEMBER_HEADER else text) for name, text in message.headers
    )
    return replace(message, headers=tuple(headers))


@pytest.mark.parametrize("form", ["base64", "as it was"])
def test_lost_members_come_back(rig: Rig, run: Run, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    if form == "as it was":
        publish = rig.sink.publish
        monkeypatch.setattr(rig.sink, "publish", lambda messages: publish([as_it_was(each) for each in messages]))
    images = queries(400)
    rig.judge(images[:250])
    before = rig.stored()
    verdicts = rig.judge(images[250:])
    rig.judge(images[-30:])  # delivered again: the same verdicts once more
    whole = rig.members()
    lost = verdicts.count(Verdict.UNIQUE)
    assert lost > 100

    rig.lose_writes_since(before)
    assert len(rig.members()) == len(whole) - lost
    assert holds(rig)

    planned = run.document("--dry-run")
    assert (planned["restored"], planned["dry_run"]) == (lost, True)
    assert rig.stored() == before  # and nothing has changed

    done = run.document()
    assert {**planned, "dry_run": False} == done
    assert (done["read"], done["conflicts"], done["not_restorable"]) == (430, 0, {})
    assert rig.members() == whole
    assert holds(rig)

    again = run.document()
    assert (again["restored"], again["already_there"]) == (0, done["uniques"])
    assert rig.members() == whole
    code, text = run()
    assert code == 0
    assert "restored" in text


def test_a_running_consumer_sees_what_came_back(rig: Rig, run: Run) -> None:
    images = queries(200)
    index = RedisIndex(rig.client, rig.name, options=OPTIONS)
    rig.judge(images[:100], index)
    before = rig.stored()
    verdicts = rig.judge(images[100:], index)
    rig.lose_writes_since(before)
    run.document()
    assert rig.judge(images[100:], index) == verdicts
    copies = [replace(image, key=f"copies-0-{number}") for number, image in enumerate(images)]
    assert set(rig.judge(copies, index)) == {Verdict.DUPLICATE}
    assert holds(rig)


def test_what_a_copy_has_taken_the_place_of_is_a_conflict(rig: Rig, run: Run) -> None:
    images = queries(50)
    before = rig.stored()
    rig.judge(images)
    rig.lose_writes_since(before)
    copy = replace(images[0], key="copies-0-0", image_id="the copy")
    assert rig.judge([copy]) == [Verdict.UNIQUE]
    planned = run.document("--dry-run")
    done = run.document()
    assert planned["conflicts"] == done["conflicts"] == 1
    assert planned["examples"] == done["examples"]
    assert done["examples"] == [
        {"key": images[0].key, "image_id": images[0].image_id, "duplicate_of": "the copy", "distance": 0.0}
    ]
    assert holds(rig)
    assert run.document()["conflicts"] == 1  # told again, changed nothing
    assert "is a duplicate of the copy by now" in run()[1]


def test_a_decision_that_outlived_its_member_is_no_obstacle(rig: Rig, run: Run) -> None:
    rig.judge(queries(50))
    whole = rig.members()
    keys = IndexKeys(rig.name)
    for key in list(rig.client.scan_iter(match=keys.cell(1, 0).replace("{", "\\{").removesuffix("0") + "*")):
        rig.client.rpop(key)
    lost = len(whole) - len(rig.members())
    rig.client.delete(keys.log(1))
    assert lost > 0
    assert run.document("--dry-run")["restored"] == lost
    assert run.document()["restored"] == lost
    assert rig.members() == whole


@pytest.mark.parametrize("carried", [False, True])
def test_what_was_removed_does_not_come_back(rig: Rig, run: Run, *, carried: bool) -> None:
    images = queries(60)
    rig.judge(images)
    whole = rig.members()
    gone = list(whole)[:5]
    assert main(["remove", *gone], rig.environ) == 0
    if carried:
        assert main(["set-radius", "0.2"], rig.environ) == 0
    run("--dry-run")  # and what the others said before is read
    planned, done = run.document("--dry-run"), run.document()
    assert (planned["removed"], planned["restored"]) == (done["removed"], done["restored"]) == (5, 0)
    assert rig.members().keys() == whole.keys() - set(gone)
    # A new copy is unique, and is restored when it is lost.
    before = rig.stored()
    copy = replace(next(image for image in images if image.key == gone[0]), key="copies-0-0", image_id="the copy")
    assert rig.judge([copy]) == [Verdict.UNIQUE]
    rig.lose_writes_since(before)
    assert run.document()["restored"] == 1
    assert "copies-0-0" in rig.members()
    assert holds(rig)


def test_what_cannot_be_restored_is_counted(rig: Rig, run: Run) -> None:
    index = RedisIndex(rig.client, rig.name)
    images = queries(8)
    decision = index.decide(images)[0]
    remove_keys(rig.client, rig.name)
    build(rig.client, rig.name)
    base = verdict_message(rig.topic, rig.judged(images[0], replace(decision, verdict=Verdict.UNIQUE), index))
    assert dict(base.headers).keys() == {"verdict", MEMBER_HEADER}

    def other(**changes: object) -> OutgoingMessage:
        return replace(base, value=json.dumps({**json.loads(base.value or b""), **changes}).encode())

    def with_member(record: bytes | None) -> OutgoingMessage:
        headers = base.headers[:1] if record is None else (*base.headers[:1], (MEMBER_HEADER, record))
        return replace(base, headers=headers)

    record = base64.b64decode(dict(base.headers)[MEMBER_HEADER] or b"")
    rig.sink.publish(
        [
            other(descriptor="dct-9"),
            other(index={"name": "another", "generation": 1}),
            other(index={"name": rig.name, "generation": 0}),
            other(index=None),
            other(index={"name": rig.name, "generation": math.inf}),
            replace(base, value=b"\xff{"),
            replace(base, headers=((("verdict", b"duplicate")), *base.headers[1:])),
            replace(base, headers=()),
            with_member(None),
            with_member(b"garbage"),
            with_member(record[:-2]),
            with_member(base64.b64encode(record[:-2] + np.float16(3.0).tobytes())),
        ]
    )
    done = run.document()
    assert done["read"] == 12
    assert (done["uniques"], done["restored"]) == (0, 0)
    assert done["not_restorable"] == {
        "decided by an earlier generation": 1,
        "described by another descriptor": 1,
        "the member header cannot be read": 2,
        "the member header holds no unit vector": 1,
        "the verdict cannot be read": 3,
        "without the member header": 1,
    }
    rig.sink.publish([base])
    assert run.document()["restored"] == 1
    assert list(rig.members()) == [images[0].key]


def test_a_header_whose_name_is_not_utf8_keeps_nothing_from_coming_back(rig: Rig) -> None:
    before = rig.stored()
    verdicts = rig.judge(queries(20))
    odd = OutgoingMessage(rig.topic, None, b"somebody else's", ((NotUtf8("x"), b"1"), ("verdict", b"unique")))
    rig.sink.publish([odd])
    verdicts += rig.judge(queries(40)[20:])
    whole = rig.members()
    rig.lose_writes_since(before)
    # In a process of its own: in this one the sink has mended kafka-python.
    ended = subprocess.run(
        [sys.executable, "-m", "bootstrap.index", "repair", "--json"],
        env={**os.environ, **rig.environ},
        capture_output=True,
        check=False,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    done = json.loads(ended.stdout)
    assert (done["read"], done["restored"]) == (41, verdicts.count(Verdict.UNIQUE))
    assert done["not_restorable"] == {"the verdict cannot be read": 1}
    assert rig.members() == whole


def test_a_topic_without_a_verdict_is_refused(rig: Rig, run: Run) -> None:
    rig.sink.publish([OutgoingMessage(rig.topic, b"key", b"an image", (("camera", b"door"),)) for _ in range(3)])
    code, text = run()
    assert (code, text) == (
        EXIT_MISCONFIGURED,
        f"--verdicts-topic {rig.topic}: none of the 3 messages that were read is a verdict\n",
    )


def test_what_the_topic_no_longer_has_is_told(rig: Rig, run: Run, admin: KafkaAdminClient) -> None:
    rig.judge(queries(40))
    assert "no longer" not in run()[1]
    admin.delete_records({TopicPartition(rig.topic, 0): 1})
    assert f"{rig.topic}-0 begins at offset 1: earlier records are no longer in the topic" in run()[1]


def test_a_record_that_cannot_be_read_is_named(rig: Rig, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.sink.publish([OutgoingMessage(rig.topic, b"key", b"odd", ((NotUtf8("x"), b"1"),))])
    # As kafka-python reads by itself.
    monkeypatch.setattr(DefaultRecordBatch, "_read_msg", DefaultRecordBatch._read_strictly, raising=True)
    code, text = run()
    assert (code, text.count("\n")) == (EXIT_MISCONFIGURED, 1)
    assert f"{rig.topic}-0-0" in text
    assert "start after it with --since" in text


@pytest.mark.parametrize(("carried_from", "restored"), [(1, 30), (0, 0), (2, 0)])
@pytest.mark.parametrize("failed", [0, 2])
def test_a_generation_that_carried_members_over_gets_those_of_the_one_before(
    *, carried_from: int, failed: int, restored: int, rig: Rig, run: Run
) -> None:
    rig.judge(queries(30))
    rig.client.incrby(IndexKeys(rig.name).last, failed)  # numbers of builds that came to nothing
    build(rig.client, rig.name, carried_from)
    done = run.document()
    assert done["restored"] == len(rig.members()) == restored
    assert sum(done["not_restorable"].values()) == 30 - restored  # type: ignore[attr-defined]


def lose_members(rig: Rig, keys: Collection[str]) -> None:
    """Make Redis lose some members of the live generation."""
    generation = LiveGeneration(rig.client, rig.name)
    for cell in generation.layout().leaves:
        for record in generation.read_cells([cell])[0]:
            if head_key(split_record(record, DIMENSION)[0]).decode() in keys:
                generation.client.lrem(generation.keys.cell(generation.number, cell), 1, record)


def test_what_came_between_a_rollback_and_the_next_generation_comes_back(rig: Rig, run: Run) -> None:
    images = queries(60)
    rig.judge(images[:20])
    assert main(["set-radius", "0.2"], rig.environ) == 0
    assert main(["rollback"], rig.environ) == 0
    rig.judge(images[20:40])
    assert main(["set-radius", "0.25"], rig.environ) == 0
    generation = LiveGeneration(rig.client, rig.name)
    assert (generation.number, generation.meta.carried_from) == (3, 1)
    rig.judge(images[40:])
    there = rig.members()
    lost = {image.key for image in images[10:50]} & there.keys()
    lose_members(rig, lost)
    assert rig.members().keys() == there.keys() - lost
    run("--dry-run")
    assert run.document()["restored"] == len(lost)
    assert rig.members() == there


def test_what_a_rollback_carried_over_comes_back(rig: Rig, run: Run) -> None:
    images = queries(60)
    rig.judge(images[:20])
    forgotten = rig.members()
    snapshot = whole(LiveGeneration(rig.client, rig.name))
    # As by --fresh: nothing of the first generation is carried over.
    fresh = replace(snapshot, members=snapshot.members[:1], clusters=snapshot.clusters[:1])
    store(fresh, rig.client, rig.name, keep_ms=3_600_000)
    assert main(["rollback"], rig.environ) == 0
    rig.judge(images[20:40])
    assert main(["rollback"], rig.environ) == 0
    assert LiveGeneration(rig.client, rig.name).number == 2
    there = rig.members()
    lost = there.keys() - {snapshot.members[0].key}
    assert lost
    assert not lost & forgotten.keys()
    lose_members(rig, lost)
    run("--dry-run")
    done = run.document()
    assert done["restored"] == len(lost)
    assert done["not_restorable"] == {"decided by an earlier generation": len(forgotten) - 1}
    assert rig.members() == there


def test_what_is_older_than_since_is_not_read(rig: Rig, run: Run) -> None:
    before = rig.stored()
    rig.judge(queries(20))
    rig.lose_writes_since(before)
    assert run.document("--since", "24h", "--dry-run")["read"] == 20
    rig.environ["NEARDUP_SINCE"] = "1s"
    until = time.monotonic() + 30
    while run.document("--dry-run")["read"]:
        assert time.monotonic() < until


def test_what_is_too_old_to_be_kept_is_left_out(rig: Rig, run: Run) -> None:
    images = queries(20)  # an hour apart
    before = rig.stored()
    rig.judge(images)
    rig.lose_writes_since(before)
    newest = Query("new-0-1", "new", unit_rows(1, seed=1234)[0], images[-1].captured_at_ms)
    rig.judge([newest])
    done = run.document("--retention", "5h")
    expired = done["expired"]
    assert isinstance(expired, int)
    assert 10 <= expired <= 14
    assert len(rig.members()) == done["restored"] + 1  # type: ignore[operator]


def test_members_with_a_wrong_time_keep_nothing_from_coming_back(rig: Rig, run: Run) -> None:
    images = queries(20)  # an hour apart
    before = rig.stored()
    verdicts = rig.judge(images)
    whole = rig.members()
    rig.lose_writes_since(before)
    # As earlier versions wrote them: one is there, the others are to come back.
    wrong = [
        Query(f"new-0-{number}", f"new {number}", row, captured_at_ms)
        for number, (row, captured_at_ms) in enumerate(zip(unit_rows(5, seed=1234), WRONG_MS, strict=True))
    ]
    assert set(rig.judge(wrong)) == {Verdict.UNIQUE}
    whole |= rig.members()
    rig.lose_writes_since(before)
    index = RedisIndex(rig.client, rig.name, options=OPTIONS)
    index.decide(wrong[:1])

    planned = run.document("--retention", "30h", "--dry-run")
    done = run.document("--retention", "30h")
    assert {**planned, "dry_run": False} == done
    assert (done["expired"], done["conflicts"]) == (0, 0)
    assert done["restored"] == verdicts.count(Verdict.UNIQUE) + len(wrong) - 1
    assert rig.members() == whole
    restored = {member.key: member.captured_at_ms for member in RedisIndex(rig.client, rig.name).members()}
    assert [restored[each.key] for each in wrong[1:]] == [0, 0, 0, 0]
    assert all(restored[image.key] == image.captured_at_ms for image in images)


def test_what_comes_back_without_a_time_is_compared_with_every_member(rig: Rig, run: Run) -> None:
    image = replace(queries(1)[0], captured_at_ms=2_082_758_400_000)
    before = rig.stored()
    rig.judge([image])
    rig.lose_writes_since(before)
    copy = replace(image, key="copies-0-0", image_id="the copy", captured_at_ms=1_700_000_000_000)
    assert rig.judge([copy]) == [Verdict.UNIQUE]
    assert run.document("--retention", "30h", "--dry-run")["conflicts"] == 1
    assert run.document("--retention", "30h")["conflicts"] == 1


@pytest.fixture
def leaked_sockets(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    # kafka-python leaves sockets to the garbage collector when nobody answers; captured log records would keep them.
    caplog.set_level(logging.CRITICAL, logger="kafka")
    yield
    gc.collect()


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.usefixtures("leaked_sockets")
def test_a_missing_topic_and_an_absent_kafka_are_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neardup.kafka.reading.CONNECT_TIMEOUT_MS", 1000)
    code, text = run("--verdicts", "no-such-topic")
    assert (code, text) == (
        EXIT_MISCONFIGURED,
        "--verdicts-topic: there is no topic 'no-such-topic'\n",
    )
    code, text = run("--bootstrap-servers", "127.0.0.1:1")
    assert (code, text.count("\n")) == (EXIT_UNAVAILABLE, 1)
    assert "Kafka" in text
    code, text = run("--bootstrap-servers", "127.0.0.1:port")
    assert (code, text.count("\n")) == (EXIT_MISCONFIGURED, 1)
    code, text = run("--index", "nobody-made-this")
    assert (code, text.count("\n")) == (EXIT_MISCONFIGURED, 1)
