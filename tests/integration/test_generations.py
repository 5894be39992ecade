"""A new generation is built and published while consumers decide: nothing is lost, nothing is there twice."""

import itertools
import multiprocessing
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pytest
import redis

import neardup.index.stored.scripts
from bootstrap.generation.snapshot import CarryOver, Stored, store
from bootstrap.live.removal import remove
from bootstrap.seeds.analyse import analyse_seeds
from bootstrap.seeds.describe import DescribedSeeds, SeedImage
from bootstrap.seeds.result import SeedResult
from neardup.descriptors.base import unit_float16
from neardup.descriptors.pixels import PixelsDescriptor
from neardup.errors import CorruptIndex, IndexMismatch, Misconfigured
from neardup.index.build import GenerationBuild
from neardup.index.carry import Predecessor, find_predecessor
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.stored.codec import encode_member
from neardup.index.stored.connection import connect
from neardup.index.stored.events import Rewritten, encode_rewritten
from neardup.index.stored.keys import IndexKeys
from neardup.search.distance import l2_distances
from neardup.search.sketches import fit_sketcher
from neardup.types import Decision, Descriptors, Member, Query, Verdict
from tests.support.processes import DEADLINE_S

pytestmark = pytest.mark.redis

PIXELS = PixelsDescriptor(2)
RADIUS = 0.1


def scenes(count: int, seed: int = 0) -> Descriptors:
    """Return images far from each other, most of them."""
    random = np.random.default_rng(seed)
    return unit_float16(random.normal(size=(count, PIXELS.dimension)).astype(np.float32))


def near(descriptor: Descriptors, l2: float, axis: int = 0) -> Descriptors:
    """Return an image at about this distance."""
    row = descriptor.astype(np.float64)
    away = np.eye(len(row))[axis] - row[axis] * row
    moved: Descriptors = unit_float16((row + l2 * away / np.linalg.norm(away))[np.newaxis].astype(np.float32))
    return np.asarray(moved[0])


@dataclass(frozen=True)
class Seeds:
    """Seed images: ids and descriptors."""

    ids: Sequence[str]
    rows: Descriptors

    @classmethod
    def of(cls, rows: Sequence[Descriptors] | Descriptors, prefix: str = "s") -> "Seeds":
        return cls([f"{prefix}{number}" for number in range(len(rows))], np.stack(list(rows)))

    def analysed(
        self, predecessor: Predecessor | None, radius: float = RADIUS, clusters: int | None = None
    ) -> SeedResult:
        described = DescribedSeeds([SeedImage(image_id) for image_id in self.ids], self.rows)
        return analyse_seeds(described, PIXELS, clusters=clusters, radius=radius, predecessor=predecessor)


def bootstrap(
    client: redis.Redis,
    name: str,
    seeds: Seeds,
    radius: float = RADIUS,
    clusters: int | None = None,
) -> tuple[Stored, SeedResult]:
    """Do what the job does once the seeds are described."""
    predecessor = find_predecessor(client, name, PIXELS.fingerprint)
    result = seeds.analysed(predecessor, radius, clusters)
    carry_over = CarryOver(predecessor, result.assembly, lambda: result.counts)
    return store(result.snapshot(), client, name, carry_over), result


def query(key: str, descriptor: Descriptors, captured_at_ms: int = 0) -> Query:
    return Query(key, f"id of {key}", descriptor, captured_at_ms)


def verdicts(index: RedisIndex, *queries: Query) -> list[str]:
    return [decision.verdict.value for decision in index.decide(queries)]


def members(client: redis.Redis, name: str) -> dict[str, Member]:
    found = list(RedisIndex(client, name).members())
    assert len({member.key for member in found}) == len(found)
    return {member.key: member for member in found}


def close_pairs(found: Sequence[Member], radius: float = RADIUS) -> int:
    rows = np.stack([member.descriptor for member in found])
    return int(np.triu(l2_distances(rows, rows) <= radius, 1).sum())


