"""Networks of Keras: their sizes and preprocessing, and weights that are missing, wrong or out of reach."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neardup.descriptors import keras_net, load_descriptor
from neardup.descriptors.compiled import TOGETHER
from neardup.descriptors.keras_net import DEFAULT_SIDE_PX, SIDES_PX, KerasDescriptor, network_names
from neardup.errors import Misconfigured
from tests.support.pictures import GENERATED, generated

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras"),
]
SMALL = "MobileNetV3Small"
IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def descriptor() -> KerasDescriptor:
    return KerasDescriptor(SMALL, "flat", "none")


def built(name: str) -> Any:  # noqa: ANN401 - keras has no types
    """Return a network with the weights that `--weights none` gives it."""
    import keras  # noqa: PLC0415 - seconds, and only here

    keras.utils.set_random_seed(0)
    return getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(224, 224, 3))


@pytest.fixture
def silent_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[socket.socket]:
    """Send downloads to a server that takes the connection and never answers; start with an empty cache."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("https_proxy", address)
        monkeypatch.setenv("http_proxy", address)
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setattr("urllib.request._opener", None)  # made once, with the proxies of its time
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path), raising=False)
        yield server


class TestNames:
    def test_every_network_has_the_size_it_was_trained_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import keras  # noqa: PLC0415 - seconds, and only here

        class Asked(Exception):
            pass

        def shape(_shape: object, default_size: int, *_: object, **__: object) -> None:
            raise Asked(default_size)

        # Each asks for its input's shape first, and tells its default side: nothing is built.
        monkeypatch.setattr("keras.src.applications.imagenet_utils.obtain_input_shape", shape)
        # MobileNetV3 does not ask: its weights are those of 224 pixels by their name.
        for name in [each for each in network_names() if not each.startswith("MobileNetV3")]:
            with pytest.raises(Asked) as asked:
                getattr(keras.applications, name)(include_top=False, weights=None)
            assert asked.value.args[0] == SIDES_PX.get(name, DEFAULT_SIDE_PX), name
        assert len(network_names()) > 30

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("VGG19", "caffe"),
            ("ResNet50", "caffe"),
            ("ResNet50V2", "tf"),
            ("Xception", "tf"),
            ("MobileNetV2", "tf"),
            ("DenseNet121", "torch"),
            ("MobileNetV3Small", "none"),
            ("EfficientNetV2B0", "none"),
            ("ConvNeXtTiny", "none"),
        ],
    )
    def test_each_has_its_own_preprocessing(self, name: str, expected: str) -> None:
        pixels = GENERATED[0][np.newaxis].astype(np.float32)
        _, preprocess = keras_net._network(keras_net.imported_keras(name), name)
        wanted = {
            "none": pixels,
            "tf": pixels / 127.5 - 1,
            "caffe": pixels[..., ::-1] - np.array(IMAGENET_MEAN_BGR, dtype=np.float32),
            "torch": (pixels / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD),
        }
        assert np.abs(preprocess(pixels.copy()) - wanted[expected]).max() < 1e-4

    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("vgg16", "did you mean VGG16"),
            ("MobilNetV3Smal", "did you mean MobileNetV3Small"),
            ("qqq", "there are ConvNeXtBase, "),
        ],
    )
    def test_an_unknown_one_is_told_with_its_neighbours(self, name: str, meant: str) -> None:
        with pytest.raises(Misconfigured) as caught:
            load_descriptor(f"keras:{name}", "none")
        assert str(caught.value).startswith(f"unknown network '{name}' in keras:{name}: {meant}")


