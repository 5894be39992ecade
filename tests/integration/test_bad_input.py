"""What a descriptor, weights or seeds can have wrong, on the real commands: a clear line, or a fallback."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bootstrap.__main__
import bootstrap.calibrate
import bootstrap.index
import consumer.__main__
from neardup.cli.running import EXIT_MISCONFIGURED
from tests.unit.neardup.descriptors.test_model_file import saved_function

pytestmark = [pytest.mark.redis, pytest.mark.timeout(600)]
Command = Callable[..., tuple[int, str, str]]
MAINS = {"bootstrap": bootstrap.__main__.main, "index": bootstrap.index.main, "calibrate": bootstrap.calibrate.main}
slow = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow"),
]


def photos(folder: Path, count: int, side_px: int = 64, grey: int = 0) -> Path:
    folder.mkdir()
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((side_px, side_px), Image.Resampling.BICUBIC)
        (image.convert("L") if grey else image).save(folder / f"{number:03d}.png")
    return folder


@pytest.fixture
def command(redis_url: str, name: str, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command line, with exit code, output and errors."""
    environ = {"NEARDUP_REDIS_URL": redis_url, "NEARDUP_INDEX": name, "NEARDUP_DECODE_TIMEOUT": "off"}

    def run(module: str, *arguments: object) -> tuple[int, str, str]:
        main = {"bootstrap": bootstrap.__main__, "index": bootstrap.index, "calibrate": bootstrap.calibrate}[
            module
        ].main
        code = main([str(argument) for argument in arguments], environ)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def refused(answer: tuple[int, str, str], says: str) -> None:
    code, _, error = answer
    assert code == EXIT_MISCONFIGURED
    [line] = error.strip().splitlines()
    assert says in line


# Descriptors


@pytest.mark.parametrize("function", [pytest.param("nan", marks=slow)])
def test_a_model_that_describes_nothing(command: Command, tmp_path: Path, function: str) -> None:
    spec = saved_function(tmp_path / "model", function)
    refused(
        command("bootstrap", photos(tmp_path / "seeds", 2), "--descriptor", spec),
        "gives NaN or infinity for a test image",
    )


@pytest.mark.parametrize("fields", [pytest.param({"input_size": [30, 40]}, marks=slow)])
def test_a_model_of_another_size(command: Command, tmp_path: Path, fields: dict[str, object]) -> None:
    import keras  # noqa: PLC0415 - seconds, and only here

    pixels = keras.Input((12, 16, 3))
    model = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(pixels))
    model.save(tmp_path / "model.keras")
    (tmp_path / "model.keras.json").write_text(json.dumps(fields), "utf-8")
    answer = command("bootstrap", photos(tmp_path / "seeds", 2), "--descriptor", f"file:{tmp_path / 'model.keras'}")
    refused(answer, "the model takes images of the shape (any, 12, 16, 3), its preprocessing makes (1, 30, 40, 3)")


@pytest.mark.parametrize("spec", [pytest.param("keras:MobileNetV3Small", marks=slow)])
def test_weights_that_do_not_fit(command: Command, tmp_path: Path, spec: str) -> None:
    (tmp_path / "other.weights.h5").write_bytes(b"no weights" * 100)
    given = ("--descriptor", spec, "--weights", tmp_path / "other.weights.h5")
    refused(command("bootstrap", photos(tmp_path / "seeds", 2), *given), "does not hold the weights of")


@pytest.mark.parametrize("spec", ["dct", "dct:notrim", "pixels", "pixels:8", "file:model.keras"])
def test_weights_for_what_has_none(command: Command, tmp_path: Path, spec: str) -> None:
    seeds = photos(tmp_path / "seeds", 2)
    says = f"descriptor {spec!r} takes no weights file: it"
    refused(command("bootstrap", seeds, "--descriptor", spec, "--weights", "x.h5"), says)


