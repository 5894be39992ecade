import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bootstrap.report.pictures import require_report, write_report
from bootstrap.seeds.analyse import analyse_seeds
from bootstrap.seeds.describe import describe_seeds
from bootstrap.seeds.result import SeedResult
from neardup.descriptors.base import unit_float16
from neardup.descriptors.pixels import PixelsDescriptor
from neardup.errors import Misconfigured
from neardup.report.plane import first_components
from neardup.sources.images import BrokenImage, BytesImage, SourceImage

pytestmark = pytest.mark.slow

pytest.importorskip("matplotlib", reason="extra report is not installed")

PIXELS = PixelsDescriptor(8)
NAMES = ["clusters.png", "duplicates.png", "unique.png"]


def png(seed: int, width_px: int = 40, height_px: int = 20) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (height_px, width_px, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def analysed(seeds: list[SourceImage], clusters: int = 2) -> SeedResult:
    return analyse_seeds(describe_seeds(seeds, PIXELS), PIXELS, clusters=clusters)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        return image.size


def colours_of(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    return set(map(tuple, np.unique(pixels, axis=0).tolist()))


def test_pictures_are_written_and_other_files_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "unique.png").write_text("old")
    seeds: list[SourceImage] = [BytesImage(f"{number}.png", png(number // 2)) for number in range(12)]
    written = write_report(analysed(seeds), seeds, tmp_path)
    assert [path.name for path in written] == NAMES
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert size_of(tmp_path / "clusters.png") == (1100, 880)
    # Six groups, a line each; six uniques in one line of seven.
    assert size_of(tmp_path / "duplicates.png") == (1320, 110 + 6 * 210)
    assert size_of(tmp_path / "unique.png") == (1320, 110 + 210)


def test_large_seed_sets_stay_readable(tmp_path: Path) -> None:
    seeds: list[SourceImage] = [BytesImage(f"{number}.png", png(number // 9)) for number in range(540)]
    write_report(analysed(seeds, clusters=30), seeds, tmp_path)
    assert size_of(tmp_path / "duplicates.png") == (1320, 110 + 12 * 210)
    assert size_of(tmp_path / "unique.png") == (1320, 110 + 8 * 210)


def test_pictures_show_the_images(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 30), (12, 34, 56)).save(buffer, "PNG")
    seeds: list[SourceImage] = [
        BytesImage("a", buffer.getvalue()),
        BytesImage("b", buffer.getvalue()),
        BytesImage("c", png(1)),
    ]
    write_report(analysed(seeds), seeds, tmp_path)
    assert (12, 34, 56) in colours_of(tmp_path / "duplicates.png")
    assert (12, 34, 56) in colours_of(tmp_path / "unique.png")


@pytest.mark.parametrize("count", [1, 2])
def test_one_image_or_two_unlike_ones(tmp_path: Path, count: int) -> None:
    seeds: list[SourceImage] = [BytesImage(f"{number}.png", png(number)) for number in range(count)]
    write_report(analysed(seeds), seeds, tmp_path)
    assert size_of(tmp_path / "duplicates.png") == (1320, 110)


def test_file_names_are_no_formulas_and_need_no_font(tmp_path: Path) -> None:
    names = ["$x^2$.png", "100% $.png", "日本語.png", "a/very/long/path/to/some/image.png", "new\ufffdline.png"]
    seeds: list[SourceImage] = [BytesImage(name, png(0)) for name in names]
    write_report(analysed(seeds), seeds, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == NAMES


def test_an_image_that_is_gone_by_now_leaves_a_grey_tile(tmp_path: Path) -> None:
    seeds: list[SourceImage] = [BytesImage("a", png(0)), BytesImage("b", png(1))]
    result = analysed(seeds)
    write_report(result, [seeds[0], BrokenImage("b", OSError("gone"))], tmp_path)
    assert (235, 235, 235) in colours_of(tmp_path / "unique.png")


def test_the_folder_is_made(tmp_path: Path) -> None:
    require_report(tmp_path / "deep" / "report")
    assert (tmp_path / "deep" / "report").is_dir()
    assert not list((tmp_path / "deep" / "report").iterdir())


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "report"):
        with pytest.raises(Misconfigured, match=r"^--report: cannot write into"):
            require_report(folder)


def test_a_missing_extra_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(Misconfigured, match=r"pip install neardup\[report\]"):
        require_report(tmp_path)


def test_components_are_the_principal_ones() -> None:
    random = np.random.default_rng(0)
    rows = unit_float16((random.normal(size=(200, 12)) * ([5, 3] + [0.1] * 10)).astype(np.float32))
    points, _, parts = first_components(rows, rows[:3].astype(np.float32))
    centred = rows.astype(np.float64) - rows.astype(np.float64).mean(axis=0)
    singular = np.linalg.svd(centred, compute_uv=False)
    assert np.allclose(parts, singular[:2] ** 2 / (singular**2).sum(), atol=1e-3)
    assert np.allclose(np.abs(np.linalg.norm(points, axis=0)), singular[:2], rtol=1e-3)


def test_components_of_a_sample_in_blocks_are_about_the_same() -> None:
    random = np.random.default_rng(0)
    rows = unit_float16((random.normal(size=(2000, 12)) * ([5, 3] + [0.1] * 10)).astype(np.float32))
    whole, _, _ = first_components(rows, rows.astype(np.float32))
    sampled, others, _ = first_components(rows, rows.astype(np.float32), sample_numbers=12 * 500)
    assert np.allclose(sampled, others, atol=1e-5)
    for column in range(2):
        assert abs(np.corrcoef(whole[:, column], sampled[:, column])[0, 1]) > 0.99
