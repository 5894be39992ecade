"""Verdicts as the service and folder mode write them, made up."""

import json
from typing import Any

RADIUS = 0.36


def unique(number: int, topic: str = "images", **other: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a verdict
    """Return the verdict on a unique image, whose message has this offset in partition 0."""
    return {
        "schema": "neardup.verdict/1",
        "image_id": f"image-{number}",
        "verdict": "unique",
        "duplicate_of": None,
        "distance": 0.9,
        "similarity": 0.595,
        "radius": RADIUS,
        "local_change": None,
        "symmetry": None,
        "cluster": number % 7,
        "index": {"name": "default", "generation": 2},
        "descriptor": "dct-3:64px-98y-7c-16l-trim2",
        "source": {"topic": topic, "partition": 0, "offset": number, "timestamp": 1_767_225_600_000 + number},
        "uri": None,
        "captured_at": "2026-01-01T00:00:00.000Z",
        "member": None,
        "decided_at": "2026-01-01T00:00:00.373Z",
        "latency_ms": 373,
        **other,
    }


def duplicate(number: int, of: int, topic: str = "images", **other: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return the verdict on a duplicate of another of these."""
    told = {
        "verdict": "duplicate",
        "duplicate_of": f"image-{of}",
        "distance": 0.125,
        "symmetry": "none",
        "member": {"key": f"{topic}-0-{of}", "captured_at": None},
    }
    return {**unique(number, topic), **told, **other}


def line(document: dict[str, Any]) -> bytes:
    """Return a verdict as it is written."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
