"""Calibration at bootstrap and of a live index, on a real Redis."""

import io
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from PIL import Image

import bootstrap.__main__
import bootstrap.calibrate
import bootstrap.index
from bootstrap.calibrate_settings import CalibrateSettings
from bootstrap.live.reading import LiveGeneration
from neardup.cli.running import EXIT_MISCONFIGURED, EXIT_UNAVAILABLE
from neardup.descriptors import load_descriptor
from neardup.index.stored.keys import IndexKeys
from tests.support.live_index import build, queries, remove_keys, stream

pytestmark = pytest.mark.redis

SEEDS = 120


@pytest.fixture
def index(client: redis.Redis) -> Iterator[str]:
    """Name of an index of this test's own."""
    name = f"test-{uuid.uuid4().hex}"
    yield name
    remove_keys(client, name)


def jpeg(number: int, quality: int = 95) -> bytes:
    coarse = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(SEEDS):
        (folder / f"{number:03d}.jpg").write_bytes(jpeg(number))
    return folder


class Commands:
    """Runs command lines in this process."""

    def __init__(self, url: str, index: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._environ = {"NEARDUP_REDIS_URL": url, "NEARDUP_INDEX": index}
        self._capsys = capsys

    def __call__(self, module: Any, *arguments: object) -> tuple[int, str]:  # noqa: ANN401 - a module
        code: int = module.main([str(argument) for argument in arguments], self._environ)
        said = self._capsys.readouterr()
        return code, said.out + said.err

    def bootstrap(self, *arguments: object) -> dict[str, str]:
        code, text = self(bootstrap.__main__, *arguments)
        assert code == 0, text
        lines = [line.split(maxsplit=1) for line in text.splitlines() if line[:1].strip()]
        return {subject: rest for subject, rest in lines if rest}

    def calibrate(self, *arguments: object) -> tuple[int, str]:
        return self(bootstrap.calibrate, *arguments)


@pytest.fixture
def commands(redis_url: str, index: str, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(redis_url, index, capsys)


def content(client: redis.Redis, index: str) -> dict[bytes, bytes]:
    return {key: client.dump(key) for key in client.scan_iter(match=IndexKeys(index).pattern)}  # type: ignore[misc]


class TestBootstrap:
    def test_the_radius_comes_from_the_seeds(
        self, commands: Commands, client: redis.Redis, index: str, photos: Path, tmp_path: Path
    ) -> None:
        said = commands.bootstrap(photos, "--report", tmp_path)
        meta = LiveGeneration(client, index).meta
        assert meta.radius == meta.calibration["radius"] != load_descriptor("dct").default_radius
        assert said["radius"].startswith(f"{meta.radius:g} (calibrated: at most 1e-06 false pairs with 95% confidence")
        assert f"from {SEEDS} different images" in said["radius"]
        assert "calibrate" in said["seconds"]
        assert len(meta.calibration["curve"]["radius"]) <= 64
        with Image.open(tmp_path / "calibration.png") as picture:
            assert picture.format == "PNG"
        _, stats = commands(bootstrap.index, "stats")
        assert f"{meta.radius:g} (calibrated: at most" in stats

    def test_the_same_seeds_give_the_same_radius(
        self, commands: Commands, client: redis.Redis, index: str, photos: Path
    ) -> None:
        commands.bootstrap(photos)
        first = LiveGeneration(client, index).meta
        commands.bootstrap(photos)
        second = LiveGeneration(client, index).meta
        assert (second.generation, second.calibration) == (2, first.calibration)

    def test_fewer_false_pairs_are_a_smaller_radius(
        self, commands: Commands, client: redis.Redis, index: str, photos: Path
    ) -> None:
        commands.bootstrap(photos, "--false-pairs", "1e-3")
        loose = LiveGeneration(client, index).meta.radius
        commands.bootstrap(photos, "--fresh")
        assert LiveGeneration(client, index).meta.radius < loose

    def test_a_radius_that_is_given_is_taken(
        self, commands: Commands, client: redis.Redis, index: str, photos: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "calibration.png").touch()  # of a run before
        said = commands.bootstrap(photos, "--threshold", "0.123", "--report", tmp_path)
        assert LiveGeneration(client, index).meta.calibration == {}
        assert (said["radius"], "calibrate" in said["seconds"]) == ("0.123 (given)", False)
        assert not (tmp_path / "calibration.png").exists()

    def test_a_small_seed_set_says_that_it_is_not_calibrated(
        self, commands: Commands, client: redis.Redis, index: str, photos: Path
    ) -> None:
        said = commands.bootstrap(photos / "000.jpg", photos / "001.jpg")
        default = load_descriptor("dct").default_radius
        assert said["radius"] == f"{default:g} (default)"
        assert said["warning"].startswith("not calibrated, the seed set has 2 different images and calibration needs")
        assert LiveGeneration(client, index).meta.radius == default

    def test_an_import_keeps_the_radius_and_where_it_is_from(
        self, commands: Commands, client: redis.Redis, index: str, photos: Path, tmp_path: Path
    ) -> None:
        commands.bootstrap(photos, "--export", tmp_path / "index.json")
        before = LiveGeneration(client, index).meta
        said = commands.bootstrap("--import", tmp_path / "index.json", "--fresh")
        after = LiveGeneration(client, index).meta
        assert (after.radius, after.calibration) == (before.radius, before.calibration)
        assert "calibrated" in said["radius"]
        commands.bootstrap("--import", tmp_path / "index.json", "--fresh", "--threshold", "0.1")
        assert LiveGeneration(client, index).meta.calibration == {}


class TestLive:
    def test_it_says_what_would_change_and_changes_nothing(
        self, commands: Commands, client: redis.Redis, index: str, photos: Path
    ) -> None:
        commands.bootstrap(photos)
        before = content(client, index)
        code, text = commands.calibrate()
        assert code == 0
        assert content(client, index) == before
        meta = LiveGeneration(client, index).meta
        document = json.loads(commands.calibrate("--json")[1])
        assert (document["radius"], document["members"]) == (meta.radius, SEEDS)
        # All seeds are members: the same pairs, but for those within the radius, of which there are none.
        assert document["proposed"] == pytest.approx(meta.radius, rel=0.15)
        assert f"{document['proposed']:g} (at most 1e-06 false pairs with 95% confidence)" in text
        assert "nothing; neardup index set-radius" in text

    def test_below_the_radius_it_continues_what_it_sees(self, client: redis.Redis, redis_url: str) -> None:
        name = build(client)
        try:
            stream(client, name, queries(600))
            settings = CalibrateSettings(redis_url=redis_url, index=name, false_pairs=1e-9)
            document = bootstrap.calibrate.run(settings)
        finally:
            remove_keys(client, name)
        # Members are at least 0.3 apart, and 1e-9 of the pairs of 16 numbers lie within far less.
        assert document["extrapolated"]
        assert 0.0 < document["proposed"] < document["radius"]
        assert "below it, this continues what was seen above" in bootstrap.calibrate.rendered(document)

    def test_too_few_members_propose_nothing(self, commands: Commands, photos: Path) -> None:
        commands.bootstrap(photos / "000.jpg")
        code, text = commands.calibrate()
        assert code == 0
        assert "none, too few different members" in text

    def test_marked_pairs_are_judged_members_and_files_alike(
        self, commands: Commands, photos: Path, tmp_path: Path
    ) -> None:
        commands.bootstrap(photos)
        copy = tmp_path / "copy.jpg"
        copy.write_bytes(jpeg(5, 60))
        pairs = tmp_path / "pairs.csv"
        pairs.write_text(f"005.jpg,{copy},same\nseed:001.jpg,002.jpg,different\n003.jpg,004.jpg,same\n")
        code, text = commands.calibrate("--pairs", pairs)
        assert code == 0
        assert "2 pairs same, 1 different" in text
        marked = json.loads(commands.calibrate("--pairs", pairs, "--json")[1])["marked"]
        assert (marked["now"]["right"], marked["now"]["same_missed"]) == (2, 1)
        assert marked["fewest_errors"]["right"] >= 2
        assert marked["pairs"][0]["distance"] < marked["fewest_errors"]["radius"] + 1e-9
        assert marked["pairs"][1]["distance"] > 0.5

    def test_images_that_nobody_knows_are_told_by_line(self, commands: Commands, photos: Path, tmp_path: Path) -> None:
        commands.bootstrap(photos)
        (tmp_path / "text.jpg").write_text("no image")
        pairs = tmp_path / "pairs.csv"
        pairs.write_text(f"000.jpg,001.jpg,same\nnobody,001.jpg,same\n000.jpg,{tmp_path / 'text.jpg'},same\n")
        code, text = commands.calibrate("--pairs", pairs)
        assert code == EXIT_MISCONFIGURED
        assert "line 2: 'nobody' is neither a member nor a readable file" in text
        assert "line 3:" in text
        assert "(undecodable)" in text

    def test_wrong_lines_and_missing_indexes_are_misconfigured(self, commands: Commands, tmp_path: Path) -> None:
        (tmp_path / "pairs.csv").write_text("a,b\n")
        code, text = commands.calibrate("--pairs", tmp_path / "pairs.csv")
        assert (code, "line 1: it has 2 columns" in text) == (EXIT_MISCONFIGURED, True)
        code, text = commands.calibrate()
        assert (code, "there is no index" in text) == (EXIT_MISCONFIGURED, True)

    def test_a_redis_that_is_away_is_unavailable(self) -> None:
        code = bootstrap.calibrate.main(["--redis", "redis://127.0.0.1:1/0"], {})
        assert code == EXIT_UNAVAILABLE
