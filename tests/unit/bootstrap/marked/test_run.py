import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bootstrap.calibrate
from bootstrap.marked.labels import read_labels
from bootstrap.marked.run import calibrate_run
from neardup.descriptors import load_descriptor
from neardup.errors import Misconfigured
from neardup.report.entry import Judged
from neardup.report.making import Making, Size
from neardup.report.pixels import Decoding
from neardup.report.writing import write_report
from tests.support.processes import photo
from tests.support.report_sources import RADIUS, Made, document_in, judged
from tests.support.verdict_lines import duplicate, line, unique

FUTURE_MS = 4_000_000_000_000


def near(name: str, other: str, distance: float) -> Judged:
    """Return a unique image whose nearest is known."""
    found = judged(name, None, distance)
    return replace(found, entry=replace(found.entry, other=other, other_name=other))


def page(folder: Path, *all_of: Judged, size: Size | None = None) -> Path:
    making = Making(size or Size(), Decoding(work_limits=None))
    write_report(Made(all_of), folder / "report.html", making)
    return folder / "report.html"


def asked(run: Path, *lines: str) -> dict[str, Any]:
    pairs = run.with_name("marked-pairs.csv")
    pairs.write_text("\n".join(["image_a,image_b,label", *lines, ""]), encoding="utf-8")
    document = calibrate_run(run, pairs, read_labels(pairs))
    told: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    return told


PICTURES = (judged("a"), judged("b", "a", 0.1), judged("=c", "a", 0.3), near("d", "a", 0.4), near("e", "d", 0.9))


def test_what_a_page_shows_is_all_that_its_pairs_need(tmp_path: Path) -> None:
    path = page(tmp_path, *PICTURES)
    found = asked(path, "b,a,same", "a,./=c,different", "d,a,different", "e,d,different")
    assert [pair["distance"] for pair in found["marked"]["pairs"]] == [0.1, 0.3, 0.4, 0.9]
    assert (found["marked"]["now"]["right"], found["marked"]["fewest_errors"]["radius"]) == (3, 0.1)
    assert found["changes"] == [
        {"unique": 3, "duplicates": 2, "radius": RADIUS},
        {"unique": 4, "duplicates": 1, "radius": 0.1},
    ]
    assert asked(path, "d,a,same")["changes"][1] == {"unique": 2, "duplicates": 3, "radius": 0.4}


def test_names_that_are_numbers_are_no_rows_of_a_page(tmp_path: Path) -> None:
    path = page(tmp_path, judged("3"), judged("2"), judged("1", "2", 0.3), judged("0", "1", 0.1), judged("4", "3", 0.2))
    found = asked(path, "0,1,same", "4,3,same", "1,2,different")
    assert [pair["distance"] for pair in found["marked"]["pairs"]] == [0.1, 0.2, 0.3]
    with pytest.raises(Misconfigured, match="not '1' and '3'"):
        asked(path, "1,3,same")


def test_at_the_radius_of_the_run_it_counts_what_the_verdicts_say(tmp_path: Path) -> None:
    by_another = replace(judged("c", "a", 0.5), radius=0.6)
    found = asked(page(tmp_path, *PICTURES, by_another), "b,a,same")
    assert found["changes"] == [
        {"unique": 3, "duplicates": 3, "radius": RADIUS},
        {"unique": 5, "duplicates": 1, "radius": 0.1},
    ]


def test_what_was_not_compared_is_refused_by_line(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"line 3: a page tells only .* not 'b' and 'e'"):
        asked(page(tmp_path, *PICTURES), "b,a,same", "b,e,same")


def test_a_member_from_before_can_be_marked_and_names_may_be_those_of_several(tmp_path: Path) -> None:
    found = judged("again", "seed", 0.2)
    twice = judged("again", "other", 0.1)
    again = replace(twice, entry=replace(twice.entry, key="again-2"))
    told = asked(page(tmp_path, judged("other"), found, again), "again,seed,same", "again,other,same")
    assert [pair["distance"] for pair in told["marked"]["pairs"]] == [0.2, 0.1]


def test_of_a_sample_the_counts_are_read_off_the_histogram(tmp_path: Path) -> None:
    many = [judged(str(number), "a", 0.3) for number in range(900)]
    path = page(tmp_path, judged("a"), judged("b", "a", 0.1), *many, size=Size(images=50))
    images = document_in(path)["images"]
    assert len(images["name"]) < 100
    shown = next(name for name, distance in zip(images["name"], images["distance"], strict=True) if distance == 0.3)
    found = asked(path, f"{shown},a,different")
    assert found["images"] == 902
    assert found["changes"][0] == {"unique": 1, "duplicates": 901, "radius": RADIUS}
    assert (found["changes"][1]["radius"], found["changes"][1]["duplicates"]) == (0.0, 0)
    found = asked(path, f"{shown},a,same")
    assert found["changes"][1]["duplicates"] == pytest.approx(901, abs=1)
    assert found["notes"] == ["it shows a sample: counts are read off its histogram"]


@pytest.mark.parametrize("text", ["", "<html>", '<script type="application/json" id="data">{"images": 1}</script>'])
def test_what_is_no_page_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.html").write_text(text)
    with pytest.raises(Misconfigured, match="is no page of neardup report"):
        asked(tmp_path / "report.html", "a,b,same")
    (tmp_path / "report.html").unlink()
    with pytest.raises(Misconfigured, match="cannot read"):
        asked(tmp_path / "report.html", "a,b,same")


def test_by_verdicts_other_pairs_are_described_once_more(tmp_path: Path) -> None:
    dct = load_descriptor("dct").fingerprint
    documents = []
    for number in range(3):
        (tmp_path / f"image-{number}").write_bytes(photo(number // 2))
        source = {"topic": "files", "partition": 0, "offset": number, "timestamp": FUTURE_MS}
        told = {"uri": (tmp_path / f"image-{number}").as_uri(), "descriptor": dct, "source": source}
        documents.append(duplicate(1, 0, "files", **told) if number == 1 else unique(number, "files", **told))
    path = tmp_path / "verdicts.jsonl"
    path.write_bytes(b"\n".join(map(line, documents)) + b"\n")
    (tmp_path / "file.jpg").write_bytes(photo(0))
    found = asked(path, "image-0,image-1,same", f"image-0,{tmp_path / 'file.jpg'},same", "image-0,image-2,different")
    first, copy, other = (pair["distance"] for pair in found["marked"]["pairs"])
    assert (first, copy) == (0.125, 0.0)
    assert other > RADIUS
    (tmp_path / "image-2").unlink()
    with pytest.raises(Misconfigured, match=r"line 3: 'image-2' cannot be read any more"):
        asked(path, "image-0,image-1,same", "image-0,image-2,different")
    with pytest.raises(Misconfigured, match=r"line 2: 'nowhere' is neither an image of the run nor a file"):
        asked(path, "image-0,nowhere,same")
    path.write_bytes(b"")
    with pytest.raises(Misconfigured, match="there are no verdicts"):
        asked(path, "a,b,same")


def test_the_answer_is_told_in_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = page(tmp_path, *PICTURES)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("a,b,different\n")
    assert bootstrap.calibrate.main(["--run", str(path), "--pairs", str(pairs)], {}) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-3:] == [
        "images, now   3 unique, 2 duplicates at 0.36",
        "images, best  about 5 unique, 0 duplicates at 0",
        "changed       nothing; run it again with --radius",
    ]
    assert bootstrap.calibrate.main(["--run", str(path)], {}) == 2
