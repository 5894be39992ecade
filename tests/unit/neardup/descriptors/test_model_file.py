"""Saved models as descriptors: each kind gives what its model gives, and what does not fit is refused in one line."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neardup.descriptors import load_descriptor
from neardup.errors import Misconfigured, Undescribable
from tests.support.pictures import GENERATED, flat, generated

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow"),
]
SIZE = [12, 16]
KINDS = ("model.keras", "model.tflite", "model")


@pytest.fixture(scope="module")
def network() -> Any:  # noqa: ANN401 - keras has no types
    """Return a network of two outputs: a feature map, and its mean over all places."""
    import keras  # noqa: PLC0415 - seconds, and only here

    keras.utils.set_random_seed(7)
    pixels = keras.Input((*SIZE, 3), name="pixels")
    features = keras.layers.Conv2D(5, 3, strides=4, activation="relu", name="map")(pixels)
    return keras.Model(pixels, [features, keras.layers.GlobalAveragePooling2D(name="mean")(features)])


@pytest.fixture(scope="module")
def folder(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ANN401
    """Save the network's second output as a file of each kind."""
    import keras  # noqa: PLC0415 - as above
    import tensorflow as tf  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("models")
    mean = keras.Model(network.inputs, network.outputs[1])
    mean.save(folder / "model.keras")
    network.save(folder / "both.keras")
    mean.export(folder / "model", verbose=False)
    (folder / "model.tflite").write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder / "model")).convert())
    quantising = tf.lite.TFLiteConverter.from_saved_model(str(folder / "model"))
    quantising.optimizations = [tf.lite.Optimize.DEFAULT]
    quantising.representative_dataset = lambda: [
        [np.full((1, *SIZE, 3), level, dtype=np.float32)] for level in (0, 64, 255)
    ]
    quantising.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    quantising.inference_input_type = quantising.inference_output_type = tf.int8
    (folder / "eight.tflite").write_bytes(quantising.convert())
    return folder


def beside(path: Path, **fields: Any) -> str:  # noqa: ANN401 - JSON
    """Write the preprocessing of a model file, and return the descriptor's spec."""
    where = path / "preprocess.json" if path.is_dir() else path.with_name(f"{path.name}.json")
    where.write_text(json.dumps({"input_size": SIZE, **fields}), encoding="utf-8")
    return f"file:{path}"


def refusal(spec: str) -> str:
    with pytest.raises(Misconfigured) as caught:
        load_descriptor(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestKinds:
    @pytest.mark.parametrize("kind", KINDS)
    def test_it_gives_what_the_model_gives(self, folder: Path, network: Any, kind: str) -> None:  # noqa: ANN401
        descriptor = load_descriptor(beside(folder / kind, channels="bgr", mean=[1, 2, 3]))
        prepared = np.stack([descriptor.prepare(pixels) for pixels in GENERATED])
        seen = prepared[..., ::-1].astype(np.float32) - np.array([1, 2, 3], dtype=np.float32)
        expected = np.asarray(network(seen)[1])
        assert prepared.shape == (3, *SIZE, 3)
        assert descriptor.dimension == 5
        assert np.abs(descriptor.features(prepared) - expected).max() < 1e-3 * np.abs(expected).max()

    @pytest.mark.parametrize("kind", KINDS)
    def test_any_batch_gives_the_same_bits(self, folder: Path, kind: str) -> None:
        descriptor = load_descriptor(beside(folder / kind))
        prepared = [descriptor.prepare(pixels) for pixels in GENERATED]
        singly = np.concatenate([descriptor.describe([each]) for each in prepared])
        assert descriptor.describe(prepared).tobytes() == singly.tobytes()
        assert descriptor.describe(prepared[::-1]).tobytes() == singly[::-1].tobytes()

    @pytest.mark.parametrize("kind", KINDS)
    def test_any_number_of_callers_gets_the_same_bits(self, folder: Path, kind: str) -> None:
        descriptor = load_descriptor(beside(folder / kind))
        prepared = [descriptor.prepare(generated(seed)) for seed in range(20)]
        alone = descriptor.describe(prepared).tobytes()
        with ThreadPoolExecutor(4) as callers:
            assert {rows.tobytes() for rows in callers.map(descriptor.describe, [prepared] * 8)} == {alone}

    def test_a_model_made_for_one_image_gets_one_at_a_time(self, tmp_path: Path) -> None:
        import keras  # noqa: PLC0415 - seconds, and only here

        pixels = keras.Input(batch_shape=(1, *SIZE, 3))
        keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(pixels)).save(tmp_path / "one.keras")
        descriptor = load_descriptor(beside(tmp_path / "one.keras"))
        prepared = [descriptor.prepare(generated(seed)) for seed in range(10)]
        expected = np.stack(prepared).astype(np.float32).mean(axis=(1, 2))
        assert np.abs(descriptor.features(np.stack(prepared)) - expected).max() < 1e-3 * expected.max()

    def test_whole_numbers_are_scaled(self, folder: Path) -> None:
        exact = load_descriptor(beside(folder / "model.tflite"))
        rounded = load_descriptor(beside(folder / "eight.tflite"))
        prepared = [exact.prepare(GENERATED[0])]
        assert np.abs(exact.describe(prepared) - rounded.describe(prepared)).max() < 0.05

    def test_a_layer_of_a_keras_model_is_an_output(self, folder: Path, network: Any) -> None:  # noqa: ANN401
        descriptor = load_descriptor(beside(folder / "model.keras", output="map"))
        prepared = descriptor.prepare(GENERATED[0])[np.newaxis]
        expected = np.asarray(network(prepared.astype(np.float32))[0]).reshape(1, -1)
        assert descriptor.dimension == expected.size == 3 * 4 * 5
        assert np.abs(descriptor.features(prepared) - expected).max() < 1e-3 * np.abs(expected).max()

    def test_one_of_several_outputs_is_chosen(self, folder: Path) -> None:
        spec = beside(folder / "both.keras", output=1)
        assert load_descriptor(spec).dimension == 5
        told = refusal(beside(folder / "both.keras"))
        assert 'it has several outputs and none is chosen: let "output" in its preprocessing be one of' in told
        assert "it has no output 2" in refusal(beside(folder / "both.keras", output=2))
        assert "it has no output 'x'" in refusal(beside(folder / "both.keras", output="x"))


