"""The training of copynet: what it learns from, that it can be resumed, and that it learns."""

import itertools
import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neardup.descriptors import load_descriptor
from neardup.descriptors.copynet import HEAD
from neardup.errors import Misconfigured
from tests.support.forms import scene
from training.augment import light_copy, strong_copy
from training.drawn import drawn_squares
from training.feeding import Feed, make_batch
from training.head import fit_rotation
from training.mixing import mixed
from training.photos import held_out, image_files
from training.ship import WEIGHTS
from training.training_set import LOOK_ALIKES, TrainingSet, make_training_set
from training.wild import wild_copy

pytestmark = pytest.mark.slow

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

    def test_far_copies_show_their_picture_more_than_the_other(self, pictures: TrainingSet) -> None:
        squares = np.load(pictures.squares)
        random = np.random.default_rng(3)
        nearer = []
        for number in range(200):
            own, other = squares[number % 80], squares[(number + 1) % 80]
            state = random.bit_generator.state
            made = wild_copy(own, other, random)
            random.bit_generator.state = state
            assert (wild_copy(own, other, random) == made).all()
            assert made.shape == (64, 64, 3)
            assert made.dtype == np.uint8
            nearer.append(_colours_apart(made, own) < _colours_apart(made, other))
        assert 0.55 < np.mean(nearer) < 0.95

    def test_a_share_of_a_batch_is_far(self, pictures: TrainingSet) -> None:
        none, half, all_of_it = (make_batch(Feed(pictures, 64, 2, wild=share), 0) for share in (0.0, 0.5, 1.0))
        assert (none.pairs[0] == all_of_it.pairs[0]).all()
        copynet = load_descriptor("copynet")
        rows = [[copynet.describe(list(side)) for side in batch.pairs] for batch in (none, half, all_of_it)]
        away = [np.linalg.norm(photos - copies, axis=1).mean() for photos, copies in rows]
        assert away[0] < away[1] < away[2]

    def test_a_batch_depends_on_its_number_alone(self, pictures: TrainingSet) -> None:
        feed = Feed(pictures, batch_size=16, seed=5, wild=0.5)
        made = [make_batch(feed, number) for number in range(3)]
        for workers in (1, 2):
            fed = feed.batches(1, workers)
            for number in (1, 2):
                batch = next(fed)
                assert (batch.pairs == made[number].pairs).all()
                assert np.array_equal(batch.photos, made[number].photos)
                assert (batch.parts == made[number].parts).all()
            fed.close()

    def test_a_quarter_of_a_batch_are_look_alikes(self, pictures: TrainingSet) -> None:
        near = np.load(pictures.look_alikes)
        batch = make_batch(Feed(pictures, batch_size=32, seed=1), 0)
        assert batch.pairs.shape == (2, 32, 64, 64, 3)
        assert all(batch.photos[24 + place] in near[batch.photos[place]] for place in range(8))
        assert (batch.parts == np.eye(32)).all()

    def test_a_share_of_the_copies_shows_two_photos(self) -> None:
        random = np.random.default_rng(0)
        copies = random.integers(0, 256, (400, 1, 1, 3), dtype=np.uint8).repeat(64, 1).repeat(64, 2)
        shown, parts = mixed(copies, 0.3, random)
        assert shown.dtype == np.uint8
        assert parts.sum(axis=1) == pytest.approx(np.ones(400), abs=1e-6)
        two = np.flatnonzero((parts > 0).sum(axis=1) == 2)
        assert len(two) == pytest.approx(120, abs=40)
        assert (np.delete(shown, two, axis=0) == np.delete(copies, two, axis=0)).all()
        # Of one colour each: the mean of what is shown says how much of each there is.
        assert shown.mean(axis=(1, 2)) == pytest.approx(parts @ copies[:, 0, 0].astype(float), abs=0.51)
        in_boxes = [len(np.unique(shown[one] @ (1, 256, 65_536))) == 2 for one in two]
        assert np.mean(in_boxes) == pytest.approx(0.5, abs=0.15)
        whole, parts = mixed(copies, 0.0, random)
        assert (whole == copies).all()
        assert (parts == np.eye(400)).all()