class TestWeights:
    def test_a_missing_file(self, tmp_path: Path) -> None:
        missing = tmp_path / "missing.h5"
        with pytest.raises(Misconfigured) as caught:
            load_descriptor("vgg16", str(missing))
        assert str(caught.value).startswith(f"weights: no such file: {missing} (expected the weights of")

    @pytest.mark.parametrize("name", ["garbage.h5", "garbage.weights.h5", "garbage.txt"])
    def test_a_file_that_holds_something_else(self, tmp_path: Path, name: str) -> None:
        file = tmp_path / name
        file.write_bytes(b"no weights" * 100)
        with pytest.raises(Misconfigured) as caught:
            load_descriptor("vgg16", str(file))
        expected = f"weights: {file} does not hold the weights of keras.applications.VGG16 without its top: "
        assert str(caught.value).startswith(expected)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("name", ["other.h5", "other.weights.h5"])
    def test_weights_of_another_model(self, tmp_path: Path, name: str) -> None:
        import keras  # noqa: PLC0415 - seconds, and only here

        file = tmp_path / name
        other = keras.applications.VGG19(include_top=False, weights=None, input_shape=(32, 32, 3))
        other.save_weights(file) if name.endswith(".weights.h5") else other.save(file)
        with pytest.raises(Misconfigured, match="does not hold the weights"):
            load_descriptor("vgg16", str(file))

    def test_weights_of_a_file_are_those_weights(self, tmp_path: Path, descriptor: KerasDescriptor) -> None:
        file = tmp_path / "right.weights.h5"
        built(SMALL).save_weights(file)
        loaded = load_descriptor(f"keras:{SMALL}:flat", str(file))
        prepared = [descriptor.prepare(GENERATED[0])]
        assert loaded.fingerprint == descriptor.fingerprint
        assert loaded.describe(prepared).tobytes() == descriptor.describe(prepared).tobytes()

    @pytest.mark.parametrize(("value", "what"), [(np.nan, "NaN or infinity"), (0.0, "nothing but zeros")])
    def test_damaged_weights(self, tmp_path: Path, value: float, what: str) -> None:
        file, model = tmp_path / "damaged.weights.h5", built(SMALL)
        model.set_weights([np.full_like(weight, value) for weight in model.get_weights()])
        model.save_weights(file)
        with pytest.raises(Misconfigured, match=f"keras:{SMALL}:pooled: the network gives {what} for a test image"):
            load_descriptor(f"keras:{SMALL}", str(file))

    def test_the_fingerprint_tells_weights_apart(self, descriptor: KerasDescriptor, tmp_path: Path) -> None:
        file, model = tmp_path / "changed.weights.h5", built(SMALL)
        weights = model.get_weights()
        model.set_weights([weights[0] + 1e-3, *weights[1:]])
        model.save_weights(file)
        changed = load_descriptor(f"keras:{SMALL}:flat", str(file))
        assert changed.fingerprint != descriptor.fingerprint
        assert changed.dimension == descriptor.dimension

    def test_no_download(
        self,
        silent_proxy: socket.socket,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        assert silent_proxy.getsockname()
        monkeypatch.setattr(keras_net, "DOWNLOAD_TIMEOUT_S", 0.3)
        before = socket.getdefaulttimeout()
        with pytest.raises(Misconfigured) as caught:
            load_descriptor("vgg16")
        assert "timed out" in str(caught.value)
        assert "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5" in str(caught.value)
        assert "give its path as the weights" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert capfd.readouterr().out == ""
        assert socket.getdefaulttimeout() == before


def test_tensorflow_is_not_loaded_for_other_descriptors() -> None:
    script = "import sys, neardup.descriptors as d; d.load_descriptor('dct'); print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("before", "expected"),
    [("", "1 1"), ("import tensorflow", "0 0")],
    ids=["an image has one thread, and a core one image", "a program's own choice stays"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process is bound to no core")
def test_threads_of_tensorflow(before: str, expected: str) -> None:
    script = f"""
import os
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
{before}
from neardup.descriptors.keras_net import imported_keras
imported_keras("vgg16")
from tensorflow.config import threading
print(threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == expected


def test_every_image_of_a_large_batch_has_the_bits_that_it_has_alone(descriptor: KerasDescriptor) -> None:
    prepared = [descriptor.prepare(generated(seed)) for seed in range(TOGETHER + 3)]
    rows = descriptor.describe(prepared)
    assert rows.tobytes() == b"".join(descriptor.describe([each]).tobytes() for each in prepared)
    assert len(np.unique(rows, axis=0)) == len(prepared)


def test_a_missing_tensorflow_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(Misconfigured, match=r"keras:VGG16 needs TensorFlow, .*: pip install 'neardup\[keras\]'"):
        load_descriptor("vgg16", "none")


def test_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras.config.backend", lambda: "jax")
    with pytest.raises(Misconfigured, match="it is set to jax and channels_last"):
        load_descriptor("vgg16", "none")


def test_vgg16_is_the_feature_map_of_the_article() -> None:
    descriptor, model = load_descriptor("vgg16", "none"), built("VGG16")
    prepared = descriptor.prepare(GENERATED[0])
    pixels = prepared[np.newaxis, ..., ::-1].astype(np.float32) - np.array(IMAGENET_MEAN_BGR, dtype=np.float32)
    expected = np.asarray(model(pixels, training=False)).reshape(-1)
    assert descriptor.spec == "keras:VGG16:flat"
    assert descriptor.dimension == 7 * 7 * 512
    assert prepared.shape == (224, 224, 3)
    assert descriptor.features(prepared[np.newaxis])[0] == pytest.approx(expected, abs=1e-4 * float(expected.max()))


def test_pooled_is_the_mean_of_flat(descriptor: KerasDescriptor) -> None:
    pooled = load_descriptor(f"keras:{SMALL}", "none")
    prepared = np.stack([descriptor.prepare(GENERATED[0])])
    means = descriptor.features(prepared).reshape(49, 576).mean(axis=0)
    assert pooled.spec == f"keras:{SMALL}:pooled"
    assert pooled.dimension == 576
    assert pooled.fingerprint != descriptor.fingerprint
    assert pooled.features(prepared)[0] == pytest.approx(means, abs=1e-4 * float(np.abs(means).max()))
