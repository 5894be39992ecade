"""A plain installation has no TensorFlow: only networks of Keras need it, and say so in one line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import neardup.descriptors

pytestmark = pytest.mark.slow  # each starts several Pythons

ROOT = Path(__file__).parents[4]
WEIGHTS = Path(neardup.descriptors.__file__).parent / "weights"
# A file of this name is run by every Python that finds it, the processes that decode among them.
BLOCKER = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"tensorflow", "keras"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a Python that has neither TensorFlow nor Keras."""
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked/sitecustomize.py").write_text(BLOCKER, "utf-8")
    return {**os.environ, "PYTHONPATH": f"{tmp_path / 'blocked'}{os.pathsep}{ROOT}"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with a picture, its copy, and another one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, seed, quality in (("a.jpg", 1, 95), ("b.jpg", 1, 80), ("c.jpg", 2, 95)):
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC).save(folder / name, quality=quality)
    return folder


def run(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


def judged(environment: dict[str, str], photos: Path, spec: str) -> list[str]:
    """Return the verdicts of folder mode."""
    output = photos.parent / "verdicts.jsonl"
    descriptor = ("--descriptor", spec)
    done = run(environment, "consumer", "--input", photos, "--output", output, "--index", "memory", *descriptor)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["verdict"] for line in output.read_text("utf-8").splitlines()]


def test_the_blocker_blocks(plain: dict[str, str]) -> None:
    for name in ("tensorflow", "keras"):
        assert f"No module named '{name}'" in run(plain, name).stderr


@pytest.mark.parametrize("spec", ["dct", "dct:notrim", "copynet", "pixels"])
def test_a_folder_is_judged_without_it(plain: dict[str, str], photos: Path, spec: str) -> None:
    assert judged(plain, photos, spec) == ["unique", "duplicate", "unique"]


def test_a_tflite_file_describes_without_it(plain: dict[str, str], photos: Path, tmp_path: Path) -> None:
    shutil.copy(WEIGHTS / "copynet.tflite", tmp_path / "model.tflite")
    (tmp_path / "model.tflite.json").write_text('{"input_size": [64, 64]}', "utf-8")
    assert judged(plain, photos, f"file:{tmp_path / 'model.tflite'}")[0] == "unique"


def model(folder: Path, kind: str) -> str:
    """Return the spec of a model that TensorFlow would have to open."""
    if kind == "savedmodel":
        folder = folder / "saved"
        folder.mkdir()
        (folder / "saved_model.pb").touch()
        (folder / "preprocess.json").write_text('{"input_size": [64, 64]}', "utf-8")
        return f"file:{folder}"
    (folder / "model.keras").touch()
    (folder / "model.keras.json").write_text('{"input_size": [64, 64]}', "utf-8")
    return f"file:{folder / 'model.keras'}"


@pytest.mark.parametrize("spec", ["vgg16", "keras:MobileNetV3Small", "file .keras", "file savedmodel"])
def test_what_needs_it_says_so_in_one_line(plain: dict[str, str], photos: Path, tmp_path: Path, spec: str) -> None:
    asked = model(tmp_path, spec.split()[1]) if spec.startswith("file") else spec
    folder_mode = ("consumer", "--input", photos, "--output", tmp_path / "v.jsonl", "--index", "memory")
    done = run(plain, *folder_mode, "--descriptor", asked)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "needs TensorFlow, which is not installed: pip install 'neardup[keras]'" in done.stderr


def test_training_says_so_in_one_line(plain: dict[str, str], tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number}.jpg").touch()
    done = run(plain, "training", "--photos", tmp_path, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert done.stderr.startswith("training: training needs Keras and a backend (No module named 'keras'): pip install")
    assert len(done.stderr.splitlines()) == 1
