"""The main job: the real command lines as processes, on a real Kafka and a real Redis."""

import importlib.resources
import io
import json
import secrets
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from kafka.admin import NewTopic
from PIL import Image

from demo.services import RedisProgram, RedisServer
from tests.support.processes import Program, eventually, photo, run
from tests.support.stage import SEEDS, Service, Stage, bootstrap, fresh, seed_folder

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]


_JSON = [("content-type", b"application/json")]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seed_folder(tmp_path_factory.mktemp("main-job") / "seeds")


@pytest.fixture(scope="module")
def index(seeds: Path, redis_url: str) -> str:
    name = f"acceptance-{secrets.token_hex(4)}"
    bootstrap(seeds, redis_url, name)
    return name


@pytest.fixture
def make_stage(kafka_address: str, redis_url: str, index: str) -> Iterator[Callable[..., Stage]]:
    with ExitStack() as stack:

        def make(
            redis_url: str = redis_url, index: str = index, partitions: int = 1, address: str = kafka_address
        ) -> Stage:
            stage = Stage(address, redis_url, index, partitions)
            stack.enter_context(stage.stack)
            return stage

        yield make


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    return make_stage()


MakeStage = Callable[..., Stage]


# Images in, verdicts out.


def huge() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (1200, 1000)).save(buffer, "PNG")
    return buffer.getvalue()


def publish_odd_messages(stage: Stage, folder: Path) -> dict[str, str]:
    """Publish what is no image; return the reason that each is to have, by its coordinates."""
    envelope = json.dumps({"uri": (folder / "missing.jpg").as_uri()}).encode()
    outside = json.dumps({"uri": "file:///etc/passwd"}).encode()
    return {
        stage.publish(b"garbage"): "undecodable",
        stage.publish(b""): "empty",
        stage.publish(None): "empty",
        stage.publish(photo(fresh())[:-500]): "truncated",
        stage.publish(b"8BPS" + bytes(100)): "unsupported-format",
        stage.publish(huge()): "too-many-pixels",
        stage.publish(bytes(50_001)): "too-many-bytes",
        stage.publish(b"{", headers=_JSON): "bad-envelope",
        stage.publish(outside, headers=_JSON): "uri-not-allowed",
        stage.publish(envelope, headers=_JSON): "uri-unreadable",
        stage.publish(photo(fresh()), headers=[("image_id", b"\xff")]): "bad-image-id",
        stage.publish(photo(fresh()), headers=[("captured_at", b"tomorrow")]): "bad-captured-at",
    }


def check_dead_letters(stage: Stage, reasons: dict[str, str]) -> None:
    letters = stage.dead_reader.read_to_end()
    found = {dict(letter.headers)["error.source"].decode(): letter for letter in letters}
    assert len(letters) == len(found)
    assert {place: dict(letter.headers)["error.reason"].decode() for place, letter in found.items()} == reasons
    for letter in letters:
        assert letter.key == b"camera"
        assert dict(letter.headers)["error.detail"]
    garbage = next(letter for letter in letters if letter.value == b"garbage")
    assert [name for name, _ in garbage.headers] == ["error.reason", "error.detail", "error.source"]
    bad_id = next(letter for letter in letters if ("image_id", b"\xff") in letter.headers)
    assert bad_id.headers[0] == ("image_id", b"\xff")


