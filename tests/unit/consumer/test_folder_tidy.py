"""Folder mode tidies up: from its command line, in this process, on real pictures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import consumer.logs
from consumer.folder.resume import Journal
from consumer.handler import Handler
from neardup.cli import main
from neardup.tidy.places import Places, partial
from tests.support.drawings import dark_photo, pale_photo
from tests.support.forms import collage
from tests.support.interrupting import interrupted_after
from tests.support.processes import photo

Judge = Callable[..., int]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two groups, of which one has a larger copy; a picture of its own; and what is none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    files = {
        "a.jpg": photo(1),
        "b.jpg": photo(1, quality=60),
        "c.jpg": photo(1, size=(320, 240)),
        "d.jpg": photo(2),
        "e.jpg": photo(2),
        "f.jpg": photo(3),
        "notes.txt": b"no picture",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def folder(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Run folder mode in this process, and return its exit code."""
    monkeypatch.setattr(consumer.logs, "configure_logging", lambda _level, **_worker: None)
    monkeypatch.chdir(tmp_path)

    def run(*settings: str, path: Path = pictures) -> int:
        return main(["folder", str(path), "--decode-timeout", "off", *settings], {})

    return run


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def going(tmp_path: Path) -> set[str]:
    return {Path(line["file"]["path"]).name for line in lines_of(tmp_path / "plan.jsonl")[1:]}


def names(path: Path) -> set[str]:
    return {each.name for each in path.iterdir()}


def verdicts(path: Path) -> dict[str, Any]:
    """Return what verdicts say, without their times."""
    return {line["image_id"]: (line["verdict"], line["duplicate_of"], line["distance"]) for line in lines_of(path)}


# Groups and the plan


def test_a_run_writes_its_groups_and_touches_nothing(folder: Judge, tmp_path: Path, pictures: Path) -> None:
    before = names(pictures)
    assert folder() == 0
    rows = lines_of(tmp_path / "groups.jsonl")
    assert [(row["group"], row["image"], row["keep"]) for row in rows] == [
        (1, "a.jpg", True),
        (1, "b.jpg", False),
        (1, "c.jpg", False),
        (2, "d.jpg", True),
        (2, "e.jpg", False),
    ]
    assert [(row["width"], row["height"]) for row in rows[1:3]] == [(160, 120), (320, 240)]
    assert (tmp_path / "groups.csv").exists()
    assert names(pictures) == before
    assert names(tmp_path) == {"pictures", "verdicts.jsonl", "verdicts.dead.jsonl", "groups.jsonl", "groups.csv"}


