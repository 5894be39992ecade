"""The JSON beside a model file: what it makes of pixels, and what is wrong with it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neardup.descriptors.preprocessing import Preprocessing, read_preprocessing
from neardup.errors import Misconfigured
from tests.support.pictures import generated

PIXELS = generated(1, width=6, height=4)[np.newaxis]


def written(tmp_path: Path, content: Any) -> Path:  # noqa: ANN401 - JSON
    path = tmp_path / "model.keras.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def applied(tmp_path: Path, **fields: Any) -> np.ndarray[Any, np.dtype[np.float32]]:  # noqa: ANN401 - JSON
    return read_preprocessing(written(tmp_path, {"input_size": [4, 6], **fields})).apply(PIXELS)


class TestApply:
    def test_pixels_come_as_they_are(self, tmp_path: Path) -> None:
        values = applied(tmp_path)
        assert values.dtype == np.float32
        assert np.array_equal(values, PIXELS)

    def test_scale_then_mean_then_std(self, tmp_path: Path) -> None:
        values = applied(tmp_path, scale=1 / 255, mean=[0.5, 0.4, 0.3], std=[0.2, 0.1, 0.5])
        expected = (PIXELS / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.1, 0.5]
        assert np.abs(values - expected).max() < 1e-5

    def test_mean_is_of_the_channels_in_their_order(self, tmp_path: Path) -> None:
        values = applied(tmp_path, channels="bgr", mean=[1, 2, 3])
        assert np.array_equal(values, PIXELS[..., ::-1] - np.array([1, 2, 3], dtype=np.float32))

    def test_grey_is_luminance(self, tmp_path: Path) -> None:
        values = applied(tmp_path, channels="grey", mean=[10])
        assert values.shape == (1, 4, 6, 1)
        assert np.abs(values[..., 0] - (PIXELS @ [0.299, 0.587, 0.114] - 10)).max() < 1e-4

    def test_channels_first(self, tmp_path: Path) -> None:
        values = applied(tmp_path, layout="nchw")
        assert values.flags.c_contiguous
        assert np.array_equal(values, PIXELS.transpose(0, 3, 1, 2))

    @pytest.mark.parametrize(
        ("fields", "shape"),
        [
            ({}, (4, 6, 3)),
            ({"layout": "nchw"}, (3, 4, 6)),
            ({"channels": "grey"}, (4, 6, 1)),
            ({"channels": "grey", "layout": "nchw"}, (1, 4, 6)),
        ],
    )
    def test_the_shape_is_what_it_makes(self, tmp_path: Path, fields: dict[str, str], shape: tuple[int, ...]) -> None:
        preprocessing = read_preprocessing(written(tmp_path, {"input_size": [4, 6], **fields}))
        assert preprocessing.input_shape == shape
        assert preprocessing.apply(PIXELS).shape == (1, *shape)


def test_the_digest_tells_every_field() -> None:
    plain = Preprocessing((4, 6))
    others = [
        Preprocessing((6, 4)),
        Preprocessing((4, 6), "bgr"),
        Preprocessing((4, 6), scale=2.0),
        Preprocessing((4, 6), mean=(0.0, 0.0, 1.0)),
        Preprocessing((4, 6), std=(1.0, 1.0, 2.0)),
        Preprocessing((4, 6), layout="nchw"),
        Preprocessing((4, 6), output=0),
        Preprocessing((4, 6), output="0"),
    ]
    assert len({each.digest for each in [plain, *others]}) == len(others) + 1
    assert plain.digest == Preprocessing((4, 6)).digest


class TestRefused:
    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"input_sise": [4, 6]}, "unknown field 'input_sise': there are input_size, channels, scale, mean, std"),
            ({"input_size": 224}, '"input_size" should be [height, width], each from 1 to 4096'),
            ({"input_size": [224]}, '"input_size" should be'),
            ({"input_size": [0, 224]}, '"input_size" should be'),
            ({"input_size": [224.0, 224]}, '"input_size" should be'),
            ({"input_size": [True, 224]}, '"input_size" should be'),
            ({"channels": "RGB"}, '"channels" should be one of rgb, bgr, grey'),
            ({"channels": ["rgb"]}, '"channels" should be one of'),
            ({"layout": "chw"}, '"layout" should be one of nhwc, nchw'),
            ({"scale": 0}, '"scale" should be a number other than 0'),
            ({"scale": "1/255"}, '"scale" should be'),
            ({"scale": True}, '"scale" should be'),
            ({"scale": float("nan")}, '"scale" should be'),
            ({"mean": 0.5}, '"mean" should be 3 numbers, one a channel'),
            ({"mean": [1, 2]}, '"mean" should be 3 numbers'),
            ({"channels": "grey", "mean": [1, 2, 3]}, '"mean" should be 1 numbers'),
            ({"std": [1, 0, 1]}, '"std" should be 3 numbers above 0, one a channel'),
            ({"std": [1, float("inf"), 1]}, '"std" should be'),
            ({"output": -1}, '"output" should be the name of an output, or its number from 0'),
            ({"output": ""}, '"output" should be'),
            ({"output": None}, '"output" should be'),
            ({"output": True}, '"output" should be'),
        ],
    )
    def test_wrong_fields_are_told(self, tmp_path: Path, fields: dict[str, Any], says: str) -> None:
        path = written(tmp_path, {"input_size": [4, 6], **fields})
        with pytest.raises(Misconfigured) as caught:
            read_preprocessing(path)
        assert str(caught.value).startswith(f"{path}: {says}")
        assert "\n" not in str(caught.value)

    def test_all_of_them_together(self, tmp_path: Path) -> None:
        with pytest.raises(Misconfigured) as caught:
            read_preprocessing(written(tmp_path, {"size": 1, "scale": 0, "layout": "x"}))
        assert len(str(caught.value).splitlines()) == 4

    @pytest.mark.parametrize("content", ["", "{", "[1]", '"x"', "null", "\ufeff{}"])
    def test_what_is_no_object(self, tmp_path: Path, content: str) -> None:
        path = written(tmp_path, content)
        with pytest.raises(Misconfigured, match=r"model\.keras\.json(: it should be a JSON object| is not JSON)"):
            read_preprocessing(path)

    def test_a_missing_file_says_what_it_is_for(self, tmp_path: Path) -> None:
        with pytest.raises(Misconfigured, match=r'x.json is missing: .* such as \{"input_size": \[224, 224\]\}'):
            read_preprocessing(tmp_path / "x.json")

    def test_a_folder_in_its_place(self, tmp_path: Path) -> None:
        with pytest.raises(Misconfigured, match="cannot read"):
            read_preprocessing(tmp_path)

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.json"
        path.write_bytes(b"\xff\xfe{}")
        with pytest.raises(Misconfigured, match="is not JSON"):
            read_preprocessing(path)
