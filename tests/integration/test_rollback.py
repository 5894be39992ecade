"""The generation before a bootstrap is kept, made live again, given up; consumers go on meanwhile."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import redis
from redis.commands.core import Script

from bootstrap.generation.snapshot import CarryOver, store
from bootstrap.index import main
from bootstrap.live.inspection import stats
from bootstrap.live.reading import LiveGeneration
from bootstrap.live.removal import remove
from bootstrap.live.rollback import release, rollback
from bootstrap.live.verify import Verification
from neardup.errors import IndexMismatch, Misconfigured, Unavailable
from neardup.index.build import GenerationBuild
from neardup.index.carry import Predecessor, find_predecessor
from neardup.index.redis import RedisIndex
from neardup.index.restore import RestoredGeneration
from neardup.index.stored.codec import encode_member
from neardup.index.stored.connection import connect
from neardup.index.stored.generations import memory_of, previous_generation
from neardup.index.stored.keys import IndexKeys
from neardup.search.distance import l2_distances
from neardup.types import Decision, Descriptors, Verdict
from tests.integration.test_generations import (
    PIXELS,
    RADIUS,
    Consumers,
    Seeds,
    before_the_flip,
    close_pairs,
    members,
    near,
    query,
    scenes,
    stream_of,
    verdicts,
)
from tests.support.indexes import forget_decisions
from tests.support.live_index import remove_keys

pytestmark = pytest.mark.redis

KEEP_MS = 3_600_000
SLACK_MS = 60_000
ROWS = scenes(40)


def bootstrap(  # noqa: PLR0917 - all that a generation may differ in
    client: redis.Redis,
    name: str,
    seeds: Seeds,
    radius: float = RADIUS,
    keep_ms: int = KEEP_MS,
    fingerprint: str = PIXELS.fingerprint,
    *,
    fresh: bool = False,
) -> None:
    """Do what the job does once the seeds are described."""
    predecessor = None if fresh else find_predecessor(client, name, fingerprint)
    result = seeds.analysed(predecessor, radius)
    snapshot = result.snapshot()
    snapshot = replace(snapshot, meta=replace(snapshot.meta, fingerprint=fingerprint))
    carry_over = CarryOver(predecessor, result.assembly, lambda: result.counts) if predecessor else None
    store(snapshot, client, name, carry_over, keep_ms=keep_ms)


def roll_back(client: redis.Redis, name: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - its own options
    return rollback(client, name, **{"keep_ms": KEEP_MS, **options})


def generations(client: Any, name: str) -> tuple[int, int | None]:  # noqa: ANN401 - redis.Redis, whose types are too wide
    """Return the live generation and the previous one."""
    previous = previous_generation(client, name)
    return LiveGeneration(client, name).number, previous.generation if previous else None


def keys_of(client: Any, name: str, generation: int) -> list[bytes]:  # noqa: ANN401 - redis.Redis, whose types are too wide
    return list(client.scan_iter(match=IndexKeys(name).of_generation(generation), count=1000))


def assert_holds(client: redis.Redis, name: str) -> None:
    document = Verification(client, name).run()
    assert [check for check in document["checks"] if check["wrong"]] == []


@pytest.fixture
def two(client: redis.Redis, name: str) -> str:
    """Name of an index whose second generation has dropped members of the first, by a wider radius, and has others."""
    crowd = [near(ROWS[0], 0.15 * number, number) for number in range(1, 7)]
    bootstrap(client, name, Seeds.of([*ROWS[:10], *crowd]))
    bootstrap(client, name, Seeds.of(ROWS[10:13], "new"), radius=0.6)
    return name


# -- back and forth ---------------------------------------------------------------------------------------------------


def test_a_rollback_restores_every_member_and_can_be_rolled_back_itself(client: redis.Redis, name: str) -> None:
    crowd = [near(ROWS[0], 0.15 * number, number) for number in range(1, 7)]
    bootstrap(client, name, Seeds.of([*ROWS[:10], *crowd]))
    first = members(client, name)
    bootstrap(client, name, Seeds.of(ROWS[10:13], "new"), radius=0.6)
    second = members(client, name)
    dropped = first.keys() - second.keys()
    assert dropped
    document = roll_back(client, name)
    assert members(client, name).keys() == first.keys()
    assert RedisIndex(client, name).meta.radius == RADIUS
    assert (document["back"], document["gone"], document["changed"]) == (len(dropped), 3, ["radius 0.6 -> 0.1"])
    assert generations(client, name) == (1, 2)
    assert_holds(client, name)
    document = roll_back(client, name)
    assert members(client, name).keys() == second.keys()
    assert (document["back"], document["gone"]) == (3, len(dropped))
    assert generations(client, name) == (2, 1)
    assert_holds(client, name)


def test_uniques_that_consumers_added_since_are_carried_over(client: redis.Redis, two: str) -> None:
    idle, follows = RedisIndex(client, two), RedisIndex(client, two)
    roll_back(client, two)  # back to the first: `follows` and `idle` have the second open
    assert verdicts(follows, query("first", ROWS[20])) == ["unique"]
    late = RedisIndex(client, two)
    document = roll_back(client, two)
    assert document["added"] == {"all": 1, "carried": 1, "duplicates": 0, "lost": 0}
    assert "first" in members(client, two)
    # Whoever has seen each switch, the last or none knows it as a member.
    for number, index in enumerate((idle, follows, late)):
        assert verdicts(index, query(f"copy-{number}", near(ROWS[20], 0.03))) == ["duplicate"]
        assert index.meta.generation == 2
    assert verdicts(follows, query("second", ROWS[21])) == ["unique"]
    assert roll_back(client, two)["added"]["carried"] == 1
    assert {"first", "second"} <= members(client, two).keys()
    assert_holds(client, two)


def test_what_the_newer_one_s_bootstrap_brought_is_not_carried(client: redis.Redis, two: str) -> None:
    index = RedisIndex(client, two)
    assert verdicts(index, query("t-0-1", ROWS[20])) == ["unique"]
    roll_back(client, two)
    assert {key for key in members(client, two) if "new" in key} == set()


def test_what_is_alike_to_a_member_that_is_back_is_left_out(client: redis.Redis, name: str) -> None:
    bootstrap(client, name, Seeds.of(ROWS[:5]))
    bootstrap(client, name, Seeds.of(ROWS[5:6], "by mistake"), fresh=True)
    index = RedisIndex(client, name)
    again = [query(f"t-0-{number}", near(ROWS[number], 0.03), 10 - number) for number in range(5)]
    assert verdicts(index, *again, query("t-0-9", ROWS[9])) == ["unique"] * 6
    document = roll_back(client, name)
    assert document["added"] == {"all": 6, "carried": 1, "duplicates": 5, "lost": 0}
    assert (document["back"], document["gone"]) == (5, 1)
    found = members(client, name)
    assert found.keys() == {*(f"seed:s{number}" for number in range(5)), "t-0-9"}
    assert close_pairs(list(found.values())) == 0
    # What was published stays so while it is remembered.
    assert verdicts(index, again[0]) == ["unique"]


def test_of_two_that_are_alike_by_the_earlier_relation_the_earlier_image_stays(client: redis.Redis, name: str) -> None:
    bootstrap(client, name, Seeds.of(ROWS[:3]), radius=0.3)
    bootstrap(client, name, Seeds.of(ROWS[3:4], "new"), radius=0.05)
    index = RedisIndex(client, name)
    later, earlier = query("later", ROWS[9], 2000), query("earlier", near(ROWS[9], 0.2), 1000)
    assert verdicts(index, later, earlier) == ["unique", "unique"]
    assert roll_back(client, name)["added"] == {"all": 2, "carried": 1, "duplicates": 1, "lost": 0}
    assert {"later", "earlier"} & members(client, name).keys() == {"earlier"}


def test_more_than_a_batch_and_more_than_the_log_are_carried(
    client: redis.Redis, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neardup.index.stored.scripts.LOG_EVENTS", 20)
    rows = scenes(700, seed=3)
    bootstrap(client, name, Seeds.of(ROWS[:3]))
    bootstrap(client, name, Seeds.of(ROWS[3:5], "new"))
    index = RedisIndex(client, name)
    unique = set()
    for start in range(0, 700, 100):
        batch = [query(f"t-0-{number}", rows[number]) for number in range(start, start + 100)]
        unique |= {
            each.key for each, verdict in zip(batch, verdicts(index, *batch), strict=True) if verdict == "unique"
        }
    assert len(unique) > 600
    document = roll_back(client, name)
    assert document["added"]["all"] == document["added"]["carried"] + document["added"]["duplicates"] == len(unique)
    found = members(client, name)
    assert close_pairs(list(found.values())) == 0
    kept = np.stack([member.descriptor for member in found.values()])
    for key in unique - found.keys():
        assert (l2_distances(rows[int(key[4:])][np.newaxis], kept) <= RADIUS).any()
    for number in range(6):  # a batch divides what has become too large, once
        verdicts(index, query(f"next-{number}", ROWS[30 + number]))
    assert_holds(client, name)


# -- what would be lost -----------------------------------------------------------------------------------------------


@pytest.fixture
def described_anew(client: redis.Redis, name: str) -> str:
    """Name of an index that another descriptor took over, with two uniques of its consumers."""
    bootstrap(client, name, Seeds.of(ROWS[:5]))
    bootstrap(client, name, Seeds.of(ROWS[5:8], "other"), fingerprint="another", fresh=True)
    index = RedisIndex(client, name)
    assert verdicts(index, query("t-0-1", ROWS[20]), query("t-0-2", ROWS[21])) == ["unique", "unique"]
    return name


def test_a_loss_is_counted_and_has_to_be_allowed(client: redis.Redis, described_anew: str) -> None:
    name = described_anew
    before = members(client, name)
    with pytest.raises(Misconfigured, match=r"2 unique images that consumers added to generation 2 would be lost: "):
        roll_back(client, name)
    assert members(client, name).keys() == before.keys()
    assert generations(client, name) == (2, 1)
    index = RedisIndex(client, name)
    document = roll_back(client, name, allow_dropping=True)
    assert document["added"] == {"all": 2, "carried": 0, "duplicates": 0, "lost": 2}
    assert members(client, name).keys() == {f"seed:s{number}" for number in range(5)}
    # Consumers stop as they do after a bootstrap with another descriptor.
    assert document["stops_consumers"]
    with pytest.raises(IndexMismatch):
        verdicts(index, query("t-0-3", ROWS[22]))


def test_what_the_restored_one_has_itself_is_not_lost(client: redis.Redis, name: str) -> None:
    bootstrap(client, name, Seeds.of(ROWS[:5]))
    assert verdicts(RedisIndex(client, name), query("t-0-1", ROWS[20])) == ["unique"]
    bootstrap(client, name, Seeds.of(ROWS[5:8], "other"), fingerprint="another", fresh=True)
    forget_decisions(client, name)
    assert verdicts(RedisIndex(client, name), query("t-0-1", ROWS[20])) == ["unique"]
    assert roll_back(client, name)["added"] == {"all": 1, "carried": 1, "duplicates": 0, "lost": 0}
    assert "t-0-1" in members(client, name)


def test_the_command_says_what_it_does(
    client: redis.Redis, redis_url: str, described_anew: str, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"NEARDUP_REDIS_URL": redis_url, "NEARDUP_INDEX": described_anew}
    stored = snapshot_of(client, described_anew)
    assert main(["rollback"], environ) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if " INFO " not in line]
    assert "2 unique images" in line
    assert "--allow-dropping" in line
    assert main(["rollback", "--dry-run"], environ) == 0
    said = capsys.readouterr().out
    assert "would be live" in said
    assert "refused with exit code 2" in said
    assert main(["rollback", "--dry-run", "--allow-dropping", "--json"], environ) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["added"]["lost"], document["refusal"]) == (2, "")
    assert snapshot_of(client, described_anew) == stored
    assert main(["rollback", "--allow-dropping", "--keep-previous", "off"], environ) == 0
    assert "2 lost" in capsys.readouterr().out
    assert main(["release"], environ) == 0
    assert "nothing to release" in capsys.readouterr().out
    assert main(["rollback"], environ) == 2
    assert "has no previous generation" in capsys.readouterr().err


def snapshot_of(client: Any, name: str) -> dict[bytes, bytes]:  # noqa: ANN401 - redis.Redis, whose types are too wide
    return {key: client.dump(key) for key in client.scan_iter(match=IndexKeys(name).pattern, count=1000)}


# -- what was removed on request --------------------------------------------------------------------------------------


def test_what_was_removed_stays_away(client: redis.Redis, two: str) -> None:
    roll_back(client, two)
    slept = RedisIndex(client, two)  # it knows the first generation with the member
    roll_back(client, two)
    gone = members(client, two)["seed:s3"]
    remove(client, two, ["seed:s3"], "legal")
    document = roll_back(client, two)
    assert (document["removed"], document["members"]) == (1, 15)
    assert generations(client, two) == (1, 2)
    assert "seed:s3" not in members(client, two)
    assert_holds(client, two)
    # A new copy is unique for whoever has slept through all of it, and for whoever begins now.
    assert verdicts(slept, query("copy", near(gone.descriptor, 0.03))) == ["unique"]
    assert verdicts(RedisIndex(client, two), query("again", near(gone.descriptor, 0.04))) == ["duplicate"]
    assert roll_back(client, two)["removed"] == 0
    found = members(client, two)
    assert "seed:s3" not in found
    assert "copy" in found


def test_what_was_removed_before_a_bootstrap_stays_away(client: redis.Redis, name: str) -> None:
    bootstrap(client, name, Seeds.of(ROWS[:5]))
    remove(client, name, ["seed:s3"], "legal")
    bootstrap(client, name, Seeds.of(ROWS[3:6], "new"))
    assert "seed:new0" in members(client, name)  # the same picture, under another name
    assert roll_back(client, name)["removed"] == 0
    assert members(client, name).keys() == {f"seed:s{number}" for number in (0, 1, 2, 4)}
    assert verdicts(RedisIndex(client, name), query("copy", near(ROWS[3], 0.03))) == ["unique"]
    assert_holds(client, name)


def test_a_dry_run_tells_what_stays_away(client: redis.Redis, two: str) -> None:
    remove(client, two, ["seed:s3", "seed:s4"], "legal")
    stored = snapshot_of(client, two)
    planned = roll_back(client, two, dry_run=True)
    assert (planned["removed"], planned["members"]) == (2, 14)
    assert snapshot_of(client, two) == stored
    assert {**planned, "dry_run": False} == {**roll_back(client, two), "refusal": ""}


def test_what_was_removed_and_is_a_member_again_comes_back(client: redis.Redis, name: str) -> None:
    bootstrap(client, name, Seeds.of(ROWS[:3]))
    again = query("t-0-1", ROWS[20])
    assert verdicts(RedisIndex(client, name), again) == ["unique"]
    bootstrap(client, name, Seeds.of(ROWS[3:4], "new"))
    remove(client, name, ["t-0-1"], "legal")
    forget_decisions(client, name)
    assert verdicts(RedisIndex(client, name), again) == ["unique"]
    assert roll_back(client, name)["removed"] == 0
    assert "t-0-1" in members(client, name)
    assert_holds(client, name)


@pytest.mark.parametrize("died", [False, True])
def test_what_is_removed_just_before_the_switch_stays_away(
    client: redis.Redis, name: str, monkeypatch: pytest.MonkeyPatch, *, died: bool
) -> None:
    bootstrap(client, name, Seeds.of(ROWS[:3]), radius=0.3)
    bootstrap(client, name, Seeds.of(ROWS[3:4], "new"), radius=0.05)
    index = RedisIndex(client, name)
    # By the radius before, the second is a duplicate of the first, and the third of a member from then.
    added = [query("first", ROWS[9], 1), query("second", near(ROWS[9], 0.2), 2), query("third", near(ROWS[0], 0.2), 3)]
    assert verdicts(index, *added) == ["unique"] * 3
    looked: list[int] = []

    def act() -> None:
        looked.append(len(members(client, name)))
        remove(client, name, ["first", "seed:s0"], "legal")
        if died:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        before_the_switch(patched, act)
        if died:
            with pytest.raises(KeyboardInterrupt):
                roll_back(client, name)
            assert generations(client, name) == (2, 1)
        document = roll_back(client, name)
    assert looked == [7]
    # The first was restored by then; it left again with the other, and what had been alike to them was judged anew.
    assert document["removed"] == 2
    assert document["added"] == {"all": 2, "carried": 2, "duplicates": 0, "lost": 0}
    assert members(client, name).keys() == {"seed:s1", "seed:s2", "second", "third"}
    assert_holds(client, name)


def test_removals_that_never_end_are_told(client: redis.Redis, two: str, monkeypatch: pytest.MonkeyPatch) -> None:
    append, left = RestoredGeneration.append, iter(range(10))

    def remove_and_append(restored: RestoredGeneration) -> None:
        append(restored)
        remove(client, two, [f"seed:s{next(left)}"], "legal")

    monkeypatch.setattr(RestoredGeneration, "append", remove_and_append)
    monkeypatch.setattr("bootstrap.live.rollback._ATTEMPTS", 3)
    with pytest.raises(Unavailable, match="run this again"):
        roll_back(client, two)
    assert generations(client, two) == (2, 1)


def test_a_release_erases_what_was_removed(client: Any, two: str) -> None:  # noqa: ANN401 - redis.Redis, whose types are too wide
    record = encode_member(members(client, two)["seed:s3"])
    remove(client, two, ["seed:s3"], "legal")
    assert [b":g1:cell:" in key for key in cells_with(client, two, record)] == [True]
    release(client, two)
    assert cells_with(client, two, record) == []


def cells_with(client: Any, name: str, record: bytes) -> list[bytes]:  # noqa: ANN401 - as above
    lists = [key for key in client.scan_iter(match=IndexKeys(name).pattern) if b":cell:" in key]
    return [key for key in lists if record in client.lrange(key, 0, -1)]


# -- after other commands ---------------------------------------------------------------------------------------------


def test_another_radius_is_undone(
    client: redis.Redis, redis_url: str, two: str, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"NEARDUP_REDIS_URL": redis_url, "NEARDUP_INDEX": two}
    before = members(client, two)
    assert main(["set-radius", "1.2", "--allow-dropping"], environ) == 0
    said = capsys.readouterr().out
    assert "generation 2, kept for another " in said
    assert "neardup index rollback" in said
    assert len(members(client, two)) < len(before)
    assert main(["rollback"], environ) == 0
    assert "radius 1.2 -> 0.6" in capsys.readouterr().out
    assert before.keys() <= members(client, two).keys()
    assert generations(client, two) == (2, 3)
    assert_holds(client, two)


def test_another_radius_keeps_nothing_if_told(client: redis.Redis, redis_url: str, two: str) -> None:
    environ = {"NEARDUP_REDIS_URL": redis_url, "NEARDUP_INDEX": two}
    assert main(["set-radius", "0.5", "--keep-previous", "off"], environ) == 0
    assert generations(client, two) == (3, None)
    assert not keys_of(client, two, 2)


def test_a_copy_that_took_a_place_gives_it_back(
    client: redis.Redis, redis_url: str, two: str, capsys: pytest.CaptureFixture[str]
) -> None:
    to = f"{two}-copy"
    environ = {"NEARDUP_REDIS_URL": redis_url, "NEARDUP_INDEX": two}
    try:
        bootstrap(client, to, Seeds.of([*ROWS[30:33], ROWS[12]], "other"))
        copy = ["copy-to", redis_url, "--to-index", to, "--overwrite"]
        assert main(copy, environ) == 0
        assert "generation 1, kept for another " in capsys.readouterr().out
        assert members(client, to).keys() == members(client, two).keys()
        assert verdicts(RedisIndex(client, to), query("t-0-1", ROWS[35])) == ["unique"]
        assert main(["rollback", "--index", to], environ) == 0
        assert members(client, to).keys() == {*(f"seed:other{number}" for number in range(4)), "t-0-1"}
        assert_holds(client, to)
        assert main([*copy, "--keep-previous", "off"], environ) == 0
        assert generations(client, to) == (3, None)
    finally:
        remove_keys(client, to)


# -- how long ---------------------------------------------------------------------------------------------------------


def assert_expiring(client: Any, name: str, generation: int) -> None:  # noqa: ANN401 - redis.Redis, whose types are too wide
    found = keys_of(client, name, generation)
    assert found
    assert all(KEEP_MS < client.pttl(key) <= KEEP_MS + SLACK_MS for key in found)
    assert 0 < client.pttl(IndexKeys(name).previous) <= KEEP_MS


def assert_lasting(client: Any, name: str, generation: int) -> None:  # noqa: ANN401 - redis.Redis, whose types are too wide
    known = IndexKeys(name).known(generation).encode()
    left = {key: client.pttl(key) for key in keys_of(client, name, generation)}
    assert 0 < left.pop(known) <= KEEP_MS
    assert left
    assert set(left.values()) == {-1}


def test_every_key_that_is_kept_has_an_end_and_no_other(
    client: redis.Redis, two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_expiring(client, two, 1)
    assert_lasting(client, two, 2)
    verdicts(RedisIndex(client, two), query("t-0-1", ROWS[20]))
    with monkeypatch.context() as patched:
        patched.setattr(
            "bootstrap.live.rollback.remove_generation", None
        )  # nothing is left to the time after the switch
        roll_back(client, two)
    assert_expiring(client, two, 2)
    assert_lasting(client, two, 1)


def test_the_switch_itself_sets_the_end(client: redis.Redis, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap(client, name, Seeds.of(ROWS[:5]))

    def die(_: GenerationBuild) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(GenerationBuild, "_remove_earlier", die)
    with pytest.raises(KeyboardInterrupt):
        bootstrap(client, name, Seeds.of(ROWS[5:6], "new"))
    assert_expiring(client, name, 1)
    assert_lasting(client, name, 2)


def test_only_one_is_kept(client: redis.Redis, two: str) -> None:
    bootstrap(client, two, Seeds.of(ROWS[13:14], "third"), radius=0.6)
    assert generations(client, two) == (3, 2)
    assert not keys_of(client, two, 1)
    assert client.smembers(IndexKeys(two).generations) == {b"2", b"3"}
    roll_back(client, two)
    bootstrap(client, two, Seeds.of(ROWS[14:15], "fourth"), radius=0.6)
    assert generations(client, two) == (4, 2)
    assert not keys_of(client, two, 3)


@pytest.mark.parametrize("how", [bootstrap, roll_back])
def test_off_keeps_none(client: redis.Redis, two: str, how: Callable[..., object]) -> None:
    given = {"seeds": Seeds.of(ROWS[13:14], "third"), "radius": 0.6} if how is bootstrap else {}
    how(client, two, keep_ms=0, **given)
    live, previous = generations(client, two)
    assert previous is None
    assert {key for number in (1, 2, 3) for key in keys_of(client, two, number)} == set(keys_of(client, two, live))
    assert not client.exists(IndexKeys(two).known(live))
    with pytest.raises(Misconfigured, match="has no previous generation"):
        roll_back(client, two)


def test_after_its_time_there_is_none(client: redis.Redis, two: str) -> None:
    client.pexpireat(IndexKeys(two).previous, 1)
    assert previous_generation(client, two) is None
    with pytest.raises(Misconfigured, match="its time has passed"):
        roll_back(client, two)


def test_a_release_frees_what_was_kept(client: redis.Redis, two: str) -> None:
    live = snapshot_of(client, two)
    document = release(client, two)
    assert (document["released"], document["members"]) == (1, 16)
    assert document["freed_bytes"] > 16 * 2 * PIXELS.dimension
    assert not keys_of(client, two, 1)
    assert generations(client, two) == (2, None)
    kept = snapshot_of(client, two)
    gone = {IndexKeys(two).previous.encode(), IndexKeys(two).generations.encode()}
    assert kept.keys() | gone == {key for key in live if b":g1:" not in key}
    assert all(live[key] == kept[key] for key in kept.keys() - gone)
    assert release(client, two)["released"] is None
    assert_holds(client, two)


@pytest.mark.parametrize(
    ("part", "stored"),
    [
        ("meta", b"{"),
        ("meta", b'{"clusters":1e300,"dimension":1}'),
        ("meta", b"[]"),
        ("meta", b'{"clusters":"many","dimension":12}'),
        ("centroids", b""),
        ("splits", b"no list"),
        ("live", b"no number"),
    ],
)
def test_a_corrupt_generation_is_not_kept_in_place_of_a_whole_one(
    client: redis.Redis, two: str, part: str, stored: bytes
) -> None:
    keys = IndexKeys(two)
    client.set(keys.live if part == "live" else f"{keys.prefix}g2:{part}", stored)
    bootstrap(client, two, Seeds.of(ROWS[13:14], "third"), fresh=True)
    assert generations(client, two) == (3, 1)
    assert not keys_of(client, two, 2)
    roll_back(client, two)
    assert len(members(client, two)) == 16


def test_stats_tell_of_it(client: redis.Redis, two: str) -> None:
    document = stats(LiveGeneration(client, two))
    assert document["previous"]["generation"] == 1
    assert 0 < document["previous"]["left_s"] <= KEEP_MS / 1000
    assert document["memory_bytes"]["previous"] > 0
    release(client, two)
    assert stats(LiveGeneration(client, two))["previous"] is None


# -- meanwhile --------------------------------------------------------------------------------------------------------


def before_the_switch(patched: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do something once, between the last look at the newer generation and the switch."""
    append, pending = RestoredGeneration.append, [action]

    def append_and_act(restored: RestoredGeneration) -> None:
        append(restored)
        if pending:
            pending.pop()()

    patched.setattr(RestoredGeneration, "append", append_and_act)