def test_without_duplicates_there_is_nothing_to_do(
    folder: Judge, tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in names(pictures) - {"a.jpg", "d.jpg"}:
        (pictures / name).unlink()
    assert folder("--keep", "best") == 0
    assert "0 groups" in (told := capsys.readouterr().out)
    assert "nothing to do" in told
    assert folder("--keep", "best", "--apply", "delete") == 0
    assert names(pictures) == {"a.jpg", "d.jpg"}
    assert not lines_of(tmp_path / "groups.jsonl")


def test_a_dry_run_plans_and_touches_nothing(
    folder: Judge, tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = names(pictures)
    for rule, expected in {"best": {"a.jpg", "b.jpg", "e.jpg"}, "first": {"b.jpg", "c.jpg", "e.jpg"}}.items():
        assert folder("--keep", rule) == 0
        assert going(tmp_path) == expected
        rows = lines_of(tmp_path / "groups.jsonl")
        assert {row["image"] for row in rows if not row["keep"]} == expected
    assert "3 of these 5 images may go, " in (told := capsys.readouterr().out)
    assert "--apply" in told
    assert names(pictures) == before


def test_a_picture_that_shows_another_inside_a_larger_one_stays(folder: Judge, tmp_path: Path, pictures: Path) -> None:
    for name in names(pictures):
        (pictures / name).unlink()
    inner, outer = Image.fromarray(dark_photo(1)), Image.fromarray(collage(pale_photo(2), dark_photo(1)))
    inner.save(pictures / "part.png")
    inner.resize((inner.width * 2, inner.height * 2)).save(pictures / "twice.png")
    outer.save(pictures / "whole.png")
    assert folder("--profile", "scraper", "--keep", "best") == 0
    rows = {row["image"]: row for row in lines_of(tmp_path / "groups.jsonl")}
    assert rows.keys() == {"part.png", "twice.png", "whole.png"}
    assert rows["whole.png"]["keep"]
    assert rows["whole.png"]["why"] == "shows more than it"
    assert "of its own frame" in rows["whole.png"]["done"]
    assert going(tmp_path) == {"part.png"}
    assert folder("--profile", "scraper", "--keep", "best", "--crops") == 0
    assert going(tmp_path) == {"part.png"}


def test_a_cutting_stays_unless_told(folder: Judge, tmp_path: Path, pictures: Path) -> None:
    for name in names(pictures):
        (pictures / name).unlink()
    whole = Image.fromarray(dark_photo(1))
    whole.save(pictures / "a-whole.png")
    width, height = whole.size
    whole.crop((0, 0, width * 4 // 5, height * 4 // 5)).resize(whole.size).save(pictures / "b-cutting.png")
    for rule in ("best", "largest", "first"):
        assert folder("--profile", "scraper", "--keep", rule) == 0
        rows = {row["image"]: row for row in lines_of(tmp_path / "groups.jsonl")}
        assert rows["b-cutting.png"]["why"] == "shows a part of it"
        assert going(tmp_path) == set()
        assert folder("--profile", "scraper", "--keep", rule, "--crops") == 0
        assert going(tmp_path) == {"b-cutting.png"}


def test_a_file_of_several_pages_stays(folder: Judge, tmp_path: Path, pictures: Path) -> None:
    page = Image.open(pictures / "a.jpg")
    other = Image.fromarray(np.asarray(page)[::-1])
    page.save(pictures / "pages.tiff", save_all=True, append_images=[other])
    assert folder("--keep", "first") == 0
    [row] = [row for row in lines_of(tmp_path / "groups.jsonl") if row["image"] == "pages.tiff"]
    assert (row["keep"], row["why"]) == (True, "one of 2 frames or pages")


def test_frames_of_clips_stay(folder: Judge, tmp_path: Path, pictures: Path) -> None:
    pytest.importorskip("av", reason="extra video is not installed")
    from tests.support.films import film, numbered  # noqa: PLC0415 - it needs PyAV

    film(pictures / "z.mkv", [numbered(0)] * 60)
    Image.fromarray(numbered(0)).save(pictures / "z-photo.png")
    assert folder("--keep", "best") == 0
    assert going(tmp_path) == {"a.jpg", "b.jpg", "e.jpg"}
    assert any("#t=" in row["image"] and row["keep"] for row in lines_of(tmp_path / "groups.jsonl"))


# Acting on it


@pytest.mark.parametrize("act", ["move", "delete"])
def test_the_plan_is_acted_on_and_undone(
    folder: Judge, tmp_path: Path, pictures: Path, act: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in pictures.iterdir()}
    assert folder("--keep", "best") == 0
    assert folder("--keep", "best", "--apply", act) == 0
    assert names(pictures) == {"c.jpg", "d.jpg", "f.jpg", "notes.txt"}
    assert folder("--keep", "best", "--apply", act) == 0
    assert "3 were done before" in capsys.readouterr().out
    assert main(["undo", str(tmp_path / "undo.jsonl")], {}) == (0 if act == "move" else 4)
    told = capsys.readouterr()
    if act == "move":
        assert {path.name: path.read_bytes() for path in pictures.iterdir()} == before
        assert told.out == "put back 3 files\n"
    else:
        assert told.err.count("not put back: ") == 3


def test_after_moving_a_second_run_passes_over_what_was_moved(folder: Judge, pictures: Path) -> None:
    inside = ["--output", str(pictures / "verdicts.jsonl"), "--keep", "best"]
    assert folder(*inside) == 0
    assert folder(*inside, "--apply", "move") == 0
    assert names(pictures / "duplicates") == {"a.jpg", "b.jpg", "e.jpg"}
    assert folder(*inside) == 0
    assert verdicts(pictures / "verdicts.jsonl").keys() == {"c.jpg", "d.jpg", "f.jpg"}
    assert lines_of(pictures / "plan.jsonl")[1:] == []


def test_with_yes_one_command_judges_and_acts_each_time_anew(
    folder: Judge, tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at_once = ["--keep", "best", "--apply", "move", "--yes"]
    assert folder(*at_once) == 0
    assert names(tmp_path / "duplicates") == going(tmp_path) == {"a.jpg", "b.jpg", "e.jpg"}
    assert "moved 3 files" in (told := capsys.readouterr().out)
    assert "nothing was touched" not in told
    (pictures / "g.jpg").write_bytes((pictures / "c.jpg").read_bytes())
    assert folder(*at_once) == 0
    assert len(names(tmp_path / "duplicates")) == 4
    assert len(lines_of(tmp_path / "undo.jsonl")) == 5  # a first line, and one for each file of both runs


def test_files_go_where_they_are_told_to(folder: Judge, tmp_path: Path) -> None:
    assert folder("--keep", "best") == 0
    assert folder("--keep", "best", "--apply", "move", "--to", str(tmp_path / "attic")) == 0
    assert names(tmp_path / "attic") == {"a.jpg", "b.jpg", "e.jpg"}


def test_what_changed_since_the_plan_is_left_alone_and_told(
    folder: Judge, pictures: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert folder("--keep", "best") == 0
    (pictures / "a.jpg").write_bytes(photo(9))
    (pictures / "d.jpg").unlink()
    assert folder("--keep", "best", "--apply", "delete") == 4
    assert names(pictures) == {"a.jpg", "c.jpg", "e.jpg", "f.jpg", "notes.txt"}
    assert "deleted 1 file" in (told := capsys.readouterr().out)
    assert "2 left alone" in told
    assert sorted(record.getMessage().split(": ")[0] for record in caplog.records) == ["left alone", "left alone"]


@pytest.mark.parametrize(
    ("dry", "applying", "why"),
    [
        (None, ["--keep", "best"], "run the same command without --apply first"),
        (["--keep", "best"], ["--keep", "oldest"], "keep was 'best' and is 'oldest'"),
        (["--keep", "best"], ["--keep", "best", "--radius", "0.1"], "radius was None and is 0.1"),
        (["--keep", "best"], ["--keep", "best", "--crops"], "crops was False and is True"),
    ],
)
def test_without_a_plan_of_these_settings_nothing_is_done(
    folder: Judge, dry: list[str] | None, applying: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = Path("pictures")
    before = names(pictures)
    if dry is not None:
        assert folder(*dry) == 0
    assert folder(*applying, "--apply", "delete") == 2
    assert why in capsys.readouterr().err
    assert names(pictures) == before


def test_a_plan_of_another_folder_is_refused(folder: Judge, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder("--keep", "best") == 0
    (tmp_path / "other").mkdir()
    assert folder("--keep", "best", "--apply", "delete", path=tmp_path / "other") == 2
    assert "input was " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (["--apply", "move"], "--apply works only with --keep"),
        (["--crops"], "--crops works only with --keep"),
        (["--keep", "best", "--yes"], "--yes works only with --apply"),
        (["--keep", "best", "--to", "x"], "--to works only with --apply move"),
        (["--keep", "newest"], "--keep: 'newest' is wrong: it should be one of best, largest, oldest, first"),
        (["--index", "cams", "--against", "x"], "--against works only with --index memory"),
        (["--against", "no-such-folder"], "no such file or folder: no-such-folder"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    folder: Judge, settings: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert folder(*settings) == 2
    assert why in capsys.readouterr().err


def test_an_undo_file_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["undo", str(tmp_path / "undo.jsonl")], {}) == 2
    assert f"cannot read {tmp_path}/undo.jsonl: No such file" in capsys.readouterr().err


# Against a reference


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """Two that are alike, the second nearer to a picture of the folder; and one of no interest."""
    folder = tmp_path / "reference"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(photo(1, quality=30))
    (folder / "2.jpg").write_bytes(photo(1))
    (folder / "3.jpg").write_bytes(photo(7))
    return folder


def test_a_reference_is_kept_whole_and_named(
    folder: Judge, tmp_path: Path, pictures: Path, reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in reference.iterdir()}
    assert folder("--against", str(reference), "--keep", "first") == 0
    assert "6 images: 2 unique, 4 duplicates; 1 dead letter; compared with 3 more" in capsys.readouterr().out
    told = verdicts(tmp_path / "verdicts.jsonl")
    assert told["a.jpg"][:2] == ("duplicate", str(reference / "2.jpg"))
    assert told["a.jpg"][2] == 0.0
    assert told["d.jpg"][0] == "unique"
    assert not any(str(reference) in image_id for image_id in told)
    assert going(tmp_path) == {"a.jpg", "b.jpg", "c.jpg", "e.jpg"}
    of_reference = [row for row in lines_of(tmp_path / "groups.jsonl") if row["image"].startswith(str(reference))]
    assert all(row["keep"] and row["duplicate_of"] is None for row in of_reference)
    assert folder("--against", str(reference), "--keep", "first", "--apply", "delete") == 0
    assert names(pictures) == {"d.jpg", "f.jpg", "notes.txt"}
    assert {path: path.stat().st_mtime_ns for path in reference.iterdir()} == before


def test_a_link_in_the_reference_to_a_picture_of_the_folder_removes_nothing(
    folder: Judge, tmp_path: Path, pictures: Path, reference: Path
) -> None:
    for path in reference.iterdir():
        path.unlink()
    (reference / "link.jpg").symlink_to(pictures / "f.jpg")
    (pictures / "g.jpg").write_bytes(photo(3))
    assert folder("--against", str(reference), "--keep", "first") == 0
    assert going(tmp_path).isdisjoint({"f.jpg", "g.jpg"})


@pytest.mark.parametrize("against", ["pictures", "pictures/below", ".", "link"])
def test_a_reference_that_overlaps_the_folder_is_refused(
    folder: Judge, tmp_path: Path, pictures: Path, against: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "below").mkdir()
    (tmp_path / "link").symlink_to(pictures)
    assert folder("--against", against) == 2
    assert "must lie beside one another" in capsys.readouterr().err


def test_nothing_is_moved_into_the_reference(
    folder: Judge, reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = ["--against", str(reference), "--keep", "first"]
    assert folder(*usual) == 0
    assert folder(*usual, "--apply", "move", "--to", str(reference / "below")) == 2
    assert "which is never touched" in capsys.readouterr().err


# Interrupted


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the image ids that were described, as they are."""
    ids: list[str] = []
    describe = Handler.describe

    def told(self: Handler, messages: Any) -> Any:  # noqa: ANN401 - as `Handler.describe` has it
        ids.extend((message.key or b"").decode() for message in messages)
        return describe(self, messages)

    monkeypatch.setattr(Handler, "describe", told)
    return ids


def interrupted(folder: Judge, after: int, *settings: str) -> None:
    with interrupted_after(after):
        assert folder("--batch-size", "1", *settings) == 130


@pytest.mark.parametrize("settings", [[], ["--profile", "scraper"], ["--largest-first"]])
def test_a_second_run_goes_on_where_the_first_was_interrupted(
    folder: Judge, tmp_path: Path, settings: list[str], described: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert folder(*settings, "--output", str(tmp_path / "whole.jsonl")) == 0
    described.clear()
    interrupted(folder, 2, *settings)
    assert "so far; the same command goes on with the rest" in capsys.readouterr().out
    places = Places.beside(tmp_path / "verdicts.jsonl")
    kept = verdicts(partial(places.verdicts))
    assert 2 <= len(kept) < 6
    assert not places.verdicts.exists()
    assert not places.groups_csv.exists()
    described.clear()
    assert folder(*settings) == 0
    assert set(described).isdisjoint(kept)
    assert verdicts(places.verdicts) == verdicts(tmp_path / "whole.jsonl")
    assert [line["image"] for line in lines_of(places.groups_jsonl)] == [
        line["image"] for line in lines_of(tmp_path / "whole.groups.jsonl")
    ]
    assert not places.journal.exists()
    assert not partial(places.verdicts).exists()


def test_what_changed_since_the_interruption_is_judged_anew_with_what_named_it(
    folder: Judge, tmp_path: Path, pictures: Path, described: list[str]
) -> None:
    interrupted(folder, 4)
    kept = verdicts(tmp_path / "verdicts.jsonl.partial")
    assert kept["b.jpg"][1] == "a.jpg"
    (pictures / "a.jpg").write_bytes(photo(8))
    described.clear()
    assert folder() == 0
    assert {"a.jpg", "b.jpg", "c.jpg"} <= set(described)
    told = verdicts(tmp_path / "verdicts.jsonl")
    assert told["a.jpg"][0] == "unique"
    assert told["b.jpg"][0] == "unique"
    assert told["c.jpg"][1] == "b.jpg"


@pytest.mark.parametrize("settings", [["--radius", "0.001"], ["--largest-first"], ["--match-flips"]])
def test_other_settings_begin_anew(folder: Judge, settings: list[str], described: list[str]) -> None:
    interrupted(folder, 3)
    described.clear()
    assert folder(*settings) == 0
    assert len(described) == 7


def test_a_journal_that_was_cut_is_used_as_far_as_it_is_whole(
    folder: Judge, tmp_path: Path, described: list[str]
) -> None:
    interrupted(folder, 3)
    path = tmp_path / "verdicts.resume.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:20])
    described.clear()
    assert folder() == 0
    assert "a.jpg" not in described
    assert "b.jpg" in described
    assert verdicts(tmp_path / "verdicts.jsonl")["b.jpg"][1] == "a.jpg"


def test_a_reference_is_not_described_again_either(
    folder: Judge, tmp_path: Path, reference: Path, described: list[str]
) -> None:
    interrupted(folder, 4, "--against", str(reference))
    described.clear()
    assert folder("--against", str(reference)) == 0
    assert not any(str(reference) in each for each in described)
    assert verdicts(tmp_path / "verdicts.jsonl")["a.jpg"][1] == str(reference / "2.jpg")


def test_frames_of_a_clip_are_not_described_again(
    folder: Judge, tmp_path: Path, pictures: Path, described: list[str]
) -> None:
    pytest.importorskip("av", reason="extra video is not installed")
    from tests.support.films import film, numbered  # noqa: PLC0415 - it needs PyAV

    film(pictures / "0.mkv", [numbered(number) for number in range(90)])
    interrupted(folder, 4)
    kept = verdicts(tmp_path / "verdicts.jsonl.partial")
    assert any("#t=" in each for each in kept)
    described.clear()
    assert folder() == 0
    assert set(described).isdisjoint(kept)
    assert kept.items() <= verdicts(tmp_path / "verdicts.jsonl").items()


def test_a_full_disk_keeps_what_was_judged(folder: Judge, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder() == 0
    earlier = (tmp_path / "verdicts.jsonl").read_bytes()
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("a full disk is had from /dev/full, which only Linux has")
    (tmp_path / "verdicts.jsonl.partial").symlink_to(full)
    assert folder() == 2
    assert (
        "cannot write beside verdicts.jsonl: No space left on device; what was judged is kept"
        in capsys.readouterr().err
    )
    assert (tmp_path / "verdicts.jsonl").read_bytes() == earlier
    (tmp_path / "verdicts.jsonl.partial").unlink()
    assert folder() == 0


@pytest.mark.parametrize("name", ["plan.jsonl", "groups.csv", "groups.jsonl"])
def test_a_full_disk_leaves_earlier_files_as_they_were(
    folder: Judge, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("a full disk is had from /dev/full, which only Linux has")
    assert folder("--keep", "best") == 0
    earlier = (tmp_path / name).read_bytes()
    (tmp_path / f"{name}.partial").symlink_to(full)
    assert folder("--keep", "best") == 2
    assert f"cannot write {name}: No space left on device" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == earlier


def test_the_journal_of_no_run_is_empty(tmp_path: Path) -> None:
    assert Journal(tmp_path / "none.jsonl", {}).entries == ()
