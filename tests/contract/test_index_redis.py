"""What only a shared index has to bear: other clients, other generations, and a Redis that fails."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from demo.services import RedisProgram, RedisServer
from neardup.errors import CorruptIndex, IndexMismatch, IndexMissing, Misconfigured, RedisUnavailable
from neardup.index.connection import connect, masked
from neardup.index.keys import IndexKeys
from neardup.index.redis import RedisIndex
from neardup.types import Verdict
from tests.contract.indexes import (
    RADIUS,
    RedisBackend,
    build_generation,
    forget_decisions,
    member,
    new_name,
    point,
    query,
    start_build,
)

pytestmark = pytest.mark.redis

UNIQUE, DUPLICATE = Verdict.UNIQUE, Verdict.DUPLICATE


@pytest.fixture
def backend(redis_url: str) -> RedisBackend:
    return RedisBackend(redis_url)


@pytest.fixture
def client(backend: RedisBackend) -> redis.Redis:
    return backend.client


def second_of(index: RedisIndex, url: str) -> RedisIndex:
    return RedisIndex(connect(url), index.meta.name)


def verdict_of(index: RedisIndex, key: str, cell: int, angle: float = 0.0) -> Verdict:
    return index.decide([query(key, point(cell, angle))])[0].verdict


def before_its_commit(index: RedisIndex, action: Callable[[], object]) -> None:
    """Let somebody else act once, after `index` has compared and before it commits."""
    send, pending = index._send, [action]

    def acting(drafts: Any) -> Any:  # noqa: ANN401 - whatever the index passes
        if pending:
            pending.pop()()
        return send(drafts)

    index._send = acting  # type: ignore[method-assign]


class TestManyClients:
    def test_two_clients_take_turns(self, backend: RedisBackend, redis_url: str) -> None:
        one = backend.make()
        other = second_of(one, redis_url)
        for number in range(20):
            first, second = (one, other) if number % 2 else (other, one)
            assert verdict_of(first, f"a{number}", number % 4, 0.15 * (number // 4)) is UNIQUE
            assert verdict_of(second, f"b{number}", number % 4, 0.15 * (number // 4)) is DUPLICATE
        assert one.stats().cluster_sizes == other.stats().cluster_sizes == (5, 5, 5, 5)

    def test_a_member_that_came_in_between_is_compared_with(self, backend: RedisBackend, redis_url: str) -> None:
        one = backend.make()
        other = second_of(one, redis_url)
        before_its_commit(one, lambda: other.decide([query("theirs", point(0, 0.05))]))
        decisions = one.decide([query("far", point(1)), query("ours", point(0)), query("after", point(2))])
        assert [decision.verdict for decision in decisions] == [UNIQUE, DUPLICATE, UNIQUE]
        assert decisions[1].duplicate_of == "id of theirs"
        assert one.stats().retries == 1
        assert other.stats().retries == 0

    def test_what_came_in_another_cell_costs_no_retry(self, backend: RedisBackend, redis_url: str) -> None:
        one = backend.make()
        other = second_of(one, redis_url)
        before_its_commit(one, lambda: other.decide([query("theirs", point(1))]))
        assert verdict_of(one, "ours", 0) is UNIQUE
        assert one.stats().retries == 0

    def test_a_key_in_both_hands_gets_one_verdict(self, backend: RedisBackend, redis_url: str) -> None:
        one = backend.make()
        other = second_of(one, redis_url)
        shared = query("shared", point(0))
        before_its_commit(one, lambda: other.decide([shared]))
        decisions = one.decide([shared, query("copy", point(0, 0.05))])
        assert [decision.verdict for decision in decisions] == [UNIQUE, DUPLICATE]
        assert [each.key for each in one.members()] == ["shared"]

    @pytest.mark.parametrize(
        ("theirs", "ours", "verdict"),
        [
            pytest.param(0.15, 0.23, DUPLICATE, id="it seemed unique"),
            pytest.param(0.20, 0.00, UNIQUE, id="it seemed a duplicate"),
        ],
    )
    def test_what_was_compared_with_a_withdrawn_image_is_compared_again(
        self, backend: RedisBackend, redis_url: str, theirs: float, ours: float, verdict: Verdict
    ) -> None:
        # Both hold `shared`. The other commits `theirs` first, which makes `shared` a duplicate: the cell has as many
        # members as we expect, and other ones.
        one = backend.make()
        other = second_of(one, redis_url)
        shared = query("shared", point(0, 0.1))
        before_its_commit(one, lambda: other.decide([query("theirs", point(0, theirs)), shared]))
        decisions = one.decide([shared, query("ours", point(0, ours))])
        assert [decision.verdict for decision in decisions] == [DUPLICATE, verdict]
        assert [each.key for each in one.members()] == (["theirs", "ours"] if verdict is UNIQUE else ["theirs"])
        assert verdict_of(one, "later", 0, theirs) is DUPLICATE

    def test_a_commit_that_is_sent_twice_counts_once(self, backend: RedisBackend) -> None:
        # The client repeats a command whose reply was lost.
        index = backend.make()
        commit = index._commit
        index._commit = lambda **words: (commit(**words), commit(**words))[1]  # type: ignore[assignment]
        decisions = index.decide([query("a", point(0)), query("b", point(0, 0.3)), query("c", point(0, 0.05))])
        assert [decision.verdict for decision in decisions] == [UNIQUE, UNIQUE, DUPLICATE]
        assert verdict_of(index, "d", 0, 0.3) is DUPLICATE
        assert index.stats().cluster_sizes == (2, 0, 0, 0)

    def test_of_identical_images_at_once_exactly_one_is_unique(self, backend: RedisBackend, redis_url: str) -> None:
        threads, images = 8, 25
        first = backend.make()
        indexes = [second_of(first, redis_url) for _ in range(threads)]
        start = threading.Barrier(threads)

        def decide(number: int) -> list[Verdict]:
            start.wait()
            return [verdict_of(indexes[number], f"{number}-{i}", i % 4, 0.13 * (i // 4)) for i in range(images)]

        with ThreadPoolExecutor(threads) as pool:
            decided = list(pool.map(decide, range(threads)))
        for i in range(images):
            assert [each[i] for each in decided].count(UNIQUE) == 1
        assert first.stats().members == images


class TestGenerations:
    def test_a_consumer_follows_to_the_new_generation(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make(members=[member("old", point(0))])
        assert verdict_of(index, "a", 0) is DUPLICATE
        build_generation(client, index.meta.name, radius=0.5, members=[member("new", point(1))])
        decisions = index.decide([query("b", point(0)), query("c", point(1, 0.4))])
        assert [(each.verdict, each.generation) for each in decisions] == [(UNIQUE, 2), (DUPLICATE, 2)]
        assert (index.meta.generation, index.meta.radius) == (2, 0.5)

    def test_a_flip_between_comparison_and_commit(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make(members=[member("old", point(0))])
        flip = [member("new", point(1))]
        before_its_commit(index, lambda: build_generation(client, index.meta.name, members=flip))
        decisions = index.decide([query("a", point(0)), query("b", point(1))])
        assert [(each.verdict, each.generation) for each in decisions] == [(UNIQUE, 2), (DUPLICATE, 2)]

    def test_a_verdict_outlives_its_generation(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make()
        (first,) = index.decide([query("a", point(0))])
        build_generation(client, index.meta.name, members=[member("new", point(0))])
        assert index.decide([query("a", point(0))]) == [first]

    def test_another_descriptor_in_the_new_generation_is_refused(
        self, backend: RedisBackend, client: redis.Redis
    ) -> None:
        index = backend.make()
        build_generation(client, index.meta.name, fingerprint="test-2")
        with pytest.raises(IndexMismatch, match=r"test-2.*test-1.*bootstrap"):
            index.decide([query("a", point(0))])

    def test_the_old_generation_leaves_nothing_behind(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make(members=[member("old", point(0)), member("other", point(3))])
        name = index.meta.name
        build_generation(client, name)
        assert not list(client.scan_iter(match=f"neardup:{{{name}}}:g1:*"))
        assert client.smembers(IndexKeys(name).generations) == {b"2"}

    def test_a_build_that_is_not_published_changes_nothing(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make(members=[member("old", point(0))])
        build = start_build(client, index.meta.name)
        build.append(0, [member("new", point(0, 0.3))])
        assert verdict_of(index, "a", 0, 0.3) is UNIQUE
        assert index.meta.generation == 1

    def test_a_crashed_build_is_removed_by_the_next(self, backend: RedisBackend, client: redis.Redis) -> None:
        name = backend.make().meta.name
        start_build(client, name).append(2, [member("lost", point(2))])
        assert build_generation(client, name).generation == 3
        assert not list(client.scan_iter(match=f"neardup:{{{name}}}:g2:*"))

    def test_the_slower_of_two_builds_gives_way(self, client: redis.Redis) -> None:
        name = new_name()
        slow = start_build(client, name)
        slow.append(0, [member("slow", point(0))])
        fast = start_build(client, name)
        fast.publish()
        slow.append(1, [member("slow", point(1))])
        with pytest.raises(Misconfigured, match="another bootstrap"):
            slow.publish()
        assert RedisIndex(client, name).meta.generation == fast.meta.generation
        assert not list(client.scan_iter(match=f"neardup:{{{name}}}:g1:*"))


class TestOpening:
    def test_there_is_no_index(self, client: redis.Redis) -> None:
        with pytest.raises(IndexMissing, match="run python -m bootstrap first"):
            RedisIndex(client, new_name())

    def test_the_index_goes_while_a_consumer_runs(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make()
        client.delete(IndexKeys(index.meta.name).live)
        with pytest.raises(IndexMissing):
            index.decide([query("a", point(0))])

    def test_another_descriptor_is_refused(self, backend: RedisBackend, client: redis.Redis) -> None:
        name = backend.make().meta.name
        assert RedisIndex(client, name, "test-1").meta.fingerprint == "test-1"
        with pytest.raises(IndexMismatch, match=r"test-1.*other-9"):
            RedisIndex(client, name, "other-9")

    def test_another_format_is_refused(self, backend: RedisBackend, client: redis.Redis) -> None:
        meta = backend.make().meta
        text = meta.to_json().replace(b'"format_version":1', b'"format_version":99')
        client.set(IndexKeys(meta.name).metadata(1), text)
        with pytest.raises(IndexMismatch, match="format 99"):
            RedisIndex(client, meta.name)

    @pytest.mark.parametrize("name", ["", "a b", "x" * 65, "{a}", "a*", "é"])
    def test_names_that_cannot_be(self, client: redis.Redis, name: str) -> None:
        with pytest.raises(Misconfigured, match="index name"):
            RedisIndex(client, name)


class TestCorruption:
    @pytest.mark.parametrize("key", ["live", "metadata", "centroids"])
    def test_a_key_of_another_type(self, backend: RedisBackend, client: redis.Redis, key: str) -> None:
        name = backend.make().meta.name
        keys = IndexKeys(name)
        spoilt = {"live": keys.live, "metadata": keys.metadata(1), "centroids": keys.centroids(1)}[key]
        client.delete(spoilt)
        client.rpush(spoilt, "x")
        with pytest.raises(CorruptIndex):
            RedisIndex(client, name)

    @pytest.mark.parametrize("live", [b"", b"one", b"-1", b"1.5"])
    def test_a_live_generation_that_is_no_number(self, backend: RedisBackend, client: redis.Redis, live: bytes) -> None:
        name = backend.make().meta.name
        client.set(IndexKeys(name).live, live)
        with pytest.raises(CorruptIndex):
            RedisIndex(client, name)

    @pytest.mark.parametrize("centroids", [b"", b"x", bytes(4 * 4 * 8 - 4), bytes(4 * 4 * 8 + 4)])
    def test_centroids_of_another_size(self, backend: RedisBackend, client: redis.Redis, centroids: bytes) -> None:
        name = backend.make().meta.name
        client.set(IndexKeys(name).centroids(1), centroids)
        with pytest.raises(CorruptIndex):
            RedisIndex(client, name)

    def test_a_cell_of_another_type(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make()
        client.set(IndexKeys(index.meta.name).cell(1, 0), "x")
        with pytest.raises(CorruptIndex):
            index.decide([query("a", point(0))])

    def test_a_recorded_decision_of_another_type(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make()
        client.rpush(IndexKeys(index.meta.name).decided("a"), "x")
        with pytest.raises(CorruptIndex):
            index.decide([query("a", point(0))])

    def test_a_recorded_decision_that_is_none(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make()
        client.set(IndexKeys(index.meta.name).decided("a"), "x")
        with pytest.raises(CorruptIndex):
            index.decide([query("a", point(0))])

    def test_a_corrupt_record(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make(members=[member("a", point(0))])
        client.rpush(IndexKeys(index.meta.name).cell(1, 0), b"\x01 not a record")
        with pytest.raises(CorruptIndex):
            index.decide([query("b", point(0))])
        with pytest.raises(CorruptIndex):
            list(index.members())

    @pytest.mark.timeout(20)
    def test_a_cell_that_lost_its_tail_does_not_stop_us(self, backend: RedisBackend, client: redis.Redis) -> None:
        # A Redis without persistence of every write comes back shorter than our copy. Its word counts.
        index = backend.make()
        index.decide([query(f"m{i}", point(0, 0.2 * i)) for i in range(4)])
        client.ltrim(IndexKeys(index.meta.name).cell(1, 0), 0, 0)
        forget_decisions(client, index.meta.name)
        assert verdict_of(index, "new", 0, -0.2) is UNIQUE
        assert verdict_of(index, "lost", 0, 0.6) is UNIQUE
        assert [each.key for each in index.members()] == ["m0", "new", "lost"]


class TestServer:
    def test_a_flushed_script_is_loaded_again(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make()
        assert verdict_of(index, "a", 0) is UNIQUE
        client.script_flush()
        assert verdict_of(index, "b", 0) is DUPLICATE

    def test_decisions_are_kept_for_a_limited_time(self, backend: RedisBackend, client: redis.Redis) -> None:
        name = backend.make().meta.name
        RedisIndex(client, name, decision_ttl_s=100).decide([query("a", point(0))])
        assert 0 < int(client.ttl(IndexKeys(name).decided("a"))) <= 100

    def test_a_redis_that_is_not_there(self) -> None:
        with pytest.raises(RedisUnavailable, match="does not answer"):
            RedisIndex(connect("redis://127.0.0.1:1/0"), "photos")

    def test_a_redis_that_goes_and_comes_back(self, redis_program: RedisProgram) -> None:
        with RedisServer(redis_program, {"appendonly": "yes", "appendfsync": "always"}) as server:
            index = RedisBackend(server.url).make()
            assert verdict_of(index, "a", 0) is UNIQUE
            server.kill()
            with pytest.raises(RedisUnavailable):
                index.decide([query("b", point(0))])
            server.start()
            assert verdict_of(index, "b", 0) is DUPLICATE

    def test_a_full_redis_is_an_outage_and_loses_nothing(self, redis_program: RedisProgram) -> None:
        with RedisServer(redis_program) as server:
            index = RedisBackend(server.url).make()
            with redis.Redis.from_url(server.url) as client:
                client.config_set("maxmemory", 1)
                with pytest.raises(RedisUnavailable):
                    index.decide([query("a", point(0))])
                client.config_set("maxmemory", 0)
            assert verdict_of(index, "a", 0) is UNIQUE
            assert verdict_of(index, "b", 0) is DUPLICATE

    @pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
    def test_a_redis_that_evicts_is_refused(self, redis_program: RedisProgram, policy: str) -> None:
        with RedisServer(redis_program, {"maxmemory-policy": policy}) as server:
            index = RedisBackend(server.url).make()  # without a limit nothing is ever evicted
            with redis.Redis.from_url(server.url) as client:
                client.config_set("maxmemory", 1_000_000_000)
            with pytest.raises(Misconfigured, match=f"maxmemory-policy {policy}.*noeviction"):
                second_of(index, server.url)
            with pytest.raises(Misconfigured, match="evicts"):
                start_build(connect(server.url), "photos")

    def test_passwords(self, redis_program: RedisProgram) -> None:
        with RedisServer(redis_program, {"requirepass": "right"}) as server:
            name = RedisBackend(server.url).make().meta.name
            for url in (server.url.replace(":right@", ":wrong@"), server.url.replace(":right@", "")):
                with pytest.raises(Misconfigured, match="refused") as caught:
                    RedisIndex(connect(url), name)
                assert "wrong" not in str(caught.value).replace("wrong number", "").replace("WRONGPASS", "")


class TestUrls:
    @pytest.mark.parametrize("url", ["", "localhost:6379", "http://localhost", "redis://localhost:port"])
    def test_what_is_no_url(self, url: str) -> None:
        with pytest.raises(Misconfigured, match="not a Redis URL"):
            connect(url)

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://localhost:6379/0", "redis://localhost:6379/0"),
            ("redis://:secret@localhost", "redis://:***@localhost"),
            ("rediss://user:se:cr@et@localhost:1/2", "rediss://user:***@localhost:1/2"),
        ],
    )
    def test_a_password_is_not_shown(self, url: str, shown: str) -> None:
        assert masked(url) == shown


def test_the_radius_of_the_suite_is_what_the_angles_assume() -> None:
    assert RADIUS == 0.12
