"""One tool on a list of files, as a program of its own, so that the kernel counts its CPU time.

    python -m benchmarks.throughput.peer TOOL FILES GROUPS

FILES has a path in each line; to GROUPS goes a number for each: files with the same number are duplicates of one
another, near ones through others.
"""

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

PHASH_BITS = 10
"""Of 64. imagehash leaves it to its user; imagededup ships with this."""
PDQ_BITS = 31
"""Of 256: the PDQ paper and ThreatExchange."""
IMAGEDEDUP_NETWORKS = (
    ("imagededup.utils.models", "CustomModel"),
    ("imagededup.utils.data_generator", "ImgDataset"),
    ("imagededup.methods.cnn", "CNN"),
)
"""Of imagededup, by module and what others import of it: what its networks need."""
_FEW = 256
"""Queries of faiss at a time, so that what it finds stays small."""


def main() -> None:
    """Write the groups."""
    tool, listed, into = sys.argv[1:]
    files = Path(listed).read_text("utf-8").splitlines()
    pairs = list(PAIRS[tool](files))
    first, second = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(files), len(files)))
    np.save(into, connected_components(graph, directed=False)[1])


def equal_phash(files: list[str]) -> Iterator[tuple[int, int]]:
    """Yield each file with the first one that has the same hash."""
    first: dict[int, int] = {}
    for number, bits in enumerate(_phashes(files)):
        yield number, first.setdefault(bits, number)


def near_phash(files: list[str]) -> Iterator[tuple[int, int]]:
    """Yield pairs whose hashes are near, found by a BK-tree."""
    import pybktree  # noqa: PLC0415 - installed for benchmarks only

    def distance(one: tuple[int, int], other: tuple[int, int]) -> int:
        return (one[0] ^ other[0]).bit_count()

    tree = pybktree.BKTree(distance)
    for number, bits in enumerate(_phashes(files)):
        yield from ((number, earlier) for _, (_, earlier) in tree.find((bits, number), PHASH_BITS))
        tree.add((bits, number))


def near_pdq(files: list[str]) -> Iterator[tuple[int, int]]:
    """Yield pairs whose PDQ hashes are near, found by faiss, which compares all."""
    import faiss  # noqa: PLC0415 - installed for benchmarks only
    import pdqhash  # noqa: PLC0415 - as above

    faiss.omp_set_num_threads(1)
    bits = [pdqhash.compute(np.ascontiguousarray(Image.open(file).convert("RGB")))[0] for file in files]
    rows = np.packbits(np.array(bits, dtype=np.uint8), axis=1)
    index = faiss.IndexBinaryFlat(256)
    index.add(rows)
    for start in range(0, len(rows), _FEW):
        limits, _, found = index.range_search(rows[start : start + _FEW], PDQ_BITS + 1)  # what is below counts
        for place, (begin, end) in enumerate(pairwise(limits)):
            yield from ((start + place, int(other)) for other in found[begin:end])


def near_fastdup(files: list[str]) -> Iterator[tuple[int, int]]:
    """Yield each file with the first one of its connected component, by fastdup's own thresholds."""
    import fastdup  # noqa: PLC0415 - as above

    number_of = {file: number for number, file in enumerate(files)}
    with TemporaryDirectory() as folder:
        found = fastdup.create(work_dir=folder, input_dir=str(Path(files[0]).parent))
        found.run(num_threads=1)
        components, _ = found.connected_components()
    first: dict[int, int] = {}
    for file, component in zip(components["filename"], components["component_id"], strict=True):
        yield number_of[file], first.setdefault(component, number_of[file])


def near_imagededup(files: list[str]) -> Iterator[tuple[int, int]]:
    """Yield pairs whose hashes are near, all of it done by imagededup, at the number of bits that it ships with."""
    for module, name in IMAGEDEDUP_NETWORKS:
        # They import PyTorch, and its hashes import them; nothing of them is used.
        absent = ModuleType(module)
        setattr(absent, name, object)
        sys.modules[module] = absent
    from imagededup.methods import PHash  # noqa: PLC0415 - as above

    number_of = {Path(file).name: number for number, file in enumerate(files)}
    found = PHash(verbose=False).find_duplicates(image_dir=Path(files[0]).parent, num_enc_workers=0, num_dist_workers=0)
    for name, others in found.items():
        yield from ((number_of[name], number_of[other]) for other in others)


def _phashes(files: list[str]) -> Iterator[int]:
    import imagehash  # noqa: PLC0415 - installed for benchmarks only

    for file in files:
        yield int(str(imagehash.phash(Image.open(file))), 16)


PAIRS = {
    "imagehash-set": equal_phash,
    "imagehash-bktree": near_phash,
    "pdqhash-faiss": near_pdq,
    "fastdup": near_fastdup,
    "imagededup": near_imagededup,
}


if __name__ == "__main__":
    main()
