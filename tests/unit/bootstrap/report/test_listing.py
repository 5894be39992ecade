import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bootstrap.generation.assembly import Assembly
from bootstrap.report.listing import write_listing
from bootstrap.seeds.analyse import analyse_seeds, cluster_seeds
from bootstrap.seeds.describe import DescribedSeeds, Unreadable, describe_seeds
from bootstrap.seeds.result import SeedResult
from neardup.decoding.limits import DecodeLimits
from neardup.descriptors import load_descriptor
from neardup.errors import Misconfigured
from neardup.relation.rule import Relation
from neardup.report.document import document_of
from neardup.report.making import Making
from neardup.report.pixels import Decoding
from neardup.report.sources.files import Files
from neardup.report.sources.opening import open_source
from neardup.report.sources.seeds import SEEDS_FILE, SeedsSource
from neardup.sources.files import ImageSet, find_images
from neardup.types import Pixels
from tests.support.drawings import photo, scaled

DCT = load_descriptor("dct")
LOOKS = Relation(0.36, agreement=0.3, match_flips=True)
HEAD = {"name": "seeds", "index": "default", "fps": 1.0}


def folder_of(folder: Path, pictures: Mapping[str, Pixels | bytes]) -> Path:
    folder.mkdir()
    for name, picture in pictures.items():
        data = picture if isinstance(picture, bytes) else _jpeg(picture)
        (folder / name).write_bytes(data)
    return folder