def test_weights_for_an_index_without_any(
    command: Command, tmp_path: Path, redis_url: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = photos(tmp_path / "seeds", 3)
    image, says = seeds / "001.png", "descriptor 'dct' takes no weights file: it has no weights; leave the file out"
    assert command("bootstrap", seeds)[0] == 0
    refused(command("index", "neighbours", image, "--weights", "none"), says)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"image_a,image_b,same\n{image},{seeds / '002.png'},different\n", "utf-8")
    refused(command("calibrate", "--pairs", pairs, "--weights", "none"), says)
    environ = {"NEARDUP_REDIS_URL": redis_url, "NEARDUP_INDEX": name, "NEARDUP_WEIGHTS": "none"}
    output = tmp_path / "verdicts.jsonl"
    assert consumer.__main__.main(["--input", str(seeds), "--output", str(output)], environ) == EXIT_MISCONFIGURED
    assert says in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("kind", [pytest.param("savedmodel", marks=slow)])
def test_a_model_that_lies_elsewhere(command: Command, tmp_path: Path, kind: str) -> None:
    seeds = photos(tmp_path / "seeds", 5)
    spec = saved_function(tmp_path / kind, "spread")
    code, _, error = command("bootstrap", seeds, "--descriptor", spec)
    assert code == 0, error
    (tmp_path / kind).rename(tmp_path / "elsewhere")
    image = seeds / "003.png"
    refused(command("index", "neighbours", image), "if it is elsewhere, give file:PATH as the descriptor")
    elsewhere = ("--descriptor", f"file:{tmp_path / 'elsewhere'}")
    code, text, _ = command("index", "neighbours", image, *elsewhere, "--json")
    assert code == 0
    assert json.loads(text)["verdict"] == "duplicate"
    refused(command("index", "neighbours", image, "--descriptor", "dct"), "was built with")
    pairs = tmp_path / "pairs.csv"
    copy = tmp_path / "copy.png"
    copy.write_bytes(image.read_bytes())
    pairs.write_text(f"image_a,image_b,same\n{image},{copy},same\n", "utf-8")
    code, text, _ = command("calibrate", "--pairs", pairs, *elsewhere, "--json")
    assert (code, json.loads(text)["marked"]["now"]["right"]) == (0, 1)


# Seeds


@pytest.mark.parametrize(
    ("seeds", "method"),
    [
        pytest.param({"count": 30}, "default", id="too few"),
        pytest.param({"count": 130, "grey": True}, "pairs", id="grey"),
        pytest.param({"count": 130, "side_px": 3}, None, id="tiny"),
        pytest.param({"count": 130, "side_px": 1, "grey": True}, None, id="one grey pixel"),
    ],
)
def test_odd_seeds_are_told(
    command: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture, seeds: dict[str, int], method: str | None
) -> None:
    code, _, error = command("bootstrap", photos(tmp_path / "seeds", **seeds))
    assert code == 0, error
    code, text, _ = command("index", "stats", "--json")
    document = json.loads(text)
    calibration = document["calibration"]
    assert code == 0
    assert 0.0 <= document["radius"] <= 2.0
    assert method in {None, calibration["method"]}
    assert (calibration["warning"] == "") <= (calibration["method"] == "pairs")
    assert calibration["warning"] in caplog.messages or not calibration["warning"]


def test_copies_among_the_seeds_are_named(command: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seeds = photos(tmp_path / "seeds", 130)
    image = Image.open(seeds / "007.png")
    for number, box in enumerate([(2, 0, 64, 62), (1, 1, 63, 61), (3, 0, 64, 61)]):
        image.crop(box).save(seeds / f"007-copy-{number}.png")
    code, *_ = command("bootstrap", seeds)
    assert code == 0
    calibration = json.loads(command("index", "stats", "--json")[1])["calibration"]
    assert calibration["images"] == 130
    assert calibration["copied"] >= 1
    warning = f"{calibration['copied']} of {130 + calibration['copied']} images were taken for edited copies of others"
    assert any(warning in line and "007-copy-" in line for line in caplog.messages)
