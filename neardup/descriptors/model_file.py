"""A saved model as a descriptor: a .keras file, a TFLite file or a SavedModel folder, with its preprocessing beside it.

Nothing in a file is run as Python: Keras loads in its safe mode, which refuses Lambda layers and third-party classes,
and a SavedModel whose graph calls Python, or reads or writes files by name, is refused before it is loaded. A model is
still a program: only use models from sources you trust.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neardup.cores import cores
from neardup.descriptors.compiled import compiled
from neardup.descriptors.keras_net import imported_keras
from neardup.descriptors.names import unknown
from neardup.descriptors.network import Network, NetworkDescriptor, Tensor, first_line
from neardup.descriptors.preprocessing import Preprocessing, read_preprocessing
from neardup.errors import Misconfigured

_GRAPH = "saved_model.pb"
_BESIDE_FOLDER = "preprocess.json"
_SIGNATURE = "serving_default"
_REACHES_OUTSIDE = frozenset(
    {"EagerPyFunc", "MatchingFiles", "PrintV2", "PyFunc", "PyFuncStateless", "ReadFile", "WriteFile"}
)
"""Ops that call Python, or read or write files that the graph names."""


class ModelFileDescriptor(NetworkDescriptor):
    """The flattened output of a saved model.

    The fingerprint holds a digest of the file and of its preprocessing, but not its path.

    Parameters
    ----------
    path
        ``NAME.keras`` or ``NAME.tflite`` with ``NAME.keras.json`` or ``NAME.tflite.json`` beside it, or a SavedModel
        folder with ``preprocess.json`` in it.

    Raises
    ------
    Misconfigured
        A file is missing or is not what its name says, or the model and its preprocessing do not fit each other.
    """

    def __init__(self, path: str) -> None:
        where = Path(path).absolute()
        kind, load = _loader(where, path)
        is_folder = where.is_dir()
        beside = where / _BESIDE_FOLDER if is_folder else where.with_name(f"{where.name}.json")
        preprocessing = read_preprocessing(beside)
        try:
            network = load(where, preprocessing)
        except Misconfigured:
            raise
        except Exception as exc:  # keras, TensorFlow, zipfile and h5py each raise their own types
            raise Misconfigured(f"descriptor file:{path} is not a loadable {kind}: {first_line(exc)}") from exc
        super().__init__(
            f"file:{where}",
            f"file-1:{kind}-{_digest(where)}-{preprocessing.digest}",
            network,
        )


def from_spec(spec: str) -> ModelFileDescriptor:
    """Return what ``file:PATH`` names; see `neardup.descriptors.names`."""
    path = spec.partition(":")[2]
    if not path:
        raise unknown(spec)
    return ModelFileDescriptor(path)


def _loader(where: Path, path: str) -> tuple[str, Callable[[Path, Preprocessing], Network]]:
    if not where.exists():
        raise Misconfigured(
            f"descriptor file:{path}: there is no {where} on this machine; if it is elsewhere, give file:PATH "
            "as the descriptor"
        )
    if (where / _GRAPH).is_file():
        return "savedmodel", _load_saved_model
    loaders = {".keras": _load_keras, ".tflite": _load_tflite}
    if where.is_dir() or where.suffix not in loaders:
        raise Misconfigured(
            f"descriptor file:{path}: it should be a .keras or a .tflite file, or a folder with {_GRAPH} in it"
        )
    return where.suffix[1:], loaders[where.suffix]


def _digest(where: Path) -> str:
    """Return 16 hexadecimal digits of the content of a file, or of all files of a model in a folder."""
    files = sorted(path for path in where.rglob("*") if path.is_file()) if where.is_dir() else [where]
    digest = hashlib.sha256()
    for file in files:
        if file.name == _BESIDE_FOLDER:
            continue
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
        digest.update(file.relative_to(where).as_posix().encode())
    return digest.hexdigest()[:16]


def _require_shape(found: Sequence[int | None] | None, preprocessing: Preprocessing) -> None:
    """Refuse a model that does not take what the preprocessing makes; None and -1 stand for any length."""
    wanted = (1, *preprocessing.input_shape)
    fits = found is not None and len(found) == len(wanted)
    if not fits or any(has not in {None, -1, want} for has, want in zip(found or (), wanted, strict=True)):
        raise Misconfigured(
            f"the model takes images of the shape {_shown(found)}, its preprocessing makes {_shown(wanted)} "
            "(input_size, channels and layout say so)"
        )


def _shown(shape: Sequence[int | None] | None) -> str:
    sides = ["any" if side in {None, -1} else str(side) for side in shape or ()]
    return f"({', '.join(sides)})"


def _chosen(names: Sequence[str], output: str | int | None) -> int:
    """Return the index of the output to use as the descriptor."""
    if output is None and len(names) == 1:
        return 0
    if isinstance(output, int) and output < len(names):
        return output
    if isinstance(output, str) and output in names:
        return names.index(output)
    told = "it has several outputs and none is chosen" if output is None else f"it has no output {output!r}"
    raise Misconfigured(f'{told}: let "output" in its preprocessing be one of {", ".join(names)}, or a number')


# -- .keras -----------------------------------------------------------------------------------------------------------


def _load_keras(path: Path, preprocessing: Preprocessing) -> Network:
    keras = imported_keras(f"file:{path}")
    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1:
        raise Misconfigured(f"descriptor file:{path}: the model takes {len(inputs)} inputs, it should take one")
    _require_shape(inputs[0].shape, preprocessing)
    chosen = _keras_output(keras, model, preprocessing.output)
    return compiled(chosen, preprocessing.input_size, preprocessing.input_shape, preprocessing.apply)


def _keras_output(keras: Any, model: Any, output: str | int | None) -> Any:  # noqa: ANN401 - keras has no types
    """Return the model that ends at the chosen output, which may also be a layer's name."""
    names = list(model.output_names)
    layers = {layer.name: layer for layer in model.layers}
    if isinstance(output, str) and output not in names and output in layers:
        return keras.Model(model.inputs, layers[output].output)
    return keras.Model(model.inputs, model.outputs[_chosen(names, output)])


