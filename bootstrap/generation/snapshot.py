"""An index outside Redis: centroids and members, stored in Redis or written to and read from a JSON file.

The file, in UTF-8, one centroid and one member a line:

    {"format": "neardup-index", "format_version": 1,
     "meta": {"descriptor", "fingerprint", "dimension", "radius", "seed", "created_at",
              "local_change", "match_flips", "match_rotations", "agreement", "look_version", "match_parts"},
     "pca": ["base64", ...],
     "centroids": [[number, ...], ...],
     "members": [{"key", "image_id", "captured_at_ms", "thumbnail", "look", "cluster",
                  "descriptor": [number, ...]}, ...]}

Numbers are the shortest decimals that give the same float16 (descriptors) or float32 (centroids) back. It is written
and read as a stream: 100,000 members are 200 MB of text. "pca" is there when descriptors are projected; its pieces
together are the bytes of `neardup.descriptors.pca.Pca`. "thumbnail", in base64, is there when "local_change" is a
number; "look", likewise, with "agreement", "look_version" and "match_parts", where a second look is taken.
"""

import base64
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import redis
from numpy.typing import NDArray

from bootstrap.generation.assembly import Assembly
from bootstrap.generation.placement import Placement
from neardup.cli.progress import Advance
from neardup.descriptors.pca import Pca
from neardup.engine import Engine
from neardup.errors import Misconfigured, NeardupError
from neardup.index.base import IndexMeta, look_fields
from neardup.index.build import Connected, GenerationBuild, MoreToCarry
from neardup.index.carry import Predecessor
from neardup.relation.kept import Parts, divided, stored_kept
from neardup.relation.symmetry import SWITCHES
from neardup.search.cells import Cells
from neardup.search.sketches import fit_sketcher
from neardup.types import Descriptors, Member

