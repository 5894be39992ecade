"""``neardup report`` as its command line: of a folder run, of a bootstrap, of a span of a real verdict topic."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition

from tests.support.processes import photo, run
from tests.support.report_sources import document_in
from tests.support.stage import Stage, seed_folder

pytestmark = pytest.mark.slow

MARKUP = '<img src=x onerror="alert(1)">.jpg'


def columns(document: dict[str, Any], *names: str) -> dict[str, tuple[Any, ...]]:
    """Return some columns of a document by name of the image."""
    images = document["images"]
    rows = zip(*(images[name] for name in names), strict=True)
    return dict(zip(images["name"], rows, strict=True))


def report(output: Path, *arguments: str | Path) -> tuple[dict[str, Any], str]:
    """Write a report; return its document, and what the command said."""
    # In this process: to start others takes longer than these few pictures.
    options = [] if "--from" in arguments else ["--decode-timeout", "off"]
    ended = run(["-m", "neardup", "report", *map(str, arguments), "--output", str(output), *options])
    assert ended.returncode == 0, ended.stderr
    return document_in(output), ended.stdout


# A folder


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with pictures and what folder mode has found of them."""
    folder = tmp_path_factory.mktemp("run")
    files = {
        "a-small.jpg": photo(1, size=(160, 120)),
        "b/original.jpg": photo(1, size=(640, 480)),
        MARKUP: photo(2),
        "changed.jpg": photo(3),
        "gone.jpg": photo(4),
        "notes.txt": b"no picture",
    }
    for name, data in files.items():
        (folder / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "pictures" / name).write_bytes(data)
    arguments = ["-m", "neardup", "folder", str(folder / "pictures"), "--output", str(folder / "verdicts.jsonl")]
    ended = run([*arguments, "--keep", "best"])
    assert ended.returncode == 0, ended.stderr
    return folder


def test_a_folder_run_is_shown(judged: Path, tmp_path: Path) -> None:
    document, said = report(tmp_path / "report.html", judged / "verdicts.jsonl")
    assert said == f"5 images: 4 unique, 1 duplicate; 1 bad -> {tmp_path / 'report.html'}\n"
    assert document["title"] == "Duplicates of pictures"
    found = columns(document, "verdict", "thumb", "keep", "width", "cluster")
    assert {name: verdict for name, (verdict, *_) in found.items()} == {
        MARKUP: 0,
        "a-small.jpg": 0,
        "b/original.jpg": 1,
        "changed.jpg": 0,
        "gone.jpg": 0,
    }
    assert all(thumb >= 0 for _, thumb, *_ in found.values())
    assert (found["b/original.jpg"][2:], found["a-small.jpg"][2:]) == ((1, 640, 0), (0, 160, 0))
    names = document["images"]["name"]
    assert names[columns(document, "nearest")["b/original.jpg"][0]] == "a-small.jpg"
    # Of unique ones the nearest before is known, too, just as folder mode has measured it.
    verdicts = {
        line["image_id"]: line for line in map(json.loads, (judged / "verdicts.jsonl").read_text("utf-8").splitlines())
    }
    for name, (nearest, distance) in columns(document, "nearest", "distance").items():
        if name != names[0]:
            assert nearest >= 0
            assert distance == pytest.approx(verdicts[name]["distance"], abs=1e-6)
    assert [(each["reason"], each["files"][0]["name"]) for each in document["bad"]] == [("undecodable", "notes.txt")]
    assert MARKUP not in (tmp_path / "report.html").read_text("utf-8")


def test_pictures_that_are_gone_or_changed_have_no_thumbnail_and_broken_lines_are_named(
    judged: Path, tmp_path: Path
) -> None:
    pictures = shutil.copytree(judged / "pictures", tmp_path / "pictures")
    judged_ms = max(path.stat().st_ctime_ns for path in pictures.rglob("*.jpg")) // 1_000_000
    lines = [json.loads(line) for line in (judged / "verdicts.jsonl").read_text("utf-8").splitlines()]
    for line in lines:
        line["uri"] = line["uri"].replace(str(judged), str(tmp_path))
        line["source"]["timestamp"] = judged_ms
    copied = tmp_path / "verdicts.jsonl"
    texts = [*map(json.dumps, lines), "{no JSON", '{"schema": "neardup.verdict/1"}', ""]
    copied.write_text("\n".join(texts))
    old = tmp_path / "other.jpg"
    old.write_bytes(photo(9))
    os.utime(old, (1, 1))
    old.replace(pictures / "changed.jpg")  # with a time long before the run
    (pictures / "gone.jpg").unlink()
    document, _ = report(tmp_path / "report.html", copied)
    thumbs = {name: thumb for name, (thumb,) in columns(document, "thumb").items()}
    assert sorted(name for name, thumb in thumbs.items() if thumb < 0) == ["changed.jpg", "gone.jpg"]
    notes = " ".join(document["notes"])
    assert "1 image: its file is gone" in notes
    assert "1 image: its file was changed since it was judged" in notes
    assert "2 lines were left out" in notes
    assert "verdicts.jsonl, line 6: not JSON" in notes


