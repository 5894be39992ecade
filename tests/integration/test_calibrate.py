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
from PIL import Image, ImageDraw, ImageFont

import bootstrap.__main__
import bootstrap.calibrate
import bootstrap.index
from bootstrap.calibrate_settings import CalibrateSettings
from bootstrap.calibration.looking import AGREEMENTS
from bootstrap.live.reading import LiveGeneration
from neardup.cli.running import EXIT_MISCONFIGURED, EXIT_UNAVAILABLE
from neardup.descriptors import load_descriptor
from neardup.index.stored.keys import IndexKeys
from neardup.relation.looks.second_look import DEFAULT_AGREEMENT
from tests.support.drawings import cropped, photo
from tests.support.live_index import build, queries, remove_keys, stream
from tests.support.odd_files import encoded
from tests.support.told import Told

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


def card(number: int) -> bytes:
    """Return one of many cards: the same frame, bar and labels, with other words."""
    random = np.random.default_rng([5, number])
    image = Image.new("RGB", (320, 200), (235, 240, 250))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(22)
    draw.rectangle((4, 4, 315, 195), outline=(20, 40, 90), width=3)
    draw.rectangle((4, 4, 315, 36), fill=(20, 40, 90))
    for line in range(5):
        words = "".join(chr(97 + letter) for letter in random.integers(0, 26, 18))
        draw.text((14, 42 + 30 * line), words, (0, 0, 0), font)
    return encoded(image, "PNG")


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of cards of one layout among photos, and a second of copies of some of these cards."""
    folder = tmp_path_factory.mktemp("cards")
    for name in ("seeds", "copies"):
        (folder / name).mkdir()
    for number in range(50):
        (folder / "seeds" / f"card-{number:02d}.png").write_bytes(card(number))
        picture = Image.fromarray(photo(number))
        (folder / "seeds" / f"photo-{number:02d}.png").write_bytes(encoded(picture, "PNG"))
        (folder / "seeds" / f"other-{number:02d}.png").write_bytes(encoded(Image.fromarray(photo(100 + number)), "PNG"))
    for number in range(4):
        copy = Image.open(io.BytesIO(card(number))).convert("RGB")
        (folder / "copies" / f"card-{number:02d}.jpg").write_bytes(encoded(copy, "JPEG", quality=70))
    return folder


@pytest.mark.slow
class TestTogether:
    def test_cards_of_one_layout_are_kept_apart_and_their_copies_found(
        self, commands: Commands, client: redis.Redis, index: str, cards: Path
    ) -> None:
        asked = ("--profile", "scraper", "--agreement", "auto")
        said = commands.bootstrap(cards / "seeds", *asked)
        meta = LiveGeneration(client, index).meta
        assert (said["images"], said["unique"]) == ("150", "150")
        assert meta.radius == meta.calibration["radius"] <= load_descriptor("copynet").candidate_radius
        assert meta.agreement == meta.calibration["agreement"]
        assert said["radius"].startswith(
            f"{meta.radius:g} (calibrated: too few images to show 1e-06; they show at most"
        )
        assert said["agreement"].startswith(
            f"{meta.agreement:g} at least, by a second look (calibrated, the least of 0.3"
        )
        # By distances alone most of these cards would be one.
        alone = commands.bootstrap(cards / "seeds", *asked, "--agreement", "off", "--radius", meta.radius, "--fresh")
        assert int(alone["unique"]) < 130
        again = commands.bootstrap(cards / "seeds", cards / "copies", *asked, "--fresh")
        assert int(again["duplicates"].split()[0]) == 4

    def test_what_was_chosen_is_inherited_and_chosen_anew_when_asked(
        self, commands: Commands, client: redis.Redis, index: str, cards: Path
    ) -> None:
        commands.bootstrap(cards / "copies", "--agreement", "0.4", "--radius", "0.2")
        said = commands.bootstrap(cards / "seeds")
        first = LiveGeneration(client, index).meta
        assert (said["radius"], first.agreement, first.calibration) == ("0.2 (given)", 0.4, {})
        said = commands.bootstrap(cards / "seeds", "--radius", "auto", "--allow-dropping")
        fixed = LiveGeneration(client, index).meta
        assert (fixed.agreement, fixed.calibration["agreements"]) == (0.4, [0.4])
        assert said["agreement"].startswith("0.4 at least, by a second look (given; of ")
        commands.bootstrap(cards / "seeds", "--agreement", "auto", "--allow-dropping")
        assert LiveGeneration(client, index).meta.calibration["agreements"] == list(AGREEMENTS)

    def test_a_radius_that_is_given_takes_the_least_agreement(
        self, commands: Commands, client: redis.Redis, index: str, cards: Path
    ) -> None:
        said = commands.bootstrap(cards / "copies", "--agreement", "auto", "--radius", "0.3")
        assert said["agreement"] == f"{DEFAULT_AGREEMENT:g} at least, by a second look"
        assert LiveGeneration(client, index).meta.calibration == {}

    def test_a_live_index_is_calibrated_by_both(
        self, commands: Commands, client: redis.Redis, index: str, cards: Path, tmp_path: Path
    ) -> None:
        commands.bootstrap(cards / "seeds", "--agreement", "0.3", "--radius", "auto")
        chosen = LiveGeneration(client, index).meta
        commands.bootstrap(cards / "seeds", "--radius", "0.1", "--allow-dropping")
        document = json.loads(commands.calibrate("--json")[1])
        assert (document["agreement"], document["candidate"], document["proposed"]) == (0.3, 0.1, 0.1)
        commands.bootstrap(cards / "seeds", "--radius", "auto", "--allow-dropping")
        code, text = commands.calibrate()
        assert (code, "too few members to show 1e-06; they show at most" in text) == (0, True)
        assert "nearer ones that agree never became members" in text
        document = json.loads(commands.calibrate("--json")[1])
        assert chosen.radius <= document["proposed"] <= document["candidate"] == chosen.calibration["candidate"]
        pairs = tmp_path / "pairs.csv"
        pairs.write_text(f"card-00.png,{cards / 'copies' / 'card-00.jpg'},same\ncard-01.png,card-02.png,different\n")
        marked = json.loads(commands.calibrate("--pairs", pairs, "--json")[1])["marked"]
        assert [pair["allowed"] for pair in marked["pairs"]] == [True, False]
        assert (marked["now"]["right"], marked["fewest_errors"]["right"]) == (2, 2)

    def test_a_seed_set_full_of_copies_is_told(
        self, commands: Commands, client: redis.Redis, index: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        for number in range(110):
            picture = photo(number)
            for copy, share in enumerate((0.0, 0.08, 0.16)):
                image = Image.fromarray(cropped(picture, share))
                (tmp_path / f"{number:03d}-{copy}.png").write_bytes(encoded(image, "PNG"))
        said = commands.bootstrap(tmp_path)
        calibration = LiveGeneration(client, index).meta.calibration
        assert calibration["copied"] > 180
        assert (
            said["copies"] == f"{calibration['copied']} images, left out of the calibration as edited copies of others"
        )
        assert any("were taken for edited copies of others" in line and "000-" in line for line in caplog.messages)


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

    def test_it_tells_how_far_it_is(self, commands: Commands, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        commands.bootstrap(photos)
        told = Told()
        monkeypatch.setattr("bootstrap.calibrate.shown_progress", told)
        assert commands.calibrate()[0] == 0
        assert told.counts.keys() == {"read members"}

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

    def test_what_the_best_radius_would_do_to_members_is_told(
        self, commands: Commands, photos: Path, tmp_path: Path
    ) -> None:
        commands.bootstrap(photos)
        pairs = tmp_path / "pairs.csv"
        pairs.write_text("003.jpg,004.jpg,same\n")
        found = json.loads(commands.calibrate("--pairs", pairs, "--json")[1])
        best = found["marked"]["fewest_errors"]["radius"]
        assert 0.0 <= best - found["marked"]["pairs"][0]["distance"] < 1e-5
        # Each member is farther from any other than the radius, so the two that were marked are told at least.
        assert found["members_at"]["now"] == found["members"] == SEEDS
        _, dry = commands(bootstrap.index, "set-radius", best, "--dry-run", "--json")
        assert found["members_at"]["best"] == SEEDS - len(json.loads(dry)["left_out"]) < SEEDS
        pairs.write_text("003.jpg,004.jpg,different\n")
        found = json.loads(commands.calibrate("--pairs", pairs, "--json")[1])
        assert found["members_at"] == {"now": SEEDS, "best": SEEDS}

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
