"""Exports of a run: each format read back, texts that look like something else, and what is refused."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools.coco import COCO

from neardup.cli import main
from neardup.decoding.header import shown_size_px
from tests.support.processes import photo
from tests.support.verdict_lines import duplicate, line, unique

NASTY = '=HYPERLINK("http://evil","x")'
MARKUP = "<b>&\"'\x1b[31m;\u2028ä 写真"
LATE_MS = 4_000_000_000_000


def of_file(number: int, path: Path | None, **other: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a verdict
    """Return the verdict on a unique file."""
    source = {"topic": "files", "partition": 0, "offset": number, "timestamp": LATE_MS}
    uri = None if path is None else path.as_uri()
    return unique(number, "files", **{"source": source, "uri": uri, "cluster": None, **other})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Verdicts on two photos, one of them turned, on a copy, and on a frame of a clip."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("a.jpg", "c.jpg"):
        (pictures / name).write_bytes(photo(1, size=(40, 30)))
    turned = Image.new("RGB", (40, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(pictures / "b.jpg", exif=exif)
    copy = {name: duplicate(2, of=0, topic="files")[name] for name in ("verdict", "duplicate_of", "distance", "member")}
    documents = [
        of_file(0, pictures / "a.jpg", image_id="a.jpg"),
        of_file(1, pictures / "b.jpg", image_id="b.jpg"),
        of_file(2, pictures / "c.jpg", image_id="c.jpg", **{**copy, "duplicate_of": "a.jpg"}),
        of_file(3, None, image_id="clip.mp4#t=1.000"),
    ]
    path = tmp_path / "verdicts.jsonl"
    path.write_bytes(b"".join(line(document) + b"\n" for document in documents))
    return path


Export = Callable[..., tuple[int, Path]]


@pytest.fixture
def export(run: Path) -> Export:
    """Give what exports the run, and returns the exit code and the file."""

    def made(form: str, *more: str, output: Path | None = None) -> tuple[int, Path]:
        output = output or run.with_name(f"out.{form}")
        return main(["export", str(run), "--format", form, "--output", str(output), *more], {}), output

    return made


def ids(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [row["image_id"] for row in rows]


def test_unique_images_are_exported_unless_told_otherwise(export: Export, capsys: pytest.CaptureFixture[str]) -> None:
    code, path = export("jsonl")
    assert code == 0
    assert ids([json.loads(text) for text in path.read_text("utf-8").splitlines()]) == [
        "a.jpg",
        "b.jpg",
        "clip.mp4#t=1.000",
    ]
    assert capsys.readouterr() == (f"3 images (3 unique) -> {path}\n", "")
    _, path = export("jsonl", "--which", "duplicate")
    assert ids([json.loads(text) for text in path.read_text("utf-8").splitlines()]) == ["c.jpg"]
    export("jsonl", "--which", "all")
    assert capsys.readouterr().out.endswith(f"4 images (1 duplicate, 3 unique) -> {path}\n")


def test_json_lines_tell_all_of_an_image(export: Export, run: Path) -> None:
    _, path = export("jsonl", "--which", "all")
    rows = [json.loads(text) for text in path.read_text("utf-8").splitlines()]
    assert rows[2] == {
        "image_id": "c.jpg",
        "verdict": "duplicate",
        "group": "a.jpg",
        "duplicate_of": "a.jpg",
        "distance": 0.125,
        "radius": 0.36,
        "symmetry": None,
        "cluster": None,
        "image": str(run.with_name("pictures") / "c.jpg"),
        "width": 40,
        "height": 30,
        "captured_at": "2026-01-01T00:00:00.000Z",
        "decided_at": "2026-01-01T00:00:00.373Z",
        "index": "default",
        "generation": 2,
        "topic": "files",
        "partition": 0,
        "offset": 2,
    }
    # Upright, as it is shown, and not as it lies in the file.
    assert (rows[1]["width"], rows[1]["height"]) == (30, 40)
    assert [row["group"] for row in rows] == ["a.jpg", "b.jpg", "a.jpg", "clip.mp4#t=1.000"]
    assert (rows[3]["image"], rows[3]["width"]) == (None, None)


def test_pandas_reads_the_table(export: Export) -> None:
    _, path = export("csv", "--which", "all")
    table = pd.read_csv(path, parse_dates=["decided_at"])
    assert table["image_id"].tolist() == ["a.jpg", "b.jpg", "c.jpg", "clip.mp4#t=1.000"]
    assert table.groupby("group").size().to_dict() == {"a.jpg": 2, "b.jpg": 1, "clip.mp4#t=1.000": 1}
    assert table["decided_at"].dt.year.tolist() == [2026] * 4
    assert table["distance"].tolist() == [0.9, 0.9, 0.125, 0.9]


def test_pyarrow_reads_the_parquet_file(export: Export) -> None:
    _, path = export("parquet", "--which", "all")
    table = pq.read_table(path)
    assert table.column("image_id").to_pylist() == ["a.jpg", "b.jpg", "c.jpg", "clip.mp4#t=1.000"]
    assert table.column("duplicate_of").to_pylist() == [None, None, "a.jpg", None]
    kinds = {field.name: str(field.type) for field in table.schema}
    assert (kinds["distance"], kinds["offset"], kinds["decided_at"]) == ("double", "int64", "timestamp[ms, tz=UTC]")
    (time, *_) = table.column("decided_at").to_pylist()
    assert time.isoformat() == "2026-01-01T00:00:00.373000+00:00"


def test_pycocotools_loads_the_coco_file(export: Export, capsys: pytest.CaptureFixture[str]) -> None:
    code, path = export("coco", "--which", "all")
    coco = COCO(str(path))
    images = coco.loadImgs(coco.getImgIds())
    assert [(image["file_name"], image["width"], image["height"]) for image in images] == [
        ("a.jpg", 40, 30),
        ("b.jpg", 30, 40),
        ("c.jpg", 40, 30),
    ]
    assert images[2]["neardup"]["group"] == "a.jpg"
    assert (coco.getAnnIds(), coco.getCatIds()) == ([], [])
    assert code == 3
    told = capsys.readouterr().err
    assert "1 images are left out, as there is no file or URI to name them by:" in told
    assert "  clip.mp4#t=1.000: a frame of a video clip is no file" in told


def test_label_studio_gets_its_tasks(export: Export, run: Path) -> None:
    _, path = export("labelstudio", "--which", "all")
    tasks = json.loads(path.read_text("utf-8"))
    folder = str(run.with_name("pictures")).lstrip("/")
    assert [task["data"]["image"] for task in tasks] == [
        f"/data/local-files/?d={folder}/{name}.jpg" for name in ("a", "b", "c")
    ]
    assert tasks[2]["data"]["verdict"] == "duplicate"
    assert tasks[2]["data"]["group"] == "a.jpg"
    assert tasks[2]["meta"] == {"index": "default", "generation": 2}


def test_cvat_gets_a_tag_for_each_image(export: Export) -> None:
    _, path = export("cvat", "--which", "all")
    root = ET.parse(path).getroot()  # noqa: S314 - our own file
    assert [label.findtext("name") for label in root.iter("label")] == ["unique", "duplicate"]
    told = [(image.attrib["name"], image[0].attrib["label"], image.attrib["width"]) for image in root.iter("image")]
    assert told == [("a.jpg", "unique", "40"), ("b.jpg", "unique", "30"), ("c.jpg", "duplicate", "40")]
    attributes = {each.attrib["name"]: each.text for each in list(root.iter("image"))[2].iter("attribute")}
    assert (attributes["group"], attributes["distance"], attributes["cluster"]) == ("a.jpg", "0.125", None)


def test_fiftyone_gets_a_folder(export: Export, run: Path) -> None:
    _, path = export("fiftyone", "--which", "all")
    samples = json.loads((path / "samples.json").read_text("utf-8"))["samples"]
    assert [Path(sample["filepath"]).name for sample in samples] == ["a.jpg", "b.jpg", "c.jpg"]
    assert samples[2]["verdict"] == {"_cls": "Classification", "label": "duplicate"}
    assert json.loads((path / "metadata.json").read_text("utf-8")) == {"media_type": "image"}
    assert sorted(os.listdir(run.parent)) == sorted(["out.fiftyone", "pictures", "verdicts.jsonl"])  # noqa: PTH208


# Texts.


@pytest.fixture
def nasty(run: Path) -> Path:
    texts = [NASTY, "-1+1", "@x", "\t=1", " =1", "\uff1d1", MARKUP, 'a,b"c\nd']
    path = run.with_name("pictures") / "a.jpg"
    lines = [line(of_file(number, path, image_id=text)) for number, text in enumerate(texts)]
    run.write_bytes(b"\n".join(lines))
    return run


@pytest.mark.usefixtures("nasty")
def test_no_text_is_a_formula(export: Export) -> None:
    _, path = export("csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert ids(rows) == [f"'{NASTY}", "'-1+1", "'@x", "'\t=1", "' =1", "'\uff1d1", MARKUP, 'a,b"c\nd']
    assert [row["group"] for row in rows] == ids(rows)
    assert not any(value.lstrip().startswith(("=", "+", "-", "@")) for row in rows for value in row.values())


@pytest.mark.parametrize("form", ["jsonl", "parquet", "coco", "labelstudio", "cvat", "fiftyone"])
@pytest.mark.usefixtures("nasty")
def test_texts_stay_texts_elsewhere(export: Export, form: str) -> None:
    code, path = export(form)
    assert code == 0
    readers: dict[str, Callable[[], Sequence[str | None]]] = {
        "jsonl": lambda: ids([json.loads(text) for text in path.read_text("utf-8").split("\n")[:-1]]),
        "parquet": lambda: pq.read_table(path).column("image_id").to_pylist(),
        "coco": lambda: [image["file_name"] for image in json.loads(path.read_text("utf-8"))["images"]],
        "labelstudio": lambda: [task["data"]["image_id"] for task in json.loads(path.read_text("utf-8"))],
        "fiftyone": lambda: ids(json.loads((path / "samples.json").read_text("utf-8"))["samples"]),
        "cvat": lambda: [
            next(each.text for each in image.iter("attribute") if each.attrib["name"] == "image_id")
            for image in ET.parse(path).getroot().iter("image")  # noqa: S314 - our own file
        ],
    }
    found = readers[form]()
    # XML has no way to say an escape.
    assert found[6] == (MARKUP.replace("\x1b", "\ufffd") if form == "cvat" else MARKUP)
    assert (found[0], found[7]) == (NASTY, 'a,b"c\nd')


# Images.


def test_images_are_written_and_named(export: Export, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run.with_name("images")
    code, path = export("jsonl", "--images", str(folder))
    rows = [json.loads(text) for text in path.read_text("utf-8").splitlines()]
    assert [row["image"] for row in rows] == [str(folder / "0000000-a.jpg"), str(folder / "0000001-b.jpg"), None]
    assert (folder / "0000000-a.jpg").read_bytes() == photo(1, size=(40, 30))
    assert (rows[1]["width"], rows[1]["height"]) == (30, 40)
    assert code == 3
    assert "1 images could not be written, and are exported without a place:" in capsys.readouterr().err
    # Once more: what is there is the same. By URL, if they are served.
    _, path = export("jsonl", "--images", str(folder), "--image-url", "https://files.example.org/x")
    assert json.loads(path.read_text("utf-8").splitlines()[0])["image"] == "https://files.example.org/x/0000000-a.jpg"
    assert sorted(each.name for each in folder.iterdir()) == ["0000000-a.jpg", "0000001-b.jpg"]


@pytest.mark.parametrize("url", ["/data/local-files/?d=x/", "/static/"])
def test_a_url_may_have_no_host(export: Export, run: Path, url: str) -> None:
    more = ("--images", str(run.with_name("images")), "--image-url", url)
    _, path = export("labelstudio", *more)
    assert json.loads(path.read_text("utf-8"))[0]["data"]["image"] == f"{url}0000000-a.jpg"
    _, path = export("coco", *more)
    assert json.loads(path.read_text("utf-8"))["images"][0]["coco_url"] == f"{url}0000000-a.jpg"


def test_a_name_that_is_no_text_stays_as_it_is_in_a_url(export: Export, run: Path) -> None:
    file = Path(os.fsdecode(b"/p/caf\xe9 1.jpg"))
    run.write_bytes(line(of_file(0, file, image_id="a.jpg")))
    _, path = export("labelstudio")
    assert json.loads(path.read_text("utf-8"))[0]["data"]["image"] == "/data/local-files/?d=p/caf%E9%201.jpg"


def test_a_file_that_holds_something_else_stays(export: Export, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run.with_name("images")
    folder.mkdir()
    (folder / "0000000-a.jpg").write_bytes(b"mine")
    code, path = export("csv", "--images", str(folder))
    assert (code, path.exists()) == (2, False)
    assert "is there and holds something else: name another folder" in capsys.readouterr().err
    assert [each.read_bytes() for each in folder.iterdir()] == [b"mine"]


def test_an_id_is_no_path(run: Path, export: Export) -> None:
    source = {"topic": "files", "partition": 0, "offset": 0, "timestamp": LATE_MS}
    run.write_bytes(line(of_file(0, run.with_name("pictures") / "a.jpg", image_id="../../x/../y z.jpg", source=source)))
    folder = run.with_name("images")
    export("csv", "--images", str(folder))
    assert [each.name for each in folder.iterdir()] == ["0000000-_x_y_z.jpg"]


def test_what_is_no_image_has_no_size(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"no image")
    with path.open("rb") as file:
        assert shown_size_px(file) == (None, None)


# What is refused.


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (("--image-url", "http://x"), "--image-url works only with --images"),
        (("--from", "2h"), "--from and --to are of the verdict topic: a run is exported whole"),
        (("--format", "xml"), "--format: 'xml' is wrong: it should be one of csv, jsonl, parquet"),
        (("--which", "some"), "--which: 'some' is wrong"),
        (("--nothing",), "--nothing: there is no such flag"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    run: Path, more: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    form = () if "--format" in more else ("--format", "csv")
    assert main(["export", str(run), *form, "--output", str(run.with_name("o.csv")), *more], {}) == 2
    assert why in capsys.readouterr().err


def test_what_is_read_is_not_overwritten(export: Export, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = run.read_bytes()
    link = run.with_name("link")
    link.symlink_to(run)
    for output in (run, link):
        assert export("csv", output=output)[0] == 2
    assert run.read_bytes() == before
    assert "it is the file that is read" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["csv", "parquet", "coco", "cvat", "labelstudio", "fiftyone"])
def test_output_that_cannot_be_written_leaves_what_was_there(
    export: Export, run: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    there = run.with_name("there")
    there.mkdir()
    (there / "mine").write_text("mine")
    assert export(form, output=there)[0] == 2
    assert export(form, output=run.with_name("nowhere") / "x")[0] == 2
    assert [each.name for each in there.iterdir()] == ["mine"]
    assert sorted(each.name for each in run.parent.iterdir()) == ["pictures", "there", "verdicts.jsonl"]
    assert capsys.readouterr().err.count("\n") == 2


def test_parquet_without_its_extra_says_which_one(
    export: Export, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, path = export("parquet")
    assert (code, path.exists()) == (2, False)
    assert capsys.readouterr().err == "--format parquet needs an extra: pip install 'neardup[parquet]'\n"


def test_a_run_without_verdicts_is_refused_and_an_earlier_export_stays(
    export: Export, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, path = export("csv")
    before = path.read_bytes()
    run.write_text('{"group": 1, "image": "a.jpg"}\n')
    assert export("csv")[0] == 2
    assert "holds no verdicts" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_broken_lines_are_told_and_the_rest_is_exported(
    export: Export, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run.write_bytes(run.read_bytes() + b'{"half\n')
    code, _ = export("csv")
    assert code == 3
    said = capsys.readouterr()
    assert said.out.startswith("3 images (3 unique)")
    assert said.err.startswith(f"1 are no verdicts, and left out:\n  {run}, line 5: not JSON: ")


def test_where_no_image_can_be_named_nothing_is_written(
    export: Export, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run.write_bytes(line(of_file(0, None, image_id="clip.mp4#t=1.000")))
    code, path = export("coco")
    assert (code, path.exists()) == (2, False)
    assert "no image can be named, so there is nothing to export; clip.mp4#t=1.000: a frame" in capsys.readouterr().err


# Size.

MOST_MORE_KIB = 8_000
MEASURED = """
import resource, sys
from neardup.cli import main
code = main(sys.argv[1:], {})
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "coco"])
def test_memory_does_not_grow_with_the_run(tmp_path: Path, form: str) -> None:
    peaks = []
    for count in (1_000, 25_000):
        run = tmp_path / f"{count}.jsonl"
        with run.open("wb") as file:
            file.writelines(
                line(unique(number, uri=f"https://example.org/{number}.jpg")) + b"\n" for number in range(count)
            )
        arguments = ["export", str(run), "--format", form, "--output", str(tmp_path / f"{count}.{form}")]
        done = subprocess.run([sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True, check=True)
        code, peak_kib = done.stdout.splitlines()[-1].split()
        assert code == "0", done.stderr
        peaks.append(int(peak_kib))
    # Twenty-five thousand verdicts as dicts would take 100 MB.
    assert peaks[1] - peaks[0] < MOST_MORE_KIB, peaks
