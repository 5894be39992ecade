"""The learned descriptor as it ships: whole, small, what its card says, and good for what it was trained for."""

import json
import pickle
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import interpreter
from PIL import Image

from benchmarks.quality.transforms import make_copy, photo_seed
from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.descriptors.copynet import BODY, CARD, HEAD, digest_of
from neardup.descriptors.trim import TRIMMING
from neardup.errors import Misconfigured
from neardup.search.distance import l2_distances
from tests.support.forms import scene
from tests.support.pictures import GENERATED, generated
from training.ship import figures

ROOT = Path(__file__).resolve().parents[4]
WEIGHTS = ROOT / "neardup/descriptors/weights"
MOST_BYTES = 3_000_000
SCENES = 60
PAGE_COLUMNS = (
    *("core20", "core22", "beyond", "crop10", "crop20", "letterbox"),
    *("flip", "rotate90", "screenshot", "meme", "watermark"),
)


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((WEIGHTS / CARD).read_text("utf-8"))
    return found


class TestCard:
    def test_names_the_numbers_that_ship(self, card: dict[str, Any]) -> None:
        digest = digest_of((WEIGHTS / BODY).read_bytes(), (WEIGHTS / HEAD).read_bytes())
        shipped = load_descriptor("copynet")
        assert card["sha256"] == digest
        assert shipped.fingerprint.startswith(f"copynet-1:{digest[:16]}-{TRIMMING}-")
        assert (shipped.dimension, shipped.default_radius) == (card["dimension"], card["radius"])

    def test_is_of_a_small_network(self, card: dict[str, Any]) -> None:
        assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) <= MOST_BYTES
        assert 10_000_000 <= card["multiply_adds"] <= 60_000_000
        assert 64 <= card["dimension"] <= 128
        assert 64 <= card["input_px"] <= 128

    def test_says_where_it_is_from(self, card: dict[str, Any]) -> None:
        assert card["training"]["steps"] > 0
        assert card["training"]["seed"] >= 0
        assert card["data"]
        assert card["limits"]

    def test_has_the_figures_of_the_quality_evaluation(self, card: dict[str, Any]) -> None:
        results = json.loads((ROOT / "benchmarks/results/quality.json").read_text("utf-8"))
        assert card["quality"] == figures(results)
        assert card["radius"] <= card["quality"]["threshold"]

    @pytest.mark.parametrize("tool", ["copynet", "dct", "phash16", "pdq"])
    def test_page_has_the_figures_of_the_quality_evaluation(self, tool: str) -> None:
        results = json.loads((ROOT / "benchmarks/results/quality.json").read_text("utf-8"))
        [measured] = [each for each in results["held_out"] if each["tool"] == tool]
        shares = [f"{100 * measured['at_rate']['recall'][column]:.1f}" for column in PAGE_COLUMNS]
        line = " | ".join([f"| `{tool}`", *shares, f"{measured['hard_negatives']['at_rate']} |"])
        assert line in (ROOT / "docs/copynet.md").read_text("utf-8").splitlines()