def _jpeg(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def described(folder: Path, relation: Relation) -> tuple[ImageSet, DescribedSeeds]:
    seeds = find_images([str(folder)])
    return seeds, describe_seeds(seeds, DCT, relation, workers=1)


def listed(result: SeedResult, seeds: ImageSet, folder: Path) -> dict[str, dict[str, Any]]:
    """Write the listing; return the lines of the seeds' file by image."""
    write_listing(result, seeds, folder, HEAD, DecodeLimits())
    lines = [json.loads(line) for line in (folder / SEEDS_FILE).read_text("utf-8").splitlines()]
    return {line["image_id"]: line for line in lines[1:]}


def table(folder: Path) -> list[list[str]]:
    with (folder / "groups.csv").open(newline="", encoding="utf-8") as file:
        return [
            [row[name] for name in ("group", "image", "keep", "duplicate_of", "done")] for row in csv.DictReader(file)
        ]


def shown(folder: Path) -> dict[str, Any]:
    source = open_source(folder, Files(1 << 20), "SOURCE")
    return document_of(source, Making(decoding=Decoding(work_limits=None)))


def test_groups_and_all_seeds_are_listed_with_what_was_done(tmp_path: Path) -> None:
    pictures: dict[str, Pixels | bytes] = {f"{number}.jpg": photo(number) for number in range(6)}
    pictures |= {"0-mirrored.jpg": photo(0)[:, ::-1], "=1-half.jpg": scaled(photo(1), 0.5), "bad.jpg": b"nothing"}
    seeds, found = described(folder_of(tmp_path / "seeds", pictures), LOOKS)
    result = analyse_seeds(found, DCT, clusters=2, relation=LOOKS, radius=0.36)
    lines = listed(result, seeds, tmp_path)
    rows = table(tmp_path)
    assert [row[:4] for row in rows] == [
        ["1", "0-mirrored.jpg", "yes", ""],
        ["1", "0.jpg", "no", "0-mirrored.jpg"],
        ["2", "1.jpg", "yes", ""],
        ["2", "./=1-half.jpg", "no", "1.jpg"],
    ]
    assert rows[1][4].startswith("mirrored, ")
    assert lines["bad.jpg"]["reason"] == "undecodable"
    duplicates = [line for line in lines.values() if line.get("verdict") == "duplicate"]
    assert len(duplicates) == 2
    assert all(line["inset"] and line["box"] for line in duplicates)
    document = shown(tmp_path)
    assert document["counts"] == {"images": 8, "unique": 6, "duplicate": 2, "bad": 1}
    images = document["images"]
    assert sum(images["keep"]) == 2
    assert all(thumb >= 0 for thumb in images["thumb"])
    # The nearest of a unique seed is an earlier unique one.
    for row, (nearest, verdict) in enumerate(zip(images["nearest"], images["verdict"], strict=True)):
        assert nearest < row or verdict == 1
        assert nearest == -1 or images["verdict"][nearest] == 0
    assert sum(nearest >= 0 for nearest in images["nearest"]) >= 6
    assert {each["id"] for each in document["clusters"]} == {0, 1}


def test_what_duplicates_a_member_from_before_is_listed_without_it(tmp_path: Path) -> None:
    before, _ = described(folder_of(tmp_path / "before", {"9.jpg": photo(9), "8.jpg": photo(8)}), LOOKS), None
    carried = before[1].members()
    seeds, found = described(
        folder_of(tmp_path / "seeds", {"a.jpg": photo(9)[:, ::-1], "b.jpg": photo(1), "c.jpg": photo(9)}), LOOKS
    )
    assembly = Assembly(carried, found.members(), found.compared, LOOKS, LOOKS)
    cells, _ = cluster_seeds(assembly.finder.descriptors[assembly.members], 2)
    unreadable = [Unreadable("gone.jpg", "unreadable-file", "it is gone")]
    assigned = cells.assign(assembly.finder.descriptors)
    result = SeedResult(assembly, cells, assigned, unreadable, DCT.spec, DCT.fingerprint)
    lines = listed(result, seeds, tmp_path)
    assert table(tmp_path) == [
        ["1", "a.jpg", "yes", "9.jpg", lines["a.jpg"]["done"]],
        ["1", "c.jpg", "no", "9.jpg", lines["c.jpg"]["done"]],
    ]
    assert lines["a.jpg"]["done"].startswith("mirrored, ")
    assert not lines["c.jpg"]["done"].startswith("mirrored")
    images = shown(tmp_path)["images"]
    assert list(zip(images["name"], images["outside"], images["keep"], strict=True)) == [
        ("9.jpg", 1, 1),
        ("a.jpg", 0, 0),
        ("b.jpg", 0, 0),
        ("c.jpg", 0, 0),
    ]


def test_what_is_within_the_radius_and_unique_has_no_distance(tmp_path: Path) -> None:
    # No agreement is enough.
    strict = Relation(2.0, agreement=1.0)
    seeds, found = described(folder_of(tmp_path / "seeds", {"a.jpg": photo(1), "b.jpg": photo(2)}), strict)
    result = analyse_seeds(found, DCT, clusters=1, relation=strict, radius=2.0)
    lines = listed(result, seeds, tmp_path)
    assert (lines["b.jpg"]["ruled_out"], lines["b.jpg"]["distance"], lines["b.jpg"]["nearest"]) == (True, None, None)
    assert any(note.startswith("1 unique images are within the radius") for note in shown(tmp_path)["notes"])


def test_damaged_lines_are_told_and_other_files_refused(tmp_path: Path) -> None:
    seeds, found = described(folder_of(tmp_path / "seeds", {"a.jpg": photo(1)}), Relation(0.36))
    listed(analyse_seeds(found, DCT, clusters=1, radius=0.36), seeds, tmp_path)
    path = tmp_path / SEEDS_FILE
    path.write_text(path.read_text("utf-8") + '{"verdict": "unique"}\nno JSON\n')
    document = shown(tmp_path)
    assert document["counts"]["images"] == 1
    assert "2 lines were left out" in " ".join(document["notes"])
    path.write_text('{"schema": "neardup.plan/1"}\n')
    with pytest.raises(Misconfigured, match="is not what neardup bootstrap --report writes"):
        SeedsSource(path, Files(1 << 20))
    path.write_text("")
    with pytest.raises(Misconfigured, match="is not what neardup bootstrap --report writes"):
        SeedsSource(path, Files(1 << 20))


def test_of_very_many_unique_seeds_some_ask_for_their_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bootstrap.report.listing._MOST_PAIRS", 20)
    pictures = {f"{number}.jpg": photo(number) for number in range(10)}
    seeds, found = described(folder_of(tmp_path / "seeds", pictures), Relation(0.36))
    lines = listed(analyse_seeds(found, DCT, clusters=1, radius=0.36), seeds, tmp_path)
    known = [line["distance"] for line in lines.values() if line["distance"] is not None]
    assert 0 < len(known) <= 2
    assert np.isfinite(known).all()