# -- TFLite -----------------------------------------------------------------------------------------------------------


def _load_tflite(path: Path, preprocessing: Preprocessing) -> Network:
    # Not TensorFlow's interpreter: this one is the same code, and needs no TensorFlow.
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - as its siblings

    interpreter = Interpreter(model_path=str(path))
    inputs = interpreter.get_input_details()
    if len(inputs) != 1:
        raise Misconfigured(f"descriptor file:{path}: the model takes {len(inputs)} inputs, it should take one")
    _require_shape(inputs[0]["shape_signature"].tolist() or inputs[0]["shape"].tolist(), preprocessing)
    interpreter.resize_tensor_input(inputs[0]["index"], (1, *preprocessing.input_shape))
    interpreter.allocate_tensors()
    outputs = interpreter.get_output_details()
    output = outputs[_chosen([each["name"] for each in outputs], preprocessing.output)]

    def run(batch: Tensor) -> NDArray[np.generic]:
        interpreter.set_tensor(inputs[0]["index"], _quantised(batch, inputs[0]))
        interpreter.invoke()
        return _real(interpreter.get_tensor(output["index"]), output)

    return Network(preprocessing.input_size, preprocessing.apply, run)


def _quantised(values: Tensor, tensor: dict[str, Any]) -> NDArray[np.generic]:
    """Return values as a TFLite tensor takes them: unchanged as float32, rounded to its steps as integers."""
    kind = np.dtype(tensor["dtype"])
    if kind.kind == "f":
        return np.asarray(values, dtype=kind)
    scale, zero = tensor["quantization"]
    limits = np.iinfo(kind)
    return np.asarray(np.clip(np.round(values / (scale or 1.0)) + zero, limits.min, limits.max), dtype=kind)


def _real(values: NDArray[np.generic], tensor: dict[str, Any]) -> NDArray[np.generic]:
    if values.dtype.kind == "f":
        return values
    scale, zero = tensor["quantization"]
    return np.asarray((values.astype(np.float32) - zero) * (scale or 1.0), dtype=np.float32)


# -- SavedModel -------------------------------------------------------------------------------------------------------


def _load_saved_model(path: Path, preprocessing: Preprocessing) -> Network:
    imported_keras(f"file:{path}")  # for its message when TensorFlow is missing
    import tensorflow as tf  # noqa: PLC0415 - takes seconds

    _require_inside(path)
    loaded = tf.saved_model.load(str(path))
    if _SIGNATURE not in loaded.signatures:
        raise Misconfigured(f"descriptor file:{path}: the model has no signature {_SIGNATURE!r}: save it with one")
    signature = loaded.signatures[_SIGNATURE]
    inputs = signature.structured_input_signature[1]
    if len(inputs) != 1:
        raise Misconfigured(f"descriptor file:{path}: the model takes {len(inputs)} inputs, it should take one")
    [(name, spec)] = inputs.items()
    _require_shape(None if spec.shape.rank is None else spec.shape.as_list(), preprocessing)
    names = sorted(signature.structured_outputs)
    output = names[_chosen(names, preprocessing.output)]

    def run(batch: Tensor, model: object = loaded) -> NDArray[np.generic]:  # the model holds the signature's weights
        del model
        return np.asarray(signature(**{name: tf.constant(batch, dtype=spec.dtype)})[output])

    return Network(preprocessing.input_size, preprocessing.apply, run, threads=cores())


def _require_inside(path: Path) -> None:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel  # noqa: PLC0415 - takes seconds

    saved = SavedModel()
    saved.ParseFromString((path / _GRAPH).read_bytes())
    graphs = [meta.graph_def for meta in saved.meta_graphs]
    nodes = [node.op for graph in graphs for node in graph.node]
    nodes += [node.op for graph in graphs for function in graph.library.function for node in function.node_def]
    found = sorted(_REACHES_OUTSIDE.intersection(nodes))
    if found:
        raise Misconfigured(
            f"descriptor file:{path}: the model's graph calls Python, or reads or writes files ({', '.join(found)}): "
            "it is not loaded"
        )
