"""Reads the live generation of an index from Redis, while consumers may be changing it."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from bootstrap.live.layout import Layout
from neardup.cli.progress import Shown, not_shown
from neardup.descriptors.pca import Pca
from neardup.errors import CorruptIndex, Unavailable
from neardup.index.base import IndexMeta
from neardup.index.live import NO_EVENTS, read_live, read_splits, stored_splits
from neardup.index.stored.codec import decode_head, required_kept, split_record
from neardup.index.stored.connection import translated_errors
from neardup.index.stored.keys import IndexKeys
from neardup.search.cells import Cells
from neardup.search.sketches import Sketcher
from neardup.types import Descriptors, Kept, Member

_CELLS_A_CALL = 64
_ATTEMPTS = 20
"""A snapshot is taken again when a cell was divided between its two calls; that often in a row never happens."""
_CUT_SLACK = 1e-9
"""The sketch of an image alone and in a batch may differ in the last bit, and a median lies on a member."""


@dataclass(frozen=True)
class Block:
    """The members of one cell.

    Attributes
    ----------
    cell
        Its number.
    heads
        Records without their descriptors; see `neardup.index.stored.codec`.
    descriptors
        float16 (n, d).
    wrong
        What is no record, and why.
    kept
        uint8 (n, b), what is kept of them besides; None where nothing but descriptors is compared.
    """

    cell: int
    heads: list[bytes]
    descriptors: Descriptors
    wrong: list[tuple[bytes, str]] = field(default_factory=list)
    kept: Kept | None = None

    def at(self, rows: Sequence[int]) -> "Block":
        """Return some of the members."""
        kept = None if self.kept is None else self.kept[rows]
        return Block(self.cell, [self.heads[row] for row in rows], self.descriptors[rows], kept=kept)

    def member(self, row: int) -> Member:
        """Return one of the members."""
        key, image_id, captured_at_ms = decode_head(self.heads[row])
        kept = None if self.kept is None else self.kept[row]
        return Member(key, image_id, self.descriptors[row], captured_at_ms, kept)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Cells as they were at one moment, with the splits of that moment."""

    layout: Layout
    cells: Mapping[int, list[bytes]]


@dataclass(frozen=True, slots=True)
class LogSnapshot:
    """The latest events, how many left the log before (as stored), and the size of each leaf at that moment."""

    layout: Layout
    events: list[bytes]
    trimmed: bytes
    sizes: Mapping[int, int]