FORMAT = "neardup-index"
FORMAT_VERSION = 1
META_FIELDS = ("descriptor", "fingerprint", "dimension", "radius", "seed", "created_at")
RELATION_FIELDS = ("local_change", "agreement", *SWITCHES)
PART_FIELDS = {Parts.THUMBNAIL: "thumbnail", Parts.LOOK: "look"}
_REDIS_STRING_BYTES = 512 * 1024 * 1024
_PIECE_BYTES = 48 * 1024


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
        Unique images only: those carried over, then those of the seeds in their order.
    clusters
        intp (n,): the cell of each member.
    pca
        The principal components that shorten descriptors, if any.
    """

    meta: IndexMeta
    cells: Cells
    members: list[Member]
    clusters: np.ndarray[Any, np.dtype[np.intp]]
    pca: Pca | None = None


@dataclass(frozen=True, slots=True)
class CarryOver:
    """Keeps a new generation complete while consumers add to the one before.

    Attributes
    ----------
    predecessor
        The generation before.
    assembly
        Who is a member of the next one.
    counts
        Returns what the metadata say of the seeds, as of now.
    check
        Refuses an assembly that leaves out what it should not.
    """

    predecessor: Predecessor
    assembly: Assembly
    counts: Callable[[], dict[str, int]]
    check: Callable[[Assembly], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Stored:
    """A generation that is live, with the number of members of each of its cells when it was written."""

    meta: IndexMeta
    cluster_sizes: NDArray[np.intp]


def snapshot_of(assembly: Assembly, meta: IndexMeta, cells: Cells, pca: Pca | None) -> Snapshot:
    """Return the members that were assembled, each in its cell."""
    rows = assembly.members
    members = [assembly.rows[row] for row in rows]
    return Snapshot(meta, cells, members, cells.assign(assembly.finder.descriptors[rows]), pca)


def store(
    snapshot: Snapshot,
    client: redis.Redis,
    name: str,
    carry_over: CarryOver | None = None,
    *,
    instead_of: Predecessor | None = None,
    keep_ms: int = 0,
    progress: Advance = lambda _: None,
    by: tuple[Engine, Connected] | None = None,
) -> Stored:
    """Store a snapshot as a new generation of the index `name`, and make it the live one at the very end.

    Whatever happens before that, an interrupt included, leaves the old generation live and removes what was
    written; what a killed process leaves behind is removed by the next build.

    Parameters
    ----------
    snapshot
        What is known by now.
    client
        From `neardup.index.stored.connection.connect`.
    name
        Of the index.
    carry_over
        Carries over what consumers have committed since; None takes the place of whatever is live.
    instead_of
        Without `carry_over`: takes the place of this alone, and only if nothing has happened in it since it was read
        or skipped.
    keep_ms
        How long the generation that was live is kept, in milliseconds; 0 removes it at once.
    progress
        Told how many members were written since the last call.
    by
        Writes the members, with clients of its own; None does it here.

    Raises
    ------
    RedisUnavailable, Misconfigured
        See `neardup.index.build.GenerationBuild`.
    MoreToCarry
        Something has.
    """
    centroids = snapshot.cells.centroids
    if centroids.nbytes > _REDIS_STRING_BYTES:
        raise Misconfigured(
            f"{len(centroids)} centroids of {snapshot.meta.dimension} numbers are more than the 512 MB that Redis "
            "stores as one value: use fewer --clusters or a smaller --descriptor"
        )
    if snapshot.pca is not None and snapshot.pca.nbytes > _REDIS_STRING_BYTES:
        raise Misconfigured(
            f"{snapshot.pca.components} components of {snapshot.pca.raw_dimension} numbers are more than the 512 MB "
            "that Redis stores as one value: use a smaller --project"
        )
    meta = IndexMeta(**{**_meta_fields(snapshot.meta), "name": name, "generation": 0})
    descriptors = np.stack([member.descriptor for member in snapshot.members])
    sketcher = fit_sketcher(descriptors)
    placement = Placement(snapshot.cells, sketcher, descriptors, snapshot.clusters)
    build = GenerationBuild(client, meta, centroids, sketcher, placement.splits, pca=snapshot.pca, keep_ms=keep_ms)
    try:
        writer = _Writer(build, placement, snapshot.members, progress, by)
        live = _publish_carrying(build, writer, carry_over) if carry_over else build.publish(instead_of)
    except BaseException:  # an interrupt, too, must not leave a half-built generation behind
        with suppress(NeardupError):  # Redis may be what failed
            build.abandon()
        raise
    return Stored(live, writer.sizes)


def _publish_carrying(build: GenerationBuild, writer: "_Writer", carry_over: CarryOver) -> IndexMeta:
    """Follow the previous generation until there is nothing new, and replace it at that moment."""
    build.meta = replace(build.meta, carried_from=carry_over.predecessor.generation)
    while True:
        news = carry_over.predecessor.news()
        writer.change(*carry_over.assembly.withdraw(news.removed))
        writer.change(*carry_over.assembly.add_late(news.added))
        carry_over.check(carry_over.assembly)
        build.meta = replace(build.meta, seed=carry_over.counts())
        with suppress(MoreToCarry):
            return build.publish(carry_over.predecessor)


class _Writer:
    """Writes members, and remembers in which cell each stands."""

    def __init__(
        self,
        build: GenerationBuild,
        placement: Placement,
        members: Sequence[Member],
        progress: Advance,
        by: tuple[Engine, Connected] | None,
    ) -> None:
        self._build = build
        self._placement = placement
        self._cells = {members[row].key: cell for cell, rows in placement.rows.items() for row in rows}
        cells = ((cell, [members[row] for row in rows]) for cell, rows in placement.rows.items())
        for written in build.fill(cells, *by) if by else build.append_each(cells):
            progress(written)

    def change(self, added: Iterable[Member], removed: Iterable[Member]) -> None:
        """Write new members, and remove those that no longer are."""
        for member in removed:
            self._build.remove(self._cells.pop(member.key), member)
        for member in added:
            cell = self._placement.home(member.descriptor)
            self._build.append(cell, [member])
            self._cells[member.key] = cell

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Members of each cell that has any, intp (c,)."""
        return np.array(list(Counter(self._cells.values()).values()), dtype=np.intp)