class TestNumbers:
    @pytest.mark.parametrize("count", [1, 2, 7, 8, 31, 32, 33])
    def test_are_the_same_in_any_batch(self, count: int) -> None:
        descriptor = load_descriptor("copynet")
        prepared = [descriptor.prepare(generated(seed)) for seed in range(count)]
        together = descriptor.describe(prepared)
        singly = np.concatenate([descriptor.describe([one]) for one in prepared])
        assert together.tobytes() == singly.tobytes()

    def test_are_prepared_in_a_process_without_the_network(self) -> None:
        descriptor = load_descriptor("copynet")
        preparer = pickle.loads(pickle.dumps(descriptor.preparer))  # noqa: S301 - our own
        assert len(pickle.dumps(descriptor.preparer)) < 1000
        assert preparer(GENERATED[0]).tobytes() == descriptor.prepare(GENERATED[0]).tobytes()

    def test_of_other_kernels_have_another_fingerprint(self, monkeypatch: pytest.MonkeyPatch) -> None:
        usual = load_descriptor("copynet")
        without_delegate = partial(
            interpreter.Interpreter,
            experimental_op_resolver_type=interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        monkeypatch.setattr(interpreter, "Interpreter", without_delegate)
        other = load_descriptor("copynet")
        prepared = [usual.prepare(pixels) for pixels in GENERATED]
        apart = l2_distances(usual.describe(prepared), other.describe(prepared)).diagonal()
        assert apart.max() > 0.005  # 0.0001 is what the last bits of floats make
        assert apart.max() < 0.1 * usual.default_radius
        assert usual.fingerprint != other.fingerprint

    @pytest.mark.parametrize(
        "transform", ["jpeg30", "grey", "crop10", "letterbox", "flip", "logo", "screenshot", "combination", "watermark"]
    )
    def test_copies_are_nearer_than_other_pictures(self, transform: str) -> None:
        descriptor = load_descriptor("copynet")
        originals = [scene(seed) for seed in range(SCENES)]
        copies = [
            decode(make_copy(transform, Image.fromarray(one), photo_seed(0, str(seed))))
            for seed, one in enumerate(originals)
        ]
        rows, others = (descriptor.describe([descriptor.prepare(one) for one in each]) for each in (originals, copies))
        distances = l2_distances(rows, others)
        assert (distances.argmin(axis=1) == np.arange(SCENES)).mean() >= 11 / 12
        # Scenes of a few strong colours are harder than photos: least like themselves without them.
        radius = descriptor.candidate_radius if transform in {"grey", "watermark"} else descriptor.default_radius
        assert (distances.diagonal() <= radius).mean() >= 3 / 4


class TestRefusals:
    @pytest.fixture
    def own(self, tmp_path: Path) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(WEIGHTS, folder)
        return folder

    def test_a_model_of_one_s_own(self, own: Path) -> None:
        loaded = load_descriptor(f"copynet:{own}")
        assert loaded.spec == f"copynet:{own}"
        assert loaded.fingerprint == load_descriptor("copynet").fingerprint

    @pytest.mark.parametrize("name", [BODY, HEAD])
    def test_numbers_that_are_not_the_card_s(self, own: Path, name: str) -> None:
        data = bytearray((own / name).read_bytes())
        data[len(data) // 2] ^= 1
        (own / name).write_bytes(data)
        with pytest.raises(Misconfigured, match="files of different models, or incomplete"):
            load_descriptor(f"copynet:{own}")

    @pytest.mark.parametrize("name", [BODY, HEAD, CARD])
    def test_a_file_that_is_missing(self, own: Path, name: str) -> None:
        (own / name).unlink()
        with pytest.raises(Misconfigured, match=f"cannot read {name} in .*a model is a folder with"):
            load_descriptor(f"copynet:{own}")

    @pytest.mark.parametrize(("text", "said"), [("{", "is not JSON"), ("[]", "not a JSON object"), ("{}", "SHA-256")])
    def test_a_card_that_is_none(self, own: Path, text: str, said: str) -> None:
        (own / CARD).write_text(text, "utf-8")
        with pytest.raises(Misconfigured, match=said):
            load_descriptor(f"copynet:{own}")

    def test_a_card_without_a_radius(self, own: Path) -> None:
        card = json.loads((own / CARD).read_text("utf-8"))
        del card["radius"]
        (own / CARD).write_text(json.dumps(card), "utf-8")
        with pytest.raises(Misconfigured, match="has no dimension, input_px and radius"):
            load_descriptor(f"copynet:{own}")

    def test_weights_of_another_kind(self) -> None:
        with pytest.raises(Misconfigured, match="'copynet' takes no weights file: it brings its own weights; leave"):
            load_descriptor("copynet", "none")
