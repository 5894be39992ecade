"""Devices and mounts that do not answer for a while: nothing counts as done that was not read."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consumer.backfill import filling
from consumer.backfill.command import backfill
from consumer.backfill.entries import Entry
from consumer.backfill.lists import ListFile
from consumer.backfill.manifests import Columns
from consumer.backfill.piped import PipedLines
from consumer.backfill.settings import BackfillSettings
from consumer.transport import numbered
from neardup.cli.running import exit_code_of
from neardup.errors import Misconfigured, StoreUnavailable
from tests.unit.consumer.backfill.test_filling import Log
from tests.unit.consumer.backfill.test_listings import listed, refused, shard, steps_of, uris

OUTAGES = [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.ENODEV, errno.EREMOTEIO, errno.EMFILE]
LASTING = [errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EBADMSG]
NO_ANSWER = Path("/proc/self/mem")
"""A regular file of which each read is an error of the device."""
needs_no_answer = pytest.mark.skipif(not NO_ANSWER.exists(), reason="only Linux has a file that is never readable")


class Mount:
    """Folders of which one is not answered for, after so many of its entries."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.away: Path | None = None
        self.number = errno.EIO
        self.entries = 0
        self._scandir = os.scandir
        monkeypatch.setattr(os, "scandir", self.scandir)

    def scandir(self, path: Any = ".") -> Any:  # noqa: ANN401 - as os.scandir has it
        found = self._scandir(path)
        return _Away(found, self) if self.away is not None and os.fspath(path) == str(self.away) else found

    def error(self) -> OSError:
        return OSError(self.number, os.strerror(self.number), str(self.away))


class _Away:
    def __init__(self, found: Any, mount: Mount) -> None:  # noqa: ANN401 - as above
        self._found = found
        self._mount = mount

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._found.close()

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        entries = sorted(self._found, key=lambda entry: entry.name, reverse=True)
        yield from entries[: self._mount.entries]
        raise self._mount.error()


@pytest.fixture
def mount(monkeypatch: pytest.MonkeyPatch) -> Mount:
    return Mount(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "night"
    for name in ("0.jpg", "a/1.jpg", "b/2.jpg", "b/3.jpg", "b/4.jpg", "b/c/5.jpg", "d/6.jpg"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"x")
    return path


ALL = ["0.jpg", "a/1.jpg", "b/2.jpg", "b/3.jpg", "b/4.jpg", "b/c/5.jpg", "d/6.jpg"]


@pytest.mark.parametrize("below", ["", "b", "b/c"])
@pytest.mark.parametrize("number", OUTAGES)
def test_a_folder_that_is_away_is_an_outage(mount: Mount, folder: Path, number: int, below: str) -> None:
    mount.away, mount.number = folder / below, number
    with pytest.raises(StoreUnavailable) as raised:
        steps_of(folder)
    assert str(raised.value) == f"{folder / below}: it cannot be read now: {os.strerror(number)}"


@pytest.mark.parametrize("number", LASTING)
def test_a_folder_that_is_refused_is_listed(mount: Mount, folder: Path, number: int) -> None:
    mount.away, mount.number = folder / "b", number
    steps = steps_of(folder)
    assert len(uris(steps)) == 3
    assert refused(steps) == [(f"{folder}: b", os.strerror(number))]
    mount.away = folder
    assert refused(steps_of(folder)) == [(f"{folder}: night", os.strerror(number))]


@pytest.mark.parametrize("entries", range(5))
def test_a_folder_that_is_read_in_part_gives_all_of_it_once(mount: Mount, folder: Path, entries: int) -> None:
    mount.away, mount.entries = folder / "b", entries
    [listing] = listed(folder)
    seen: list[Entry] = []
    with pytest.raises(StoreUnavailable, match=r"night/b: it cannot be read now"):
        seen.extend(step for step in listing.steps(None) if isinstance(step, Entry))
    mount.away = None
    rest = listing.steps(seen[-1].position if seen else None)
    seen += [step for step in rest if isinstance(step, Entry)]
    assert uris([*seen]) == [f"file://{folder}/{name}" for name in ALL]


@pytest.mark.parametrize("left", [True, False], ids=["a mount point is left", "nothing is left"])
def test_a_mount_that_goes_in_the_middle_leaves_nothing_out(folder: Path, left: bool) -> None:  # noqa: FBT001 - a case
    steps = listed(folder)[0].steps(None)
    seen = [next(steps), next(steps)]
    away = folder.rename(folder.with_name("away"))
    if left:
        folder.mkdir()
    with pytest.raises(StoreUnavailable, match="night: it is no longer the folder that it was: is it mounted"):
        seen += steps
    if left:
        folder.rmdir()
    away.rename(folder)
    seen += listed(folder)[0].steps(seen[-1].position)
    assert uris(seen) == [f"file://{folder}/{name}" for name in ALL]


def test_a_mount_that_is_not_there_when_it_goes_on_is_not_taken_for_an_emptied_folder(folder: Path) -> None:
    first, *_ = steps_of(folder)
    away = folder.rename(folder.with_name("away"))
    folder.mkdir()
    with pytest.raises(StoreUnavailable, match="night: it is empty now, and was not: is it mounted"):
        [*listed(folder)[0].steps(first.position)]
    folder.rmdir()
    away.rename(folder)
    assert len([*listed(folder)[0].steps(first.position)]) == len(ALL) - 1


def test_a_folder_that_is_behind_us_may_be_away(mount: Mount, folder: Path) -> None:
    [listing] = listed(folder)
    steps = [*listing.steps(None)]
    mount.away = folder / "a"
    assert [*listing.steps(steps[2].position)] == steps[3:]


def test_a_file_whose_device_is_away_is_an_outage_and_one_of_no_rights_is_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "link.jpg").symlink_to("0.jpg")
    realpath = os.path.realpath

    def away(path: str) -> str:
        if path.endswith("link.jpg"):
            raise OSError(number, os.strerror(number), path)
        return realpath(path)

    monkeypatch.setattr(os.path, "realpath", away)
    number = errno.EACCES
    assert refused(steps_of(folder)) == [(f"{folder}: link.jpg", "Permission denied")]
    number = errno.ESTALE
    with pytest.raises(StoreUnavailable, match=r"night/link.jpg: it cannot be read now"):
        steps_of(folder)


