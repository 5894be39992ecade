"""Shards that are replaced, rewritten or still growing while they are read: nothing of another one is published."""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from consumer.backfill.entries import Entry
from consumer.backfill.progress import ProgressFile
from neardup.errors import Misconfigured
from tests.support.feeding import tar_of
from tests.unit.consumer.backfill.test_filling import Log, fill  # noqa: F401 - a fixture
from tests.unit.consumer.backfill.test_listings import listed, steps_of, uris


def shard(path: Path, first: int = 0, images: int = 40) -> Path:
    path.write_bytes(tar_of({f"{number:03d}.jpg": b"%03d" % number * 900 for number in range(first, first + images)}))
    return path


def replaced(path: Path) -> None:
    os.replace(shard(path.with_suffix(".new"), 500), path)  # noqa: PTH105 - what a job does that writes shards


def rewritten(path: Path) -> None:
    os.utime(shard(path, 500), ns=(0, 12345))


def grown(path: Path) -> None:
    with tarfile.open(path, "a") as tar:
        tar.add(__file__, "more.jpg")


def cut_off(path: Path) -> None:
    os.truncate(path, 12_000)


CHANGES = [replaced, rewritten, grown, cut_off]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("read", [0, 1, 39])
def test_a_shard_that_changes_while_it_is_read_is_refused_from_there_on(
    change: Callable[[Path], None], read: int, tmp_path: Path
) -> None:
    path = shard(tmp_path / "a.tar")
    [listing] = listed(path)
    before = uris([*listing.steps(None)])
    listing.fingerprint()
    steps = listing.steps(None)
    handed_on = [next(steps) for _ in range(read)]
    change(path)
    told = rf"^{path}: it changed while it was read; run the same command once it is whole$"
    with pytest.raises(Misconfigured, match=told):
        handed_on.extend(steps)
    assert uris(handed_on) == before[:read]


def test_a_shard_that_changes_behind_its_last_image_is_refused(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar")
    steps = listed(path)[0].steps(None)
    assert len([next(steps) for _ in range(40)]) == 40
    grown(path)
    with pytest.raises(Misconfigured, match="changed while it was read"):
        next(steps)


def test_a_shard_that_stays_and_one_that_is_moved_there_again_are_the_same(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar")
    steps = listed(path)[0].steps(None)
    first = next(steps)
    path.rename(tmp_path / "b.tar")
    (tmp_path / "b.tar").rename(path)
    assert [first, *steps] == steps_of(path)


def test_a_shard_that_goes_while_it_is_read_is_told_of_as_such(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar")
    steps = listed(path)[0].steps(None)
    next(steps)
    path.unlink()
    with pytest.raises(Misconfigured, match=r"a.tar: it cannot be read: no such file"):
        next(steps)


@pytest.mark.parametrize("change", CHANGES)
def test_a_batch_in_hand_is_not_published_and_the_next_start_tells_why(
    change: Callable[[Path], None],
    tmp_path: Path,
    fill: Callable[..., ProgressFile],  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("consumer.backfill.filling.CHUNK_STEPS", 10)
    path, log = shard(tmp_path / "a.tar"), Log()
    wanted = uris(steps_of(path))
    log.trouble = lambda where: change(path) if where == "after" and len(log.batches) == 2 else None
    with pytest.raises(Misconfigured, match="changed while it was read"):
        fill(log, *listed(path))
    assert log.uris == wanted[:20]
    with pytest.raises(Misconfigured, match=r"a.tar is not what it was .* restore it, or publish all of it once more"):
        fill(log, *listed(path))
    assert log.uris == wanted[:20]


def test_a_shard_that_is_restored_goes_on(
    tmp_path: Path,
    fill: Callable[..., ProgressFile],  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("consumer.backfill.filling.CHUNK_STEPS", 10)
    path, log = shard(tmp_path / "a.tar"), Log()
    wanted = [step for step in steps_of(path) if isinstance(step, Entry)]
    (tmp_path / "kept.tar").hardlink_to(path)
    log.trouble = lambda where: replaced(path) if where == "after" and len(log.batches) == 2 else None
    with pytest.raises(Misconfigured, match="changed while it was read"):
        fill(log, *listed(path))
    log.trouble = lambda _: None
    (tmp_path / "kept.tar").replace(path)
    fill(log, *listed(path)).close()
    assert log.uris == [step.uri for step in wanted]
