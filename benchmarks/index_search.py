"""Measure the search of the index against a brute-force product and against other libraries, on one thread.

    make bench-index [ARGS="--members 10000 100000 --graphs-up-to 1000000"]
    make bench-index ARGS="--descriptor copynet --no-rivals"

Members are descriptors of real images when NEARDUP_DATA names the photos, else generated (`real_descriptors.py`). The
search is the path of the service, `GenerationView.within`, with all records in memory. Queries are images that are no
members, every fourth a copy of a member moved by up to 1.5 radii. Everything that is compared takes turns in one run:
the shares hold on a busy machine, the milliseconds are that machine's.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.index_material import member_of, place
from benchmarks.real_descriptors import descriptors_of_images, queries_from
from benchmarks.result_files import results_of
from benchmarks.search_rivals import rivals
from neardup.descriptors import load_descriptor
from neardup.index.stored.codec import decode_head, encode_member
from neardup.index.view import GenerationView
from neardup.relation.rule import Relation
from neardup.search.distance import paired_l2_distances
from neardup.types import Descriptors

_Batch = TypeVar("_Batch")
_Rows = TypeVar("_Rows", Descriptors, NDArray[np.float32])

RADII = (0.1, 0.2)
"""And the default of the descriptor."""
CACHE_BYTES = 4 << 30
BATCH = 64
ROUNDS = 20
SINGLES = 1000
REPEATS = 3
CHECKED = 2048
BLOCK_ROWS = 8192
PRODUCT_SLACK = 1e-4


class BruteForce:
    """A float32 product of the queries with all members, in blocks that stay in the processor's cache."""

    def __init__(self, members: Descriptors) -> None:
        self.rows = members.astype(np.float32)
        self._buffer = np.empty(BATCH * BLOCK_ROWS, dtype=np.float32)

    def within(self, queries: Descriptors, radius: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return (query, member) of the pairs within the radius, and those that float32 cannot tell."""
        narrow = queries.astype(np.float32)
        threshold = 1.0 - radius * radius / 2.0 - PRODUCT_SLACK - 1e-3  # norms of float16 rows are 1 up to 5e-4
        found_rows, found_members = [], []
        for start in range(0, len(self.rows), BLOCK_ROWS):
            block = self.rows[start : start + BLOCK_ROWS]
            products = self._buffer[: len(narrow) * len(block)].reshape(len(narrow), len(block))
            np.matmul(narrow, block.T, out=products)
            row, member = np.divmod(np.flatnonzero(products >= threshold), len(block))
            found_rows.append(row)
            found_members.append(member + start)
        return np.concatenate(found_rows), np.concatenate(found_members)


def main() -> None:
    """Measure each size, print tables, write JSON and a plot."""
    arguments = _arguments()
    most = max(arguments.members)
    if arguments.descriptors:
        rows, source = np.load(arguments.descriptors, mmap_mode="r"), str(arguments.source)
    else:
        rows, source = descriptors_of_images(most + 10_000, arguments.descriptor, unseen=arguments.held_out)
    radii = (*RADII, load_descriptor(arguments.descriptor).default_radius)
    report: dict[str, Any] = {
        "data": source,
        "descriptor": arguments.descriptor,
        "dimension": int(rows.shape[1]),
        "batch": BATCH,
        "threads": 1,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "sizes": [],
    }
    others = rows[most : most + 10_000]
    kept = _rivals_in(arguments.out) if arguments.keep_rivals else {}
    for count in arguments.members:
        with threadpool_limits(1):
            figures, queries, brute = measure(rows[:count], others, radii)
            figures["rivals"] = kept.get(count, [])
            if not figures["rivals"] and not arguments.no_rivals:
                graphs = count <= arguments.graphs_up_to
                figures["rivals"] = measure_rivals(brute, queries, radii, graphs=graphs)
            report["sizes"].append(figures)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if arguments.plot:
        plot(report, arguments.plot)


def _arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--graphs-up-to", type=int, default=100_000, help="members; building a graph takes minutes")
    parser.add_argument("--keep-rivals", action="store_true", help="other libraries as in --out, not measured anew")
    parser.add_argument("--no-rivals", action="store_true", help="the index and brute force alone")
    parser.add_argument("--descriptor", default="dct", metavar="SPEC", help="what describes the images (default: dct)")
    parser.add_argument("--held-out", action="store_true", help="only photos held out from training, as of copynet")
    parser.add_argument("--descriptors", type=Path, help="float16 (n, d) .npy to use instead of making them")
    parser.add_argument("--source", default="a file", help="where --descriptors are from")
    parser.add_argument("--out", type=Path, help="where the JSON goes (default: benchmarks/results/index[-SPEC].json)")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args(words)
    given.out = given.out or results_of("index", given.descriptor, *(["held-out"] if given.held_out else []))
    return given


def _rivals_in(file: Path) -> dict[int, list[dict[str, Any]]]:
    """Return the other libraries' figures of an earlier run, by the number of members."""
    sizes = json.loads(file.read_text("utf-8"))["sizes"] if file.exists() else []
    return {size["members"]: size["rivals"] for size in sizes}


# --- the index ---


def build_view(members: Descriptors, radius: float) -> GenerationView:
    """Return a view that has read all members."""
    placed = place(members)

    def read(cells: Sequence[int]) -> list[list[bytes]]:
        return [
            [encode_member(member_of(int(row), members[row])) for row in placed.rows_of.get(cell, ())] for cell in cells
        ]

    view = GenerationView(placed.tree, placed.sketcher, Relation(radius), read, CACHE_BYTES)
    began_s = time.perf_counter()
    view.load(placed.tree.leaves)
    print(f"{len(view)} members in {len(view.cell_sizes)} cells, read in {time.perf_counter() - began_s:.1f} s")
    return view


# --- measuring ---


def measure(
    members: Descriptors, others: Descriptors, radii: tuple[float, ...]
) -> tuple[dict[str, Any], Descriptors, BruteForce]:
    """Return the figures of one size, and the queries and members that other libraries are asked with."""
    members = np.ascontiguousarray(members)
    view, brute = build_view(members, radii[-1]), BruteForce(members)
    sketches_bytes = view._filter.nbytes / len(members)  # noqa: SLF001 - to tell
    figures: dict[str, Any] = {"members": len(members), "sketch_bytes_a_member": round(sketches_bytes, 1), "radii": []}
    print(f"\nN = {len(members)}, {sketches_bytes:.0f} bytes a member for sketches")
    print("radius  batch ms  brute ms  share  single p50 / p99 ms  rows touched   within  recall")
    for radius in radii:
        view._relation = Relation(radius)  # noqa: SLF001 - one view for all radii
        figures["radii"].append(measure_radius(view, brute, queries_from(others, members, radius), radius))
    return figures, queries_from(others, members, radii[-1]), brute


def measure_radius(view: GenerationView, brute: BruteForce, queries: Descriptors, radius: float) -> dict[str, Any]:
    """Return and print the figures of the index at one radius."""
    recall, wrong, within = check(view, brute, queries[:CHECKED], radius)

    def search(batch: Descriptors) -> None:
        view.within(batch, view.sketch(batch))

    batches = [queries[start : start + BATCH] for start in range(0, ROUNDS * BATCH, BATCH)]
    search(batches[0])
    view.rows_touched = 0
    times = taken_in_turns([search, lambda batch: brute.within(batch, radius)], batches) / BATCH
    touched = view.rows_touched / (ROUNDS * BATCH)
    ours, product = np.median(times, axis=1)
    share = float(np.median(times[0] / times[1]))
    singles = np.min([_singles(search, queries[-SINGLES:]) for _ in range(REPEATS)], axis=0)
    p50, p99 = np.percentile(singles, [50, 99])
    print(
        f"{radius:6}  {ours * 1e3:8.3f}  {product * 1e3:8.3f}  {share:5.1%}  {p50 * 1e3:8.3f} / {p99 * 1e3:<8.3f}"
        f"  {touched:12.1f}  {within / CHECKED:7.2f}  {recall:.6f}",
        flush=True,
    )
    return {
        "radius": radius,
        "batch_ms_a_query": float(ours * 1e3),
        "brute_force_ms_a_query": float(product * 1e3),
        "share_of_brute_force": share,
        "single_ms_p50": float(p50 * 1e3),
        "single_ms_p99": float(p99 * 1e3),
        "rows_touched_a_query": touched,
        "members_within_a_query": within / CHECKED,
        "queries_checked": CHECKED,
        "recall": recall,
        "wrong": wrong,
    }


def check(view: GenerationView, brute: BruteForce, queries: Descriptors, radius: float) -> tuple[float, int, int]:
    """Return recall, wrong answers, and how many true ones there are; all by exact distance."""
    true, found = set(), set()
    members = brute.rows.astype(np.float16)
    for start in range(0, len(queries), BATCH):
        batch = queries[start : start + BATCH]
        rows, others = brute.within(batch, radius)
        exact = paired_l2_distances(batch[rows], members[others]) <= radius
        pairs = zip(rows[exact].tolist(), others[exact].tolist(), strict=True)
        true |= {(start + row, member_of(other, members[other]).image_id) for row, other in pairs}
        for row, hits in enumerate(view.within(batch, view.sketch(batch))):
            found |= {(start + row, decode_head(hit.head)[1]) for hit in hits}
    return (len(true & found) / len(true) if true else 1.0), len(found - true), len(true)


def taken_in_turns(searches: Sequence[Callable[[_Batch], object]], batches: Sequence[_Batch]) -> NDArray[np.float64]:
    """Return seconds, float64 (searches, batches)."""
    taken = np.empty((len(searches), len(batches)))
    for turn, batch in enumerate(batches):
        for number, search in enumerate(searches):
            began_s = time.perf_counter()
            search(batch)
            taken[number, turn] = time.perf_counter() - began_s
    return taken


def _singles(search: Callable[[_Rows], object], queries: _Rows) -> NDArray[np.float64]:
    alone: list[_Rows] = [queries[row : row + 1] for row in range(len(queries))]
    return taken_in_turns([search], alone).ravel()


def measure_rivals(
    brute: BruteForce, queries: Descriptors, radii: tuple[float, ...], *, graphs: bool
) -> list[dict[str, Any]]:
    """Return and print the other libraries' figures; recall of "has a member within the radius"."""
    nearest = _nearest(brute, queries[:CHECKED], radii[-1])
    print(
        "                         batch ms  single p50 / p99 ms   recall at "
        + ", ".join(map(str, radii))
        + "   built s"
    )
    figures = []
    for build in rivals(brute.rows, graphs=graphs):
        began_s = time.perf_counter()
        rival = build()
        built_s = time.perf_counter() - began_s
        narrow = queries.astype(np.float32)
        batches = [narrow[start : start + BATCH] for start in range(0, ROUNDS * BATCH, BATCH)]
        batch_ms = float(np.median(taken_in_turns([rival.search], batches)) / BATCH * 1e3)
        singles = SINGLES if batch_ms < 1.0 else SINGLES // 10
        p50, p99 = np.percentile(_singles(rival.search, narrow[-singles:]), [50, 99]) * 1e3
        found = np.concatenate([rival.search(narrow[start : start + BATCH]) for start in range(0, CHECKED, BATCH)])
        recalls = [_recall(found, nearest, radius) for radius in radii]
        told = ", ".join(f"{recall:.4f}" for recall in recalls)
        print(f"{rival.name:24} {batch_ms:8.3f}  {p50:8.3f} / {p99:<8.3f}   {told}   {built_s:.0f}", flush=True)
        figures.append(
            {
                "name": rival.name,
                "batch_ms_a_query": batch_ms,
                "single_ms_p50": float(p50),
                "single_ms_p99": float(p99),
                "recall": dict(zip(map(str, radii), recalls, strict=True)),
                "built_s": built_s,
            }
        )
    return figures


def _nearest(brute: BruteForce, queries: Descriptors, radius: float) -> NDArray[np.float64]:
    """Return the exact distance to the nearest member, where it is within a radius; else infinite."""
    nearest = np.full(len(queries), np.inf)
    members = brute.rows.astype(np.float16)
    for start in range(0, len(queries), BATCH):
        rows, others = brute.within(queries[start : start + BATCH], radius)
        np.minimum.at(nearest, start + rows, paired_l2_distances(queries[start + rows], members[others]))
    return nearest


def _recall(found: NDArray[np.float64], nearest: NDArray[np.float64], radius: float) -> float:
    # A pair at the radius itself may be rounded away by float32: that is no miss of the index.
    true = nearest <= radius - 1e-4
    return float((found[true] <= radius * radius + 1e-5).mean()) if true.any() else 1.0


# --- the plot ---


def plot(report: dict[str, Any], file: Path) -> None:
    """Draw time against the number of members."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    sizes = [size["members"] for size in report["sizes"]]
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    brute = [size["radii"][-1]["brute_force_ms_a_query"] for size in report["sizes"]]
    axes.loglog(sizes, brute, "k--", marker="o", label="brute force, float32 product")
    radii = [measured["radius"] for measured in report["sizes"][0]["radii"]]
    for number, radius in enumerate(radii):
        times = [size["radii"][number]["batch_ms_a_query"] for size in report["sizes"]]
        axes.loglog(sizes, times, marker="o", label=f"index, radius {radius}")
    axes.set(xlabel="members", ylabel=f"ms a query, batches of {BATCH}, one thread")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend()
    figure.savefig(file, dpi=90)


if __name__ == "__main__":
    main()