class Backfill:
    """The command, with a topic in memory."""

    def __init__(self, named: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log = Log()
        self._settings = BackfillSettings(listings=(str(named),), topic="images", state=str(state))
        monkeypatch.setattr(numbered, "NumberedBatches", lambda *_: self.log)

    def run(self) -> int:
        return exit_code_of(lambda: backfill(self._settings), "backfill: ")


@pytest.fixture
def filled(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backfill:
    monkeypatch.setattr(filling, "CHUNK_STEPS", 1)
    return Backfill(folder, tmp_path / "state", monkeypatch)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT])
def test_the_same_command_goes_on_where_the_mount_was_away(
    mount: Mount, folder: Path, filled: Backfill, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    mount.away, mount.number, mount.entries = folder / "b", number, 2
    for _ in range(2):
        assert filled.run() == 1
        assert capsys.readouterr().err.splitlines()[-1] == (
            f"backfill: {folder}/b: it cannot be read now: {os.strerror(number)}; the same command goes on from here"
        )
    assert filled.log.uris == [f"file://{folder}/{name}" for name in ALL[:2]]
    mount.away = None
    assert filled.run() == 0
    assert filled.log.uris == [f"file://{folder}/{name}" for name in ALL]
    assert "7 images published to images" in capsys.readouterr().err


@needs_no_answer
@pytest.mark.parametrize("name", ["list.txt", "list.txt.gz", "list.csv", "list.csv.gz", "list.parquet", "shard.tar"])
def test_a_file_that_is_away_is_an_outage(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.symlink_to(NO_ANSWER)
    if name != "list.parquet":  # it has no size, so nothing of it is read
        with pytest.raises(StoreUnavailable, match=rf"{name}: it cannot be read now: Input/output error"):
            steps_of(path)
    assert Backfill(path, tmp_path / "state", monkeypatch).run() == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"backfill: {path}: it cannot be read now: ")
    assert line.endswith("; the same command goes on from here")


def test_a_table_that_goes_away_while_it_is_read_is_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def batches(*_: object) -> Iterator[object]:
        raise OSError(errno.EIO, "Error reading bytes from file. Detail: [errno 5] Input/output error")

    pq.write_table(pa.table({"uri": ["/1.jpg"]}), tmp_path / "list.parquet")
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", batches)
    with pytest.raises(StoreUnavailable, match=r"list.parquet: it cannot be read now: .*Input/output error"):
        steps_of(tmp_path / "list.parquet")


@needs_no_answer
def test_a_piped_file_that_is_away_is_an_outage() -> None:
    descriptor = os.open(NO_ANSWER, os.O_RDONLY)
    try:
        lines = PipedLines(descriptor, threading.Event())
        for read in (lines.is_ready, lambda: lines.readline(10)):
            with pytest.raises(StoreUnavailable, match="standard input: it cannot be read now: Input/output error"):
                read()
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_a_mount_that_is_away_where_we_look_whether_a_file_is_the_same_is_an_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "list.txt").write_text("/1.jpg\n")
    manifest = ListFile(str(tmp_path / "list.txt"), Columns())
    manifest.fingerprint()
    [tar] = listed(shard(tmp_path / "a.tar"))
    steps = tar.steps(None)
    next(steps)
    away(monkeypatch, number)
    for ask in (manifest.check_same, lambda: next(steps), lambda: listed(tmp_path)):
        with pytest.raises(StoreUnavailable, match=f"it cannot be read now: {os.strerror(number)}"):
            ask()


def away(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def stat(path: Any, **_more: object) -> os.stat_result:  # noqa: ANN401 - as os.stat has it
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(os, "stat", stat)


@pytest.mark.parametrize("made", [lambda path: path.mkdir(), lambda _: None])
@pytest.mark.parametrize("name", ["list.txt", "list.csv", "list.parquet", "shard.tar"])
def test_what_is_no_file_any_more_is_no_outage(tmp_path: Path, name: str, made: Callable[[Path], None]) -> None:
    path = tmp_path / name
    path.write_bytes(b"x")
    [listing] = listed(path)
    path.unlink()
    made(path)
    for read in (listing.fingerprint, lambda: [*listing.steps(None)]):
        with pytest.raises(
            Misconfigured, match=rf"{name}: it cannot be read: (no such file|Is a directory|.*[Pp]arquet)"
        ):
            read()


def test_a_damaged_file_is_no_outage(tmp_path: Path) -> None:
    for name in ("a.gz", "b.parquet"):
        (tmp_path / name).write_bytes(b"PAR1 nothing of the kind")
        with pytest.raises(Misconfigured, match=rf"{name}: it cannot be read: "):
            steps_of(tmp_path / name)
