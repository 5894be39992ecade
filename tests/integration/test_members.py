"""Taking members out of a live index, and giving it another radius, while consumers run on a real Redis."""

import json
import multiprocessing
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from bootstrap.index import main
from bootstrap.live.reading import LiveGeneration
from bootstrap.live.verify import Verification
from bootstrap.termination import EXIT_TERMINATED
from bootstrap.tool import EXIT_NO_MEMBER
from neardup.cli.commands import family
from neardup.cli.running import EXIT_MISCONFIGURED, EXIT_UNAVAILABLE
from neardup.index.build import GenerationBuild
from neardup.index.memory import MemoryIndex
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.stored.codec import decode_head
from neardup.index.stored.connection import connect
from neardup.index.stored.events import Rewritten, decode_event
from neardup.index.stored.keys import IndexKeys
from neardup.index.stored.removals import Removals
from neardup.index.stored.scripts import GenerationScripts
from neardup.search.distance import l2_distances
from neardup.settings.options import Option, options_of
from neardup.types import Decision, Descriptors, Member, Query, Verdict
from tests.support.live_index import DIMENSION, OPTIONS, RADIUS, build, queries, remove_keys, stream, unit_rows

pytestmark = pytest.mark.redis

Document = dict[str, Any]
IMAGES = queries(300)
LARGER = 0.75


class Command:
    """Runs a command line in this process."""

    def __init__(self, url: str, index: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._environ = {"NEARDUP_REDIS_URL": url, "NEARDUP_INDEX": index}
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments], self._environ)
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def document(self, *arguments: object) -> Document:
        code, out, err = self(*arguments, "--json")
        assert code == 0, out + err
        document: Document = json.loads(out)
        return document


@pytest.fixture
def index(client: redis.Redis) -> Iterator[str]:
    """Name of an index of this test's own, streamed into five cells, which were divided."""
    name = build(client)
    stream(client, name, IMAGES)
    yield name
    remove_keys(client, name)