def test_what_is_committed_just_before_the_switch_is_carried(
    client: redis.Redis, two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = RedisIndex(client, two)
    before_the_switch(monkeypatch, lambda: verdicts(index, query("late", ROWS[20]), query("later", ROWS[21])))
    assert roll_back(client, two)["added"] == {"all": 2, "carried": 2, "duplicates": 0, "lost": 0}
    assert {"late", "later"} <= members(client, two).keys()


def test_a_loss_that_comes_just_before_the_switch_is_refused(
    client: redis.Redis, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap(client, name, Seeds.of(ROWS[:5]))
    bootstrap(client, name, Seeds.of(ROWS[5:8], "other"), fingerprint="another", fresh=True)
    index = RedisIndex(client, name)
    before_the_switch(monkeypatch, lambda: verdicts(index, query("late", ROWS[20])))
    with pytest.raises(Misconfigured, match="1 unique images"):
        roll_back(client, name)
    assert generations(client, name) == (2, 1)


@pytest.mark.parametrize("other", ["bootstrap", "release", "time"])
def test_what_comes_first_wins(client: redis.Redis, two: str, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    index = RedisIndex(client, two)
    assert verdicts(index, query("added", ROWS[20])) == ["unique"]

    def act() -> None:
        if other == "bootstrap":
            bootstrap(client, two, Seeds.of(ROWS[13:14], "third"), radius=0.6)
        elif other == "release":
            release(client, two)
        else:
            client.pexpireat(IndexKeys(two).previous, 1)

    before_the_switch(monkeypatch, act)
    with pytest.raises(Misconfigured, match="came first"):
        roll_back(client, two)
    assert "added" in members(client, two)
    assert generations(client, two)[0] == (3 if other == "bootstrap" else 2)


def test_a_bootstrap_that_is_overtaken_by_a_rollback_gives_way(
    client: redis.Redis, two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_the_flip(monkeypatch, lambda: roll_back(client, two))
    with pytest.raises(Misconfigured, match="finished while this one ran, or a rollback did"):
        bootstrap(client, two, Seeds.of(ROWS[13:14], "third"), radius=0.6)
    assert generations(client, two) == (1, 2)
    assert not keys_of(client, two, 3)


def test_a_bootstrap_gives_way_to_a_later_one_that_was_rolled_back(
    client: redis.Redis, two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bootstrap_and_roll_back() -> None:
        bootstrap(client, two, Seeds.of(ROWS[14:15], "later"), radius=0.6)
        assert not keys_of(client, two, 3)  # what a later one finds half built it removes
        roll_back(client, two)

    before_the_flip(monkeypatch, bootstrap_and_roll_back)
    with pytest.raises(Misconfigured, match="finished while this one ran, or a rollback did"):
        bootstrap(client, two, Seeds.of(ROWS[13:14], "third"), radius=0.6)
    assert generations(client, two) == (2, 4)
    assert_holds(client, two)
    assert not keys_of(client, two, 3)


def test_one_that_was_live_and_replaced_before_its_build_heard_of_it_is_kept(
    client: redis.Redis, two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip = GenerationBuild._try_to_flip

    def lose_the_reply(build: GenerationBuild, predecessor: Predecessor | None) -> bytes:
        assert flip(build, predecessor) == b"LIVE"
        monkeypatch.setattr(GenerationBuild, "_try_to_flip", flip)
        bootstrap(client, two, Seeds.of(ROWS[14:15], "later"), radius=0.6)
        return flip(build, predecessor)

    monkeypatch.setattr(GenerationBuild, "_try_to_flip", lose_the_reply)
    with pytest.raises(Misconfigured, match="finished while this one ran"):
        bootstrap(client, two, Seeds.of(ROWS[13:14], "third"), radius=0.6)
    assert generations(client, two) == (4, 3)
    roll_back(client, two)
    assert generations(client, two) == (3, 4)
    assert "seed:third0" in members(client, two)
    assert_holds(client, two)


def test_one_that_died_halfway_is_done_again(client: redis.Redis, two: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index = RedisIndex(client, two)
    added = [query(f"t-0-{number}", ROWS[number]) for number in range(20, 26)]
    assert verdicts(index, *added) == ["unique"] * 6

    def die() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        before_the_switch(patched, die)
        with pytest.raises(KeyboardInterrupt):
            roll_back(client, two)
    assert generations(client, two) == (2, 1)
    assert_expiring(client, two, 1)
    assert verdicts(index, query("more", ROWS[26])) == ["unique"]
    assert roll_back(client, two)["added"] == {"all": 7, "carried": 7, "duplicates": 0, "lost": 0}
    assert {"more", *(each.key for each in added)} <= members(client, two).keys()
    assert_holds(client, two)


def test_replies_may_be_lost(client: redis.Redis, two: str, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts(RedisIndex(client, two), query("added", ROWS[20]))
    call = Script.__call__

    def call_twice(script: Script, *arguments: object, **options: object) -> object:
        call(script, *arguments, **options)  # type: ignore[arg-type] # whatever it takes
        return call(script, *arguments, **options)  # type: ignore[arg-type] # as above

    monkeypatch.setattr(Script, "__call__", call_twice)
    assert roll_back(client, two)["added"]["carried"] == 1
    assert generations(client, two) == (1, 2)
    assert_holds(client, two)


def test_a_release_that_is_overtaken_removes_nothing(
    client: redis.Redis, two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def roll_back_and_measure(asked: redis.Redis, keys: IndexKeys, generation: int) -> int:
        roll_back(client, two)
        return memory_of(asked, keys, generation)

    monkeypatch.setattr("bootstrap.live.rollback.memory_of", roll_back_and_measure)
    with pytest.raises(Unavailable, match="run this again"):
        release(client, two)
    assert generations(client, two) == (1, 2)
    assert len(members(client, two)) == 16


def test_of_two_at_once_both_make_the_same_switch(
    client: redis.Redis, two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verdicts(RedisIndex(client, two), query("added", ROWS[20])) == ["unique"]
    before_the_switch(monkeypatch, lambda: roll_back(client, two))
    roll_back(client, two)
    assert generations(client, two) == (1, 2)
    assert [key for key in members(client, two) if key == "added"] == ["added"]
    assert_holds(client, two)


def test_consumers_go_on_while_generations_go_back_and_forth(client: redis.Redis, redis_url: str, name: str) -> None:
    rows = scenes(900)
    bootstrap(client, name, Seeds.of([near(row, 0.06) for row in rows[::9]], "first"))
    bootstrap(client, name, Seeds.of([near(row, 0.06) for row in rows[1::9]], "second"))
    uniques: dict[str, Descriptors] = {}
    documents, left_out = [], []
    for part in range(3):
        stream = [replace(each, key=f"{part}-{each.key}") for each in stream_of(rows[part::3], 3)]
        with Consumers(redis_url, name, stream) as consumers:
            consumers.wait_for(6)
            documents.append(roll_back(client, name))
            consumers.wait_for(6)
        assert not consumers.errors
        assert not consumers.changed
        assert set(consumers.generations) == {1, 2}
        decided = consumers.decided
        uniques |= {each.key: each.descriptor for each in stream if is_unique(decided.get(each.key))}
        found = members(client, name)
        assert close_pairs(list(found.values())) == 0
        assert {key for key in found if not key.startswith("seed:")} <= uniques.keys()
        # Each unique is a member, or left out because a member is alike.
        left_out.append(uniques.keys() - found.keys())
        kept = np.stack([member.descriptor for member in found.values()])
        assert all((l2_distances(uniques[key][np.newaxis], kept) <= RADIUS).any() for key in left_out[-1])
        assert {"seed:second" in key[:11] for key in found} == ({False, True} if part == 1 else {False})
        assert_holds(client, name)
    assert all(document["added"]["lost"] == 0 < document["added"]["carried"] for document in documents)
    assert len(left_out[1]) == documents[1]["added"]["duplicates"] > 0


def is_unique(decision: Decision | None) -> bool:
    return decision is not None and decision.verdict is Verdict.UNIQUE


def test_a_cluster_does_the_same(redis_cluster_url: str, name: str) -> None:
    with connect(redis_cluster_url) as client:
        try:
            bootstrap(client, name, Seeds.of(ROWS[:5]))
            bootstrap(client, name, Seeds.of(ROWS[5:8], "new"))
            assert verdicts(RedisIndex(client, name), query("t-0-1", ROWS[20])) == ["unique"]
            remove(client, name, ["seed:s0"], "legal")
            roll_back(client, name)
            assert members(client, name).keys() == {*(f"seed:s{number}" for number in range(1, 5)), "t-0-1"}
            assert release(client, name)["released"] == 2
        finally:
            remove_keys(client, name)
