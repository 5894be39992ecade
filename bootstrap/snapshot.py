"""An index outside Redis: centroids and members, stored in Redis or written to and read from a JSON file.

The file, in UTF-8, one centroid and one member a line:

    {"format": "neardup-index", "format_version": 1,
     "meta": {"descriptor", "fingerprint", "dimension", "radius", "seed", "created_at"},
     "centroids": [[number, ...], ...],
     "members": [{"key", "image_id", "captured_at_ms", "cluster", "descriptor": [number, ...]}, ...]}

Numbers are the shortest decimals that give the same float16 (descriptors) or float32 (centroids) back. It is written
and read as a stream: 100,000 members are 200 MB of text.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import redis

from bootstrap.duplicates import rows_by_cell
from neardup.cells import Cells
from neardup.errors import Misconfigured, NeardupError
from neardup.index.base import IndexMeta
from neardup.index.build import GenerationBuild
from neardup.types import Descriptors, Member

FORMAT = "neardup-index"
FORMAT_VERSION = 1
META_FIELDS = ("descriptor", "fingerprint", "dimension", "radius", "seed", "created_at")
_REDIS_STRING_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The content of an index.

    Attributes
    ----------
    meta
        What it is made for; name and generation are given when it is stored.
    cells
        The centroids.
    members
        Unique images only, in the order of the seeds.
    clusters
        intp (n,): the cell of each member.
    """

    meta: IndexMeta
    cells: Cells
    members: list[Member]
    clusters: np.ndarray[Any, np.dtype[np.intp]]


def store(snapshot: Snapshot, client: redis.Redis, name: str) -> IndexMeta:
    """Store a snapshot as a new generation of the index `name`, and make it the live one at the very end.

    Whatever happens before that, an interrupt included, leaves the old generation live and removes what was
    written; what a killed process leaves behind is removed by the next build.

    Raises
    ------
    RedisUnavailable, Misconfigured
        See `neardup.index.build.GenerationBuild`.
    """
    centroids = snapshot.cells.centroids
    if centroids.nbytes > _REDIS_STRING_BYTES:
        raise Misconfigured(
            f"{len(centroids)} centroids of {snapshot.meta.dimension} numbers are more than the 512 MB that Redis "
            "stores as one value: use fewer --clusters or a smaller --descriptor"
        )
    meta = IndexMeta(**{**_meta_fields(snapshot.meta), "name": name, "generation": 0})
    build = GenerationBuild(client, meta, centroids)
    try:
        for rows in rows_by_cell(snapshot.clusters):
            build.append(int(snapshot.clusters[rows[0]]), (snapshot.members[row] for row in rows))
        return build.publish()
    except BaseException:  # an interrupt, too, must not leave a half-built generation behind
        with suppress(NeardupError):  # Redis may be what failed
            build.abandon()
        raise


def _meta_fields(meta: IndexMeta) -> dict[str, Any]:
    return {name: getattr(meta, name) for name in META_FIELDS}


def export_snapshot(snapshot: Snapshot, path: Path) -> None:
    """Write a snapshot as JSON; a file of that name is replaced when, and only when, all is written.

    Raises
    ------
    Misconfigured
        The file cannot be written.
    """
    with _replaced(path) as file:
        head = {"format": FORMAT, "format_version": FORMAT_VERSION, "meta": _meta_fields(snapshot.meta)}
        file.write(json.dumps(head)[:-1])
        _write_array(file, "centroids", (json.dumps(row.tolist()) for row in snapshot.cells.centroids))
        _write_array(file, "members", _member_texts(snapshot))
        file.write("}\n")


def require_writable(path: Path) -> None:
    """Refuse a file that could not be written later.

    Raises
    ------
    Misconfigured
        It is a folder, or its folder is missing or closed to us.
    """
    if path.is_dir():
        raise Misconfigured(f"--export: {path} is a folder, name a file")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise Misconfigured(f"--export: cannot write into the folder {path.parent}")


@contextmanager
def _replaced(path: Path) -> Iterator[IO[str]]:
    """Open a file beside `path` for writing, and let it take its place at the end."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as exc:
        raise Misconfigured(f"--export: cannot write {path}: {exc.strerror or exc}") from exc
    finally:
        part.unlink(missing_ok=True)


def _write_array(file: IO[str], name: str, texts: Iterable[str]) -> None:
    file.write(f',\n"{name}": [')
    for number, text in enumerate(texts):
        file.write(",\n" if number else "\n")
        file.write(text)
    file.write("]")


def _member_texts(snapshot: Snapshot) -> Iterator[str]:
    texts = _float16_texts()
    for member, cluster in zip(snapshot.members, snapshot.clusters.tolist(), strict=True):
        head = {"key": member.key, "image_id": member.image_id, "captured_at_ms": member.captured_at_ms}
        numbers = ",".join([texts[bits] for bits in member.descriptor.view(np.uint16).tolist()])
        yield f'{json.dumps(head)[:-1]}, "cluster": {cluster}, "descriptor": [{numbers}]}}'


def _float16_texts() -> list[str]:
    """Return the shortest decimal of each of the 65,536 float16 bit patterns: looking up is faster than formatting."""
    values: Descriptors = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    return [str(value) for value in values]
