"""What was trained is measured only on photos that it never saw."""

import copy
import importlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import real_descriptors, result_files
from benchmarks.quality import evaluate, low_texture
from benchmarks.quality.evaluate import Photos, cpu_ms, never_trained_on, photos_for
from benchmarks.quality.report import tables
from benchmarks.quality.tools import TRAINED, HashTool, OwnTool
from neardup.types import Descriptors
from tests.support.pictures import flat, generated
from training.photos import held_out

pytestmark = pytest.mark.slow

NAMES = [f"clothing_{number:03}.jpg" for number in range(8, 24)]
UNSEEN = [name for name in NAMES if held_out(name)]
LARGE = ["bsds_0.jpg", "bsds_1.jpg"]


def hash_named(name: str, bits: int = 2) -> HashTool:
    return HashTool(name, bits, 1, lambda pixels: pixels[0, 0, :1] > np.arange(bits))


def photos_named(folder: Path) -> Photos:
    small, large = ([folder / part / name for name in names] for part, names in (("small", NAMES), ("large", LARGE)))
    return Photos(large[:1] + small[:8], small, large, folder / "camera", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("photos")
    for number, (part, name) in enumerate([("small", name) for name in NAMES] + [("large", name) for name in LARGE]):
        (folder / part).mkdir(exist_ok=True)
        Image.fromarray(generated(number)).resize((96, 80)).save(folder / part / name, quality=90)
    return folder


@contextmanager
def small_run() -> Iterator[None]:
    """Let `pixels` pass for trained, and draw two pictures of a class."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "ProcessPoolExecutor", ThreadPoolExecutor)  # one that sees what is patched
        patch.setattr(evaluate, "TRAINED", {"pixels"})
        patch.setattr(low_texture, "COUNT", 2)
        yield


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, Any]:
    """Return those of a small run."""
    with small_run():
        return evaluate.evaluate(photos_named(folder), ["dct", "pixels:4"], None, workers=1)


def test_pictures_that_are_measured_anew_are_as_in_a_whole_run(results: dict[str, Any]) -> None:
    renewed = copy.deepcopy(results)
    for figures in (*renewed["tools"], *renewed["held_out"]):
        figures["low_texture"] = figures["no_row"]["low_texture"] = None
    with small_run():
        evaluate.evaluate_pictures(renewed, None, workers=1)
    assert renewed["tools"] == results["tools"]
    assert renewed["held_out"] == results["held_out"]


def test_some_names_are_held_out_and_most_are_not() -> None:
    assert 0 < len(UNSEEN) < len(NAMES) / 2
    assert any(name in UNSEEN for name in NAMES[:8])


def test_a_trained_tool_sees_no_photo_that_is_not_held_out() -> None:
    photos = photos_named(Path())
    for name in TRAINED:
        for spec in (name, f"{name}:option"):
            seen = photos_for(hash_named(spec), photos)
            assert [file.name for file in seen.different] == [*UNSEEN, *LARGE]
            assert {file.name for file in seen.copied} == {LARGE[0], *(name for name in NAMES[:8] if held_out(name))}


def test_other_tools_see_all_and_those_of_long_rows_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "FEW_PHOTOS", 5)
    photos = photos_named(Path())
    assert photos_for(hash_named("dct"), photos) == photos
    few = photos_for(hash_named("long", evaluate.LONG_ROW + 1), photos)
    assert (few.copied, few.different) == (photos.copied, evaluate.evenly(photos.different, 5))


def test_a_run_measures_a_trained_tool_beside_all_others_on_unseen_photos(results: dict[str, Any]) -> None:
    dct, trained = results["tools"]
    assert (dct["photos"], dct["different_photos"]) == (9, len(NAMES))
    unseen = never_trained_on(photos_named(Path()))
    assert (trained["photos"], trained["different_photos"]) == (len(unseen.copied), len(unseen.different))
    assert trained["hard_negatives"]["pairs"] == len(UNSEEN) * (len(UNSEEN) - 1) // 2
    allowed = {*UNSEEN, *LARGE}
    sheets = results["_sheets"]["pixels:4"]
    assert {file.name for _, *pair in sheets["false"] for file in pair} <= allowed
    assert {file.name for _, file, _ in sheets["misses"]} <= allowed
    assert {file.name for _, *pair in results["_sheets"]["dct"]["false"] for file in pair} - allowed


def test_held_out_figures_are_of_the_same_photos_for_every_tool(results: dict[str, Any]) -> None:
    held, trained = results["held_out"], results["tools"][1]
    assert [tool["tool"] for tool in held] == ["dct", "pixels:4"]
    count = len(UNSEEN) + len(LARGE)
    assert [tool["at_rate"]["pairs"] for tool in held] == [count * (count - 1) // 2] * 2
    assert held[0]["photos"] == held[1]["photos"] < results["tools"][0]["photos"]
    assert {key: trained[key] for key in held[1]} == held[1]
    assert held[0]["at_rate"]["allowed"] == held[0]["at_rate"]["false_pairs"] == 0  # too few pairs for one in a million
    assert held[0]["at_rate"]["recall"]["png"] == 1.0


def test_report_shows_the_held_out_figures(results: dict[str, Any]) -> None:
    shown = tables(results)
    *_, row = shown["held out"].splitlines()
    held = results["held_out"][1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["`pixels:4`", str(held["photos"]), str(held["at_rate"]["pairs"])]
    assert cells[-1].endswith(f" / {held['hard_negatives']['pairs']}")
    assert shown["recall held out"].splitlines()[0] == "| transform | kind | `dct` | `pixels:4` |"
    assert shown["recall held out"] != shown["recall"]
    assert tables({**results, "held_out": []})["recall"] == shown["recall"]


def test_only_a_descriptor_describes_many_at_once(folder: Path) -> None:
    files = photos_named(folder).copied
    own, other = cpu_ms(OwnTool("pixels:4"), files), cpu_ms(hash_named("h"), files)
    assert set(own) == {*other, "describe_in_32"} == {"decode", "describe", "with_decode", "describe_in_32"}
    assert min(own.values()) > 0
    assert own["with_decode"] >= own["decode"]


def test_many_at_once_are_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "BATCH", 4)
    images = [np.full((1, 1, 3), number, dtype=np.uint8) for number in range(10)]
    assert [len(batch) for batch in evaluate._batches(images)] == [4, 4]
    assert [int(image[0, 0, 0]) for [*batch] in evaluate._batches(images[:3]) for image in batch] == [0, 1, 2, 0]


def test_described_images_begin_with_all_photos_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_descriptors, "ProcessPoolExecutor", ThreadPoolExecutor)
    monkeypatch.setattr(real_descriptors, "_PHOTOS", 3)
    photos = [tmp_path / f"{number}.png" for number in range(7)]
    for number, photo in enumerate(photos):
        Image.fromarray(flat(30 * number, 100, 255 - 30 * number)).save(photo)
    rows = real_descriptors.described(photos, 16, "pixels:64")
    assert np.array_equal(rows, rows[[*range(7), *range(7), 0, 1]])  # a part of one colour is that colour
    assert len(np.unique(rows.astype(np.float32), axis=0)) == 7
    assert np.array_equal(rows[:5], real_descriptors.described(photos, 5, "pixels:64"))


def test_parts_of_a_photo_differ(folder: Path) -> None:
    rows = real_descriptors._described_views(6, "pixels:64", (0, photos_named(folder).different[:2]))
    assert rows.shape[:2] == (2, 6)
    assert len(np.unique(rows.reshape(12, -1).astype(np.float32), axis=0)) == 12


def test_a_descriptor_of_another_size_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEARDUP_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match="pixels:16 takes images of another size than 64 px"):
        real_descriptors.descriptors_of_images(1, "pixels:16")


@pytest.mark.parametrize(("trained", "asked"), [(True, False), (False, True), (False, False)])
def test_an_index_of_a_trained_descriptor_holds_no_photo_that_it_saw(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, trained: bool, asked: bool
) -> None:
    described: list[str] = []

    def describe(photos: list[Path], count: int, spec: str) -> Descriptors:
        assert spec == "dct"
        described.extend(photo.name for photo in photos)
        return np.zeros((count, 128), dtype=np.float16)

    (tmp_path / "photos_small").symlink_to(folder / "small")
    monkeypatch.setenv("NEARDUP_DATA", str(tmp_path))
    monkeypatch.setattr(real_descriptors, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(real_descriptors, "TRAINED", {"dct"} if trained else set())
    monkeypatch.setattr(real_descriptors, "described", describe)
    rows, source = real_descriptors.descriptors_of_images(20, "dct", unseen=asked)
    only_unseen = trained or asked
    assert len(rows) == 20
    assert described == (UNSEEN if only_unseen else NAMES)
    assert (f"held out from training ({len(UNSEEN)})" in source) == only_unseen
    described.clear()
    real_descriptors.descriptors_of_images(15, "dct", unseen=asked)  # as kept
    assert described == []
    real_descriptors.descriptors_of_images(15, "dct", unseen=True)
    assert described == ([] if only_unseen else UNSEEN)


def test_each_descriptor_has_its_own_file_of_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(real_descriptors.__file__).parent))
    search = importlib.import_module("benchmarks.index_search")
    given = [
        search._arguments(words).out.name
        for words in ([], ["--descriptor", "copynet"], ["--held-out"], ["--descriptor", "dct:notrim"])
    ]
    assert given == ["index.json", "index-copynet.json", "index-held-out.json", "index-dct-notrim.json"]


def test_results_by_a_file_of_one_s_own_lie_beside_the_others() -> None:
    file = result_files.results_of("camera", "copynet:further/model")
    assert file == result_files.results_of("camera", "dct").with_name("camera-copynet-further-model.json")
