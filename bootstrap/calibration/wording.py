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
    sampled = document.get("sampled_from")
    of = f"from {images} different images{f', a sample of {sampled} seeds' if sampled else ''}{share}"
    if method == "edits":
        return f"as light edits need, {of}"
    rate, confidence = document.get("false_pairs"), document.get("confidence")
    if not isinstance(rate, int | float) or not isinstance(confidence, int | float):
        return "calibrated"
    shown = document.get("shown")
    if method == "shown" and isinstance(shown, int | float):
        few = f"too few images to show {rate:g}; they show"
        return f"calibrated: {few} at most {shown:g} false pairs with {confidence:.0%} confidence, {of}"
    return f"calibrated: at most {rate:g} false pairs with {confidence:.0%} confidence, {of}"


def agreement_origin(document: Mapping[str, Any]) -> str:
    """Return in words where an agreement comes from, likewise; empty where calibration had no choice."""
    tried, looked, agreed = (document.get(name) for name in ("agreements", "looked", "agreed"))
    if not isinstance(tried, list) or not isinstance(looked, int) or not isinstance(agreed, int):
        return ""
    found = f"of {looked} pairs of different images within {document.get('candidate')}, {agreed} agree so much"
    if len(tried) < 2:  # noqa: PLR2004 - nothing to choose from
        return f"given; {found}"
    return f"calibrated, the least of {', '.join(f'{each:g}' for each in tried)} that was needed; {found}"
