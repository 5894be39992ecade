"""How a model file wants its images: a small JSON file beside it, read strictly.

    {"input_size": [224, 224], "channels": "rgb", "scale": 0.00392156862745098,
     "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "layout": "nhwc", "output": 0}

Only ``input_size`` is required. The network sees ``(pixel * scale - mean) / std``, with pixels from 0 to 255.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neardup.errors import Misconfigured

_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601, as in JPEG and Pillow's L mode."""
_MAX_SIDE_PX = 4096
_FIELDS = ("input_size", "channels", "scale", "mean", "std", "layout", "output")
_CHANNELS = {"rgb": 3, "bgr": 3, "grey": 1}
_LAYOUTS = ("nhwc", "nchw")


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a network is fed.

    Attributes
    ----------
    input_size
        Height and width, in pixels.
    channels
        ``rgb``, ``bgr`` or ``grey``.
    scale
        What pixels, from 0 to 255, are multiplied by.
    mean, std
        Subtracted after that, and then divided by; one number per channel.
    layout
        ``nhwc``: channels last; ``nchw``: channels before height and width.
    output
        Name or number of the output to use as the descriptor; None where there is only one.
    """

    input_size: tuple[int, int]
    channels: str = "rgb"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    layout: str = "nhwc"
    output: str | int | None = None

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one image as the network takes it."""
        size = (*self.input_size, _CHANNELS[self.channels])
        return size if self.layout == "nhwc" else (size[2], size[0], size[1])

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that change with any field."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 (n, *input_shape) from uint8 (n, height, width, 3) RGB pixels."""
        values = pixels.astype(np.float32)
        if self.channels == "grey":
            values = (values @ _LUMINANCE)[..., np.newaxis]
        elif self.channels == "bgr":
            values = values[..., ::-1]
        mean, std = np.array(self.mean, dtype=np.float32), np.array(self.std, dtype=np.float32)
        values = (values * np.float32(self.scale) - mean) / std
        return np.ascontiguousarray(values if self.layout == "nhwc" else values.transpose(0, 3, 1, 2))


def read_preprocessing(path: Path) -> Preprocessing:
    """Read the JSON beside a model file.

    Raises
    ------
    Misconfigured
        One line for each wrong field, with the file's name.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Misconfigured(
            f'{path} is missing: it says how the model wants its images, such as {{"input_size": [224, 224]}}; '
            "docs/descriptors.md lists its fields"
        ) from None
    except OSError as exc:
        raise Misconfigured(f"cannot read {path}: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise Misconfigured(f"{path} is not JSON: {exc}") from exc
    wrong = list(_wrong(fields)) if isinstance(fields, dict) else ["it should be a JSON object"]
    if wrong:
        raise Misconfigured("\n".join(f"{path}: {text}" for text in wrong))
    return _made(fields)


def _wrong(fields: dict[str, Any]) -> list[str]:
    wrong = [f"unknown field {name!r}: there are {', '.join(_FIELDS)}" for name in fields if name not in _FIELDS]
    if not _is_size(fields.get("input_size")):
        wrong.append(f'"input_size" should be [height, width], each from 1 to {_MAX_SIDE_PX}')
    for name, allowed in (("channels", tuple(_CHANNELS)), ("layout", _LAYOUTS)):
        if fields.get(name, allowed[0]) not in allowed:
            wrong.append(f'"{name}" should be one of {", ".join(allowed)}')
    if not _is_number(fields.get("scale", 1.0)) or not fields.get("scale", 1.0):
        wrong.append('"scale" should be a number other than 0')
    return wrong + _wrong_moments(fields) + _wrong_output(fields)


def _wrong_moments(fields: dict[str, Any]) -> list[str]:
    count = _CHANNELS.get(str(fields.get("channels", "rgb")), 3)
    wrong = []
    for name, allowed in (("mean", _is_number), ("std", lambda value: _is_number(value) and value > 0)):
        values = fields.get(name, [1.0] * count)
        if not isinstance(values, list) or len(values) != count or not all(map(allowed, values)):
            wrong.append(f'"{name}" should be {count} numbers{" above 0" if name == "std" else ""}, one a channel')
    return wrong


def _wrong_output(fields: dict[str, Any]) -> list[str]:
    output = fields.get("output")
    is_number = type(output) is int and output >= 0
    fine = "output" not in fields or is_number or (isinstance(output, str) and output)
    return [] if fine else ['"output" should be the name of an output, or its number from 0']


def _is_size(value: Any) -> bool:  # noqa: ANN401 - JSON
    return (
        isinstance(value, list)
        and len(value) == 2  # noqa: PLR2004 - height and width
        and all(type(side) is int and 1 <= side <= _MAX_SIDE_PX for side in value)
    )


def _is_number(value: Any) -> bool:  # noqa: ANN401 - JSON
    return type(value) in {int, float} and math.isfinite(value)


def _made(fields: dict[str, Any]) -> Preprocessing:
    channels = fields.get("channels", "rgb")
    count = _CHANNELS[channels]
    height, width = fields["input_size"]
    return Preprocessing(
        input_size=(height, width),
        channels=channels,
        scale=float(fields.get("scale", 1.0)),
        mean=tuple(map(float, fields.get("mean", [0.0] * count))),
        std=tuple(map(float, fields.get("std", [1.0] * count))),
        layout=fields.get("layout", "nhwc"),
        output=fields.get("output"),
    )
