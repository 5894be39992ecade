"""A calibration in one line, from the document that the index keeps."""

from collections.abc import Mapping
from typing import Any


def radius_origin(document: Mapping[str, Any]) -> str:
    """Return in words where a radius comes from, given its calibration document; an empty one means it was given."""
    if not document:
        return "given"
    method, images, found = (document.get(name) for name in ("method", "images", "found"))
    if method == "default":
        return "default"
    share = f", {found:.1%} of light edits found" if isinstance(found, int | float) else ""
    of = f"from {images} different images{share}"
    if method == "edits":
        return f"as light edits need, {of}"
    rate, confidence = document.get("false_pairs"), document.get("confidence")
    if not isinstance(rate, int | float) or not isinstance(confidence, int | float):
        return "calibrated"
    return f"calibrated: at most {rate:g} false pairs with {confidence:.0%} confidence, {of}"
