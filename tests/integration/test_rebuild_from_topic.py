"""An index made again of the descriptor topic, on real servers: by its own rules, or judged anew at another radius."""

import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from kafka import TopicPartition

import bootstrap.index
from bootstrap.generation import rebuilding
from bootstrap.live.removal import remove
from consumer.messages import ImageMessage, OutgoingMessage
from neardup.index.memory import MemoryIndex
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.retention import Retention
from neardup.index.stored.connection import connect
from neardup.index.stored.keys import IndexKeys
from neardup.relation.rule import Relation
from neardup.types import Descriptors, Query, Verdict
from neardup.wire_described import decode_described, encode_described
from tests.support.processes import photo
from tests.support.roles import DCT, Head, describing, meta_of, through
from tests.support.stage import bootstrap as bootstrap_seeds
from tests.support.stage import seed_folder
from tests.support.transports import KafkaRig, create_topics

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

SENT_MS = 1_700_000_000_000
DAY_MS = 24 * 60 * 60 * 1000
IMAGES = [photo(number, quality) for number in range(100, 106) for quality in (90, 50, 10)]
SMALLER, LARGER = 0.02, 1.0
Answer = tuple[int, dict[str, Any], str]
Rebuild = Callable[..., Answer]


@pytest.fixture(scope="module")
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as client:
        yield client


@pytest.fixture
def index(redis_url: str, tmp_path: Path) -> str:
    name = f"rebuilt-{secrets.token_hex(4)}"
    bootstrap_seeds(seed_folder(tmp_path / "seeds"), redis_url, name)
    return name


@pytest.fixture
def topic(kafka: KafkaRig) -> Iterator[str]:
    name = f"descriptors-{secrets.token_hex(4)}"
    create_topics(kafka.admin, {name: 2})
    yield name
    kafka.admin.delete_topics([name])


@pytest.fixture
def rebuild(kafka_address: str, redis_url: str, index: str, topic: str, capsys: pytest.CaptureFixture[str]) -> Rebuild:
    """Give what runs the command; its exit code, document and errors."""

    def run(*arguments: str) -> Answer:
        where = ["--bootstrap-servers", kafka_address, "--redis", redis_url, "--index", index]
        named = [] if any(each.startswith("--from-topic") for each in arguments) else ["--from-topic", topic]
        code = bootstrap.index.main(["rebuild", *named, *where, "--json", *arguments], {})
        said = capsys.readouterr()
        return code, json.loads(said.out or "{}"), said.err

    return run