class TestFingerprint:
    @pytest.mark.parametrize("kind", KINDS)
    def test_it_is_of_the_content_and_not_of_the_place(self, folder: Path, tmp_path: Path, kind: str) -> None:
        here = load_descriptor(beside(folder / kind))
        copy = tmp_path / f"copied{(folder / kind).suffix}"
        (shutil.copytree if (folder / kind).is_dir() else shutil.copy)(folder / kind, copy)
        there = load_descriptor(beside(copy))
        assert there.fingerprint == here.fingerprint
        assert there.spec == f"file:{copy}"

    def test_another_model_or_preprocessing_is_another(self, folder: Path) -> None:
        specs: list[dict[str, Any]] = [{}, {"scale": 0.5}, {"channels": "bgr"}, {"output": "map"}]
        found = {load_descriptor(beside(folder / "model.keras", **fields)).fingerprint for fields in specs}
        found |= {load_descriptor(beside(folder / kind)).fingerprint for kind in ("model.tflite", "model")}
        assert len(found) == 6

    def test_a_relative_path_is_stored_whole(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        beside(folder / "model.keras")
        monkeypatch.chdir(folder)
        assert load_descriptor("file:model.keras").spec == f"file:{folder / 'model.keras'}"


class TestRefused:
    def test_a_missing_file_says_what_to_do(self, tmp_path: Path) -> None:
        told = refusal(f"file:{tmp_path / 'x.keras'}")
        assert told.startswith(f"descriptor file:{tmp_path / 'x.keras'}: there is no {tmp_path / 'x.keras'} on this")
        assert "give file:PATH as the descriptor" in told

    @pytest.mark.parametrize("name", ["x.h5", "x.onnx", "x"])
    def test_another_kind_of_file(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(b"x")
        assert "it should be a .keras or a .tflite file, or a folder with saved_model.pb" in refusal(
            f"file:{tmp_path / name}"
        )

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        assert "a folder with saved_model.pb in it" in refusal(f"file:{tmp_path}")

    def test_no_preprocessing(self, folder: Path, tmp_path: Path) -> None:
        shutil.copy(folder / "model.keras", tmp_path / "alone.keras")
        assert "alone.keras.json is missing" in refusal(f"file:{tmp_path / 'alone.keras'}")

    @pytest.mark.parametrize("name", ["x.keras", "x.tflite", "x/saved_model.pb"])
    def test_garbage(self, tmp_path: Path, name: str) -> None:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"\x08garbage" * 100)
        assert " is not a loadable " in refusal(beside(file.parent if "/" in name else file))

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        "fields",
        [{"input_size": [16, 12]}, {"layout": "nchw"}, {"channels": "grey"}],
        ids=lambda fields: next(iter(fields)),
    )
    def test_a_shape_that_does_not_fit(self, folder: Path, kind: str, fields: dict[str, Any]) -> None:
        told = refusal(beside(folder / kind, **fields))
        assert "the model takes images of the shape (" in told
        assert "12, 16, 3), its preprocessing makes (1, " in told

    def test_code_in_a_keras_file_is_not_run(self, tmp_path: Path) -> None:
        import keras  # noqa: PLC0415 - seconds, and only here

        ran = tmp_path / "ran"
        path = str(ran)  # what the layer's code is saved with
        pixels = keras.Input((*SIZE, 3))
        layer = keras.layers.Lambda(lambda x: (open(path, "w").close(), x)[1])  # type: ignore[func-returns-value]  # noqa: PTH123
        keras.Model(pixels, layer(pixels)).save(tmp_path / "lambda.keras")
        ran.unlink()
        assert "is not a loadable keras: " in refusal(beside(tmp_path / "lambda.keras"))
        assert not ran.exists()

    def test_a_graph_that_reads_files_is_not_loaded(self, tmp_path: Path) -> None:
        import tensorflow as tf  # noqa: PLC0415 - seconds, and only here

        module = tf.Module()
        module.call = tf.function(
            lambda pixels: (
                tf.reduce_mean(pixels, [1, 2]) + float(0) * tf.cast(tf.strings.length(tf.io.read_file("x")), tf.float32)
            ),
            input_signature=[tf.TensorSpec((None, *SIZE, 3), tf.float32)],
        )
        tf.saved_model.save(module, str(tmp_path / "reads"), signatures={"serving_default": module.call})
        assert "or reads or writes files (ReadFile): it is not loaded" in refusal(beside(tmp_path / "reads"))

    @pytest.mark.parametrize(
        ("function", "says"),
        [
            ("nan", "gives NaN or infinity for a test image"),
            ("zero", "gives nothing but zeros for a test image"),
            ("one", "the network's output is a single number"),
            ("flat", "for one image the network's output has the shape (3,)"),
        ],
    )
    def test_outputs_that_do_not_describe(self, tmp_path: Path, function: str, says: str) -> None:
        assert says in refusal(saved_function(tmp_path / function, function))

    def test_an_image_that_gives_nan_or_zeros_is_undescribable(self, tmp_path: Path) -> None:
        descriptor = load_descriptor(saved_function(tmp_path / "spread", "spread"))
        fine, level = (descriptor.prepare(pixels) for pixels in (GENERATED[0], flat(9, 9, 9)))
        assert np.isfinite(descriptor.describe([fine])).all()
        with pytest.raises(Undescribable, match="the network gave nothing but zeros"):
            descriptor.describe([fine, level])
        descriptor = load_descriptor(saved_function(tmp_path / "ratio", "ratio"))
        with pytest.raises(Undescribable, match="the network gave NaN or infinity"):
            descriptor.describe([fine, level])


def saved_function(path: Path, name: str) -> str:
    """Save a SavedModel that computes a function of its pixels."""
    import tensorflow as tf  # noqa: PLC0415 - seconds, and only here

    functions = {
        "nan": lambda pixels: tf.reduce_mean(pixels, [1, 2]) * np.nan,
        "zero": lambda pixels: tf.reduce_mean(pixels, [1, 2]) * 0,
        "one": lambda pixels: tf.reduce_mean(pixels, [1, 2, 3])[:, tf.newaxis],
        "flat": lambda pixels: tf.reduce_mean(pixels, [0, 1, 2]),
        "spread": lambda pixels: tf.math.reduce_max(pixels, [1, 2]) - tf.math.reduce_min(pixels, [1, 2]),
        "ratio": lambda pixels: 1 / (tf.math.reduce_max(pixels, [1, 2]) - tf.math.reduce_min(pixels, [1, 2])),
    }
    module = tf.Module()
    module.call = tf.function(functions[name], input_signature=[tf.TensorSpec((None, *SIZE, 3), tf.float32)])
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.call})
    return beside(path)
