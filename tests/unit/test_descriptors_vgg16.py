"""Weights that are missing, wrong or out of reach; and the preprocessing that the weights expect."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neardup.descriptors import load_descriptor, vgg16
from neardup.descriptors.vgg16 import WEIGHTS_FILE, Vgg16Descriptor
from neardup.errors import Misconfigured
from tests.unit.pictures import GENERATED

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras"),
]
IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)


@pytest.fixture(scope="module")
def descriptor() -> Vgg16Descriptor:
    return Vgg16Descriptor("none")


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


class TestWeights:
    def test_a_missing_file(self, tmp_path: Path) -> None:
        missing = tmp_path / "missing.h5"
        with pytest.raises(Misconfigured) as caught:
            load_descriptor("vgg16", str(missing))
        assert str(caught.value) == f"--weights: no such file: {missing} (expected {WEIGHTS_FILE})"

    @pytest.mark.parametrize("name", ["garbage.h5", "garbage.weights.h5", "garbage.txt", "garbage"])
    def test_a_file_that_holds_something_else(self, tmp_path: Path, name: str) -> None:
        file = tmp_path / name
        file.write_bytes(b"no weights" * 100)
        with pytest.raises(Misconfigured) as caught:
            load_descriptor("vgg16", str(file))
        assert str(caught.value).startswith(f"--weights: {file} does not hold the weights of vgg16 without its top")
        assert "\n" not in str(caught.value)

    def test_weights_of_another_model(self, tmp_path: Path) -> None:
        import keras  # noqa: PLC0415 - seconds, and only here

        file = tmp_path / "other.weights.h5"
        other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        other.save_weights(file)
        with pytest.raises(Misconfigured, match="does not hold the weights"):
            load_descriptor("vgg16", str(file))

    def test_weights_of_a_file_are_those_weights(self, tmp_path: Path, descriptor: Vgg16Descriptor) -> None:
        file = tmp_path / "right.weights.h5"
        descriptor._model.save_weights(file)
        loaded = load_descriptor("vgg16", str(file))
        prepared = [descriptor.prepare(GENERATED[0])]
        assert loaded.fingerprint == descriptor.fingerprint
        assert loaded.describe(prepared).tobytes() == descriptor.describe(prepared).tobytes()

    def test_no_download(
        self,
        silent_proxy: socket.socket,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        assert silent_proxy.getsockname()
        monkeypatch.setattr(vgg16, "DOWNLOAD_TIMEOUT_S", 0.3)
        before = socket.getdefaulttimeout()
        began_s = time.monotonic()
        with pytest.raises(Misconfigured) as caught:
            load_descriptor("vgg16")
        assert time.monotonic() - began_s < 20
        assert "timed out" in str(caught.value)
        assert WEIGHTS_FILE in str(caught.value)
        assert "--weights PATH" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert capfd.readouterr().out == ""
        assert socket.getdefaulttimeout() == before


def test_tensorflow_is_not_loaded_for_other_descriptors() -> None:
    script = "import sys, neardup.descriptors as d; d.load_descriptor('dct'); print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "False"


def test_a_missing_tensorflow_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(Misconfigured, match="needs tensorflow: pip install tensorflow"):
        load_descriptor("vgg16", "none")


def test_preprocessing_is_the_documented_one(descriptor: Vgg16Descriptor) -> None:
    # "caffe" mode: RGB becomes BGR, each channel less its ImageNet mean, no scaling.
    seen: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []

    def spy(
        batch: np.ndarray[tuple[int, ...], np.dtype[np.float32]], *, training: bool
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        assert training is False
        seen.append(np.asarray(batch))
        return np.ones((len(batch), 7, 7, 512), dtype=np.float32)

    prepared = descriptor.prepare(GENERATED[0])
    model, descriptor._model = descriptor._model, spy
    try:
        descriptor.features(prepared[np.newaxis])
    finally:
        descriptor._model = model
    expected = prepared[..., ::-1].astype(np.float32) - np.array(IMAGENET_MEAN_BGR, dtype=np.float32)
    assert np.abs(seen[0][0] - expected).max() < 1e-4


def test_the_fingerprint_tells_weights_apart(descriptor: Vgg16Descriptor, tmp_path: Path) -> None:
    weights = descriptor._model.get_weights()
    file = tmp_path / "changed.weights.h5"
    try:
        descriptor._model.set_weights([weights[0] + 1e-3, *weights[1:]])
        descriptor._model.save_weights(file)
    finally:
        descriptor._model.set_weights(weights)
    assert load_descriptor("vgg16", str(file)).fingerprint != descriptor.fingerprint
    assert load_descriptor("vgg16", "none").fingerprint == descriptor.fingerprint
