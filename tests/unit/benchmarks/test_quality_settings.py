"""Whole settings are measured by the verdicts of the relation itself, and each half of the photos apart."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.quality import __main__ as entry
from benchmarks.quality import beyond, layouts, low_texture, setting
from benchmarks.quality.beyond import LISTS, UnseenPhotos, evaluate_beyond, unseen_photos
from benchmarks.quality.halves import HALVES, half_of
from benchmarks.quality.low_texture import CLASSES
from benchmarks.quality.report import tables, write_sheets
from benchmarks.quality.setting import Setting, compared, count_pairs, described, duplicate_pairs, is_found, settings
from benchmarks.quality.transforms import jpeg
from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.relation.rule import Relation
from neardup.settings.profiles import PROFILES
from tests.support.pictures import generated
from training.photos import held_out

PIXELS = Setting("small", "pixels:8", Relation(0.3))


def encoded(seeds: range) -> list[bytes]:
    return [jpeg(Image.fromarray(generated(seed, 64, 48))) for seed in seeds]


def test_the_profile_is_measured_as_it_ships_and_dct_beside_it() -> None:
    scraper, dct = settings()
    assert (scraper.name, scraper.spec, dct.spec) == ("scraper", PROFILES["scraper"]["descriptor"], "dct")
    assert scraper.relation.agreement == PROFILES["scraper"]["agreement"]
    assert scraper.relation.radius == load_descriptor(scraper.spec).candidate_radius
    assert dct.relation == Relation(load_descriptor(dct.spec).default_radius)


def test_another_radius_is_that_of_the_profile_alone() -> None:
    scraper, dct = settings(0.7)
    assert scraper.relation == replace(settings()[0].relation, radius=0.7)
    assert dct == settings()[1]
    assert scraper.facts["radius"] == 0.7


def test_whatever_a_profile_says_of_the_relation_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"descriptor": "pixels:4", "radius": 0.2, "match_flips": True, "local_change": 3.0, "fps": 2.0}
    monkeypatch.setattr(setting, "PROFILES", {"scraper": told})
    assert settings()[0] == Setting("scraper", "pixels:4", Relation(0.2, 3.0, match_flips=True))
    assert settings(0.1)[0].relation == Relation(0.1, 3.0, match_flips=True)


@pytest.mark.parametrize("relation", [Relation(0.3), Relation(0.3, match_flips=True), Relation(0.3, local_change=20.0)])
def test_duplicates_are_those_of_comparing_every_pair(relation: Relation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting, "_BLOCK_ROWS", 3)
    chosen = replace(PIXELS, relation=relation)
    images = described(chosen, encoded(range(11)))
    every = combinations(range(11), 2)
    verdicts = {(one, other): compared(chosen, images[other], images[one]) for one, other in every}
    alike = sorted((each.distance, *pair) for pair, each in verdicts.items() if is_found(each))
    assert 0 < len(alike) < count_pairs(11) == len(verdicts)
    assert duplicate_pairs(chosen, images) == alike


def test_what_else_the_relation_asks_for_counts() -> None:
    images = described(
        replace(PIXELS, relation=Relation(0.3, local_change=0.0)), encoded(range(11)) + encoded(range(1))
    )
    near = duplicate_pairs(PIXELS, images)
    unchanged = duplicate_pairs(replace(PIXELS, relation=Relation(0.3, local_change=0.0)), images)
    assert unchanged == [(0.0, 0, 11)]
    assert len(near) > 1


def test_no_images_have_no_pairs() -> None:
    assert duplicate_pairs(PIXELS, []) == []
    assert count_pairs(0) == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = {
        "photos_small": [f"clothing_{number:03}.jpg" for number in range(24)],
        "photos_eval": ["b_0.jpg", "b_1.jpg"],
    }
    for part, files in names.items():
        (tmp_path / part).mkdir()
        for number, name in enumerate(files):
            (tmp_path / part / name).write_bytes(jpeg(Image.fromarray(generated(number, 96, 80))))
    return tmp_path


def test_photos_are_unseen_and_most_of_those_copied_are_large(folder: Path) -> None:
    photos = unseen_photos(folder, 3, 100, 0)
    assert [file.name for file in photos.copied[:2]] == ["b_0.jpg", "b_1.jpg"]
    small = [file for file in (*photos.copied, *photos.different) if file.name.startswith("clothing")]
    assert small
    assert all(held_out(file.name) for file in small)
    assert len(photos.copied) == 3
    assert len(photos.different) == len(small) - 1 + 2


@pytest.mark.slow
def test_copies_and_false_pairs_are_counted_by_half(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beyond, "ProcessPoolExecutor", ThreadPoolExecutor)
    files = sorted((folder / "photos_small").glob("*.jpg"))
    (chosen, *_), (reported, twin, *_) = ([file for file in files if half_of(file.name) == half] for half in HALVES)
    twin.write_bytes(reported.read_bytes())
    photos = UnseenPhotos([chosen, reported], [chosen, reported, twin, folder / "photos_eval/b_0.jpg"], 0)
    strict = replace(PIXELS, relation=Relation(0.05))
    figures, sheets = evaluate_beyond(photos, [strict, replace(strict, name="wide", relation=Relation(2.0))], 1)
    assert figures["photos"] == {"chosen": 1, "reported": 1}
    narrow, wide = figures["settings"]
    for half in HALVES:
        assert {key: set(shares) for key, shares in wide["recall"][half].items()} == {
            key: set(kinds) for key, kinds in LISTS.items()
        }
        assert all(share == 1.0 for shares in wide["recall"][half].values() for share in shares.values())
        assert narrow["recall"][half]["listed"]["png"] == 1.0
        assert narrow["recall"][half]["held out"]["pencil"] == 0.0
    assert narrow["false_pairs"]["garments"] == {
        "chosen": {"images": 1, "pairs": 0, "false": 0},
        "reported": {"images": 2, "pairs": 1, "false": 1},
        "together": {"images": 3, "pairs": 3, "false": 1},
    }
    assert wide["false_pairs"]["garments"]["together"]["false"] == 3
    assert wide["false_pairs"]["photos"]["together"] == {"images": 1, "pairs": 0, "false": 0}
    assert sheets["beyond-small"]["false"] == [(0.0, reported, twin)]
    assert sheets["beyond-wide"]["misses"] == []
    missed = {name for _, _, name in sheets["beyond-small"]["misses"]}
    assert "pencil" in missed
    assert "png" not in missed
    write_sheets(sheets, 0, folder / "sheets", beyond.EVERY)
    with Image.open(folder / "sheets/beyond-small-misses.png") as sheet:
        assert sheet.height > 190 * len(missed) / 4


@pytest.mark.slow
def test_a_part_alone_keeps_all_other_figures_and_shows_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "quality.json"
    out.write_text(json.dumps({"seed": 5, "layouts": "of before"}))
    monkeypatch.setattr(layouts, "ProcessPoolExecutor", ThreadPoolExecutor)
    monkeypatch.setattr(layouts, "CLASSES", {"for choices": {"solid": CLASSES["solid"]}})
    # By the radius alone: so wide, it takes all for duplicates.
    monkeypatch.setattr(setting, "PROFILES", {"scraper": {"descriptor": "copynet"}})
    monkeypatch.setattr(sys, "argv", ["quality", "--layouts", "--radius", "2", "--out", str(out)])
    entry.main()
    results = json.loads(out.read_text())
    assert results["seed"] == 5
    scraper, dct = results["layouts"]["settings"]
    assert scraper["classes"]["for choices"]["solid"] == {"false": 1.0, "found": 1.0}
    assert dct["classes"]["for choices"]["solid"]["false"] < 1.0
    shown = tables(results)
    assert set(shown) == {"layouts run", "layouts", "layout classes"}
    assert "100.0 / 100.0, `solid` 100.0" in shown["layouts"]
    assert "`scraper` is `copynet`, radius 2.0" in shown["layouts run"]
    assert shown["layouts"] in capsys.readouterr().out


def test_low_texture_cannot_be_measured_without_thresholds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["quality", "--pictures", "--out", str(tmp_path / "none.json")])
    with pytest.raises(SystemExit, match="run make quality without --pictures first"):
        entry.main()


def test_tables_of_halves_show_counts_rates_and_what_nobody_measured() -> None:
    recall = {"listed": {"png": 1.0}, "widened": {"sticker": 0.5, "scan": 0.0}}
    counted = {
        "chosen": {"images": 0, "pairs": 0, "false": 0},
        "reported": {"images": 2001, "pairs": 2001000, "false": 3},
    }
    own = {**PIXELS.facts, "recall": {"reported": recall}, "false_pairs": {"garments": counted}}
    kinds = {"listed": {"png": "as PNG"}, "widened": {"sticker": "a face", "scan": "askew"}}
    figures = {"photos": {"chosen": 0, "reported": 7}, "seed": 0, "kinds": kinds, "settings": [own]}
    shown = tables({"beyond": figures})
    assert "| widened | 2 | chosen | none |\n| widened | 2 | reported | 25.0 |" in shown["beyond"]
    assert "| `sticker` | widened | a face | none / 50.0 |" in shown["beyond kinds"]
    assert "png" not in shown["beyond kinds"]
    assert "| garments | reported | 2,001 | 2,001,000 | 3 (1.50) |" in shown["beyond false pairs"]
    assert "| garments | chosen | 0 | 0 | 0 (0.00) |" in shown["beyond false pairs"]
    assert "`small` is `pixels:8`, radius 0.3." in shown["beyond run"]


def test_edits_of_a_layout_have_its_crop_and_its_smaller_size() -> None:
    sizes = [decode(data).shape[1::-1] for data in low_texture.layout_edits(Image.fromarray(generated(0, 200, 100)), 0)]
    assert sizes[-2:] == [(190, 96), (140, 70)]
    assert sizes.count((200, 100)) == len(sizes) - 3
