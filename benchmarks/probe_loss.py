"""What looking in the nearest cluster alone loses: ``python -m benchmarks.probe_loss [--members N]``.

Members are clustered as the bootstrap does it. Each query is a copy of a member, moved by a random part of the radius
in a random direction; it is lost when its nearest cluster is another one than the member's. With NEARDUP_DATA the
descriptors are of real photos, else generated.
"""

import argparse

import numpy as np

from benchmarks.real_descriptors import descriptors_of_images
from neardup.descriptors import load_descriptor
from neardup.search.cells import Cells
from neardup.search.distance import paired_l2_distances
from neardup.search.kmeans import fit_bounded_centroids
from neardup.types import Descriptors

QUERIES = 20_000


def main() -> None:
    """Print the share of pairs lost for each radius, in all and in the outer half of the radius."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=50_000)
    members, source = descriptors_of_images(parser.parse_args().members)
    members = np.asarray(members)
    cells = Cells(fit_bounded_centroids(members))
    homes = cells.assign(members)
    print(f"{len(members)} members of {members.shape[1]} numbers in {len(cells)} clusters: {source}")
    rng = np.random.default_rng(0)
    for radius in (0.1, 0.2, load_descriptor("dct").default_radius):
        rows = rng.integers(0, len(members), QUERIES)
        queries = moved(members[rows], radius, rng)
        distances = paired_l2_distances(queries, members[rows])
        within = distances <= radius
        lost = cells.assign(queries) != homes[rows]
        outer = within & (distances > radius / 2)
        print(f"radius {radius}: {lost[within].mean():.1%} of pairs lost, {lost[outer].mean():.1%} in the outer half")


def moved(rows: Descriptors, radius: float, rng: np.random.Generator) -> Descriptors:
    """Return unit float16 copies, each moved by a uniform part of the radius."""
    directions = rng.standard_normal(rows.shape)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    copies = rows.astype(np.float64) + directions * rng.uniform(0, radius, (len(rows), 1))
    unit: Descriptors = (copies / np.linalg.norm(copies, axis=1, keepdims=True)).astype(np.float16)
    return unit


if __name__ == "__main__":
    main()
