"""The command: where refused lines go, what a dry run says, and how to go on after a stop."""

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consumer.backfill import filling
from consumer.backfill.command import backfill
from consumer.backfill.folder import Folder
from consumer.backfill.progress import ProgressFile
from consumer.backfill.settings import BackfillSettings
from consumer.feeding.outages import Stopped
from consumer.feeding.pace import Pace
from consumer.transport import numbered
from neardup.cli.running import exit_code_of
from neardup.errors import StoreUnavailable
from tests.unit.consumer.backfill.test_filling import Died, Log

LINES = 30


class Command:
    """The command, with a topic in memory, batches of ten lines, and a list of thirty."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(filling, "CHUNK_STEPS", 10)
        monkeypatch.setattr(numbered, "NumberedBatches", self._opened)
        self._capsys = capsys
        self.log = Log()
        self.opened = 0
        self.list = folder / "list.txt"
        self.state = folder / "state.db"
        self.rejects = folder / "rejects.jsonl"
        self.settings = BackfillSettings(listings=(str(self.list),), topic="images", state=str(self.state))
        self.write()

    def _opened(self, *_: object) -> Log:
        self.opened += 1
        return self.log

    def write(self, refused: int = 0) -> None:
        self.list.write_text(
            "".join(f"{'http://no' if at < refused else 's3://bucket'}/{at}.jpg\n" for at in range(LINES))
        )

    def run(self, **settings: Any) -> tuple[int, list[str]]:  # noqa: ANN401 - of any setting
        """Run it; return the exit code, and what it said."""
        code = exit_code_of(lambda: backfill(replace(self.settings, **settings)), "backfill: ")
        return code, [line.removeprefix("backfill: ") for line in self._capsys.readouterr().err.splitlines()]

    def killed(self, where: str, batch: int) -> None:
        """Run it, and die before or after Kafka has this batch of the run."""
        begun = len(self.log.batches) + batch

        def die(at: str) -> None:
            if at == where and len(self.log.batches) + (at == "before") == begun:
                raise Died

        self.log.trouble = die
        with pytest.raises(Died):
            backfill(self.settings)
        self.log.trouble = lambda _: None
        self._capsys.readouterr()


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(tmp_path, capsys, monkeypatch)


# Refused lines.


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("named", ["list.txt", "other.txt", "./list.txt", "link.txt", "twin.txt"])
def test_a_listing_is_never_written_over(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, named: str, dry_run: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    command.write(refused=1)
    (tmp_path / "other.txt").write_text("s3://bucket/other.jpg\n")
    (tmp_path / "link.txt").symlink_to("list.txt")
    (tmp_path / "twin.txt").hardlink_to("list.txt")
    before = command.list.read_bytes()
    listings = (str(command.list), f"file://{tmp_path}/other.txt")
    code, lines = command.run(listings=listings, rejects=named, dry_run=dry_run)
    assert code == 2
    assert lines[0].endswith("is a file that --rejects or --state would write; name another file there")
    assert command.list.read_bytes() == before
    assert (tmp_path / "other.txt").read_bytes() == b"s3://bucket/other.jpg\n"
    assert command.log.uris == []


def test_a_list_on_standard_input_is_never_written_over(command: Command) -> None:
    command.write(refused=1)
    before, kept = command.list.read_bytes(), os.dup(0)
    with command.list.open("rb") as file:
        os.dup2(file.fileno(), 0)
        try:
            code, lines = command.run(listings=("-",), rejects=str(command.list))
        finally:
            os.dup2(kept, 0)
            os.close(kept)
    assert code == 2
    assert lines == ["LISTING: standard input is a file that --rejects or --state would write; name another file there"]
    assert command.list.read_bytes() == before


@pytest.mark.parametrize("dry_run", [True, False])
def test_refused_lines_take_the_place_of_what_is_there_only_if_there_are_some(
    command: Command, *, dry_run: bool
) -> None:
    asked = {"rejects": str(command.rejects), "dry_run": dry_run}
    assert command.run(**asked)[0] == 0
    assert not command.rejects.exists()
    command.rejects.write_text("as it was")
    assert command.run(**asked, again=True)[0] == 0
    assert command.rejects.read_text() == "as it was"
    command.write(refused=1)
    assert command.run(**asked, again=True)[0] == 3
    [line] = command.rejects.read_text().splitlines()
    assert json.loads(line)["place"] == f"{command.list}, line 1"


def test_refused_lines_go_to_no_picture_pipe_or_folder(command: Command, tmp_path: Path) -> None:
    command.write(refused=1)
    (tmp_path / "a.JPG").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    for named, why in (
        ("pipe", "no regular file"),
        (".", "no regular file"),
        ("a.JPG", "as images are"),
        ("state.db", "where --state remembers"),
    ):
        code, [line] = command.run(rejects=str(tmp_path / named))
        assert code == 2
        assert line.startswith("--rejects: ")
        assert why in line
    assert (tmp_path / "a.JPG").read_bytes() == b"x"
    assert (tmp_path / "pipe").is_fifo()


def test_refused_lines_in_a_folder_that_is_listed_are_none_of_its_files(command: Command, tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    (tmp_path / "night/gone.jpg").symlink_to("nowhere")
    (tmp_path / "night/1.jpg").write_bytes(b"x")
    asked = {"listings": (str(tmp_path / "night"),), "rejects": str(tmp_path / "night/rejects"), "suffixes": ()}
    assert command.run(**asked)[0] == 3
    assert command.run(**asked, again=True)[0] == 3
    assert command.log.uris == [f"file://{tmp_path}/night/1.jpg"] * 2


# Going on after a stop.


def stopping(monkeypatch: pytest.MonkeyPatch, raised: Callable[[], BaseException]) -> None:
    """Raise something behind the first file of a folder."""
    steps = Folder.steps

    def until_then(self: Folder, after: object) -> Any:  # noqa: ANN401 - as `Folder.steps`
        yield next(steps(self, after))
        raise raised()

    monkeypatch.setattr(Folder, "steps", until_then)


@pytest.mark.parametrize(("again", "named"), [(False, "the same command"), (True, "the same command without --again")])
def test_a_run_that_is_cut_short_says_which_command_goes_on(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, again: bool, named: str
) -> None:
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / name).write_bytes(b"x")
    asked = {"listings": (str(tmp_path),), "again": again}
    monkeypatch.setattr(filling, "CHUNK_STEPS", 1)
    with monkeypatch.context() as patched:
        stopping(patched, Stopped)
        code, lines = command.run(**asked)
    assert code == 130
    assert lines[0] == f"stopped: 1 image published to images; {named} goes on from here"
    with monkeypatch.context() as patched:
        stopping(patched, lambda: StoreUnavailable("away"))
        code, lines = command.run(**asked)
    assert code == 1
    assert f"away; {named} goes on from here" in lines
    assert command.run(**{**asked, "again": False})[0] == 0
    assert command.log.uris[-1] == f"file://{tmp_path}/2.jpg"


# Dry runs.


def dry(command: Command, **settings: Any) -> tuple[int, list[str]]:  # noqa: ANN401 - of any setting
    """Make a dry run, which changes nothing and asks nobody."""
    state = command.state.read_bytes() if command.state.exists() else None
    there, opened, batches = sorted(command.state.parent.iterdir()), command.opened, len(command.log.batches)
    answer = command.run(dry_run=True, **settings)
    assert sorted(command.state.parent.iterdir()) == there
    assert (command.state.read_bytes() if command.state.exists() else None) == state
    assert (command.opened, len(command.log.batches)) == (opened, batches)
    return answer


def test_a_dry_run_makes_no_state_and_does_not_wait(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "wait_for", lambda *_: pytest.fail("it waits"))
    assert dry(command) == (0, ["30 images would be published to images"])
    assert dry(command, state=str(tmp_path / "nowhere" / "state")) == (0, ["30 images would be published to images"])
    assert dry(command, rate=0.1) == (0, ["30 images would be published to images"])
    assert dry(command, pace=0.1) == (0, ["30 images would be published to images"])


def test_a_dry_run_goes_on_where_the_run_would(command: Command) -> None:
    command.write(refused=2)
    command.killed("before", 3)
    command.rejects.write_text("")
    code, lines = dry(command, rejects=str(command.rejects))
    assert code == 3
    assert lines == [
        f"going on behind 18 images, says {command.state}",
        "10 images would be published to images, 0 if Kafka has the batch that was on its way, 2 lines refused",
    ]
    assert len(command.rejects.read_text().splitlines()) == 2
    assert dry(command, again=True)[1][-1] == "28 images would be published to images, 2 lines refused"
    assert dry(command, delivery="at-least-once")[1][-1] == "10 images would be published to images, 2 lines refused"
    assert command.run()[0] == 3
    assert len(command.log.uris) == 28
    done = f"all 28 images were published before, says {command.state}; --again publishes them once more"
    assert dry(command) == (3, [done])


@pytest.mark.parametrize("where", ["before", "after"])
def test_what_a_dry_run_says_of_a_batch_on_its_way_holds_either_way(command: Command, where: str) -> None:
    command.killed(where, 2)
    _, lines = dry(command)
    assert lines[-1] == "20 images would be published to images, 10 if Kafka has the batch that was on its way"
    before = len(command.log.uris)
    assert command.run()[0] == 0
    assert len(command.log.uris) - before == {"before": 20, "after": 10}[where]


def test_a_dry_run_refuses_what_the_run_would_refuse(command: Command, tmp_path: Path) -> None:
    command.killed("before", 2)
    with command.list.open("a") as file:
        file.write("s3://bucket/more.jpg\n")
    for asked in (dry, Command.run):
        code, lines = asked(command)
        assert code == 2
        assert "list.txt is not what it was when its first images were published" in lines[-1]
    assert dry(command, again=True) == (0, ["31 images would be published to images"])
    code, [line] = dry(command, column="uri")
    assert code == 2
    assert line.startswith(f"--state: '{command.state}' remembers listings ")
    (tmp_path / "text").write_text("no state")
    code, [line] = dry(command, state=str(tmp_path / "text"))
    assert code == 2
    assert "is no state of neardup backfill" in line
    assert (tmp_path / "text").read_text() == "no state"


def test_a_dry_run_beside_a_run_says_that_the_state_is_in_use(command: Command) -> None:
    command.killed("before", 2)
    listings = str(command.list)
    with closing(ProgressFile(command.state, listings, "images")):
        code, lines = dry(command)
    assert code == 2
    assert lines == [f"--state: '{command.state}' is in use by another feed"]


def test_a_dry_run_of_a_killed_run_sees_its_last_whole_change(command: Command) -> None:
    command.killed("before", 2)
    there = sqlite3.connect(command.state, isolation_level=None)
    with closing(there):
        there.execute("PRAGMA cache_size = 1")
        there.execute("BEGIN IMMEDIATE")
        there.execute("UPDATE progress SET published = 99")
        there.executemany("INSERT INTO refusals VALUES (1, ?, '')", [("x" * 9000,)] * 50)  # spills into the file
        for name in ("state.db", "state.db-journal"):
            (command.state.parent / f"killed-{name}").write_bytes((command.state.parent / name).read_bytes())
        there.execute("ROLLBACK")
    code, lines = command.run(dry_run=True, state=str(command.state.parent / "killed-state.db"))
    assert code == 0
    assert lines[0].startswith("going on behind 10 images")


def test_nothing_and_an_outage_are_told_by_a_dry_run(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    code, [line] = dry(command, listings=(str(tmp_path / "empty"),))
    assert (code, line) == (2, f"LISTING: no images found in {tmp_path}/empty")
    (tmp_path / "night").mkdir()
    (tmp_path / "night/1.jpg").write_bytes(b"x")
    stopping(monkeypatch, lambda: StoreUnavailable("away"))
    assert dry(command, listings=(str(tmp_path / "night"),)) == (1, ["away"])