def check_contract(stage: Stage, index: str) -> None:
    schema = json.loads(importlib.resources.files("consumer").joinpath("schemas", "verdict.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    for record in stage.verdict_reader.records:
        document = json.loads(record.value)
        validator.validate(document)
        assert record.headers[0] == ("verdict", document["verdict"].encode())
        # A unique's record travels with its verdict, so that a lost member can be put back.
        member = ["member"] if document["verdict"] == "unique" else []
        passed = ["source"] if document["captured_at"] == "2026-01-02T03:04:05.000Z" else []
        assert [name for name, _ in record.headers[1:]] == member + passed
        assert document["index"] == {"name": index, "generation": 1}
        assert (document["verdict"] == "duplicate") == (document["distance"] <= document["radius"])


def test_the_main_job(stage: Stage, index: str, tmp_path: Path) -> None:
    new, other, in_file = fresh(), fresh(), fresh()
    (tmp_path / "in-file.jpg").write_bytes(photo(in_file))
    by_uri = json.dumps({"image_id": "by-uri", "uri": (tmp_path / "in-file.jpg").as_uri()}).encode()
    expected = {
        stage.publish(photo(3, quality=60), headers=[("image_id", b"like-seed-3")]): ("duplicate", "seed-03.jpg"),
        stage.publish(photo(0), key=None): ("duplicate", "seed-00.jpg"),
        stage.publish(photo(new), headers=[("image_id", "neu-ä".encode())]): ("unique", None),
        stage.publish(photo(new, quality=60)): ("duplicate", "neu-ä"),
        stage.publish(photo(other), headers=[("source", b"door"), ("captured_at", b"2026-01-02T03:04:05Z")]): (
            "unique",
            None,
        ),
        stage.publish(by_uri, headers=_JSON): ("unique", None),
        stage.publish(photo(in_file)): ("duplicate", "by-uri"),
    }
    reasons = publish_odd_messages(stage, tmp_path)
    stage.flush()
    limits = ["--max-image-bytes", "50000", "--max-image-pixels", "1000000", "--allow-uri", tmp_path.as_uri()]
    with stage.service(*limits, "--pass-headers", "source,site") as service:
        stage.await_outcomes()
        documents = stage.documents()
        assert documents.keys() == expected.keys()
        for place, (verdict, original) in expected.items():
            assert documents[place]["verdict"] == verdict
            named = documents[place]["duplicate_of"]
            assert named == original or (named is not None and named.endswith(f"/{original}"))
        ids = [documents[place]["image_id"] for place in expected]
        assert ids[:3] == ["like-seed-3", f"{stage.images}-0-1", "neu-ä"]
        assert ids[5] == "by-uri"
        *_, named, matched = (documents[place] for place in expected)
        assert named["uri"] == (tmp_path / "in-file.jpg").as_uri()
        assert matched["uri"] is None
        assert matched["member"] == {"key": f"{stage.images}-0-5", "captured_at": named["captured_at"]}
        assert [record.key for record in stage.verdict_reader.records[:2]] == [b"camera", None]
        check_contract(stage, index)
        check_dead_letters(stage, reasons)
        check_metrics(service, stage, Counter(reasons.values()))
        assert service.status("/healthz")[0] == 200
        assert service.status("/readyz") == (200, "ready")
        assert service.program.stop() == 0
    check_log(service.program, expected, reasons)
    assert stage.committed() == stage.published


def check_metrics(service: Service, stage: Stage, reasons: Counter[str]) -> None:
    # Counted once committed, which is after the verdicts can be read.
    eventually(lambda: service.images() == 7, "the last image counted")
    eventually(lambda: service.metrics()["neardup_index_members", ()] == SEEDS + 3, "the sizes refreshed")
    samples = service.metrics()
    assert samples["neardup_images_total", (("verdict", "unique"),)] == 3
    assert samples["neardup_images_total", (("verdict", "duplicate"),)] == 4
    for reason, messages in reasons.items():
        assert samples["neardup_bad_input_total", (("reason", reason),)] == messages
    assert samples["neardup_nearest_distance_count", ()] == 7
    assert samples["neardup_batch_images_sum", ()] == stage.published.total()
    assert samples["neardup_index_clusters", ()] == 3
    assert samples["neardup_consumer_lag_messages", (("partition", "0"), ("topic", stage.images))] == 0
    assert samples["neardup_ready", ()] == 1
    assert samples["neardup_redis_errors_total", ()] == samples["neardup_kafka_errors_total", ()] == 0
    for step in ("decode", "describe", "decide", "deliver"):
        assert samples["neardup_stage_seconds_count", (("stage", step),)] >= 1
    (build,) = [dict(labels) for name, labels in samples if name == "neardup_build_info"]
    assert (build["index"], build["generation"]) == (stage.index, "1")


def check_log(program: Program, expected: dict[str, Any], reasons: dict[str, str]) -> None:
    lines = program.log()
    told = {
        message: [
            f"{line['topic']}-{line['partition']}-{line['offset']}" for line in lines if line["message"] == message
        ]
        for message in ("verdict", "dead letter")
    }
    assert told == {"verdict": list(expected), "dead letter": list(reasons)}
    assert not program.complaints()


@pytest.mark.parametrize("broker", ["kafka_address", "default_kafka_address"])
def test_what_the_feed_publishes_is_judged(
    make_stage: MakeStage, broker: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The job in short, on a broker that is looked after and on one as Kafka comes."""
    stage = make_stage(address=request.getfixturevalue(broker))
    new = fresh()
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    (folder / "1.jpg").write_bytes(photo(5, quality=60))
    (folder / "2.jpg").write_bytes(photo(new))
    (folder / "below" / "3.jpg").write_bytes(photo(new, quality=60))
    (folder / "notes.txt").write_text("no image", "utf-8")
    fed = run(
        [
            *("-m", "consumer.feed", str(folder), "--bootstrap-servers", stage.address, "--topic", stage.images),
            *("--key", "door", "--source", "door"),
        ]
    )
    assert fed.returncode == 0, fed.stderr
    with stage.service() as service:
        eventually(lambda: stage.verdict_reader.read() >= 3, "three verdicts")
        assert service.program.stop() == 0
    by_name = {Path(document["image_id"]).name: document for document in stage.documents().values()}
    assert {name: document["verdict"] for name, document in by_name.items()} == {
        "1.jpg": "duplicate",
        "2.jpg": "unique",
        "3.jpg": "duplicate",
    }
    assert by_name["3.jpg"]["duplicate_of"] == by_name["2.jpg"]["image_id"]
    assert {record.key for record in stage.verdict_reader.records} == {b"door"}
    assert stage.committed() == {0: 4}  # and the notes are a dead letter


def test_two_consumers_share_the_work_and_agree(make_stage: MakeStage) -> None:
    stage = make_stage(partitions=2)
    with stage.service("--batch-size", "4") as one, stage.service("--batch-size", "4") as other:
        eventually(
            lambda: sorted([*one.partitions(), *other.partitions()]) == ["0", "1"] and len(one.partitions()) == 1,
            "one partition for each",
        )
        numbers = [fresh() for _ in range(12)]
        expected = {
            stage.publish(photo(number), partition=partition): number
            for number in numbers
            for partition in (0, 1, 0, 1)
        }
        stage.flush()
        stage.await_outcomes()
        documents = stage.documents()
        assert documents.keys() == expected.keys()
        unique = Counter(expected[place] for place, document in documents.items() if document["verdict"] == "unique")
        assert unique == dict.fromkeys(numbers, 1)
        original = {expected[place]: place for place, document in documents.items() if document["verdict"] == "unique"}
        for place, document in documents.items():
            assert document["duplicate_of"] in {None, original[expected[place]]}
        eventually(lambda: one.images() + other.images() == len(expected), "all images counted")
        assert min(one.images(), other.images()) > 0
        assert [service.program.stop() for service in (one, other)] == [0, 0]
    assert stage.committed() == stage.published


# Stopping and starting.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_loses_and_doubles_nothing(make_stage: MakeStage, number: signal.Signals) -> None:
    stage = make_stage(partitions=2)
    pictures = [photo(fresh()) for _ in range(10)]
    for place in range(600):
        stage.publish(pictures[place % 10], partition=place % 2)
    stage.flush()
    with stage.service("--batch-size", "3") as service:
        eventually(lambda: stage.verdict_reader.read() > 0, "the first verdict")
        # It would be 1 if it were not in the time of --shutdown-timeout-s.
        assert service.program.stop(number) == 0
    done = stage.documents()
    assert 0 < len(done) < 600
    assert sum(stage.committed().values()) == len(done)
    with stage.service() as service:
        stage.await_outcomes()
        assert service.program.stop() == 0
    documents = stage.documents()
    assert len(documents) == 600
    assert Counter(document["verdict"] for document in documents.values()) == {"unique": 10, "duplicate": 590}
    assert stage.committed() == stage.published


def test_what_never_was_ready_stops_as_well(stage: Stage) -> None:
    stage.admin.delete_topics([stage.images])
    with stage.service() as service:
        service.program.await_line("does not exist")
        assert service.status("/healthz")[0] == 200
        assert service.status("/readyz") == (503, "kafka is away")
        assert service.program.stop() == 0
    stage.admin.create_topics([NewTopic(stage.images, 1, 1)])


# What cannot run says so.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--index", "no-such-index"], "there is no index 'no-such-index'"),
        (["--index", "no such name"], "index name 'no such name'"),
        (["--descriptor", "pixels"], "was built with descriptor dct"),
        (["--allow-uri", "/data"], "--allow-uri '/data'"),
        (["--batch-size", "0"], "--batch-size: '0' is wrong"),
        (["--security-protocol", "SSL", "--ssl-cafile", "/no/such/file"], "--ssl-cafile"),
    ],
)
def test_what_cannot_run_says_why_in_one_line_and_ends_with_2(stage: Stage, arguments: list[str], said: str) -> None:
    ended = run(stage.arguments(*arguments))
    assert ended.returncode == 2
    told = [line for line in ended.stderr.splitlines() if line.startswith("consumer: ")]
    assert len(told) == 1
    assert said in told[0]
    assert "Traceback" not in ended.stderr


# Outages.


def test_redis_may_go_away_for_a_while(make_stage: MakeStage, redis_program: RedisProgram, seeds: Path) -> None:
    with RedisServer(redis_program, {"appendonly": "yes", "appendfsync": "always"}) as server:
        bootstrap(seeds, server.url, "default")
        stage = make_stage(redis_url=server.url, index="default")
        before, meanwhile = fresh(), fresh()
        with stage.service() as service:
            unique = [stage.publish(photo(before))]
            stage.flush()
            stage.await_outcomes()
            eventually(service.is_ready, "ready")
            server.stop()
            duplicates = [stage.publish(photo(before, quality=60))]
            unique.append(stage.publish(photo(meanwhile)))
            duplicates.append(stage.publish(photo(meanwhile, quality=60)))
            stage.flush()
            eventually(lambda: not service.is_ready(), "not ready")
            assert service.status("/readyz") == (503, "redis is away")
            assert service.status("/healthz")[0] == 200
            assert len(stage.documents()) == 1
            assert stage.committed() == {0: 1}
            server.start()
            stage.await_outcomes()
            eventually(service.is_ready, "ready again")
            assert service.metrics()["neardup_redis_errors_total", ()] > 0
            assert service.program.stop() == 0
        documents = stage.documents()
        assert [documents[place]["verdict"] for place in unique] == ["unique", "unique"]
        assert [documents[place]["duplicate_of"] for place in duplicates] == unique
        assert stage.committed() == stage.published
