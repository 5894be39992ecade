"""The same question to other libraries: is there a member within the radius? Each answers by its nearest member."""

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Search = Callable[[Rows], NDArray[np.float64]]
_LIST_ROWS = 64
_GRAPH_LINKS = 16
_GRAPH_BUILD_EF = 100
_GRAPH_SEARCH_EF = 128


@dataclass(frozen=True)
class Rival:
    """Another library's index; `search` returns each query's squared distance to the member that it found."""

    name: str
    search: Search


def rivals(members: Rows, *, graphs: bool) -> list[Callable[[], Rival]]:
    """Return what builds each index that is installed here."""
    made: list[Callable[[], Rival]] = []
    if importlib.util.find_spec("faiss"):
        made.append(lambda: _faiss_flat(members))
        made += [partial(_faiss_ivf, members, nprobe) for nprobe in (1, 16)]
    if graphs and importlib.util.find_spec("hnswlib"):
        made.append(lambda: _hnswlib(members))
    if graphs and importlib.util.find_spec("usearch"):
        made.append(lambda: _usearch(members))
    return made


def _faiss_flat(members: Rows) -> Rival:
    import faiss  # noqa: PLC0415 - need not be installed

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatL2(members.shape[1])
    index.add(members)
    return Rival("faiss Flat", lambda queries: _first(index.search(queries, 1)[0]))


_trained: dict[int, Any] = {}


def _faiss_ivf(members: Rows, nprobe: int) -> Rival:
    import faiss  # noqa: PLC0415

    faiss.omp_set_num_threads(1)
    index = _trained.get(len(members))
    if index is None:
        lists = round(math.sqrt(len(members)))
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(members.shape[1]), members.shape[1], lists)
        index.train(members[:: max(1, len(members) // (_LIST_ROWS * lists))])
        index.add(members)
        _trained.clear()
        _trained[len(members)] = index
    wanted = faiss.SearchParametersIVF(nprobe=nprobe)
    return Rival(f"faiss IVF, nprobe {nprobe}", lambda queries: _first(index.search(queries, 1, params=wanted)[0]))


def _hnswlib(members: Rows) -> Rival:
    import hnswlib  # noqa: PLC0415

    index = hnswlib.Index(space="l2", dim=members.shape[1])
    index.init_index(len(members), M=_GRAPH_LINKS, ef_construction=_GRAPH_BUILD_EF, random_seed=1)
    index.add_items(members)
    index.set_ef(_GRAPH_SEARCH_EF)
    index.set_num_threads(1)
    return Rival(f"hnswlib, ef {_GRAPH_SEARCH_EF}", lambda queries: _first(index.knn_query(queries, 1)[1]))


def _usearch(members: Rows) -> Rival:
    from usearch.index import Index  # noqa: PLC0415

    index = Index(
        ndim=members.shape[1],
        metric="l2sq",
        dtype="f32",
        connectivity=_GRAPH_LINKS,
        expansion_add=_GRAPH_BUILD_EF,
        expansion_search=_GRAPH_SEARCH_EF,
    )
    index.add(np.arange(len(members)), members)

    def search(queries: Rows) -> NDArray[np.float64]:
        return _first(np.reshape(index.search(queries, 1, threads=1).distances, (len(queries), 1)))

    return Rival(f"usearch, ef {_GRAPH_SEARCH_EF}", search)


def _first(distances: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(distances[:, 0], dtype=np.float64)
