"""What only a shared index has to bear: other clients, other generations, and a Redis that fails."""

import re
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
import redis

from demo.services import RedisProgram, RedisServer
from neardup.descriptors.base import unit_float16
from neardup.errors import CorruptIndex, IndexMismatch, IndexMissing, Misconfigured, RedisUnavailable
from neardup.index.base import FORMAT_VERSION
from neardup.index.live import live_generation
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.stored.codec import encode_member
from neardup.index.stored.connection import connect, masked
from neardup.index.stored.events import PLACE, Rewritten
from neardup.index.stored.keys import IndexKeys
from neardup.index.stored.scripts import CommitReply, Item, Position
from neardup.index.tree import choose_split
from neardup.search.sketches import fit_sketcher
from neardup.types import Verdict
from tests.support.indexes import (
    RADIUS,
    RedisBackend,
    build_anew,
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


@pytest.fixture(params=["one server", "cluster"])
def redis_url(request: pytest.FixtureRequest, redis_url: str) -> str:
    """URL of one Redis, and of two nodes in cluster mode."""
    return str(request.getfixturevalue("redis_cluster_url")) if request.param == "cluster" else redis_url


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


def keys_of(index: RedisIndex) -> list[str]:
    return sorted(each.key for each in index.members())


def before_its_commit(index: RedisIndex, action: Callable[[], object]) -> None:
    """Let somebody else act once, after `index` has compared and before it commits."""
    commit, pending = index._scripts.commit, [action]

    def acting(items: Sequence[Item], position: Position, decision_ttl_s: int) -> CommitReply:
        if pending:
            pending.pop()()
        return commit(items, position, decision_ttl_s)

    index._scripts.commit = acting  # type: ignore[method-assign]


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

    def test_where_others_append_only_what_matters_costs_a_retry(self, backend: RedisBackend, redis_url: str) -> None:
        # The first surprise costs a retry wherever it was; from then on a commit tells which cells matter to it.
        one = backend.make()
        other = second_of(one, redis_url)
        for number, retries in enumerate([1, 1, 1]):
            angle = 0.3 * number
            before_its_commit(one, partial(verdict_of, other, f"theirs {number}", 1, angle))
            one._contended = number > 0  # a commit without news in between forgets it
            assert verdict_of(one, f"ours {number}", 0, angle) is UNIQUE
            assert one.stats().retries == retries
        before_its_commit(one, partial(verdict_of, other, "theirs at last", 0, -0.3))
        assert verdict_of(one, "ours at last", 0, -0.3) is DUPLICATE
        assert one.stats().retries == 2

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
        commit = index._scripts._commit
        index._scripts._commit = lambda **words: (commit(**words), commit(**words))[1]
        decisions = index.decide([query("a", point(0)), query("b", point(0, 0.3)), query("c", point(0, 0.05))])
        assert [decision.verdict for decision in decisions] == [UNIQUE, UNIQUE, DUPLICATE]
        assert verdict_of(index, "d", 0, 0.3) is DUPLICATE
        assert index.stats().cluster_sizes == (2,)
        assert keys_of(index) == ["a", "b"]

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
        assert not list(client.scan_iter(match=IndexKeys(name).of_generation(1)))
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
        assert not list(client.scan_iter(match=IndexKeys(name).of_generation(2)))

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
        assert not list(client.scan_iter(match=IndexKeys(name).of_generation(1)))


class TestOpening:
    def test_there_is_no_index(self, client: redis.Redis) -> None:
        with pytest.raises(IndexMissing, match="run neardup bootstrap first"):
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
        text = meta.to_json().replace(f'"format_version":{FORMAT_VERSION}'.encode(), b'"format_version":99')
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
        with pytest.raises(CorruptIndex, match="member record"):
            RedisIndex(client, index.meta.name)
        with pytest.raises(CorruptIndex, match="member record"):
            list(index.members())

    @pytest.mark.parametrize("record", [b"\x01 not a record", encode_member(member("a", point(0)))[:-2]])
    def test_a_corrupt_record_that_is_read_again(
        self, backend: RedisBackend, client: redis.Redis, record: bytes
    ) -> None:
        name = backend.make(members=[member("a", point(0)), member("b", point(1))]).meta.name
        index = RedisIndex(client, name, options=RedisIndexOptions(cache_bytes=0))
        index.stats()
        client.lset(IndexKeys(name).cell(1, 0), 0, record)  # type: ignore[arg-type]  # bytes are what it is made for
        for _ in range(2):  # it does not go away by asking again
            with pytest.raises(CorruptIndex, match="member record"):
                index.decide([query("c", point(0))])
        assert verdict_of(index, "d", 1) is DUPLICATE
        assert client.llen(IndexKeys(name).cell(1, 0)) == 1

    @pytest.mark.parametrize(
        "event",
        [b"", b"A", b"Q" + bytes(40), b"S" + bytes(20)],
        ids=["empty", "short", "unknown", "short split"],
    )
    def test_a_corrupt_event(self, backend: RedisBackend, client: redis.Redis, event: bytes) -> None:
        index = backend.make(members=[member("a", point(0))])
        keys = IndexKeys(index.meta.name)
        client.rpush(keys.log(1), event)
        for _ in range(2):
            with pytest.raises(CorruptIndex):
                index.decide([query("b", point(1))])
        assert client.llen(keys.cell(1, 1)) == 0

    def test_an_event_with_a_corrupt_record(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make(members=[member("a", point(0))])
        keys = IndexKeys(index.meta.name)
        client.rpush(keys.log(1), b"A" + PLACE.pack(0, 0) + b"\x01\0\0\0" + b"\x01 not a record")
        with pytest.raises(CorruptIndex, match="member record"):
            index.decide([query("b", point(1))])
        # The cells themselves are sound, and they are what is read anew.
        assert verdict_of(index, "c", 0) is DUPLICATE

    @pytest.mark.parametrize("event", [b"", b"A" + bytes(40), b"S" + bytes(20)], ids=["empty", "no split", "short"])
    def test_a_corrupt_split(self, backend: RedisBackend, client: redis.Redis, event: bytes) -> None:
        name = backend.make().meta.name
        client.rpush(IndexKeys(name).splits(1), event)
        with pytest.raises(CorruptIndex):
            RedisIndex(client, name)

    @pytest.mark.parametrize("projection", [None, b"", b"\x01", bytes(4 + 4 * 8 * 5 - 1), b"\xff" * (4 + 4 * 8 * 5)])
    def test_a_corrupt_projection(self, backend: RedisBackend, client: redis.Redis, projection: bytes | None) -> None:
        name = backend.make().meta.name
        key = IndexKeys(name).projection(1)
        client.delete(key) if projection is None else client.set(key, projection)
        with pytest.raises(CorruptIndex, match="projection"):
            RedisIndex(client, name)

    def test_a_member_of_another_dimension(self, backend: RedisBackend, client: redis.Redis) -> None:
        name = backend.make().meta.name
        client.rpush(IndexKeys(name).cell(1, 0), encode_member(member("a", np.ones(9, dtype=np.float16))))
        with pytest.raises(CorruptIndex, match="8 numbers"):
            RedisIndex(client, name)

    def test_a_foreign_key_under_our_prefix_is_left_alone(self, backend: RedisBackend, client: redis.Redis) -> None:
        name = backend.make(members=[member("a", point(0))]).meta.name
        foreign = f"{IndexKeys(name).prefix}notes"
        client.set(foreign, "not ours")
        assert verdict_of(RedisIndex(client, name), "b", 0) is DUPLICATE
        build_generation(client, name)
        assert client.get(foreign) == b"not ours"


def lose_last_writes(client: redis.Redis, name: str, members: int) -> None:
    """Take back the last members of cell 0, as a Redis does that comes back without its last writes."""
    keys = IndexKeys(name)
    for _ in range(members):
        client.rpop(keys.cell(1, 0))
        client.rpop(keys.log(1))
    forget_decisions(client, name)


class TestLostWrites:
    def test_a_shorter_log(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make()
        index.decide([query(f"m{i}", point(0, 0.2 * i)) for i in range(4)])
        index.stats()
        lose_last_writes(client, index.meta.name, 3)
        assert verdict_of(index, "new", 0, -0.2) is UNIQUE
        assert verdict_of(index, "lost", 0, 0.6) is UNIQUE
        assert [each.key for each in index.members()] == ["m0", "new", "lost"]

    @pytest.mark.parametrize("looked", [True, False], ids=["followed", "opened only"])
    def test_a_log_that_tells_another_story(self, backend: RedisBackend, client: redis.Redis, *, looked: bool) -> None:
        writer = backend.make()
        index = RedisIndex(client, writer.meta.name)
        writer.decide([query(f"m{i}", point(0, 0.2 * i)) for i in range(4)])
        if looked:
            index.stats()
        else:
            index = RedisIndex(client, writer.meta.name)
        lose_last_writes(client, writer.meta.name, 2)
        # As many again, in the same cell and at the same places.
        RedisIndex(client, writer.meta.name).decide([query(f"n{i}", point(0, 1.0 + 0.2 * i)) for i in range(2)])
        decisions = index.decide([query("copy", point(0, 1.2)), query("m3 again", point(0, 0.6))])
        assert [decision.verdict for decision in decisions] == [DUPLICATE, UNIQUE]
        assert index.stats().members == 5

    def test_stories_that_differ_in_the_offset_of_a_topic_with_a_long_name(
        self, backend: RedisBackend, client: redis.Redis
    ) -> None:
        # Same image, same cell, same place; only the end of the longest possible key tells them apart.
        topic = "t" * 249
        index = backend.make()
        index.decide([query(f"{topic}-0-1", point(0), "one")])
        index.stats()
        lose_last_writes(client, index.meta.name, 1)
        RedisIndex(client, index.meta.name).decide([query(f"{topic}-0-2", point(0), "two")])
        assert index.decide([query(f"{topic}-0-3", point(0))])[0].duplicate_of == "two"

    def test_a_log_that_was_trimmed(
        self, backend: RedisBackend, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("neardup.index.stored.scripts.LOG_EVENTS", 3)
        sleeper = backend.make()
        writer = RedisIndex(client, sleeper.meta.name)
        for i in range(8):
            writer.decide([query(f"m{i}", point(i % 4, 0.2 * i))])
        assert client.llen(IndexKeys(sleeper.meta.name).log(1)) == 3
        assert verdict_of(sleeper, "copy", 2, 0.4) is DUPLICATE
        assert sleeper.stats().members == 8


class TestInterrupted:
    """Redis goes away while a client reads: what it had half understood must not count."""

    def test_while_it_follows_events(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make()
        RedisIndex(client, index.meta.name).decide([query("theirs", point(0))])
        index._view.apply = refusing  # type: ignore[method-assign, assignment]
        with pytest.raises(RedisUnavailable):
            index.decide([query("ours", point(0))])
        assert verdict_of(index, "ours", 0) is DUPLICATE

    def test_while_it_reads_all_members_anew(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make()
        writer = RedisIndex(client, index.meta.name)
        writer.decide([query(f"m{i}", point(0, 0.2 * i)) for i in range(2)])
        index.stats()
        lose_last_writes(client, index.meta.name, 2)
        RedisIndex(client, index.meta.name).decide([query("theirs", point(1))])
        read = index._read_cells
        index._read_cells = refusing  # type: ignore[method-assign, assignment]
        with pytest.raises(RedisUnavailable):
            index.decide([query("ours", point(1))])
        index._read_cells = read  # type: ignore[method-assign]
        assert verdict_of(index, "ours", 1) is DUPLICATE
        assert keys_of(index) == ["theirs"]

    def test_while_it_goes_over_to_a_new_generation(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make(members=[member("old", point(0))])
        build_generation(client, index.meta.name, members=[member("new", point(1))])
        read = index._read_cells
        index._read_cells = refusing  # type: ignore[method-assign, assignment]
        with pytest.raises(RedisUnavailable):
            index.decide([query("a", point(1))])
        index._read_cells = read  # type: ignore[method-assign]
        assert verdict_of(index, "a", 1) is DUPLICATE
        assert verdict_of(index, "b", 0) is UNIQUE


def refusing(*_: object) -> Any:  # noqa: ANN401 - whatever it stands for
    raise RedisUnavailable("away")


class TestDivision:
    def test_a_cell_that_another_client_divides_while_ours_is_to_read_it(
        self, backend: RedisBackend, client: redis.Redis
    ) -> None:
        seeds = [member(f"s{i}", point(0, 0.2 * i)) for i in range(7)]
        name = backend.make(members=seeds).meta.name
        index = RedisIndex(client, name, options=RedisIndexOptions(cache_bytes=0))
        divider = RedisIndex(client, name, options=RedisIndexOptions(max_cluster=3))
        catch_up = index._catch_up

        def then_divided() -> bool:
            only_grew = catch_up()
            index._catch_up = catch_up  # type: ignore[method-assign]
            divider.decide([query("far", point(2))])
            return only_grew

        index._catch_up = then_divided  # type: ignore[method-assign]
        assert verdict_of(index, "copy", 0, 0.41) is DUPLICATE
        assert max(index.stats().cluster_sizes) <= 4

    def test_a_generation_that_is_removed_while_ours_is_to_read_it(
        self, backend: RedisBackend, client: redis.Redis
    ) -> None:
        name = backend.make(members=[member("old", point(0))]).meta.name
        index = RedisIndex(client, name, options=RedisIndexOptions(cache_bytes=0))
        catch_up = index._catch_up

        def then_removed() -> bool:
            only_grew = catch_up()
            index._catch_up = catch_up  # type: ignore[method-assign]
            build_generation(client, name, members=[member("new", point(0))])
            return only_grew

        index._catch_up = then_removed  # type: ignore[method-assign]
        assert index.decide([query("copy", point(0))])[0].duplicate_of == "id of new"

    def test_a_cell_that_somebody_else_has_shortened_is_corrupt(
        self, backend: RedisBackend, client: redis.Redis
    ) -> None:
        # No event tells of it, so it is none of ours: an error, not a guess. `verify` finds such cells at rest.
        name = backend.make(members=[member(f"s{i}", point(0, 0.2 * i)) for i in range(3)]).meta.name
        index = RedisIndex(client, name, options=RedisIndexOptions(cache_bytes=0))
        index.stats()
        client.rpop(IndexKeys(name).cell(1, 0))
        with pytest.raises(CorruptIndex, match="holds 2 members but should hold 3"):
            index.decide([query("a", point(0, 0.4))])

    def test_two_dividers_make_one_division(self, backend: RedisBackend, client: redis.Redis) -> None:
        name = backend.make(members=[member(f"s{i}", point(0, 0.2 * i)) for i in range(7)]).meta.name
        options = RedisIndexOptions(max_cluster=6)
        one, other = RedisIndex(client, name, options=options), RedisIndex(client, name, options=options)
        assert [verdict_of(one, "a", 2), verdict_of(other, "b", 3)] == [UNIQUE, UNIQUE]
        assert client.llen(IndexKeys(name).splits(1)) == 1
        assert sorted(one.stats().cluster_sizes) == sorted(other.stats().cluster_sizes) == [1, 1, 3, 4]

    def test_of_many_cells_that_grow_none_waits_long_to_be_divided(self, client: redis.Redis) -> None:
        # More cells grow with each batch than may be divided in one: those that are too large come first.
        name, rows = new_name(), unit_float16(np.random.default_rng(0).standard_normal((3200, 40)).astype(np.float32))
        build_anew(client, name, 1e-3, rows[:40].astype(np.float32), fit_sketcher(rows[:100], 8))
        index = RedisIndex(client, name, options=RedisIndexOptions(max_cluster=30))
        for start in range(0, len(rows), 64):
            index.decide([query(f"{number}", rows[number]) for number in range(start, start + 64)])
            assert max(index.stats().cluster_sizes) <= 30 + 6

    def test_removals_that_were_not_seen_undo_a_division(self, backend: RedisBackend, client: redis.Redis) -> None:
        # One out, one in: as many as before, and others. Sides told for the old ones would send them astray.
        name = backend.make(members=[member(f"s{i}", point(0, 0.2 * i)) for i in range(4)]).meta.name
        index, other = RedisIndex(client, name), RedisIndex(client, name)
        split = choose_split(0, index._view.tree, index._view.sketch(index._view.block(0).descriptors()))
        assert split is not None
        assert other._scripts.rewrite(Rewritten(0, 0), b"XKKK", other._position)
        other.decide([query("new", point(0, 1.0))])
        assert not index._scripts.split(split, 0, index._position)
        assert not index._scripts.rewrite(Rewritten(0, 0), b"KKKX", index._position)
        assert keys_of(index) == ["new", "s1", "s2", "s3"]


def decide_until_refused(index: RedisIndex) -> int:
    """Return how many images were decided before Redis took no more."""
    for batch in range(1000):
        queries = [query(f"{batch}-{i}", point(i % 4, 0.125 * i + batch / 4000)) for i in range(16)]
        try:
            index.decide(queries)
        except RedisUnavailable:
            return 16 * batch
    raise AssertionError("Redis took everything")


class TestServer:
    def test_a_flushed_script_is_loaded_again(self, backend: RedisBackend, client: redis.Redis) -> None:
        index = backend.make()
        assert verdict_of(index, "a", 0) is UNIQUE
        client.script_flush()
        assert verdict_of(index, "b", 0) is DUPLICATE

    def test_decisions_are_kept_for_a_limited_time(self, backend: RedisBackend, client: redis.Redis) -> None:
        name = backend.make().meta.name
        RedisIndex(client, name, options=RedisIndexOptions(decision_ttl_s=100)).decide([query("a", point(0))])
        assert 0 < int(client.ttl(IndexKeys(name).decided("a"))) <= 100

    @pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
    def test_a_redis_that_is_not_there(self, scheme: str) -> None:
        with pytest.raises(RedisUnavailable, match="does not answer"):
            RedisIndex(connect(f"{scheme}://127.0.0.1:1/0"), "photos")

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

    def test_a_redis_that_fills_up_under_load_keeps_every_commit_whole(self, redis_program: RedisProgram) -> None:
        with RedisServer(redis_program) as server, redis.Redis.from_url(server.url) as client:
            name = RedisBackend(server.url).make().meta.name
            keys = IndexKeys(name)
            index = RedisIndex(connect(server.url), name, options=RedisIndexOptions(max_cluster=40))
            client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 120_000)
            accepted = decide_until_refused(index)
            assert accepted > 0
            members = list(RedisIndex(client, name).members())
            assert client.llen(keys.log(1)) - client.llen(keys.splits(1)) == len(members)
            assert len(list(client.scan_iter(match=keys.decided("*")))) == accepted
            client.config_set("maxmemory", 1)
            with pytest.raises(RedisUnavailable):
                index.decide([query("x", point(0))])
            client.config_set("maxmemory", 0)
            assert verdict_of(index, "x", 0) is DUPLICATE
            assert index.stats().members == RedisIndex(client, name).stats().members

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
                with pytest.raises(Misconfigured, match="rejected") as caught:
                    RedisIndex(connect(url), name)
                assert "wrong" not in str(caught.value).replace("wrong number", "").replace("WRONGPASS", "")


class TestCluster:
    def test_all_keys_of_an_index_share_a_slot_and_indexes_spread(self, redis_cluster_url: str) -> None:
        cluster: Any = connect(redis_cluster_url)
        nodes = set()
        for name in (new_name() for _ in range(20)):
            keys = IndexKeys(name)
            generations = [keys.metadata(1), keys.centroids(1), keys.projection(1), keys.splits(1), keys.log(1)]
            every = [keys.live, keys.last, keys.generations, keys.decided("images-0-7"), *generations]
            slots = {cluster.keyslot(key) for key in [*every, keys.trimmed(1), keys.cell(1, 0), keys.cell(2, 99)]}
            assert len(slots) == 1
            nodes.add(cluster.get_node_from_key(keys.live).name)
        assert len(nodes) == 2


class TestUrls:
    @pytest.mark.parametrize("url", ["", "localhost:6379", "http://localhost", "redis://localhost:port"])
    def test_what_is_no_url(self, url: str) -> None:
        with pytest.raises(Misconfigured, match="not a Redis URL"):
            connect(url)

    @pytest.mark.parametrize(
        "url",
        [
            *("redis://localhost/O1", "redis://localhost/x", "rediss://localhost/db1", "redis://localhost:6379/1x"),
            *("redis://localhost/1/2", "redis://localhost/-1", "redis+cluster://localhost/x"),
        ],
    )
    def test_a_database_that_is_no_number(self, url: str) -> None:
        with pytest.raises(Misconfigured, match=f"not a Redis URL: {re.escape(url)}: after the port stands the number"):
            connect(url)

    @pytest.mark.parametrize("path", ["", "/", "/0", "/7", "/7/", "/7\n"])
    def test_a_database_by_its_number(self, path: str) -> None:
        with connect(f"redis://localhost{path}") as client:
            assert client.get_connection_kwargs().get("db", 0) == int(path.strip("/") or 0)

    def test_a_server_without_tls_is_told_from_one_that_is_slow(self, redis_program: RedisProgram) -> None:
        with RedisServer(redis_program) as server:
            url = server.url.replace("redis://", "rediss://")
            with pytest.raises(RedisUnavailable, match="in the TLS handshake: rediss:// is for a server that speaks"):
                live_generation(connect(url, timeout_s=0.5), "any")

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://localhost:6379/0", "redis://localhost:6379/0"),
            ("redis://:secret@localhost", "redis://:***@localhost"),
            ("redis+cluster://:secret@localhost:1", "redis+cluster://:***@localhost:1"),
            ("rediss://user:se:cr@et@localhost:1/2", "rediss://user:***@localhost:1/2"),
            ("redis://localhost?password=secret&db=2", "redis://localhost?password=***&db=2"),
            ("redis://localhost?pass%77ord=s@cret", "redis://localhost:***@cret"),
            ("rediss://user@host?ssl_password=secret", "rediss://user:***@host?ssl_password=***"),
            ("redis://:se/cr?et#x@host", "redis://:***@host"),
        ],
    )
    def test_a_password_is_not_shown(self, url: str, shown: str) -> None:
        assert masked(url) == shown

    @pytest.mark.parametrize(
        "url",
        ["redis://:se/cret@host", "redis://u:12/secret@host", "redis://u:se?cret@host", "redis://u:se#cret@host:1"],
    )
    def test_a_password_that_is_not_encoded_is_not_sent_to_a_host_of_its_name(self, url: str) -> None:
        with pytest.raises(Misconfigured, match="%2F") as caught:
            connect(url)
        assert "cret" not in "".join(traceback.format_exception(caught.value))

    @pytest.mark.parametrize("url", ["redis://:one@host", "redis://host?password=one"])
    def test_one_password_is_enough(self, url: str) -> None:
        with pytest.raises(
            Misconfigured, match="Redis URL holds a password, and another is given separately: give only one"
        ):
            connect(url, "two")

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("redis://localhost?decode_responses=true", "the parameter 'decode_responses', which is none of: "),
            ("redis+cluster://localhost?decode_responses=true", "the parameter 'decode_responses', which is none of: "),
            ("redis://localhost?sockettimeout=2", "the parameter 'sockettimeout', which is none of: .* socket_timeout"),
            ("redis://localhost?ssl_cert_reqs=none", "the parameter ssl_cert_reqs, which is for rediss://"),
            ("rediss://localhost?ssl_cert_reqs=maybe", "a value that does not work: .*: maybe"),
            ("redis://localhost?socket_timeout=soon", "not a Redis URL: .*: its socket_timeout does not work"),
            ("unix:///tmp/redis?socket_keepalive=yes", "not a Redis URL: .*: its socket_keepalive does not work"),
        ],
    )
    def test_a_parameter_that_does_not_work_is_named(self, url: str, said: str) -> None:
        with pytest.raises(Misconfigured, match=said):
            connect(url)

    @pytest.mark.parametrize(
        "url",
        [
            "redis://localhost/1?socket_timeout=2&socket_connect_timeout=2&client_name=a&max_connections=3",
            "rediss://localhost?ssl_cert_reqs=none&ssl_check_hostname=no&health_check_interval=5",
            "unix:///tmp/redis?db=1&username=a&password=b",
        ],
    )
    def test_parameters_that_do(self, url: str) -> None:
        connect(url).close()

    def test_a_file_for_tls_has_to_be_there(self) -> None:
        with pytest.raises(Misconfigured, match=r"ssl_ca_certs of the URL: there is no file '/no/ca.pem'"):
            connect("rediss://localhost?ssl_ca_certs=/no/ca.pem")


def test_the_radius_of_the_suite_is_what_the_angles_assume() -> None:
    assert RADIUS == 0.12
