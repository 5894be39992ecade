"""Descriptors by name. Each module is imported on first use: TensorFlow takes seconds."""

import importlib
from typing import TYPE_CHECKING

from neardup.descriptors.names import DEFAULT, DESCRIPTORS, SPECS, unknown
from neardup.errors import Misconfigured

if TYPE_CHECKING:
    from neardup.descriptors.base import Descriptor

__all__ = ["DEFAULT", "DESCRIPTORS", "SPECS", "load_descriptor"]


def load_descriptor(spec: str, weights: str | None = None) -> "Descriptor":
    """Return the descriptor that `spec` names.

    Parameters
    ----------
    spec
        One of the forms in `neardup.descriptors.names`, such as ``dct`` or ``pixels:320``; docs/descriptors.md
        describes each.
    weights
        Weights file for the Keras networks; see `neardup.descriptors.keras_net.KerasDescriptor`. The others have no
        weights, or bring them in their own files, and refuse a weights file.

    Raises
    ------
    Misconfigured
        The name is unknown, the argument is wrong, or the weights are not available.
    """
    entry = DESCRIPTORS.get(spec.partition(":")[0])
    if entry is None:
        raise unknown(spec)
    if weights is not None and entry.no_weights is not None:
        raise Misconfigured(f"descriptor {spec!r} takes no weights file: {entry.no_weights}; leave the file out")
    module, _, function = entry.made_by.partition(":")
    make = getattr(importlib.import_module(f"neardup.descriptors.{module}"), function)
    made: Descriptor = make(spec) if entry.no_weights is not None else make(spec, weights)
    return made
