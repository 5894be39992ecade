#!/usr/bin/env bash
# A thousand identical vectors hide others from a graph index. 10,000 different unit vectors of 64 numbers are added to
# HNSW graphs of three libraries, and each is then asked for its nearest: every one finds itself. With 1,000 identical
# vectors added first (a camera's black frame, a shop's "no photo" picture), 3 to 11 % no longer find themselves; added
# last, 1 to 2 %. The calls succeed and nothing is logged. Links of the identical ones go to one another, so that no way
# leads out of them.
# Seen with hnswlib 0.8.0, faiss-cpu 1.15.1, usearch 2.26.6 (16 links, ef 100 to build and 128 to search, one thread):
#   hnswlib: 0.0 % lost without, 8.1 % after 1000 identical, 2.0 % before
#   faiss: 0.0 % lost without, 3.1 % after 1000 identical, 1.8 % before
#   usearch: 0.0 % lost without, 11.0 % after 1000 identical, 1.3 % before
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    numpy==2.4.6 hnswlib==0.8.0 faiss-cpu==1.15.1 usearch==2.26.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import faiss
import hnswlib
import numpy as np
from usearch.index import Index

DIMENSION, LINKS, BUILD, SEARCH = 64, 16, 100, 128
rows = np.random.default_rng(1).standard_normal((10_000, DIMENSION)).astype(np.float32)
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
identical = np.repeat(rows[:1], 1000, axis=0)


def by_hnswlib(members):
    index = hnswlib.Index("l2", DIMENSION)
    index.init_index(len(members), M=LINKS, ef_construction=BUILD, random_seed=1)
    index.add_items(members, num_threads=1)
    index.set_ef(SEARCH)
    return index.knn_query(rows, 1, num_threads=1)[1][:, 0]


def by_faiss(members):
    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(DIMENSION, LINKS)
    index.hnsw.efConstruction, index.hnsw.efSearch = BUILD, SEARCH
    index.add(members)
    return index.search(rows, 1)[0][:, 0]


def by_usearch(members):
    index = Index(
        ndim=DIMENSION, metric="l2sq", dtype="f32", connectivity=LINKS, expansion_add=BUILD, expansion_search=SEARCH
    )
    index.add(np.arange(len(members)), members, threads=1)
    return index.search(rows, 1, threads=1).distances.ravel()


same = True
for name, squared_distances in (("hnswlib", by_hnswlib), ("faiss", by_faiss), ("usearch", by_usearch)):
    orders = (rows, np.concatenate([identical, rows[1:]]), np.concatenate([rows, identical]))
    without, after, before = (100 * float((squared_distances(order) > 1e-6).mean()) for order in orders)
    print(f"{name}: {without:.1f} % lost without, {after:.1f} % after 1000 identical, {before:.1f} % before")
    same &= without < 0.1 and after > 2.0 and before > 0.5
sys.exit(not same)
PYTHON