@pytest.fixture
def command(redis_url: str, index: str, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(redis_url, index, capsys)


def members_of(client: redis.Redis, index: str) -> dict[str, Member]:
    return {member.key: member for member in RedisIndex(client, index).members()}


def copy_of(image: Query | Member, key: str, away: float = 0.0) -> Query:
    """Return an image at this distance from another, about."""
    row = image.descriptor.astype(np.float64)
    aside = np.eye(DIMENSION)[0] - row[0] * row
    moved = row + away * aside / np.linalg.norm(aside)
    descriptor: Descriptors = (moved / np.linalg.norm(moved)).astype(np.float16)
    return Query(key, f"{key}.jpg", descriptor)


def brute_force(client: redis.Redis, index: str, images: Sequence[Query]) -> list[tuple[Verdict, str | None]]:
    """Return what comparing with every member says, each image for itself."""
    meta, members = LiveGeneration(client, index).meta, list(members_of(client, index).values())
    return [told(MemoryIndex(meta, members=members).decide([image])[0]) for image in images]


def told(decision: Decision) -> tuple[Verdict, str | None]:
    return decision.verdict, decision.duplicate_of


def verified(client: redis.Redis, index: str) -> bool:
    document = Verification(client, index).run()
    assert document["holds"], document
    return True


# -- remove ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["key", "image_id"])
def test_a_removed_member_is_gone_for_an_index_that_is_open(
    by: str, command: Command, client: redis.Redis, index: str
) -> None:
    first, second = list(members_of(client, index).values())[:2]
    running = RedisIndex(client, index, options=OPTIONS)
    copies = [copy_of(first, "a-0-0", 0.05), copy_of(second, "a-0-1", 0.05)]
    assert [told(each) for each in running.decide(copies)] == [
        (Verdict.DUPLICATE, first.image_id),
        (Verdict.DUPLICATE, second.image_id),
    ]
    loads: list[object] = []
    running._read_members = lambda: loads.append(1)  # type: ignore[method-assign]

    removed = command.document("remove", getattr(first, by), "--by", "legal")
    assert [each["key"] for each in removed["removed"]] == [first.key]
    assert [each["key"] for each in removed["decisions"]["messages"]] == ["a-0-0"]
    assert removed["decisions"]["remembered"] == len(IMAGES) + 2

    later = [copy_of(first, "b-0-0", 0.05), copy_of(second, "b-0-1", 0.05), copy_of(first, "b-0-2", 0.06)]
    expected = brute_force(client, index, later[:2])
    assert [told(each) for each in running.decide(later)] == [*expected, (Verdict.DUPLICATE, "b-0-0.jpg")]
    assert expected == [(Verdict.UNIQUE, None), (Verdict.DUPLICATE, second.image_id)]
    assert loads == []  # it learned of it by the log, and read one cell
    # Messages that come again keep their verdict.
    assert told(running.decide(copies)[0]) == (Verdict.DUPLICATE, first.image_id)
    again = next(image for image in IMAGES if image.key == first.key)
    assert told(running.decide([again])[0]) == (Verdict.UNIQUE, None)
    assert first.key not in members_of(client, index)
    assert verified(client, index)


def test_it_says_who_what_and_how_to_undo_it(
    command: Command, client: redis.Redis, index: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    members = list(members_of(client, index).values())
    gone, save = members[:3], tmp_path / "saved.json"
    caplog.set_level("INFO")
    code, out, _ = command("remove", *(member.key for member in gone), "--by", "legal", "--save", save)
    assert code == 0
    assert "3 members, by legal" in out
    assert f"neardup bootstrap --import {save}" in out
    assert all(f"{member.image_id} ({member.key})" in out for member in gone)
    [line] = [record.getMessage() for record in caplog.records if "removed by" in record.getMessage()]
    assert line.startswith(f"index {index}, generation 1: 3 members removed by legal: ")
    assert [each["key"] for each in json.loads(save.read_text())["members"]] == [member.key for member in gone]
    code, out, _ = command("show", gone[0].key)
    assert (code, "by legal" in out) == (EXIT_NO_MEMBER, True)
    assert command.document("stats")["removed"] == 3


def test_the_log_of_events_tells_the_keys(command: Command, client: redis.Redis, index: str) -> None:
    gone = list(members_of(client, index))[:40:10]
    command.document("remove", *gone)
    log: Any = client.lrange(IndexKeys(index).log(1), 0, -1)
    events = [decode_event(event) for event in log]
    told_keys = [key.decode() for event in events if isinstance(event, Rewritten) for key in event.removed]
    assert sorted(told_keys) == sorted(gone)
    assert verified(client, index)


@pytest.mark.parametrize("arguments", [[], ["--dry-run"]])
def test_an_unknown_id_is_named_and_nothing_is_removed(
    arguments: list[str], command: Command, client: redis.Redis, index: str
) -> None:
    before = members_of(client, index).keys()
    code, out, err = command("remove", next(iter(before)), "nobody", "no one", *arguments)
    assert (code, out) == (EXIT_NO_MEMBER, "nothing was removed, because of what is unknown\n")
    assert err == "no member has the image id or the key 'nobody'\nno member has the image id or the key 'no one'\n"
    assert members_of(client, index).keys() == before
    assert len(Removals(client, index)) == 0


def test_a_dry_run_tells_the_same_and_changes_nothing(
    command: Command, client: redis.Redis, index: str, tmp_path: Path
) -> None:
    member = next(iter(members_of(client, index).values()))
    stream(client, index, [copy_of(member, "a-0-0", 0.05)])
    before = members_of(client, index).keys()
    planned = command.document("remove", member.key, "--dry-run", "--save", tmp_path / "never.json")
    assert members_of(client, index).keys() == before
    assert not (tmp_path / "never.json").exists()
    done = command.document("remove", member.key)
    assert {**planned, "dry_run": False} == done
    assert [each["key"] for each in done["decisions"]["messages"]] == ["a-0-0"]


def test_an_image_id_that_several_members_share_removes_them_all(
    command: Command, client: redis.Redis, index: str
) -> None:
    rows = unit_rows(2, seed=99)
    stream(client, index, [Query(f"twins-0-{number}", "twins", row) for number, row in enumerate(rows)])
    removed = command.document("remove", "twins")
    assert {each["key"] for each in removed["removed"]} == {"twins-0-0", "twins-0-1"}


def test_its_own_message_is_judged_anew_once_its_decision_is_forgotten(
    command: Command, client: redis.Redis, index: str
) -> None:
    member = next(iter(members_of(client, index).values()))
    image = next(image for image in IMAGES if image.key == member.key)
    command.document("remove", member.key)
    client.delete(IndexKeys(index).decided(member.key))
    assert told(RedisIndex(client, index).decide([image])[0]) == (Verdict.UNIQUE, None)
    assert member.key in members_of(client, index)
    assert [each["key"] for each in command.document("remove", member.key)["removed"]] == [member.key]
    assert verified(client, index)


def test_members_of_an_index_in_a_cluster(redis_cluster_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with connect(redis_cluster_url) as client:
        name = build(client)
        stream(client, name, IMAGES[:100])
        command = Command(redis_cluster_url, name, capsys)
        gone = list(members_of(client, name))[:3]
        command.document("remove", *gone)
        command.document("set-radius", 0.4, "--allow-dropping")
        command.document("copy-to", redis_cluster_url, "--to-index", f"{name}-copy")
        assert members_of(client, f"{name}-copy").keys() == members_of(client, name).keys()
        assert not members_of(client, name).keys() & set(gone)
        assert verified(client, name)
        assert verified(client, f"{name}-copy")


def test_what_is_lost_later_is_still_found(command: Command, client: redis.Redis, index: str) -> None:
    block = next(block for block in LiveGeneration(client, index).blocks() if len(block.heads) > 1)
    removed, lost = (decode_head(head)[0] for head in block.heads[:2])
    command.document("remove", removed)
    assert verified(client, index)
    client.lpop(IndexKeys(index).cell(1, block.cell))
    document = Verification(client, index).run()
    [log] = [check for check in document["checks"] if check["check"] == "log"]
    assert any(repr(lost) in text for text in log["examples"])


def test_a_removal_whose_reply_was_lost_counts_once(
    command: Command, client: redis.Redis, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove, replies = GenerationScripts.remove, list[bool]()

    def twice(*arguments: Any) -> bool:  # noqa: ANN401 - as the original
        replies.extend(remove(*arguments) for _ in range(2))
        return replies[-1]

    monkeypatch.setattr(GenerationScripts, "remove", twice)
    before = len(members_of(client, index))
    events = client.llen(IndexKeys(index).log(1))
    command.document("remove", next(iter(members_of(client, index))))
    assert replies == [True, True]
    assert len(members_of(client, index)) == before - 1
    assert client.llen(IndexKeys(index).log(1)) == events + 1


def test_members_that_move_while_they_are_looked_for_are_looked_for_again(
    command: Command, client: redis.Redis, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove, tried = GenerationScripts.remove, list[bool]()

    def after_a_division(*arguments: Any) -> bool:  # noqa: ANN401 - as the original
        if not tried:
            small = RedisIndex(client, index, options=RedisIndexOptions(max_cluster=3))
            for number in range(12):  # a few cells with each batch
                small.decide([Query(f"far-0-{number}", "far", unit_rows(1, seed=100 + number)[0])])
        tried.append(remove(*arguments))
        return tried[-1]

    monkeypatch.setattr(GenerationScripts, "remove", after_a_division)
    gone = list(members_of(client, index))[:200]
    command.document("remove", *gone)
    assert (tried[0], tried[-1]) == (False, True)
    assert not set(gone) & set(members_of(client, index))
    assert verified(client, index)


def test_all_members_may_be_removed(command: Command, client: redis.Redis, index: str) -> None:
    running = RedisIndex(client, index, options=OPTIONS)
    member = next(iter(members_of(client, index).values()))
    command.document("remove", *members_of(client, index))
    assert members_of(client, index) == {}
    for arguments in (["export", "x.json"], ["set-radius", "0.5"], ["copy-to", "redis://x", "--to-index", "y"]):
        assert command(*arguments[:1], *arguments[1:])[0] in {EXIT_MISCONFIGURED, EXIT_UNAVAILABLE}
    assert told(running.decide([copy_of(member, "again-0-0")])[0]) == (Verdict.UNIQUE, None)
    assert verified(client, index)


def test_what_is_removed_in_the_middle_of_a_batch_makes_no_contradiction(
    command: Command, client: redis.Redis, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The batch has found the member; before its commit the member goes.
    member = next(iter(members_of(client, index).values()))
    running = RedisIndex(client, index, options=OPTIONS)
    commit, pending = GenerationScripts.commit, [member.key]

    def after_the_removal(*arguments: Any) -> Any:  # noqa: ANN401 - as the original
        if pending:
            command.document("remove", pending.pop())
        return commit(*arguments)

    monkeypatch.setattr(GenerationScripts, "commit", after_the_removal)
    copies = [copy_of(member, f"b-0-{number}", 0.01 * number) for number in range(4)]
    decided = [told(each) for each in running.decide(copies)]
    assert decided == [(Verdict.UNIQUE, None), *[(Verdict.DUPLICATE, "b-0-0.jpg")] * 3]
    assert verified(client, index)


def _consume(url: str, index: str, ready: Connection, go_on: Connection) -> None:
    """Decide copies in a process of its own until told to end; return the last verdicts."""
    with connect(url) as client:
        running = RedisIndex(client, index, options=OPTIONS)
        ready.send("open")
        while images := go_on.recv():
            ready.send([told(each) for each in running.decide(images)])


def test_another_process_learns_of_it(command: Command, client: redis.Redis, redis_url: str, index: str) -> None:
    context = multiprocessing.get_context("spawn")
    (here, there), (go_on, told_to) = context.Pipe(), context.Pipe()
    process = context.Process(target=_consume, args=(redis_url, index, there, told_to))
    process.start()
    try:
        assert here.poll(60)
        here.recv()
        member = next(iter(members_of(client, index).values()))
        go_on.send([copy_of(member, "a-0-0", 0.05)])
        assert here.recv() == [(Verdict.DUPLICATE, member.image_id)]
        command.document("remove", member.image_id)
        go_on.send([copy_of(member, "a-0-1", 0.05), copy_of(member, "a-0-2", 0.05)])
        assert here.recv() == [(Verdict.UNIQUE, None), (Verdict.DUPLICATE, "a-0-1.jpg")]
    finally:
        go_on.send(None)
        process.join(30)
    assert process.exitcode == 0
    assert verified(client, index)


def consuming(url: str, index: str, images: Sequence[Query], uniques: list[str]) -> Callable[[], None]:
    """Return what decides images as a consumer does, and notes the keys of the unique ones."""

    def consume() -> None:
        with connect(url) as own:
            running = RedisIndex(own, index, options=RedisIndexOptions(max_cluster=8))
            for start in range(0, len(images), 8):
                batch = images[start : start + 8]
                decided = zip(batch, running.decide(batch), strict=True)
                uniques.extend(image.key for image, each in decided if each.verdict is Verdict.UNIQUE)

    return consume


def test_verdicts_stay_those_of_brute_force_while_members_go(
    client: redis.Redis, redis_url: str, command: Command, index: str
) -> None:
    images = [
        copy_of(image, f"{round_}-0-{number}", 0.1 * round_)
        for round_ in range(3)
        for number, image in enumerate(IMAGES)
    ]
    before, uniques, removed = set(members_of(client, index)), list[str](), set[str]()
    consumers = [threading.Thread(target=consuming(redis_url, index, images[part::2], uniques)) for part in range(2)]
    for consumer in consumers:
        consumer.start()
    while any(consumer.is_alive() for consumer in consumers):
        keys = list(members_of(client, index))[::17][:5]
        command.document("remove", *keys)
        removed |= set(keys)
    for consumer in consumers:
        consumer.join()
    assert uniques
    # Each was judged once: who was unique is a member, or was removed.
    assert set(members_of(client, index)) == (before | set(uniques)) - removed
    assert verified(client, index)
    running = RedisIndex(client, index)
    for number, image in enumerate(IMAGES[:50]):
        probe = copy_of(image, f"probe-0-{number}", 0.15)
        expected = brute_force(client, index, [probe])
        assert [told(each) for each in running.decide([probe])] == expected


# -- set-radius --------------------------------------------------------------------------------------------------------


def pairs_within(members: Sequence[Member], radius: float) -> int:
    rows = np.stack([member.descriptor for member in members])
    return int(np.triu(l2_distances(rows, rows) <= radius, 1).sum())


def test_a_larger_radius_leaves_out_what_is_near_an_earlier_member(
    command: Command, client: redis.Redis, index: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = members_of(client, index)
    assert pairs_within(list(before.values()), LARGER) > 0
    planned = command.document("set-radius", LARGER, "--dry-run")
    assert members_of(client, index).keys() == before.keys()
    running = RedisIndex(client, index, options=OPTIONS)
    caplog.set_level("INFO")
    code, _, err = command("set-radius", LARGER)
    assert code == EXIT_MISCONFIGURED
    assert f"{len(planned['left_out'])} of its {len(before)} members would be left out" in err
    assert planned["refusal"] in err
    assert members_of(client, index).keys() == before.keys()
    done = command.document("set-radius", LARGER, "--allow-dropping")
    assert done.pop("previous")["generation"] == 1
    assert {**done, "previous": None} == {**planned, "dry_run": False, "new_generation": 2, "refusal": ""}
    after = members_of(client, index)
    assert len(after) == done["members"] == len(before) - len(done["left_out"])
    assert pairs_within(list(after.values()), LARGER) == 0
    for left in done["left_out"]:  # of two, the one that was captured earlier has stayed
        of = next(member for member in after.values() if member.image_id == left["duplicate_of"])
        assert of.captured_at_ms <= before[left["key"]].captured_at_ms
        assert left["key"] not in after
    assert any(f"radius {LARGER} after {RADIUS}" in record.getMessage() for record in caplog.records)
    probes = [copy_of(image, f"p-0-{number}", 0.4) for number, image in enumerate(IMAGES[:40])]
    expected = brute_force(client, index, probes[:1])
    assert [told(running.decide(probes[:1])[0])] == expected  # it was open all the time
    assert (running.meta.radius, running.meta.generation) == (LARGER, 2)
    assert command.document("stats")["calibration"] == {}
    assert verified(client, index)


def test_a_smaller_radius_drops_nothing(command: Command, client: redis.Redis, index: str) -> None:
    before = members_of(client, index)
    running = RedisIndex(client, index, options=OPTIONS)
    done = command.document("set-radius", 0.1)
    assert (done["left_out"], done["members"]) == ([], len(before))
    assert members_of(client, index).keys() == before.keys()
    image = next(iter(before.values()))
    probes = [copy_of(image, "p-0-0", 0.2), copy_of(image, "p-0-1", 0.05)]
    assert [told(running.decide([probe])[0]) for probe in probes] == [
        (Verdict.UNIQUE, None),
        (Verdict.DUPLICATE, image.image_id),
    ]
    assert verified(client, index)


def test_its_own_radius_changes_nothing(command: Command, client: redis.Redis, index: str) -> None:
    code, out, _ = command("set-radius", RADIUS)
    assert (code, "nothing was done" in out) == (0, True)
    assert LiveGeneration(client, index).number == 1


@pytest.mark.parametrize("radius", ["2.1", "-0.1", "wide", "nan"])
def test_what_is_no_radius(radius: str, command: Command) -> None:
    assert command("set-radius", radius)[0] == EXIT_MISCONFIGURED


def test_consumers_that_run_meanwhile_lose_nothing(
    command: Command, client: redis.Redis, redis_url: str, index: str
) -> None:
    images, uniques, left_out = queries(240, seed=11, prefix="late-0"), list[str](), set[str]()
    before = members_of(client, index).keys()
    consumer = threading.Thread(target=consuming(redis_url, index, images, uniques))
    consumer.start()
    for radius in (0.25, LARGER, RADIUS, 0.2):
        left_out |= {left["key"] for left in command.document("set-radius", radius, "--allow-dropping")["left_out"]}
    consumer.join()
    assert uniques
    assert LiveGeneration(client, index).meta.radius == 0.2
    assert members_of(client, index).keys() == {*before, *uniques} - left_out
    assert verified(client, index)


def test_what_is_removed_while_a_generation_is_built_does_not_come_back(
    command: Command, client: redis.Redis, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip, gone = GenerationBuild._try_to_flip, list(members_of(client, index))[:5]
    pending = [gone]

    def removed_first(*arguments: Any) -> bytes:  # noqa: ANN401 - as the original
        if pending:
            command.document("remove", *pending.pop())
        return flip(*arguments)

    monkeypatch.setattr(GenerationBuild, "_try_to_flip", removed_first)
    before = len(members_of(client, index))
    done = command.document("set-radius", 0.2)
    assert done["members"] == len(members_of(client, index)) == before - 5
    assert not set(gone) & set(members_of(client, index))
    assert verified(client, index)


@pytest.mark.parametrize("tool", ["set-radius", "copy-to"])
def test_what_is_told_to_end_leaves_nothing_behind(
    *, tool: str, command: Command, client: redis.Redis, redis_url: str, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(client.scan_iter(match=IndexKeys(index).pattern))
    flip = GenerationBuild._try_to_flip

    def terminated(*arguments: Any) -> bytes:  # noqa: ANN401 - as the original
        os.kill(os.getpid(), signal.SIGTERM)
        return flip(*arguments)

    monkeypatch.setattr(GenerationBuild, "_try_to_flip", terminated)
    with pytest.raises(SystemExit) as ended:
        command(tool, *([0.2] if tool == "set-radius" else [redis_url, "--overwrite"]))
    assert ended.value.code == EXIT_TERMINATED
    after = set(client.scan_iter(match=IndexKeys(index).pattern))
    assert sorted(after) == before
    assert verified(client, index)


def unique_name() -> str:
    return f"test-{uuid.uuid4().hex}"


# -- export, copy-to ---------------------------------------------------------------------------------------------------


def test_a_copy_is_the_same_index(command: Command, client: redis.Redis, redis_url: str, index: str) -> None:
    to = unique_name()
    removed = next(iter(members_of(client, index)))
    command.document("remove", removed)
    done = command.document("copy-to", redis_url, "--to-index", to)
    assert done["to"] == {"index": to, "generation": 1}
    one, other = members_of(client, index), members_of(client, to)
    assert {key: member.descriptor.tobytes() for key, member in one.items()} == {
        key: member.descriptor.tobytes() for key, member in other.items()
    }
    meta, copied = LiveGeneration(client, index).meta, LiveGeneration(client, to).meta
    assert replace(meta, name=to, generation=1) == copied
    assert Removals(client, to).stored() == Removals(client, index).stored() != {}
    probes = [copy_of(image, f"p-0-{number}", 0.2) for number, image in enumerate(IMAGES)]
    assert [told(each) for each in RedisIndex(client, to).decide(probes)] == [
        told(each) for each in RedisIndex(client, index).decide(probes)
    ]
    assert verified(client, to)

    code, _, err = command("copy-to", redis_url, "--to-index", to)
    assert (code, "--overwrite" in err) == (EXIT_MISCONFIGURED, True)
    again = command.document("copy-to", redis_url, "--to-index", to, "--overwrite")
    assert (again["to"]["generation"], again["instead_of"]) == (2, 1)
    assert members_of(client, to).keys() == members_of(client, index).keys()
    assert verified(client, to)
    remove_keys(client, to)


def test_a_copy_never_takes_the_place_of_what_changes_meanwhile(
    command: Command, client: redis.Redis, redis_url: str, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An index copied onto itself, while a consumer adds to it: what it adds must not be lost.
    flip = GenerationBuild._try_to_flip

    def appended_first(*arguments: Any) -> bytes:  # noqa: ANN401 - as the original
        stream(client, index, [Query("late-0-0", "late", unit_rows(1, seed=55)[0])])
        return flip(*arguments)

    monkeypatch.setattr(GenerationBuild, "_try_to_flip", appended_first)
    code, _, err = command("copy-to", redis_url, "--overwrite")
    assert (code, "changed while the copy was made" in err) == (EXIT_MISCONFIGURED, True)
    assert "late-0-0" in members_of(client, index)
    assert LiveGeneration(client, index).number == 1
    assert verified(client, index)


def test_a_target_that_is_away_or_badly_named(command: Command, redis_url: str) -> None:
    assert command("copy-to", "redis://127.0.0.1:1")[0] == EXIT_UNAVAILABLE
    assert command("copy-to", redis_url, "--to-index", "a b")[0] == EXIT_MISCONFIGURED
    assert command("copy-to", "nowhere")[0] == EXIT_MISCONFIGURED


# -- duplicates, explain -----------------------------------------------------------------------------------------------


def test_duplicates_tell_what_is_remembered(command: Command, client: redis.Redis, index: str) -> None:
    member = next(iter(members_of(client, index).values()))
    copies = [copy_of(member, f"a-0-{number}", 0.05) for number in range(2)]
    decided = RedisIndex(client, index).decide(copies)
    document = command.document("duplicates", member.key)
    assert [(each["key"], each["distance"]) for each in document["decisions"]["messages"]] == [
        (copy.key, decision.l2_distance) for copy, decision in zip(copies, decided, strict=True)
    ]
    assert [each["within_radius"] for each in document["members"]] == [[]]
    client.delete(IndexKeys(index).decided("a-0-0"))
    code, out, _ = command("duplicates", member.image_id)
    assert (code, "a-0-1" in out, "a-0-0" in out) == (0, True, False)


def test_duplicates_tell_members_that_are_near(command: Command, client: redis.Redis, index: str) -> None:
    # As after a smaller radius: both were unique by it.
    member = next(iter(members_of(client, index).values()))
    command.document("set-radius", 0.01)
    stream(client, index, [copy_of(member, "near-0-0", 0.1)])
    [told_of] = command.document("duplicates", member.key)["members"]
    assert told_of["within_radius"] == []
    client.set(
        IndexKeys(index).metadata(2), replace(LiveGeneration(client, index).meta, radius=RADIUS).to_json()
    )  # as if it had stayed
    [told_of] = command.document("duplicates", member.key)["members"]
    assert [near["key"] for near in told_of["within_radius"]] == ["near-0-0"]


def test_explain_compares_two_members(command: Command, client: redis.Redis, index: str) -> None:
    one, other = list(members_of(client, index).values())[:2]
    document = command.document("explain", one.key, other.image_id)
    expected = l2_distances(one.descriptor[np.newaxis], other.descriptor[np.newaxis])[0, 0]
    assert (document["distance"], document["verdict"], document["radius"]) == (expected, "unique", RADIUS)
    assert f"is beyond the radius {RADIUS:.3f}" in document["why"]
    code, out, _ = command("explain", one.key, one.key)
    assert (code, f"{one.key} is a duplicate of {one.key}" in out) == (0, True)


UNKNOWN: dict[str, list[str]] = {
    "show": ["nobody"],
    "duplicates": ["nobody"],
    "neighbours": ["nobody"],
    "explain": ["nobody", "nobody either"],
    "remove": ["nobody"],
}


@pytest.mark.parametrize("tool", UNKNOWN)
def test_an_unknown_id_ends_with_another_code_than_0(tool: str, command: Command) -> None:
    expected = EXIT_MISCONFIGURED if tool == "neighbours" else EXIT_NO_MEMBER  # an image file is asked for there
    code, out, err = command(tool, *UNKNOWN[tool])
    assert (code, "nobody" in err) == (expected, True)
    code, out, err = command(tool, *UNKNOWN[tool], "--json")
    assert (code, "nobody" in out + err) == (expected, True)
    assert not out or json.loads(out)["unknown"] == UNKNOWN[tool]


def test_every_tool_that_takes_an_id_is_in_the_table() -> None:
    taking = {
        each.name.split()[1] for each in family("index") if any(map(names_members, options_of(each.settings_class)))
    }
    assert taking == UNKNOWN.keys()


def names_members(declared: tuple[str, Option]) -> bool:
    return declared[1].flag in {"TARGET", "ID", "A", "B"}