def _meta_fields(meta: IndexMeta) -> dict[str, Any]:
    return {name: getattr(meta, name) for name in (*META_FIELDS, *RELATION_FIELDS, "calibration")}


def export_snapshot(
    snapshot: Snapshot, path: Path, asked_by: str = "--export", progress: Advance = lambda _: None
) -> None:
    """Write a snapshot as JSON; a file of that name is replaced when, and only when, all is written.

    Parameters
    ----------
    snapshot
        What to write.
    path
        Where to.
    asked_by
        The setting that names the file, for messages.
    progress
        As in `store`.

    Raises
    ------
    Misconfigured
        The file cannot be written.
    """
    with _replaced(path, asked_by) as file:
        meta = _meta_fields(snapshot.meta)
        meta |= look_fields(meta.pop("agreement"), match_parts=meta.pop("match_parts"))
        head = {"format": FORMAT, "format_version": FORMAT_VERSION, "meta": meta}
        file.write(json.dumps(head)[:-1])
        if snapshot.pca is not None:
            _write_array(file, "pca", _pca_texts(snapshot.pca))
        _write_array(file, "centroids", (json.dumps(row.tolist()) for row in snapshot.cells.centroids))
        _write_array(file, "members", _member_texts(snapshot, progress))
        file.write("}\n")


def _pca_texts(pca: Pca) -> Iterator[str]:
    """Iterate over pieces of its bytes in base64: 256 components of 25,088 numbers are 26 MB."""
    stored = pca.to_bytes()
    for start in range(0, len(stored), _PIECE_BYTES):
        yield json.dumps(base64.b64encode(stored[start : start + _PIECE_BYTES]).decode())


def require_writable(path: Path, asked_by: str = "--export") -> None:
    """Refuse a file that could not be written later; `asked_by` as in `export_snapshot`.

    Raises
    ------
    Misconfigured
        It is a folder, or its folder is missing or closed to us.
    """
    if path.is_dir():
        raise Misconfigured(f"{asked_by}: {path} is a folder, name a file")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise Misconfigured(f"{asked_by}: cannot write into the folder {path.parent}")


@contextmanager
def _replaced(path: Path, asked_by: str) -> Iterator[IO[str]]:
    """Open a file beside `path` for writing, and rename it to `path` at the end."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as exc:
        raise Misconfigured(f"{asked_by}: cannot write {path}: {exc.strerror or exc}") from exc
    finally:
        part.unlink(missing_ok=True)


def _write_array(file: IO[str], name: str, texts: Iterable[str]) -> None:
    file.write(f',\n"{name}": [')
    for number, text in enumerate(texts):
        file.write(",\n" if number else "\n")
        file.write(text)
    file.write("]")


def _member_texts(snapshot: Snapshot, progress: Advance) -> Iterator[str]:
    texts = _float16_texts()
    for member, cluster in zip(snapshot.members, snapshot.clusters.tolist(), strict=True):
        head = {"key": member.key, "image_id": member.image_id, "captured_at_ms": member.captured_at_ms}
        for part, kept in divided(stored_kept(member.kept)).items():
            head[PART_FIELDS[part]] = base64.b64encode(kept.tobytes()).decode()
        numbers = ",".join([texts[bits] for bits in member.descriptor.view(np.uint16).tolist()])
        yield f'{json.dumps(head)[:-1]}, "cluster": {cluster}, "descriptor": [{numbers}]}}'
        progress(1)


def _float16_texts() -> list[str]:
    """Return the shortest decimal of each of the 65,536 float16 bit patterns: looking up is faster than formatting."""
    values: Descriptors = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    return [str(value) for value in values]