def _colours_apart(one: np.ndarray, other: np.ndarray) -> float:
    """Return how far two pictures' colours are apart, wherever they are."""
    ends = np.linspace(0, 256, 9)
    counts = [
        np.concatenate([np.histogram(picture[:, :, c], ends, density=True)[0] for c in range(3)])
        for picture in (one, other)
    ]
    return float(np.abs(counts[0] - counts[1]).sum())


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
class TestLoss:
    @staticmethod
    def losses(parts: np.ndarray, *, photos: list[int], queued: list[int]) -> tuple[float, float]:
        """Return the loss without entropy, as it is and as its formula says, of vectors drawn from a seed."""
        import keras  # noqa: PLC0415 - takes seconds

        from training.learning import TEMPERATURE, CopyLearner  # noqa: PLC0415

        random = np.random.default_rng(4)
        vectors = random.standard_normal((2 * len(photos) + len(queued), 6)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        pixels = keras.Input((2,))
        learner = CopyLearner(keras.Model(pixels, keras.layers.Dense(6)(pixels)), entropy_weight=0.0, queue=8)
        learner.queue.assign(np.resize(vectors[2 * len(photos) :], (8, 6)))
        learner.queue_photos.assign([*queued, *[-1] * (8 - len(queued))])
        asked = vectors[: 2 * len(photos)]
        loss = learner.compute_loss(y=(np.array(photos, np.int32), parts), y_pred=asked, training=False)
        own = [{photo} for photo in photos]
        shown = [*own, *({photo for photo, part in zip(photos, row, strict=True) if part} for row in parts)]
        shown += [{photo} for photo in queued]
        expected = 0.0
        for copy, photo in np.argwhere(parts):
            for one, other in ((photo, len(photos) + copy), (len(photos) + copy, photo)):
                near = asked[one] @ asked[other] / TEMPERATURE
                strange = [row for row, photos_of in enumerate(shown) if not photos_of & shown[one]]
                rest = np.exp(vectors[strange] @ asked[one] / TEMPERATURE).sum()
                expected -= parts[copy, photo] * np.log(np.exp(near) / (np.exp(near) + rest)) / (2 * len(photos))
        return float(loss), float(expected)

    def test_a_copy_is_told_from_other_photos(self) -> None:
        loss, expected = self.losses(np.eye(4, dtype=np.float32), photos=[5, 6, 7, 8], queued=[9, 6])
        assert loss == pytest.approx(expected, rel=1e-4)

    def test_a_photo_that_comes_twice_is_not_another_one(self) -> None:
        loss, expected = self.losses(np.eye(4, dtype=np.float32), photos=[5, 6, 5, 8], queued=[5])
        assert loss == pytest.approx(expected, rel=1e-4)

    def test_a_copy_of_two_photos_is_to_be_near_both(self) -> None:
        parts = np.eye(4, dtype=np.float32)
        parts[1, 1], parts[1, 3] = 0.75, 0.25
        loss, expected = self.losses(parts, photos=[5, 6, 7, 8], queued=[8, 9])
        assert loss == pytest.approx(expected, rel=1e-4)


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
        with pytest.raises(Misconfigured, match="holds a run with other settings"):
            train(feed, Recipe(minutes=1, batch_size=32), tmp_path, model)
        # Another run may begin with what this one knows.
        further = tmp_path / "further"
        train(feed, replace(recipe, steps=20, start=str(tmp_path)), further, model, note_every_s=0.0)
        lines = (further / "curve.jsonl").read_text("utf-8").splitlines()[:-1]
        assert np.mean([json.loads(line)["contrast"] for line in lines]) < 0.9 * first
        with pytest.raises(Misconfigured, match=r"--start: .* is of width 0\.25, this one of 1\.0"):
            train(feed, Recipe(1, start=str(tmp_path)), tmp_path / "wider", model)
        # So may one of which nothing but the model is left.
        of_model = replace(recipe, steps=20, start=str(tmp_path / "model"))
        train(feed, of_model, tmp_path / "of-model", model, note_every_s=0.0)
        lines = (tmp_path / "of-model" / "curve.jsonl").read_text("utf-8").splitlines()[:-1]
        assert np.mean([json.loads(line)["contrast"] for line in lines]) < 0.9 * first
        with pytest.raises(Misconfigured, match=r"the model in .* is of another width"):
            train(feed, Recipe(1, start=str(tmp_path / "model")), tmp_path / "other-width", model)


@pytest.mark.tensorflow
def test_a_network_begins_with_what_a_model_knows(pictures: TrainingSet) -> None:
    import keras  # noqa: PLC0415 - takes seconds

    from training.network import GeneralisedMean, build_network  # noqa: PLC0415
    from training.shipped import load_model_weights  # noqa: PLC0415

    network, batch = build_network(), make_batch(Feed(pictures, 64, 0), 0)
    load_model_weights(network, WEIGHTS, np.concatenate(batch.pairs))
    asked = make_batch(Feed(pictures, 64, 1), 0).pairs[1]
    pooling = next(layer for layer in network.layers if isinstance(layer, GeneralisedMean))
    pooled = np.asarray(keras.Model(network.input, pooling.output)(asked.astype(np.float32)))
    with np.load(WEIGHTS / HEAD) as head:
        rows = pooled @ head["matrix"] + head["offset"]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = (rows * load_descriptor("copynet").describe(list(asked))).sum(axis=1)
    # Of a faint picture the descriptor is turned elsewhere, after the network.
    assert np.median(cosines) > 0.998
    assert np.quantile(cosines, 0.05) > 0.99
