"""The cluster map: every image as a point in the plane of the first two principal components."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bootstrap.seeds.result import SeedResult
from neardup.report.plane import first_components

_NAMED_CLUSTERS = 10
"""Up to here each cluster has its own colour and a line in the legend."""
_DRAWN_POINTS = 20_000


def cluster_map(result: SeedResult) -> Figure:
    """Draw images coloured by cluster, centroids marked with a plus and duplicates with an X."""
    points, centroids, parts = first_components(result.descriptors, result.cells.centroids)
    drawn = np.unique(np.linspace(0, len(points) - 1, min(len(points), _DRAWN_POINTS)).astype(int))
    figure = Figure(figsize=(10, 8), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_points(axes, result, points, drawn)
    axes.scatter(
        centroids[:, 0],
        centroids[:, 1],
        marker="P",
        s=170 if len(centroids) <= _NAMED_CLUSTERS else 40,
        c="black",
        edgecolors="white",
        linewidths=1.2,
        zorder=4,
        label="centroid",
    )
    _describe_axes(axes, result, parts, len(drawn))
    return figure


def _draw_points(axes: Axes, result: SeedResult, points: NDArray[np.float64], drawn: NDArray[np.intp]) -> None:
    colours = _colours(len(result.cells))
    size = 36 if len(drawn) <= 1000 else 8  # noqa: PLR2004 - smaller where there are many
    unique = result.duplicates.is_unique
    unique[list(result.assembly.known)] = True
    shown = drawn[unique[drawn]]
    crossed = drawn[~unique[drawn]]
    if len(result.cells) <= _NAMED_CLUSTERS:
        for cluster in range(len(result.cells)):
            rows = shown[result.clusters[shown] == cluster]
            label = f"cluster {cluster}: {np.count_nonzero(result.clusters == cluster)} images"
            axes.scatter(
                points[rows][:, 0],
                points[rows][:, 1],
                s=size,
                color=colours[cluster],
                alpha=0.8,
                linewidths=0,
                label=label,
            )
    else:
        axes.scatter(
            points[shown][:, 0],
            points[shown][:, 1],
            s=size,
            c=colours[result.clusters[shown]],
            alpha=0.8,
            linewidths=0,
            label="unique image, coloured by cluster",
        )
    axes.scatter(
        points[crossed][:, 0],
        points[crossed][:, 1],
        s=2 * size + 12,
        c=colours[result.clusters[crossed]],
        marker="X",
        edgecolors="black",
        linewidths=0.6,
        zorder=3,
        label="duplicate",
    )


def _colours(clusters: int) -> NDArray[np.float64]:
    """Return float64 (clusters, 4): neighbouring numbers far apart in hue where there are many."""
    if clusters <= _NAMED_CLUSTERS:
        return np.asarray(colormaps["tab10"](np.arange(clusters)))
    golden = (np.arange(clusters) * 0.618033988749895) % 1.0
    return np.asarray(colormaps["turbo"](0.05 + 0.9 * golden))


def _describe_axes(axes: Axes, result: SeedResult, parts: NDArray[np.float64], drawn: int) -> None:
    counts = result.counts
    sampled = "" if drawn == len(result.clusters) else f" ({drawn} of them drawn)"
    carried = f" and {counts['carried']} members carried over" if counts["carried"] else ""
    axes.set_title(
        f"{counts['images']} images{carried} in {len(result.cells)} clusters{sampled}: "
        f"{counts['unique']} unique, {counts['duplicates']} duplicates\n"
        f"descriptor {result.descriptor}, radius {result.radius:g}"
    )
    axes.set_xlabel(f"first principal component ({parts[0]:.0%} of the variance)")
    axes.set_ylabel(f"second principal component ({parts[1]:.0%} of the variance)")
    axes.grid(visible=True, color="0.92")
    axes.set_axisbelow(True)
    axes.legend(loc="best", framealpha=0.9)
