"""The index in Redis, shared by any number of consumers."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import redis

from neardup.capture_time import UNKNOWN_MS, newest_ms, now_ms
from neardup.descriptors.pca import Pca
from neardup.errors import CorruptIndex
from neardup.index.base import IndexMeta, IndexStats, require_fit
from neardup.index.batch import Batch
from neardup.index.live import read_live, read_splits
from neardup.index.retention import FOR_EVER, Retention
from neardup.index.shared.views import SharedView, SharedViews
from neardup.index.stored.codec import decode_decision, decode_head, decode_member
from neardup.index.stored.connection import require_no_eviction, require_replicas, run_of, translated_errors
from neardup.index.stored.events import Rewritten
from neardup.index.stored.keys import IndexKeys
from neardup.index.stored.log import LogEvents
from neardup.index.stored.scripts import CommitReply, FellBehind, GenerationChanged, GenerationScripts
from neardup.index.tree import CellTree, choose_split
from neardup.index.view import GenerationView, OutdatedView
from neardup.types import Decision, Member, Query

DECISION_TTL_S = 2 * 60 * 60
"""How long a decision is remembered by its key, 200 bytes each: longer than redelivery usually takes. After that a
member is recognised by its key, and a duplicate is found again, perhaps of a nearer member."""
CACHE_BYTES = 1 << 30
MAX_CLUSTER = 300
_SPLITS_A_BATCH = 8
"""A cell far above the limit is split over several batches, so that none waits long."""
_WARY_BATCHES = 32
"""So many batches tell which cells matter to them after another process came in between: it may do so again."""
_PAGE = 1000
Result = TypeVar("Result")
_log = logging.getLogger(__name__)


class Probe(StrEnum):
    """Which members an image is compared with: all that could matter, or those of its own cluster."""

    EXACT = "exact"
    NEAREST = "nearest"


@dataclass(frozen=True, slots=True)
class RedisIndexOptions:
    """How this process uses an index.

    Attributes
    ----------
    decision_ttl_s
        How long a decision is remembered by its key.
    replicas
        How many of Redis' replicas have to have a commit before it counts.
    cache_bytes
        What members' records may take in this process; the rest is read again when it is needed.
    max_cluster
        Members above which a cluster is divided.
    retention
        How long a member counts; all consumers of an index should agree.
    probe
        `Probe.EXACT`, or the article's `Probe.NEAREST`, which misses duplicates across borders.
    as_stored
        Whether queries are members that were lost, which come without variants.
    now_ms
        This machine's clock: no image of a later time makes members go.
    shared
        Where processes of this machine leave what they know of the index, for one another or for later.
    busy
        Entered while much of the index is read, or left for others: for minutes, where it is large.
    """

    decision_ttl_s: int = DECISION_TTL_S
    replicas: int = 0
    cache_bytes: int = CACHE_BYTES
    max_cluster: int = MAX_CLUSTER
    retention: Retention = FOR_EVER
    probe: Probe = Probe.EXACT
    as_stored: bool = False
    now_ms: Callable[[], int] = now_ms
    shared: SharedViews | None = None
    busy: Callable[[], AbstractContextManager[None]] = nullcontext


class RedisIndex:
    """Compares an image with every member that could be within the radius, and commits with one script.

    The process keeps a sketch of every member, and as many records as there is room for.

    Parameters
    ----------
    client
        From `neardup.index.stored.connection.connect`.
    name
        Which index.
    fingerprint
        Of the descriptor at hand; None takes the index's. Later generations must have the same.
    options
        How it is used.

    Raises
    ------
    IndexMissing, IndexMismatch, CorruptIndex, Misconfigured, RedisUnavailable
        When it is opened.
    """

    def __init__(
        self,
        client: redis.Redis,
        name: str,
        fingerprint: str | None = None,
        options: RedisIndexOptions | None = None,
    ) -> None:
        self._client: Any = client
        self._keys = IndexKeys(name)
        self._fingerprint = fingerprint
        self._options = options or RedisIndexOptions()
        self._retries = 0
        self._contended = 0
        self._newest_ms = UNKNOWN_MS
        self._swept = 0
        self._shared = self._options.shared
        self._taken_at = -1
        self._server = ""
        require_no_eviction(client)
        require_replicas(client, self._options.replicas)
        self._load()

    @property
    def meta(self) -> IndexMeta:
        """What the live generation is made for."""
        return self._live.meta

    # -- following the index ------------------------------------------------------------------------------------------

    def _load(self) -> None:
        """Read the live generation; start over if another one goes live meanwhile."""
        self._in_step = False
        while True:
            live = read_live(self._client, self._keys.name)
            if self._fingerprint is not None:
                live.meta.check_descriptor(self._fingerprint)
            # Another generation may come while this process runs, another descriptor may not.
            self._live, self._fingerprint = live, live.meta.fingerprint
            self._scripts = GenerationScripts(self._client, self._keys, self.meta.generation, self._options.replicas)
            try:
                with self._options.busy():
                    self._read_members()
            except GenerationChanged:
                continue
            return

    def _read_members(self) -> None:
        self._in_step = False
        self._read = self._read_cells  # one object: a view that is shared leaves out what it is
        if self._shared is not None and self._shared.lasting:
            self._server = run_of(self._client)
        if self._shared is None:
            self._read_view()
        else:
            with self._shared.alone():
                if self._take(self._shared):
                    later = self._position.seen - self._taken_at
                    _log.info("the index is as another process left it on this machine, and %d events later", later)
                else:
                    self._read_view()
                    self._share(self._shared)
        self._in_step = True

    def _read_view(self) -> None:
        # The position comes first: what happens while the members are read is followed afterwards, and what was read
        # already is recognised by its place.
        self._position = self._scripts.latest()
        tree = CellTree(self._live.roots)
        for split in read_splits(self._client, self._live):
            tree.apply(split)
        self._view = GenerationView(
            tree, self._live.sketcher, self.meta.relation, self._read, self._options.cache_bytes
        )
        self._view.load(tree.leaves)

    def _take(self, shared: SharedViews, after: int = -1) -> bool:
        """Take over what another process knows, and follow it from there; return False where that cannot be."""
        found = shared.newest(self.meta, self._read, after, self._server)
        if found is None:
            return False
        self._taken_at = found.position.seen
        try:
            events = self._scripts.new_events(found.position)
        except FellBehind:
            return False
        self._in_step = False
        self._position, self._view = found.position, found.view
        self._apply(events)
        return True

    def _share(self, shared: SharedViews) -> None:
        """Leave what this process knows for the others, and use it as they do, in place of its own copy."""
        if shared.take_in(SharedView(self.meta, self._position, self._view, self._server), self._read):
            self._take(shared)
        else:
            self._shared = None

    def _share_again(self) -> None:
        """Share what was added since, if it is much: it is in the memory of each process."""
        if self._shared is not None and self._shared.is_outgrown(self._view, self._position.seen - self._taken_at):
            with self._options.busy(), self._shared.alone(), suppress(GenerationChanged):  # a commit is told, too
                if not self._take(self._shared, self._taken_at):
                    self._share(self._shared)

    def leave(self) -> None:
        """Leave what this process knows, where that is to last, for the one that comes after it; then end."""
        if self._shared is not None and self._shared.lasting and self._in_step:
            with self._shared.alone():
                if self._shared.newest(self.meta, self._read, self._position.seen - 1, self._server) is None:
                    self._shared.take_in(SharedView(self.meta, self._position, self._view, self._server), self._read)

    def _read_cells(self, cells: Sequence[int]) -> list[list[bytes]]:
        return self._scripts.cells(cells)

    def _catch_up(self) -> bool:
        """Follow the log; return whether it only grew, so that no cell was read at other places than we know."""
        if not self._in_step:  # Redis failed during an update: the view is neither old nor new
            self._load()
        try:
            events = self._scripts.new_events(self._position)
        except (GenerationChanged, FellBehind):
            self._load()
            return False
        self._apply(events)
        return events.only_append

    def _apply(self, events: LogEvents) -> None:
        self._in_step = False
        self._view.apply(events)
        self._in_step = True

    def _look_again(self, outdated: OutdatedView) -> None:
        """Find out why a cell holds too little: it was split or is of an earlier generation, or it is corrupt.

        Raises
        ------
        CorruptIndex
            Nothing has happened that would explain it.
        """
        position, seen = self._position, self._position.seen
        self._catch_up()
        if self._position is position and self._position.seen == seen:
            raise CorruptIndex(str(outdated)) from outdated

    def _remove_expired(self, times_ms: Iterable[int]) -> None:
        """Take out what is too old for any image to come, of the cells that grew and of one more, in turn."""
        if self._options.retention.window_ms is None:
            return
        self._newest_ms = newest_ms([self._newest_ms, *times_ms], self._options.now_ms())
        leaves = self._view.tree.leaves
        self._swept += 1
        for cell in sorted({*self._view.grown, leaves[self._swept % len(leaves)]})[: _SPLITS_A_BATCH + 1]:
            if self._view.tree.is_leaf(cell):
                try:
                    self._remove_expired_of(cell)
                except OutdatedView as outdated:
                    self._look_again(outdated)

    def _remove_expired_of(self, cell: int) -> None:
        times = [decode_head(head)[2] for head in self._view.block(cell).heads]
        expired = [self._options.retention.removable(captured_at_ms, self._newest_ms) for captured_at_ms in times]
        if any(expired):
            marks = bytes(ord("X") if gone else ord("K") for gone in expired)
            self._scripts.rewrite(Rewritten(cell, self._view.tree.root_of(cell)), marks, self._position)
            self._catch_up()

    def _divide_large_cells(self) -> None:
        for cell in self._view.grown_above(self._options.max_cluster)[:_SPLITS_A_BATCH]:
            try:
                divisible = self._view.size_of(cell) > self._options.max_cluster and self._divide(cell)
            except OutdatedView as outdated:
                self._look_again(outdated)
                continue
            if not divisible:
                self._view.grown.discard(cell)

    def _divide(self, cell: int) -> bool:
        """Split a cell, unless another process has; return whether it was possible."""
        tree = self._view.tree
        split = choose_split(cell, tree, self._view.sketch(self._view.block(cell).descriptors()))
        if split is not None:
            self._scripts.split(split, tree.split_count, self._position)
            self._catch_up()
        return split is not None

    # -- deciding -----------------------------------------------------------------------------------------------------

    def decide(self, queries: Sequence[Query]) -> list[Decision]:
        """Decide a batch; see `Index.decide`."""
        if not queries:
            return []
        self._catch_up()
        self._remove_expired(query.captured_at_ms for query in queries)
        self._divide_large_cells()
        self._view.tidy()
        self._share_again()
        batch: Batch | None = None
        decided: list[Decision] = []
        while len(decided) < len(queries):
            try:
                batch = batch or self._new_batch(queries)
                decided += self._commit(batch, len(decided))
            except (GenerationChanged, FellBehind):
                self._load()
                batch = None
            except OutdatedView as outdated:
                self._look_again(outdated)
                batch = None
        return decided

    def _commit(self, batch: Batch, first: int) -> list[Decision]:
        """Commit the queries from `first` on, and return the decisions on those that could be, in order."""
        drafts = batch.draft(first)
        roots = batch.roots[first:] if self._contended else [b""] * len(drafts)
        items = [draft.item(matters) for draft, matters in zip(drafts, roots, strict=True)]
        reply = self._scripts.commit(items, self._position, self._options.decision_ttl_s)
        decided = [
            decode_decision(earlier) if earlier else draft.decision
            for draft, earlier in zip(drafts, reply.replies, strict=False)
        ]
        self._follow(batch, reply, first + len(decided))
        return decided

    def _new_batch(self, queries: Sequence[Query]) -> Batch:
        require_fit(queries, self.meta.relation, as_stored=self._options.as_stored)
        own_cell_only = self._options.probe is Probe.NEAREST
        return Batch(queries, self._view, self.meta, self._options.retention, own_cell_only=own_cell_only)

    def _follow(self, batch: Batch, reply: CommitReply, decided: int) -> None:
        if reply.events is None:
            self._contended = max(0, self._contended - 1)
            return
        self._contended = _WARY_BATCHES
        self._retries += 1
        self._apply(reply.events)
        batch.follow(reply.events, decided)

    def preview(self, query: Query, look: Callable[[Batch, GenerationView], Result]) -> Result:
        """Return what a function, which may be called twice, finds for a query; change nothing; raise as `decide`."""
        self._catch_up()
        self._view.tidy()
        while True:
            try:
                found = look(self._new_batch([query]), self._view)
            except OutdatedView as outdated:
                self._look_again(outdated)
                continue
            if self._catch_up():
                return found

    # -- showing ------------------------------------------------------------------------------------------------------

    def members(self) -> Iterator[Member]:
        """Iterate over all members, cell by cell."""
        self._catch_up()
        for cell in self._view.tree.leaves:
            yield from self._members_of(cell)

    def _members_of(self, cell: int) -> Iterator[Member]:
        start = 0
        while True:
            with translated_errors():
                key = self._keys.cell(self.meta.generation, cell)
                records = self._client.lrange(key, start, start + _PAGE - 1)
            for record in records:
                yield decode_member(record, self.meta.dimension)
            if len(records) < _PAGE:
                return
            start += _PAGE

    def pca(self) -> Pca | None:
        """Return the principal components that make its descriptors short; see `Index.pca`."""
        self._catch_up()  # a later generation may have others, and is refused then
        return self._live.pca

    def stats(self) -> IndexStats:
        """Return sizes, after one round trip for what is new."""
        self._catch_up()
        sizes = self._view.cell_sizes
        return IndexStats(
            members=sum(sizes),
            clusters=len(sizes),
            cluster_sizes=sizes,
            cache_bytes=self._view.nbytes,
            retries=self._retries,
        )
