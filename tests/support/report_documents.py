"""Documents of reports, made up: of a few drawn pictures, hostile, empty, and large."""

import base64
import io
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Document = dict[str, Any]
HOSTILE = (
    '<img src=x onerror="hurt(1)">.jpg',
    "</script><script>hurt(2)</script>",
    '=HYPERLINK("http://127.0.0.1/","a, b")',
    "<!--{{data}}{{scripts}}",
    "javascript:hurt(3)",
    "\u202egpj.exe & 'quoted' \\ `${hurt(4)}`",
)
"""Names that would do something if anybody took them for more than text."""
_SIZE = (300, 200)
_FURTHEST, _BINS = 1.2, 60


def histogram_of(distances: list[float | None]) -> Document:
    """Return the histogram of distances, as the document has it."""
    edges = np.linspace(0, _FURTHEST, _BINS + 1)
    counts, _ = np.histogram([each for each in distances if each is not None], edges)
    return {"edges": edges.round(4).tolist(), "counts": counts.tolist(), "beyond": len(distances) - int(counts.sum())}


@cache
def drawn(seed: int, shift: tuple[int, int] = (0, 0), brighter: int = 0) -> str:
    """Return a drawn picture in base64: circles that `seed` places, moved by `shift` px."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", _SIZE, tuple(int(each) for each in rng.integers(150, 220, 3)))
    pen = ImageDraw.Draw(image)
    for x, y, r, *rgb in rng.integers((0, 0, 10, 0, 0, 0), (*_SIZE, 50, 200, 200, 200), (14, 6)).tolist():
        x, y = x + shift[0], y + shift[1]  # noqa: PLW2901 - the circle's place
        pen.ellipse((x - r, y - r, x + r, y + r), tuple(rgb))
    buffer = io.BytesIO()
    image.point(lambda value: min(255, value + brighter)).save(buffer, "WEBP", quality=90)
    return base64.b64encode(buffer.getvalue()).decode()


def document(rows: list[Document], **changed: Any) -> Document:  # noqa: ANN401 - of any field
    """Return the document of images given as rows; what a row leaves out has the value of a unique image."""
    usual: Document = {
        "name": "",
        "verdict": 0,
        "nearest": -1,
        "distance": None,
        "cluster": -1,
        "x": None,
        "y": None,
        "thumb": -1,
        "width": _SIZE[0],
        "height": _SIZE[1],
        "bytes": 1000,
        "done": "",
        "keep": 0,
        "outline": None,
        "nearest_outline": None,
    }
    full = [{**usual, "keep": 1 - row.get("verdict", 0), **row} for row in rows]
    images = {column: [row[column] for row in full] for column in usual}
    duplicates = sum(images["verdict"])
    return {
        "format": 1,
        "title": "A report",
        "made": "2026-11-30T09:00:00Z",
        "version": "0.1.0",
        "source": {"kind": "folder", "name": "pictures", "span": None, "key": "0123456789abcdef"},
        "descriptor": "dct",
        "radius": 0.36,
        "furthest": _FURTHEST,
        "setting": "--radius",
        "counts": {"images": len(rows), "unique": len(rows) - duplicates, "duplicate": duplicates, "bad": 0},
        "sampled": None,
        "notes": [],
        "images": images,
        "thumbs": [],
        "thumb_type": "image/webp",
        "bad": [],
        "clusters": [],
        "histogram": histogram_of(images["distance"]),
        **changed,
    }


def few() -> Document:
    """Return a report of nine images.

    At its radius of 0.36 there are two groups: 0 with 1 to 3, and 4 with 5. Image 6 is a unique one within the radius,
    which something else told apart; 7 is unique and 0.41 away from 4; 8 is as near to 7 as 7 is to it.
    """
    moved = [[0.1, 0.0], [1.0, 0.0], [1.0, 1.0], [0.1, 1.0]], [[0.0, 0.0], [0.9, 0.0], [0.9, 1.0], [0.0, 1.0]]
    rows: list[Document] = [
        {"name": "trips/lake.jpg"},
        {"name": "trips/lake-copy.jpg", "verdict": 1, "nearest": 0, "distance": 0.0},
        {
            "name": "trips/lake-bright.jpg",
            "verdict": 1,
            "nearest": 0,
            "distance": 0.18,
            "done": "20 grey levels brighter",
        },
        {"name": "trips/lake-moved.jpg", "verdict": 1, "nearest": 0, "distance": 0.35, "done": "shows a part"},
        {"name": "street.jpg", "nearest": 0, "distance": 0.9},
        {"name": "street-copy.jpg", "verdict": 1, "nearest": 4, "distance": 0.2},
        {"name": "form-2.png", "nearest": 4, "distance": 0.3},
        {"name": "square.jpg", "nearest": 4, "distance": 0.41},
        {"name": "square-too.jpg", "nearest": 7, "distance": 0.6},
    ]
    rows[3] |= {"outline": moved[0], "nearest_outline": moved[1]}
    thumbs = [drawn(1), drawn(1), drawn(1, (0, 0), 20), drawn(1, (30, 0)), *(drawn(seed) for seed in (2, 2, 3, 4, 5))]
    for i, row in enumerate(rows):
        row |= {"thumb": i, "cluster": i // 4, "x": float(i % 4), "y": float(i // 4)}
    return document(
        rows,
        thumbs=thumbs,
        counts={"images": 9, "unique": 5, "duplicate": 4, "bad": 3},
        bad=[
            {
                "reason": "truncated",
                "count": 2,
                "files": [{"name": f"cut-{i}.jpg", "detail": "ends early"} for i in (1, 2)],
            },
            {"reason": "not-an-image", "count": 1, "files": [{"name": "notes.txt", "detail": "no format is known"}]},
        ],
        clusters=[
            {"id": 0, "images": 4, "unique": 1, "duplicate": 3, "thumb": 0},
            {"id": 1, "images": 5, "unique": 4, "duplicate": 1, "thumb": 4},
        ],
    )


def hostile() -> Document:
    """Return a report in which every text wants to be more than text."""
    made = few()
    for text in ("name", "done"):
        made["images"][text] = [HOSTILE[i % len(HOSTILE)] for i in range(9)]
    made["images"]["name"] = [f"{name}{i}" for i, name in enumerate(made["images"]["name"])]
    first = HOSTILE[0] + HOSTILE[1]
    made |= {
        "title": first,
        "version": first,
        "descriptor": first,
        "setting": first,
        "notes": list(HOSTILE),
        "made": first,
    }
    made["source"] = {"kind": first, "name": first, "span": first}
    made["bad"] = [{"reason": first, "count": 1, "files": [{"name": first, "detail": first}]}]
    return made


def large(images: int = 50_000, groups: int = 10_000) -> Document:
    """Return a report of many images in 300 clusters; each group has one that is kept and one duplicate or more."""
    rng = np.random.default_rng(0)
    uniques = images // 2
    centres = rng.normal(0, 10, (300, 2))
    cluster = rng.integers(0, 300, images)
    places = (centres[cluster] + rng.normal(0, 0.4, (images, 2))).round(3)
    of = np.concatenate([np.full(uniques, -1), np.arange(images - uniques) % groups])
    distance = np.where(of >= 0, rng.uniform(0, 0.36, images), rng.uniform(0.37, 1.2, images)).round(4)
    nearest = np.where(of >= 0, of, rng.integers(0, uniques, images))
    thumbs = [drawn(seed) for seed in range(20)]
    columns = zip(of.tolist(), nearest.tolist(), distance.tolist(), cluster.tolist(), places.tolist(), strict=True)
    rows = [
        {
            "name": f"2026/photo-{i:06d}.jpg",
            "verdict": int(kept >= 0),
            "nearest": near,
            "distance": away,
            "cluster": inside,
            "x": x,
            "y": y,
            "thumb": (kept if kept >= 0 else i) % 20,
        }
        for i, (kept, near, away, inside, (x, y)) in enumerate(columns)
    ]
    counts = np.bincount(cluster, minlength=300)
    duplicates = np.bincount(cluster[of >= 0], minlength=300)
    clusters = [
        {"id": i, "images": int(all_), "unique": int(all_ - some), "duplicate": int(some), "thumb": i % 20}
        for i, (all_, some) in enumerate(zip(counts, duplicates, strict=True))
    ]
    return document(rows, thumbs=thumbs, clusters=clusters)
