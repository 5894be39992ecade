"""Measure what the sizes in `neardup.search.sketch_trees` and `sketch_rows` cost and save, each varied alone.

The filter by itself, on one thread.

    .venv/bin/python -m benchmarks.filter_choices [--members 1000000] [--descriptor dct] [--radius 0.8]

Members and queries as in `index_search.py`. The first line is as the code has it; where `_PASSING` is 1 the short shape
is taken whatever passes it, where it is -1 the long one.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.real_descriptors import descriptors_of_images, queries_from
from benchmarks.result_files import results_of
from neardup.descriptors import load_descriptor
from neardup.search import sketch_rows
from neardup.search import sketch_trees as filters
from neardup.search.sketch_rows import Shape, Sketches
from neardup.search.sketch_trees import SketchTrees
from neardup.search.sketches import fit_sketcher

SHORTER = ((12, 16), (12, 20), (12, 32), (8, 24), (10, 24), (16, 24))
LONGER = ((18, 24), (18, 32), (24, 24), (28, 32))
CHOICES: tuple[dict[str, Any], ...] = (
    {"_PASSING": filters._PASSING},  # noqa: SLF001 - as it is
    {"_PASSING": 1.0},
    {"_PASSING": -1.0},
    *({"SHORT": Shape(*sizes), "_PASSING": 1.0} for sizes in SHORTER),
    *({"LONG": Shape(*sizes), "_PASSING": -1.0} for sizes in LONGER),
    {"_BOX_PREFIX": 4},
    {"_BOX_PREFIX": 8},
    {"_GROUP_ROWS": 4096},
    {"_GROUP_ROWS": 16384},
    {"_AT_ONCE": 1 << 14},
    {"_AT_ONCE": 1 << 18},
    {"_BRIDGED": 1},
)
BATCH = 64
BATCHES = 40
SINGLES = 500
REPEATS = 3
_CHUNK = 200
"""Members that come at once, as an index is read."""


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--descriptor", default="dct", metavar="SPEC")
    parser.add_argument("--radius", type=float, help="beside 0.1; default: the descriptor's own")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/filter[-SPEC].json")
    given = parser.parse_args()
    out = given.out or results_of("filter", given.descriptor)
    rows, source = descriptors_of_images(given.members + 10_000, given.descriptor)
    members, others = np.ascontiguousarray(rows[: given.members]), rows[given.members : given.members + 10_000]
    sketcher = fit_sketcher(members[:: max(1, given.members // 20_000)])
    sketches = np.concatenate(
        [sketcher.sketch(members[start : start + 4096]) for start in range(0, len(members), 4096)]
    )
    radii = (0.1, given.radius or load_descriptor(given.descriptor).default_radius)
    queries = {radius: sketcher.sketch(queries_from(others, members, radius)) for radius in radii}
    measured = []
    with threadpool_limits(1):
        for choice in CHOICES:
            module = next(each for each in (filters, sketch_rows) if all(hasattr(each, name) for name in choice))
            with patch.multiple(module, **choice):
                measured.append({"choice": choice, **measure(sketches, queries)})
            print(measured[-1], flush=True)
    report = {"data": source, "dimension": int(rows.shape[1]), "members": given.members, "choices": measured}
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def measure(sketches: Sketches, queries: dict[float, Sketches]) -> dict[str, Any]:
    """Return what one choice costs, milliseconds of CPU a query."""
    began_s = time.perf_counter()
    trees = SketchTrees(sketches.shape[1], max(queries))
    for start in range(0, len(sketches), _CHUNK):
        part = sketches[start : start + _CHUNK]
        trees.add(part, np.arange(start, start + len(part), dtype=np.int32))
    built_s = time.perf_counter() - began_s
    figures: dict[str, Any] = {
        "shape": trees.shape,
        "built_s": round(built_s, 1),
        "bytes_a_member": round(trees.nbytes / len(sketches), 1),
    }
    for radius, asked in queries.items():
        batches = [asked[start : start + BATCH] for start in range(0, BATCHES * BATCH, BATCH)]
        let_through = sum(len(trees.within(batch, radius)[0]) for batch in batches) / (BATCHES * BATCH)
        batch_ms = 1e3 * float(np.median([_seconds(trees, batch, radius) for batch in batches])) / BATCH
        singles = [asked[-row - 1 :][:1] for row in range(SINGLES)]
        ones = np.min([[_seconds(trees, one, radius) for one in singles] for _ in range(REPEATS)], axis=0) * 1e3
        figures[str(radius)] = {
            "let_through": round(let_through, 2),
            "batch_ms": round(batch_ms, 3),
            "single_ms_p50": round(float(np.percentile(ones, 50)), 3),
            "single_ms_p99": round(float(np.percentile(ones, 99)), 3),
        }
    return figures


def _seconds(trees: SketchTrees, asked: Sketches, radius: float) -> float:
    began_s = time.thread_time()
    trees.within(asked, radius)
    return time.thread_time() - began_s


if __name__ == "__main__":
    main()
