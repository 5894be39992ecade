"""The training of copynet: what it learns from, that it can be resumed, and that it learns."""

import itertools
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neardup.errors import Misconfigured
from tests.unit.forms import scene
from training.augment import light_copy, strong_copy
from training.drawn import drawn_squares
from training.feeding import Feed, make_batch
from training.head import fit_rotation
from training.photos import LOOK_ALIKES, TrainingSet, held_out, image_files, make_training_set

PHOTOS = 220


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of pictures that stand for photos."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PHOTOS):
        Image.fromarray(scene(number)).save(folder / f"{number:04}.png")
    return folder


@pytest.fixture(scope="module")
def pictures(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    return make_training_set(photos, tmp_path_factory.mktemp("set"), seed=0)


class TestPictures:
    def test_a_photo_s_name_says_whether_it_is_held_out(self) -> None:
        names = [f"photo_{number}.jpg" for number in range(4000)]
        assert np.mean([held_out(name) for name in names]) == pytest.approx(0.25, abs=0.03)
        assert [held_out(name) for name in names[:8]] == [held_out(name) for name in names[:8]]

    def test_what_is_held_out_is_not_trained_on(self, photos: Path, pictures: TrainingSet) -> None:
        trained = (pictures.squares.parent / "pictures.txt").read_text("utf-8").splitlines()[1:]
        kept = [path for path in image_files(photos) if not held_out(path.name)]
        assert trained == [str(path) for path in kept]
        assert len(np.load(pictures.squares)) == pictures.count == len(kept) + round(len(kept) / 8)

    def test_look_alikes_are_others(self, pictures: TrainingSet) -> None:
        near = np.load(pictures.look_alikes)
        assert near.shape == (pictures.count, LOOK_ALIKES)
        assert not (near == np.arange(pictures.count)[:, np.newaxis]).any()

    def test_drawn_pictures_differ(self) -> None:
        drawn = drawn_squares(70, seed=3)
        assert drawn.shape == (70, 128, 128, 3)
        assert len({one.tobytes() for one in drawn}) == 70
        assert (drawn_squares(70, seed=3) == drawn).all()

    def test_too_few_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(Misconfigured, match="there is no folder"):
            image_files(tmp_path / "nowhere")
        with pytest.raises(Misconfigured, match=r"holds no \.jpg, \.png or \.webp"):
            image_files(tmp_path)
        Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
        with pytest.raises(Misconfigured, match="more are needed"):
            make_training_set(tmp_path, tmp_path / "set", seed=0)


class TestCopies:
    def test_are_of_the_network_s_size_and_follow_from_the_seed(self, pictures: TrainingSet) -> None:
        squares = np.load(pictures.squares)
        for make, number in itertools.product((light_copy, strong_copy), range(40)):
            one, again = (make(squares[number], np.random.default_rng(number)) for _ in range(2))
            assert one.shape == (64, 64, 3)
            assert one.dtype == np.uint8
            assert (one == again).all()

    def test_a_batch_depends_on_its_number_alone(self, pictures: TrainingSet) -> None:
        feed = Feed(pictures, batch_size=16, seed=5)
        made = [make_batch(feed, number) for number in range(3)]
        for workers in (1, 2):
            fed = feed.batches(1, workers)
            for number in (1, 2):
                pairs, numbers = next(fed)
                assert (pairs == made[number][0]).all()
                assert (numbers == made[number][1]).all()
            fed.close()

    def test_a_quarter_of_a_batch_are_look_alikes(self, pictures: TrainingSet) -> None:
        near = np.load(pictures.look_alikes)
        pairs, numbers = make_batch(Feed(pictures, batch_size=32, seed=1), 0)
        assert pairs.shape == (2, 32, 64, 64, 3)
        assert (numbers[0] == numbers[1]).all()
        assert all(numbers[0, 24 + place] in near[numbers[0, place]] for place in range(8))


class TestHead:
    def test_keeps_the_directions_that_vary_most_and_lets_the_later_weigh_less(self) -> None:
        random = np.random.default_rng(0)
        turned, _ = np.linalg.qr(random.standard_normal((12, 12)))
        vectors = (random.standard_normal((4000, 12)) * 2.0 ** -np.arange(12)) @ turned.T
        kept = fit_rotation(vectors.astype(np.float32), numbers=4, decay_from=np.inf)
        assert np.abs(kept.T @ turned[:, :4]) == pytest.approx(np.eye(4), abs=0.05)
        lighter = fit_rotation(vectors.astype(np.float32), numbers=4, decay_from=2)
        assert np.linalg.norm(lighter, axis=0) == pytest.approx((1 + np.arange(4) / 2) ** -0.5, abs=1e-5)


@pytest.mark.tensorflow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras, when it saves
class TestLearning:
    def test_loss_falls_recall_rises_and_a_stopped_run_goes_on(
        self, photos: Path, pictures: TrainingSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        from training.evaluate import Quality, load_trial  # noqa: PLC0415 - Keras takes seconds
        from training.model import make_model, take_samples  # noqa: PLC0415
        from training.network import build_network  # noqa: PLC0415
        from training.run import Progress, Recipe, train  # noqa: PLC0415

        caplog.set_level(logging.WARNING)
        recipe = Recipe(30, 240, batch_size=32, learning_rate=4e-3, width=0.25, averaging=0.95, warm_up_steps=20)
        trial = load_trial([path for path in image_files(photos) if held_out(path.name)], tmp_path / "trial.npz")
        samples = take_samples(pictures, 0)
        reached: list[Quality] = []

        def model(network: object, progress: Progress) -> dict[str, object]:
            reached.append(make_model(network, samples, trial, progress.facts(), tmp_path / "model"))
            return reached[-1].figures()

        def curve() -> list[dict[str, float]]:
            return [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text("utf-8").splitlines()]

        model(build_network(recipe.width), Progress())
        feed = Feed(pictures, recipe.batch_size, recipe.seed)
        train(feed, recipe, tmp_path, model, workers=2, note_every_s=0.5)
        losses = [line["contrast"] for line in curve() if "contrast" in line]
        untrained, trained = (np.mean([*quality.by_transform.values()]) for quality in reached)
        first, last = np.mean(losses[:8]), np.mean(losses[-8:])
        assert last < 0.9 * first
        assert trained > untrained + 0.1
        # As if it had been stopped before its end: it goes on with the state that it wrote, and knows what it knew.
        saved = json.loads((tmp_path / "progress.json").read_text("utf-8"))
        assert saved["progress"]["steps"] == 240
        saved["progress"]["steps"] = 220
        (tmp_path / "progress.json").write_text(json.dumps(saved), "utf-8")
        noted = len(curve())
        train(feed, recipe, tmp_path, model, note_every_s=0.0)
        more = [line for line in curve()[noted:] if "contrast" in line]
        assert [line["steps"] for line in more] == list(range(221, 241))
        assert np.mean([line["contrast"] for line in more]) < 0.9 * first
        with pytest.raises(Misconfigured, match="holds a run by another recipe"):
            train(feed, Recipe(minutes=1, batch_size=32), tmp_path, model)