def test_pictures_may_lie_elsewhere_by_now(judged: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(judged / "pictures", tmp_path / "copied")
    (judged / "pictures").rename(judged / "moved")
    try:
        nowhere, _ = report(tmp_path / "report.html", judged / "verdicts.jsonl")
        there, _ = report(tmp_path / "report.html", judged / "verdicts.jsonl", "--image-folder", copied)
    finally:
        (judged / "moved").rename(judged / "pictures")
    assert set(nowhere["images"]["thumb"]) == {-1}
    assert "No thumbnail of 5 images: its file is gone" in nowhere["notes"]
    thumbs = columns(there, "thumb")
    assert all(thumbs[name][0] >= 0 for name in (MARKUP, "a-small.jpg", "b/original.jpg"))


def test_what_is_no_source_is_one_clear_line(judged: Path, tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    output.write_text("earlier")
    wrong = {
        (): "SOURCE: name the verdicts.jsonl of neardup folder",
        ("nowhere.jsonl",): "SOURCE: cannot read nowhere.jsonl: No such file or directory",
        (str(tmp_path),): f"SOURCE: there is neither a verdicts.jsonl nor a seeds.jsonl in {tmp_path}",
        (str(judged / "verdicts.jsonl"), "--from", "2h"): "SOURCE: with --from or --to the verdict topic is read",
        (str(judged / "verdicts.jsonl"), "--descriptor", "pixels"): "is not the one that made these verdicts",
    }
    for arguments, line in wrong.items():
        ended = run(["-m", "neardup", "report", *arguments, "--output", str(output)])
        assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
        assert line in ended.stderr
    ended = run(["-m", "neardup", "report", str(judged / "verdicts.jsonl"), "--output", str(tmp_path)])
    assert ended.returncode == 2
    assert f"cannot write {tmp_path}" in ended.stderr
    assert output.read_text() == "earlier"


def test_pairs_that_a_person_marked_are_judged_by_the_run(judged: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "marked-pairs.csv"
    pairs.write_text(
        "image_a,image_b,label\nb/original.jpg,a-small.jpg,same\nchanged.jpg,gone.jpg,different\n"
        f"{judged / 'pictures' / 'gone.jpg'},changed.jpg,different\n"
    )
    arguments = ["-m", "neardup", "calibrate", "--run", str(judged / "verdicts.jsonl"), "--pairs", str(pairs)]
    ended = run([*arguments, "--json"])
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    best = found["marked"]["fewest_errors"]
    assert (best["right"], best["same_missed"], best["different_taken_for_duplicates"]) == (3, 0, 0)
    of_verdict = next(
        json.loads(line)["distance"]
        for line in (judged / "verdicts.jsonl").read_text("utf-8").splitlines()
        if "b/original.jpg" in line
    )
    assert found["marked"]["pairs"][0]["distance"] == of_verdict
    assert of_verdict <= best["radius"] < of_verdict + 1e-5
    assert [(each["unique"], each["duplicates"]) for each in found["changes"]] == [(4, 1), (4, 1)]
    # The other way round: a smaller radius is best, by which one image fewer is a duplicate.
    pairs.write_text("b/original.jpg,a-small.jpg,different\n")
    ended = run(arguments)
    assert ended.returncode == 0, ended.stderr
    said = [line.split(maxsplit=2) for line in ended.stdout.splitlines()]
    assert ["images,", "now", "4 unique, 1 duplicate at 0.36"] in said
    assert ["images,", "best", "about 5 unique, 0 duplicates at 0"] in said
    pairs.write_text("b/original.jpg,nowhere.jpg,same\n")
    ended = run(arguments)
    assert ended.returncode == 2
    assert "line 1: 'nowhere.jpg' is neither an image of the run nor a file that can be described" in ended.stderr
    ended = run(arguments[:5])
    assert ended.stderr == "--run works only with --pairs, which says what is same and different\n"


# A bootstrap


@pytest.mark.redis
def test_a_bootstrap_lists_its_duplicates_and_is_shown(redis_url: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="extra report is not installed")
    seeds = seed_folder(tmp_path / "seeds")
    (seeds / "bad.jpg").write_bytes(b"no picture")
    folder = tmp_path / "listing"
    name = f"report-{secrets.token_hex(4)}"
    arguments = ["-m", "neardup", "bootstrap", str(seeds), "--redis", redis_url, "--index", name, "--clusters", "3"]
    arguments += ["--decode-timeout", "off"]
    ended = run([*arguments, "--report", str(folder), "--radius", "0.3", "--match-flips"])
    assert ended.returncode == 0, ended.stderr
    said = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines() if line[0].strip())
    assert said["duplicates"] == f"1 in 1 group -> {folder / 'groups.csv'}"
    rows = [line.split(",") for line in (folder / "groups.csv").read_text().splitlines()]
    assert [row[:3] for row in rows[1:]] == [["1", "seed-00.jpg", "yes"], ["1", "seed-copy.jpg", "no"]]
    document, told = report(tmp_path / "report.html", folder)
    assert told.startswith("13 images: 12 unique, 1 duplicate; 1 bad")
    assert len(document["source"].pop("key")) == 16
    assert document["source"] == {"kind": "bootstrap", "name": str(seeds), "span": None}
    assert (document["descriptor"], document["radius"]) == ("dct", 0.3)
    assert all(thumb >= 0 for thumb in document["images"]["thumb"])
    assert None not in document["images"]["x"]
    assert {each["id"] for each in document["clusters"]} == {0, 1, 2}
    # Nothing of these is left when the seeds are gone, and that is told.
    (seeds / "seed-05.jpg").unlink()
    document, _ = report(tmp_path / "report.html", folder)
    assert "No thumbnail of 1 image: its file is gone" in document["notes"]


# A stream


@pytest.fixture
def stage(kafka_address: str, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    name = f"report-{secrets.token_hex(4)}"
    seeds = seed_folder(tmp_path / "seeds")
    arguments = ["-m", "bootstrap", str(seeds), "--redis", redis_url, "--index", name, "--clusters", "3"]
    arguments += ["--decode-timeout", "off"]
    ended = run([*arguments, "--local-change", "20"])
    assert ended.returncode == 0, ended.stderr
    opened = Stage(kafka_address, redis_url, name, 1)
    with opened.stack:
        yield opened


@pytest.mark.kafka
@pytest.mark.redis
def test_a_span_of_the_verdict_topic_is_shown(stage: Stage, tmp_path: Path) -> None:
    arguments = ["--from", "1h", "--bootstrap-servers", stage.address]
    arguments += ["--verdicts", stage.verdicts, "--dead-letters", stage.dead]
    places = [
        stage.publish(data, headers=[("image_id", name.encode())])
        for name, data in {
            "new.jpg": photo(500),
            "copy of new.jpg": photo(500, quality=60),
            "copy of a seed.jpg": photo(3, quality=60),
            "broken.jpg": b"no picture",
        }.items()
    ]
    stage.flush()
    with stage.service():
        stage.await_outcomes()
    document, said = report(tmp_path / "report.html", *arguments)
    assert said.startswith("3 images: 1 unique, 2 duplicates; 1 bad")
    found = columns(document, "verdict", "outside", "thumb")
    assert {name: row[:2] for name, row in found.items()} == {
        "new.jpg": (0, 0),
        "copy of new.jpg": (1, 0),
        "copy of a seed.jpg": (1, 0),
        "seed-03.jpg": (0, 1),
    }
    assert [name for name, (*_, thumb) in found.items() if thumb < 0] == ["seed-03.jpg"]
    assert any("1 image: it came in no message: a seed" in note for note in document["notes"])
    # A person marks a duplicate, of which only the page knows.
    pairs = tmp_path / "marked-pairs.csv"
    pairs.write_text("image_a,image_b,label\ncopy of new.jpg,new.jpg,same\ncopy of a seed.jpg,seed-03.jpg,same\n")
    ended = run(["-m", "neardup", "calibrate", "--run", str(tmp_path / "report.html"), "--pairs", str(pairs)])
    assert ended.returncode == 0, ended.stderr
    assert "1 unique, 2 duplicates at" in ended.stdout
    document, _ = report(tmp_path / "report.html", *arguments, "--image-folder", tmp_path / "seeds")
    assert all(thumb >= 0 for thumb in document["images"]["thumb"])
    # When the topic no longer has the images, what the index keeps of the unique one is shown.
    stage.admin.delete_records({TopicPartition(stage.images, 0): len(places)})
    document, _ = report(tmp_path / "report.html", *arguments)
    found = columns(document, "thumb")
    assert [name for name, (thumb,) in found.items() if thumb >= 0] == ["new.jpg"]
    assert "No thumbnail of 2 images: the image topic no longer has it" in document["notes"]
    # A span by offset, of which the topic has lost the beginning.
    stage.admin.delete_records({TopicPartition(stage.verdicts, 0): 1})
    arguments[1] = "0:0"
    document, said = report(tmp_path / "report.html", *arguments)
    assert said.startswith("2 images: 0 unique, 2 duplicates")
    assert any(stage.verdicts in note for note in document["notes"])


@pytest.mark.kafka
def test_a_topic_that_is_not_there_is_one_clear_line(kafka_address: str, tmp_path: Path) -> None:
    arguments = ["-m", "neardup", "report", "--from", "1h", "--bootstrap-servers", kafka_address]
    ended = run([*arguments, "--verdicts", "no-such-topic", "--output", str(tmp_path / "report.html")])
    assert ended.returncode == 2
    assert "no-such-topic" in ended.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())