def before_the_flip(patched: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do something once, between the last look at the generation before and the flip."""
    flip = GenerationBuild._try_to_flip
    pending = [action]

    def act_and_flip(build: GenerationBuild, predecessor: Predecessor | None) -> bytes:
        if pending:
            pending.pop()()
        return flip(build, predecessor)

    patched.setattr(GenerationBuild, "_try_to_flip", act_and_flip)


# -- what is carried ---------------------------------------------------------------------------------------------------


def test_members_keep_what_they_are(client: redis.Redis, name: str) -> None:
    rows = scenes(6)
    bootstrap(client, name, Seeds.of(rows[:2]))
    index = RedisIndex(client, name)
    assert verdicts(index, query("t-0-1", rows[2], 77), query("t-0-2", near(rows[0], 0.05))) == ["unique", "duplicate"]
    stored, result = bootstrap(client, name, Seeds.of([near(rows[2], 0.05), rows[3]], "new"))
    found = members(client, name)
    assert set(found) == {"seed:s0", "seed:s1", "t-0-1", "seed:new1"}
    kept = found["t-0-1"]
    assert (kept.image_id, kept.captured_at_ms, kept.descriptor.tobytes()) == ("id of t-0-1", 77, rows[2].tobytes())
    assert result.counts == {"images": 2, "unique": 1, "duplicates": 1, "unreadable": 0, "carried": 3}
    assert stored.meta.seed == result.counts
    # The consumer moves over at its next call, and remembers.
    assert verdicts(index, query("t-0-2", rows[5]), query("t-0-3", rows[3])) == ["duplicate", "duplicate"]
    assert index.meta.generation == 2


def test_the_same_seeds_again_are_no_duplicates_of_themselves(client: redis.Redis, name: str) -> None:
    rows = scenes(5)
    bootstrap(client, name, Seeds.of([*rows, near(rows[1], 0.05)]))
    _, result = bootstrap(client, name, Seeds.of([*rows, near(rows[1], 0.05)]))
    assert result.counts == {"images": 6, "unique": 5, "duplicates": 1, "unreadable": 0, "carried": 5}
    assert len(members(client, name)) == 5
    assert result.assembly.groups() == {5 + 1: [5 + 5]}


def test_another_image_under_a_seed_s_name_is_a_member_of_its_own(client: redis.Redis, name: str) -> None:
    rows = scenes(2)
    bootstrap(client, name, Seeds.of(rows[:1]))
    for _ in range(2):
        _, result = bootstrap(client, name, Seeds.of(rows[1:]))
        assert (result.counts["unique"], result.counts["duplicates"]) == (1, 0)
        found = members(client, name)
        assert sorted(member.image_id for member in found.values()) == ["s0", "s0"]
        assert all(key.startswith("seed:s0") for key in found)


def test_a_larger_radius_keeps_the_earlier_of_two(client: redis.Redis, name: str) -> None:
    (row,) = scenes(1)
    bootstrap(client, name, Seeds.of(scenes(3, seed=1)))
    index = RedisIndex(client, name)
    later, earlier = query("later", row, 1_700_000_002_000), query("earlier", near(row, 0.15), 1_700_000_001_000)
    assert verdicts(index, later, earlier) == ["unique", "unique"]
    stored, result = bootstrap(client, name, Seeds.of([near(row, 0.18)]), radius=0.2)
    assert (stored.meta.radius, result.assembly.kept, result.assembly.left_out) == (0.2, 4, 1)
    assert set(members(client, name)) == {"seed:s0", "seed:s1", "seed:s2", "earlier"}
    assert verdicts(index, later, earlier) == ["unique", "unique"]
    for key in client.scan_iter(match=IndexKeys(name).decided("*")):
        client.delete(key)
    assert verdicts(index, earlier, later) == ["unique", "duplicate"]


def test_a_smaller_radius_keeps_all(client: redis.Redis, name: str) -> None:
    (row,) = scenes(1)
    bootstrap(client, name, Seeds.of([row]))
    bootstrap(client, name, Seeds.of([near(row, 0.05)], "new"), radius=0.02)
    assert set(members(client, name)) == {"seed:s0", "seed:new0"}


def test_another_descriptor_carries_nothing(client: redis.Redis, name: str) -> None:
    bootstrap(client, name, Seeds.of(scenes(3)))
    with pytest.raises(IndexMismatch, match="generation 1, was built with descriptor"):
        find_predecessor(client, name, "another")


def test_what_cannot_be_read_is_not_replaced_without_a_word(client: redis.Redis, name: str) -> None:
    bootstrap(client, name, Seeds.of(scenes(3)))
    client.delete(IndexKeys(name).metadata(1))
    with pytest.raises(CorruptIndex, match="bootstrap afresh"):
        find_predecessor(client, name, PIXELS.fingerprint)


def test_a_record_that_is_none_stops_the_build(client: redis.Redis, name: str) -> None:
    bootstrap(client, name, Seeds.of(scenes(3)), clusters=1)
    client.rpush(IndexKeys(name).cell(1, 0), b"nonsense")
    with pytest.raises(CorruptIndex, match="cannot be carried over: repair the index, or start afresh"):
        bootstrap(client, name, Seeds.of(scenes(3)))


# -- what comes during the build ---------------------------------------------------------------------------------------


def test_what_is_committed_just_before_the_flip_is_carried(
    client: redis.Redis, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = scenes(8)
    bootstrap(client, name, Seeds.of(rows[:2]))
    index = RedisIndex(client, name)
    before_the_flip(monkeypatch, lambda: index.decide([query("late", rows[2])]))
    _, result = bootstrap(client, name, Seeds.of(rows[3:5], "new"))
    assert set(members(client, name)) == {"seed:s0", "seed:s1", "late", "seed:new0", "seed:new1"}
    assert result.assembly.kept == 3
    assert verdicts(index, query("copy", near(rows[2], 0.03))) == ["duplicate"]


def test_a_seed_gives_way_to_what_was_published_meanwhile(
    client: redis.Redis, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, other = scenes(2)
    seed, behind = row, near(row, 0.08)
    late = near(row, -0.08)
    assert l2_distances(late[np.newaxis], behind[np.newaxis])[0, 0] > RADIUS
    bootstrap(client, name, Seeds.of([other], "first"))
    index = RedisIndex(client, name)
    before_the_flip(monkeypatch, lambda: index.decide([query("late", late)]))
    stored, result = bootstrap(client, name, Seeds.of([seed, behind]))
    assert set(members(client, name)) == {"seed:first0", "late", "seed:s1"}
    assert close_pairs(list(members(client, name).values())) == 0
    assert stored.meta.seed == {"images": 2, "unique": 1, "duplicates": 1, "unreadable": 0, "carried": 2}
    assert sum(stored.cluster_sizes) == 3
    assert result.duplicates.unique_of[1] == 3


@pytest.mark.parametrize("log_events", [4, 100_000])
def test_splits_and_a_log_that_was_cut_lose_nothing(
    client: redis.Redis, name: str, monkeypatch: pytest.MonkeyPatch, log_events: int
) -> None:
    monkeypatch.setattr(neardup.index.stored.scripts, "LOG_EVENTS", log_events)
    rows = scenes(140)
    bootstrap(client, name, Seeds.of(rows[:20]), clusters=1)
    index = RedisIndex(client, name, options=RedisIndexOptions(max_cluster=10))

    def stream() -> None:
        for start in range(20, 140, 10):
            index.decide([query(f"t-0-{number}", rows[number]) for number in range(start, start + 10)])

    before_the_flip(monkeypatch, stream)
    bootstrap(client, name, Seeds.of(scenes(10, seed=1), "new"), radius=RADIUS)
    found = members(client, name)
    decided = {f"t-0-{number}": query(f"t-0-{number}", rows[number]) for number in range(20, 140)}
    unique = {key for key, each in decided.items() if verdicts(index, each) == ["unique"]}
    assert len(unique) > 100
    assert unique <= set(found)
    assert close_pairs(list(found.values())) == 0


def test_what_is_put_into_a_cell_anew_is_carried(
    client: redis.Redis, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = scenes(4)
    bootstrap(client, name, Seeds.of(rows[:3]), clusters=1)
    keys = IndexKeys(name)

    def repair() -> None:
        client.rpush(keys.cell(1, 0), encode_member(Member("t-0-0", "repaired", rows[3])))
        client.rpush(keys.log(1), encode_rewritten(Rewritten(0, 0)))

    before_the_flip(monkeypatch, repair)
    bootstrap(client, name, Seeds.of(rows[:3]))
    assert set(members(client, name)) == {"seed:s0", "seed:s1", "seed:s2", "t-0-0"}


@pytest.mark.parametrize("log_events", [4, 100_000])
def test_what_is_removed_just_before_the_flip_is_not_carried(
    client: redis.Redis, name: str, monkeypatch: pytest.MonkeyPatch, log_events: int
) -> None:
    monkeypatch.setattr(neardup.index.stored.scripts, "LOG_EVENTS", log_events)
    rows = scenes(40)
    bootstrap(client, name, Seeds.of(rows[:20]), clusters=1)
    index = RedisIndex(client, name)

    def remove_and_stream() -> None:
        remove(client, name, ["seed:s3"], "a test")
        index.decide([query(f"t-0-{number}", rows[number]) for number in range(20, 40)])  # the log forgets the removal
        index.decide([query("t-0-40", near(rows[39], 0.5))])

    before_the_flip(monkeypatch, remove_and_stream)
    bootstrap(client, name, Seeds.of([near(rows[3], 0.05)], "new"), radius=RADIUS)
    found = members(client, name)
    assert "seed:s3" not in found
    assert {"seed:new0", "t-0-20", "t-0-40"} <= set(found)  # what would have been its duplicate is a member
    assert close_pairs(list(found.values())) == 0
    assert verdicts(index, query("copy", near(rows[3], 0.04))) == ["duplicate"]


def test_the_reply_to_the_flip_may_be_lost(client: redis.Redis, name: str) -> None:
    bootstrap(client, name, Seeds.of(scenes(3)))
    predecessor = find_predecessor(client, name, PIXELS.fingerprint)
    snapshot = Seeds.of(scenes(3)).analysed(predecessor).snapshot()
    meta = RedisIndex(client, name).meta
    build = GenerationBuild(client, meta, snapshot.cells.centroids, RedisIndex(client, name)._live.sketcher)
    build.append(0, snapshot.members)
    assert build._try_to_flip(predecessor) == build._try_to_flip(predecessor) == b"LIVE"


# -- large cells -------------------------------------------------------------------------------------------------------


def test_cells_are_divided_from_the_start(client: redis.Redis, name: str) -> None:
    rows = scenes(5000)
    stored, result = bootstrap(client, name, Seeds.of(rows), clusters=2)
    assert stored.meta.clusters == 2
    assert stored.cluster_sizes.max() <= 300
    index = RedisIndex(client, name)
    assert sorted(index.stats().cluster_sizes) == sorted(stored.cluster_sizes)
    kept = np.stack([member.descriptor for member in result.snapshot().members])
    asked = np.stack([near(row, 0.07 + 0.001 * number) for number, row in enumerate(rows[:64])])
    hits = l2_distances(asked, kept).min(axis=1) <= RADIUS
    expected = ["duplicate" if hit else "unique" for hit in hits.tolist()]
    batch = [query(f"t-0-{number}", row) for number, row in enumerate(asked)]
    # Those of the batch that are near each other as well are rare, and would show.
    assert verdicts(index, *batch) == expected


def test_a_consumer_divides_what_an_earlier_version_left_large(client: redis.Redis, name: str) -> None:
    rows = scenes(5000)
    snapshot = Seeds.of(rows).analysed(None, clusters=2).snapshot()
    meta = replace(snapshot.meta, name=name)
    build = GenerationBuild(client, meta, snapshot.cells.centroids, fit_sketcher(rows))
    for cell in range(2):
        build.append(cell, (snapshot.members[row] for row in np.flatnonzero(snapshot.clusters == cell)))
    build.publish()
    index = RedisIndex(client, name)
    kept = np.stack([member.descriptor for member in snapshot.members])
    for batch in itertools.count():
        asked = near(rows[batch], 0.09)
        hit = bool((l2_distances(asked[np.newaxis], kept) <= RADIUS).any())
        assert verdicts(index, query(f"t-0-{batch}", asked)) == ["duplicate" if hit else "unique"]
        if max(index.stats().cluster_sizes) <= 300:
            break
        assert batch < 10
        kept = np.stack([member.descriptor for member in index.members()])


# -- together ----------------------------------------------------------------------------------------------------------


def test_of_two_bootstraps_at_once_the_first_to_finish_wins(
    client: redis.Redis, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = scenes(9)
    bootstrap(client, name, Seeds.of(rows[:3]))
    index = RedisIndex(client, name)

    def another() -> None:
        index.decide([query("late", rows[3])])
        bootstrap(client, name, Seeds.of(rows[4:6], "other"))
        index.decide([query("later", rows[6])])

    with monkeypatch.context() as patched:
        before_the_flip(patched, another)
        with pytest.raises(Misconfigured, match="another bootstrap of index"):
            bootstrap(client, name, Seeds.of(rows[7:], "slow"))
    assert set(members(client, name)) == {
        "seed:s0",
        "seed:s1",
        "seed:s2",
        "late",
        "seed:other0",
        "seed:other1",
        "later",
    }
    assert {int(number) for number in client.smembers(IndexKeys(name).generations)} == {3}


def test_of_two_first_bootstraps_the_first_to_finish_wins(
    client: redis.Redis, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = scenes(4)
    with monkeypatch.context() as patched:
        before_the_flip(patched, lambda: bootstrap(client, name, Seeds.of(rows[:2])))
        with pytest.raises(Misconfigured, match="another bootstrap of index"):
            bootstrap(client, name, Seeds.of(rows[2:], "slow"))
    assert set(members(client, name)) == {"seed:s0", "seed:s1"}


def _bootstrap_and_stall(redis_url: str, name: str, seeds: Seeds, told: "multiprocessing.Queue[str]") -> None:
    """Build a generation to the point before its flip, and wait there for the end."""
    with pytest.MonkeyPatch.context() as patched:

        def stall() -> None:
            told.put("stalled")
            time.sleep(600)

        before_the_flip(patched, stall)
        bootstrap(connect(redis_url), name, seeds)


@dataclass
class Consumers:
    """Threads that decide a stream, each with a client and an index of its own, and deliver some of it again."""

    redis_url: str
    name: str
    stream: Sequence[Query]
    threads: int = 3
    batch: int = 8
    decided: dict[str, Decision] = field(default_factory=dict)
    changed: list[tuple[str, Decision, Decision]] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    generations: Counter[int] = field(default_factory=Counter)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._running = [threading.Thread(target=self._run, args=(number,)) for number in range(self.threads)]
        for thread in self._running:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._running:
            thread.join(DEADLINE_S)
            assert not thread.is_alive()

    def _run(self, number: int) -> None:
        try:
            self._consume(number)
        except BaseException as exc:  # noqa: BLE001 - the test shows it
            self.errors.append(exc)

    def _consume(self, number: int) -> None:
        random = np.random.default_rng(number)
        # A small budget: cells are read while generations come and go.
        options = RedisIndexOptions(cache_bytes=50_000, max_cluster=40)
        index = RedisIndex(connect(self.redis_url), self.name, options=options)
        partition = self.stream[number :: self.threads]
        # Once through, it is delivered all over again.
        for start in itertools.cycle(range(0, len(partition), self.batch)):
            if self._stop.is_set():
                return
            again = [partition[int(at)] for at in random.integers(0, start + 1, 2)]
            asked = [*partition[start : start + self.batch], *again]
            for each, decision in zip(asked, index.decide(asked), strict=True):
                self._note(each.key, decision)
            self.generations[index.meta.generation] += 1

    def _note(self, key: str, decision: Decision) -> None:
        first = self.decided.setdefault(key, decision)
        if first != decision:
            self.changed.append((key, first, decision))

    def wait_for(self, batches: int) -> None:
        """Wait until so many more batches were decided."""
        target = self.generations.total() + batches
        deadline_s = time.monotonic() + DEADLINE_S
        while self.generations.total() < target:
            assert time.monotonic() < deadline_s
            assert not self.errors
            time.sleep(0.005)


def stream_of(rows: Descriptors, copies: int) -> list[Query]:
    """Return near copies of each image, those of one image about at the same time in different partitions."""
    random = np.random.default_rng(5)
    queries = []
    for number, row in enumerate(rows):
        for copy in range(copies):
            offset = near(row, random.uniform(0, 0.12), int(random.integers(PIXELS.dimension)))
            queries.append(query(f"t-{copy}-{number}", offset))
    return queries


def audit(client: redis.Redis, name: str, consumers: Consumers, seeds: Sequence[Seeds]) -> None:
    assert not consumers.errors
    assert not consumers.changed
    found = members(client, name)
    assert close_pairs(list(found.values())) == 0
    unique = {key for key, decision in consumers.decided.items() if decision.verdict is Verdict.UNIQUE}
    assert unique == {key for key in found if not key.startswith("seed:")}
    ids = {member.image_id for member in found.values()}
    assert {decision.duplicate_of for decision in consumers.decided.values()} - {None} <= ids
    rows = np.stack([member.descriptor for member in found.values()])
    for each in seeds:
        assert (l2_distances(each.rows, rows).min(axis=1) <= RADIUS).all()


def test_consumers_go_on_while_bootstraps_come_one_after_the_other(
    client: redis.Redis, redis_url: str, name: str
) -> None:
    rows = scenes(1500)
    stream = stream_of(rows, 3)
    bootstraps = [Seeds.of([near(row, 0.06) for row in rows[part::5]], f"part{part}-") for part in range(3)]
    bootstrap(client, name, bootstraps[0], clusters=7)
    with Consumers(redis_url, name, stream) as consumers:
        for seeds in bootstraps[1:]:
            consumers.wait_for(20)
            bootstrap(client, name, seeds)
        consumers.wait_for(20)
        bootstrap(client, name, bootstraps[0])
        consumers.wait_for(10)
    assert set(consumers.generations) == {1, 2, 3, 4}
    audit(client, name, consumers, bootstraps)


def test_a_bootstrap_that_is_killed_disturbs_nobody(client: redis.Redis, redis_url: str, name: str) -> None:
    rows = scenes(600)
    seeds = Seeds.of(rows[::3])
    bootstrap(client, name, seeds)
    context = multiprocessing.get_context("spawn")
    told: multiprocessing.Queue[str] = context.Queue()
    more = Seeds.of([near(row, 0.06) for row in rows[1::3]], "more")
    process = context.Process(target=_bootstrap_and_stall, args=(redis_url, name, more, told))
    process.start()
    with Consumers(redis_url, name, stream_of(rows, 2)) as consumers:
        assert told.get(timeout=DEADLINE_S) == "stalled"
        consumers.wait_for(5)
        process.kill()
        process.join(DEADLINE_S)
        assert process.exitcode == -signal.SIGKILL
        consumers.wait_for(5)
        assert RedisIndex(client, name).meta.generation == 1
        assert {int(number) for number in client.smembers(IndexKeys(name).generations)} == {1, 2}
        bootstrap(client, name, more)
        consumers.wait_for(5)
    audit(client, name, consumers, [seeds, more])
    assert RedisIndex(client, name).meta.generation == 3
    left = [key.decode() for key in client.scan_iter(match=f"{IndexKeys(name).prefix}g*", count=1000)]
    assert all(":g3:" in key or key.endswith(":generations") for key in left)