def described(
    client: redis.Redis, index: str, values: Sequence[bytes], sent_ms: Sequence[int] | None = None
) -> list[OutgoingMessage]:
    """Return what a describer of the index publishes; the second half of the images is in another partition."""
    times_ms = sent_ms or range(SENT_MS, SENT_MS + len(values))
    with ThreadPoolExecutor(1) as executor:
        messages = [
            ImageMessage("images", 2 * number // len(values), number, at_ms, None, value)
            for number, (value, at_ms) in enumerate(zip(values, times_ms, strict=True))
        ]
        return through(describing(Head(RedisIndex(client, index).meta), executor), messages)


def publish(kafka: KafkaRig, topic: str, sent: Sequence[OutgoingMessage]) -> None:
    for each in sent:
        kafka._producer.send(topic, key=each.key, value=each.value, partition=each.partition or 0)
    kafka._producer.flush(30)


def queries_of(sent: Sequence[OutgoingMessage]) -> list[Query]:
    return [decode_described(each.value).query for each in sent]


def keys_of(client: redis.Redis, index: str) -> set[str]:
    return {member.key for member in RedisIndex(client, index).members()}


def judged(client: redis.Redis, index: str, queries: Sequence[Query]) -> set[str]:
    """Let the index decide; return the keys of what is unique."""
    decisions = RedisIndex(client, index).decide(queries)
    return {query.key for query, one in zip(queries, decisions, strict=True) if one.verdict is Verdict.UNIQUE}


def brute_force(client: redis.Redis, index: str, queries: Sequence[Query], radius: float) -> set[str]:
    """Return the keys of all members when images are judged in order after the seeds, and these among themselves."""
    meta = RedisIndex(client, index).meta
    reference = MemoryIndex(meta_of(Relation(radius)))
    assert meta.fingerprint == reference.meta.fingerprint
    for member in RedisIndex(client, index).members():
        if member.key.startswith("seed:"):
            reference.decide([Query(member.key, member.image_id, member.descriptor)])
    reference.decide(queries)
    return {member.key for member in reference.members()}


def test_what_an_index_has_lost_comes_back_and_no_more(
    client: redis.Redis, kafka: KafkaRig, index: str, topic: str, rebuild: Rebuild
) -> None:
    sent = described(client, index, IMAGES)
    publish(kafka, topic, sent)
    uniques = judged(client, index, queries_of(sent))
    there, meta = keys_of(client, index), RedisIndex(client, index).meta
    assert 0 < len(uniques) < len(IMAGES)
    assert rebuild()[1]["members"] == len(there)
    assert keys_of(client, index) == there
    lost = sorted(uniques)[::2]
    remove_quietly(client, index, lost)
    code, document, _ = rebuild()
    assert (code, document["read"], document["images"]) == (0, len(IMAGES), len(IMAGES))
    assert (document["members_before"], document["members"]) == (len(there) - len(lost), len(there))
    assert (document["left_out"], document["not_usable"], document["again"]) == (0, {}, 0)
    assert document["new_generation"] == meta.generation + 2
    assert keys_of(client, index) == there
    assert RedisIndex(client, index).meta.relation == meta.relation
    # A copy that comes now is a duplicate of what was put back.
    copies = renumbered(described(client, index, [photo(number, 70) for number in range(100, 106)]))
    assert judged(client, index, copies) == set()


def remove_quietly(client: redis.Redis, index: str, keys: Sequence[str]) -> None:
    """Take members out as a failover does: without a note."""
    remove(client, index, list(keys), "a test")
    client.delete(IndexKeys(index).removed)


def test_at_another_radius_images_are_judged_anew_in_their_order(
    client: redis.Redis, kafka: KafkaRig, index: str, topic: str, rebuild: Rebuild
) -> None:
    sent = described(client, index, IMAGES)
    publish(kafka, topic, sent)
    judged(client, index, queries_of(sent))
    before = keys_of(client, index)
    for radius in (SMALLER, LARGER):
        wanted = brute_force(client, index, queries_of(sent), radius)
        assert wanted != before
        code, document, said = rebuild("--radius", str(radius))
        dropped = keys_of(client, index) - wanted
        if dropped:
            assert code == 2
            assert "members would be left out" in said
            assert "--allow-dropping" in said
            code, document, _ = rebuild("--radius", str(radius), "--allow-dropping")
        assert (code, document["radius"], document["members"]) == (0, radius, len(wanted))
        assert keys_of(client, index) == wanted
        assert RedisIndex(client, index).meta.radius == radius
    assert document["left_out"] > 0


def test_what_the_topic_no_longer_has_is_told(  # noqa: PLR0917 - fixtures
    client: redis.Redis,
    kafka: KafkaRig,
    index: str,
    topic: str,
    rebuild: Rebuild,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent = described(client, index, IMAGES)
    publish(kafka, topic, sent)
    rebuild("--dry-run")
    assert "no longer" not in caplog.text
    kafka.admin.delete_records({TopicPartition(topic, 0): 2})
    code, document, _ = rebuild("--dry-run")
    assert (code, document["read"]) == (0, len(sent) - 2)
    assert f"{topic}-0: offsets 0 to 1 are no longer in the topic" in caplog.messages


def test_a_dry_run_says_what_would_be_and_changes_nothing(
    client: redis.Redis, kafka: KafkaRig, index: str, topic: str, rebuild: Rebuild
) -> None:
    publish(kafka, topic, described(client, index, IMAGES))
    before, generation = keys_of(client, index), RedisIndex(client, index).meta.generation
    code, document, _ = rebuild("--dry-run")
    assert (code, document["new_generation"]) == (0, None)
    assert document["members"] > len(before)
    assert (keys_of(client, index), RedisIndex(client, index).meta.generation) == (before, generation)


def test_what_cannot_be_used_is_counted_and_what_was_removed_stays_away(
    client: redis.Redis, kafka: KafkaRig, index: str, topic: str, rebuild: Rebuild
) -> None:
    sent = described(client, index, IMAGES[::3])
    uniques = judged(client, index, queries_of(sent))
    gone = min(uniques)
    remove(client, index, [gone], "a test")
    publish(kafka, topic, [*sent, *sent[:2]])
    with ThreadPoolExecutor(1) as executor:
        flips = Head(meta_of(Relation(DCT.default_radius, match_flips=True)))
        other = through(describing(flips, executor), [ImageMessage("images", 0, 900, SENT_MS, None, IMAGES[0])])
    right = decode_described(sent[0].value).made_for
    lying = encode_described(replace(decode_described(other[0].value), made_for=right))
    publish(
        kafka,
        topic,
        [
            *other,
            OutgoingMessage(topic, b"0", lying, ()),
            OutgoingMessage(topic, b"1", b"no description", ()),
            OutgoingMessage(topic, b"1", None, ()),
        ],
    )
    code, document, _ = rebuild()
    assert code == 0
    assert document["read"] == len(sent) + 2 + 4
    assert (document["images"], document["again"], document["removed"]) == (len(sent) - 1, 2, 1)
    assert document["not_usable"] == {
        "damaged, or no description": 2,
        f"described for {decode_described(other[0].value).made_for}": 1,
        "not as it says it was described": 1,
    }
    assert gone not in keys_of(client, index)
    assert uniques - {gone} <= keys_of(client, index)


@pytest.mark.parametrize("anew", [(), ("--radius", "0.1")], ids=["own radius", "judged anew"])
def test_with_retention_what_is_too_old_keeps_no_newer_image_out(  # noqa: PLR0917 - fixtures
    client: redis.Redis, kafka: KafkaRig, index: str, topic: str, rebuild: Rebuild, anew: tuple[str, ...]
) -> None:
    values, days = [IMAGES[0], IMAGES[3], IMAGES[6], IMAGES[0]], (0, 5, 40, 40)
    sent = described(client, index, values, [SENT_MS + day * DAY_MS for day in days])
    publish(kafka, topic, sent)
    first, second, third, again = queries_of(sent)
    options = RedisIndexOptions(retention=Retention(30 * DAY_MS))
    RedisIndex(client, index, options=options).decide([first])
    # As a consumer with retention has it: the one that came again after 40 days is unique once more.
    kept = {third.key, again.key}
    seeds = {key for key in keys_of(client, index) if key.startswith("seed:")}
    code, document, _ = rebuild(*anew, "--retention", "30d")
    assert (code, document["too_old"], document["left_out"]) == (0, {"images": 2, "members": 1}, 0)
    assert keys_of(client, index) == seeds | kept
    # Without it the same topic has all that was ever unique.
    assert rebuild(*anew, *(["--allow-dropping"] if anew else []))[1]["too_old"] == {"images": 0, "members": 0}
    assert {second.key, third.key} < keys_of(client, index)
    assert len({first.key, again.key} & keys_of(client, index)) == 1


def test_what_consumers_add_meanwhile_is_in_the_new_generation_once(
    client: redis.Redis, kafka: KafkaRig, index: str, topic: str, rebuild: Rebuild
) -> None:
    sent = described(client, index, IMAGES)
    publish(kafka, topic, sent)
    later = renumbered(described(client, index, [photo(number) for number in (200, 201)]))
    assembled = rebuilding._assembled

    def meanwhile(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - whatever it was
        made = assembled(*arguments, **more)
        # Deciders come as far as the topic had been read, and further.
        judged(client, index, [*queries_of(sent), *later])
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuilding, "_assembled", meanwhile)
        code, document, _ = rebuild()
    assert (code, document["members_before"] < document["members"]) == (0, True)
    members = [member.key for member in RedisIndex(client, index).members()]
    assert len(members) == len(set(members)) == document["members"]
    assert {query.key for query in later} <= set(members)


def test_what_is_removed_while_the_topic_is_read_does_not_come_back(  # noqa: PLR0917 - fixtures
    client: redis.Redis, kafka: KafkaRig, index: str, topic: str, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = described(client, index, IMAGES[::3])
    gone, *_ = judged(client, index, queries_of(sent))
    publish(kafka, topic, sent)
    before = RedisIndex(client, index).meta.generation
    read = rebuilding.read_described

    def read_and_remove(*arguments: Any) -> Any:  # noqa: ANN401 - whatever it was
        found = read(*arguments)
        remove(client, index, [gone], "a test")
        return found

    monkeypatch.setattr(rebuilding, "read_described", read_and_remove)
    code, _, said = rebuild("--radius", "0.1")
    assert (code, said) == (2, f"{gone} was removed from the index meanwhile: start again, to leave it out here\n")
    assert RedisIndex(client, index).meta.generation == before
    monkeypatch.setattr(rebuilding, "read_described", read)
    assert rebuild("--radius", "0.1")[0] == 0
    assert gone not in keys_of(client, index)


def test_what_a_consumer_adds_and_is_removed_meanwhile_does_not_come_back(  # noqa: PLR0917 - fixtures
    client: redis.Redis, kafka: KafkaRig, index: str, topic: str, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = described(client, index, IMAGES[::3])
    publish(kafka, topic, sent)
    assembled = rebuilding._assembled

    def assemble_and_remove(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - whatever it was
        made = assembled(*arguments, **more)
        remove(client, index, [min(judged(client, index, queries_of(sent)))], "a test")
        return made

    monkeypatch.setattr(rebuilding, "_assembled", assemble_and_remove)
    code, _, said = rebuild()
    assert (code, "was removed from the index meanwhile: start again" in said) == (2, True)


def test_what_comes_too_late_to_be_counted_is_not_dropped_without_a_word(  # noqa: PLR0917 - fixtures
    client: redis.Redis, kafka: KafkaRig, index: str, topic: str, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = described(client, index, IMAGES[::3])
    publish(kafka, topic, sent)
    judged(client, index, queries_of(sent))
    meta = RedisIndex(client, index).meta
    late = Query("images-9-0", "late", moved(queries_of(sent)[0].descriptor, meta.radius + 0.02))
    assembled = rebuilding._assembled

    def meanwhile(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - whatever it was
        made = assembled(*arguments, **more)
        judged(client, index, [late])
        return made

    monkeypatch.setattr(rebuilding, "_assembled", meanwhile)
    wider = ("--radius", f"{meta.radius + 0.04:g}")
    code, _, said = rebuild(*wider)
    assert (code, "1 of its" in said, "--allow-dropping" in said) == (2, True, True)
    assert RedisIndex(client, index).meta.generation == meta.generation
    assert late.key in keys_of(client, index)
    assert rebuild(*wider, "--allow-dropping")[0] == 0
    assert len({late.key, queries_of(sent)[0].key} & keys_of(client, index)) == 1


def moved(descriptor: Descriptors, l2: float) -> Descriptors:
    """Return a unit vector at about this distance."""
    row = descriptor.astype(np.float64)
    away = np.eye(len(row))[0] - row[0] * row
    angle = 2.0 * np.arcsin(l2 / 2.0)
    there: Descriptors = (np.cos(angle) * row + np.sin(angle) * away / np.linalg.norm(away)).astype(np.float16)
    return there


def renumbered(sent: Sequence[OutgoingMessage]) -> list[Query]:
    """Return images as those of another partition."""
    return [replace(query, key=query.key.replace("images-", "images-7")) for query in queries_of(sent)]


def test_mistakes_are_told_in_a_line(kafka: KafkaRig, rebuild: Rebuild, kafka_address: str, redis_url: str) -> None:
    code, _, said = rebuild("--from-topic", "nowhere")
    assert (code, said) == (2, "--from-topic: there is no topic 'nowhere'\n")
    code, _, said = rebuild("--radius", "3")
    assert (code, "it should be a number from 0 to 2" in said) == (2, True)
    where = ["--bootstrap-servers", kafka_address, "--redis", redis_url, "--index", "nothing"]
    assert bootstrap.index.main(["rebuild", "--from-topic", kafka.images, *where], {}) == 2


def test_a_topic_of_nothing_or_of_something_else_is_refused(
    client: redis.Redis, kafka: KafkaRig, index: str, topic: str, rebuild: Rebuild
) -> None:
    before, generation = keys_of(client, index), RedisIndex(client, index).meta.generation
    nothing = f"--from-topic {topic}: none of its 0 messages tells of an image that index '{index}' can judge"
    assert rebuild() == (2, {}, f"{nothing}\n")
    assert rebuild("--dry-run")[1]["refusal"] == nothing
    publish(kafka, topic, [OutgoingMessage(topic, None, b"a verdict, perhaps", ())])
    code, _, said = rebuild("--radius", "0.1")
    assert (code, said.partition("; ")[2]) == (2, "1 damaged, or no description\n")
    assert (keys_of(client, index), RedisIndex(client, index).meta.generation) == (before, generation)