class LiveGeneration:
    """Reads the generation that is live now.

    Parameters
    ----------
    client
        From `neardup.index.stored.connection.connect`.
    name
        Of the index.
    strict
        Whether a list of splits that is corrupt is an error; else its layout tells of it.
    shown
        Shows the progress of reading all members.

    Raises
    ------
    IndexMissing, IndexMismatch, CorruptIndex, RedisUnavailable
        When it is opened.
    """

    def __init__(self, client: redis.Redis, name: str, *, strict: bool = True, shown: Shown = not_shown) -> None:
        self.client: Any = client
        self.shown = shown
        self.keys = IndexKeys(name)
        self.live = read_live(client, name)
        self.number = self.meta.generation
        if strict:
            read_splits(client, self.live)

    @property
    def meta(self) -> IndexMeta:
        """What it is made for."""
        return self.live.meta

    def pca(self) -> Pca | None:
        """Return what makes its descriptors short; None without any."""
        return self.live.pca

    @property
    def roots(self) -> Cells:
        """The k-means cells."""
        return self.live.roots

    @property
    def sketcher(self) -> Sketcher:
        """What sketches are made with."""
        return self.live.sketcher

    def require_live(self) -> None:
        """Stop if another generation has gone live.

        Raises
        ------
        Unavailable
            What was read is of two generations.
        """
        with translated_errors():
            live = self.client.get(self.keys.live)
        self._require(live)

    def _require(self, live: bytes | None) -> None:
        if live != b"%d" % self.number:
            raise Unavailable(f"generation {self.number} was replaced while it was read: run this again")

    # -- cells --------------------------------------------------------------------------------------------------------

    def layout(self) -> Layout:
        """Return the cells that there are now."""
        return Layout(len(self.roots), stored_splits(self.client, self.live))

    def read_cells(self, cells: Sequence[int], *, strict: bool = True) -> list[list[bytes]]:
        """Return the records of each cell.

        Raises
        ------
        CorruptIndex
            One is no list; without `strict` it counts as empty.
        """
        with translated_errors():
            pipeline = self.client.pipeline(transaction=False)
            for cell in cells:
                pipeline.lrange(self.keys.cell(self.number, cell), 0, -1)
            replies = pipeline.execute(raise_on_error=strict)
        return [[] if isinstance(reply, redis.ResponseError) else reply for reply in replies]

    def sizes(self, cells: Sequence[int]) -> list[int]:
        """Return the number of members of each cell, all at one moment."""
        with translated_errors():
            pipeline = self.client.pipeline(transaction=True)
            for cell in cells:
                pipeline.llen(self.keys.cell(self.number, cell))
            return list(pipeline.execute()) if cells else []

    def snapshot(self, cells: Iterable[int]) -> Snapshot:
        """Return what these cells hold, or the leaves that they have become, all of it as of one moment."""
        wanted = set(cells)
        leaves = self.layout().leaves_under(*wanted)
        for _ in range(_ATTEMPTS):
            with translated_errors():
                pipeline = self.client.pipeline(transaction=True)
                pipeline.get(self.keys.live)
                pipeline.lrange(self.keys.splits(self.number), 0, -1)
                for leaf in leaves:
                    pipeline.lrange(self.keys.cell(self.number, leaf), 0, -1)
                live, splits, *replies = pipeline.execute(raise_on_error=False)
            self._require(live)
            layout, asked = Layout(len(self.roots), splits), leaves
            leaves = layout.leaves_under(*wanted)
            if leaves == asked:
                records = [[] if isinstance(reply, redis.ResponseError) else reply for reply in replies]
                return Snapshot(layout, dict(zip(leaves, records, strict=True)))
        raise Unavailable("a cell is being divided faster than it can be read: run this again")

    def read_log(self) -> "LogSnapshot":
        """Return the log and the sizes of cells, all of it as of one moment; without those made a moment before.

        A key of another type counts as empty: which type it has is told by `bootstrap.live.stored_keys`.
        """
        leaves = self.layout().leaves
        with translated_errors():
            pipeline = self.client.pipeline(transaction=True)
            pipeline.get(self.keys.live)
            pipeline.lrange(self.keys.splits(self.number), 0, -1)
            pipeline.lrange(self.keys.log(self.number), 0, -1)
            pipeline.get(self.keys.trimmed(self.number))
            for leaf in leaves:
                pipeline.llen(self.keys.cell(self.number, leaf))
            live, splits, events, trimmed, *replies = pipeline.execute(raise_on_error=False)
        self._require(live)
        layout = Layout(len(self.roots), splits)
        events = [] if isinstance(events, redis.ResponseError) else events
        trimmed = b"" if isinstance(trimmed, redis.ResponseError) else trimmed or NO_EVENTS
        lengths = [0 if isinstance(reply, redis.ResponseError) else reply for reply in replies]
        sizes = {leaf: length for leaf, length in zip(leaves, lengths, strict=True) if layout.is_leaf(leaf)}
        return LogSnapshot(layout, events, trimmed, sizes)

    def blocks(self, *, strict: bool = True) -> Iterator[Block]:
        """Iterate over the members cell by cell; each that was one at the beginning comes once.

        With `strict` a record that cannot be read is an error, else it is noted in its block.
        """
        with self.shown("read", None, "members") as progress:
            for block in self._blocks(strict=strict):
                yield block
                progress(len(block.heads) + len(block.wrong))
        self.require_live()

    def _blocks(self, *, strict: bool) -> Iterator[Block]:
        pending = self.layout().leaves
        while pending:
            emptied = []
            for start in range(0, len(pending), _CELLS_A_CALL):
                cells = pending[start : start + _CELLS_A_CALL]
                for cell, records in zip(cells, self.read_cells(cells, strict=strict), strict=True):
                    if records:
                        yield self.block(cell, records, strict=strict)
                    else:
                        emptied.append(cell)
            # A cell that holds nothing may have been divided since the beginning.
            layout = self.layout()
            pending = layout.leaves_under(*(cell for cell in emptied if cell in layout.splits))

    def members_called(self, names: Collection[str]) -> Iterator[tuple[Member, int]]:
        """Iterate over the members whose image id or key is one of these, each with its cell."""
        for block in self.blocks():
            for row, head in enumerate(block.heads):
                key, image_id, _ = decode_head(head)
                if key in names or image_id in names:
                    yield block.member(row), block.cell

    def block(self, cell: int, records: Sequence[bytes], *, strict: bool = True) -> Block:
        """Return the members that a cell's records are."""
        heads, rows, wrong = [], [], []
        every: list[Kept] = []
        for record in records:
            try:
                head, row = split_record(record, self.meta.dimension)
                kept = required_kept(record, self.meta.relation.parts)
                if kept is not None:
                    every.append(kept)
            except CorruptIndex as exc:
                if strict:
                    raise CorruptIndex(f"cell {cell}: {exc}; neardup index verify shows more") from exc
                wrong.append((record, str(exc)))
                continue
            heads.append(head)
            rows.append(row)
        descriptors = np.stack(rows) if rows else np.empty((0, self.meta.dimension), dtype=np.float16)
        stacked = np.stack(every) if every else None
        return Block(cell, heads, descriptors, wrong, stacked)

    def at_home(self, layout: Layout, cell: int, descriptors: Descriptors) -> NDArray[np.bool_]:
        """Return bool (n,): whether each of float16 (n, d) descriptors belongs to a cell."""
        home = self.roots.assign(descriptors) == layout.root_of(cell)
        sketches = self.sketcher.sketch(descriptors)
        for split, high in layout.cuts(cell):
            if split.axis >= sketches.shape[1] - 1:
                return np.zeros(len(descriptors), dtype=np.bool_)
            beyond = sketches[:, split.axis] - split.threshold
            home &= beyond >= -_CUT_SLACK if high else beyond < _CUT_SLACK
        return np.asarray(home)
