"""The index in Redis, shared by any number of consumers."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import redis

from neardup.cells import Cells
from neardup.errors import CorruptIndex, IndexMissing
from neardup.index.base import IndexMeta, IndexStats, decision_of
from neardup.index.block import MemberBlock, member_of
from neardup.index.codec import decode_decision, decode_member, encode_decision, encode_member
from neardup.index.connection import require_no_eviction, translated_errors
from neardup.index.keys import IndexKeys
from neardup.types import Decision, Match, Member, Query, Verdict

DECISION_TTL_S = 2 * 60 * 60
"""How long a decision is remembered by its key, 200 bytes each: longer than a delivery usually takes to come again.

After that a member is recognised by its key, and a duplicate is found again, if perhaps as that of a nearer member.
"""

_COMMIT = Path(__file__).with_name("commit.lua").read_text(encoding="utf-8")
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class _Draft:
    """A decision that waits for its commit; `member` is what it would append, `seen` what it was compared with."""

    query: Query
    cell: int
    decision: Decision
    member: Member | None
    seen: int

    def arguments(self) -> tuple[int | bytes, ...]:
        unique = self.member is not None
        record = encode_member(self.member) if self.member else b""
        return self.seen, int(unique), encode_decision(self.decision), record


class RedisIndex:
    """Compares an image with the members of its nearest cell, and commits by one script.

    The process keeps the cells that it has seen, and reads only what others appended since.

    Parameters
    ----------
    client
        From `neardup.index.connection.connect`.
    name
        Which index.
    fingerprint
        Of the descriptor at hand; None takes the index's. Later generations must have the same.
    decision_ttl_s
        How long a decision is remembered by its key.

    Raises
    ------
    IndexMissing, IndexMismatch, Misconfigured, RedisUnavailable
        When it is opened.
    """

    def __init__(
        self,
        client: redis.Redis,
        name: str,
        fingerprint: str | None = None,
        decision_ttl_s: int = DECISION_TTL_S,
    ) -> None:
        self._client: Any = client
        self._keys = IndexKeys(name)
        self._fingerprint = fingerprint
        self._decision_ttl_s = decision_ttl_s
        self._commit = client.register_script(_COMMIT)
        self._retries = 0
        require_no_eviction(client)
        self._load()
        # Another generation may come while this process runs, another descriptor may not.
        self._fingerprint = self._meta.fingerprint

    @property
    def meta(self) -> IndexMeta:
        """What the live generation is made for."""
        return self._meta

    def _load(self) -> None:
        live, metadata, centroids = self._read_live()
        self._meta = _checked_meta(metadata, live, self._fingerprint)
        self._fingerprint = self._meta.fingerprint
        self._cells = Cells(_centroids(centroids, self._meta))
        self._blocks: dict[int, MemberBlock] = {}

    def _read_live(self) -> tuple[int, bytes | None, bytes | None]:
        with translated_errors():
            live = self._client.get(self._keys.live)
            while live is not None:
                generation = _generation(live)
                wanted = (self._keys.metadata(generation), self._keys.centroids(generation))
                metadata, centroids, still_live = self._client.mget(*wanted, self._keys.live)
                if still_live == live:
                    return generation, metadata, centroids
                live = still_live  # a bootstrap finished between the two calls
        raise IndexMissing(f"there is no index {self._keys.name!r} in this Redis: run python -m bootstrap first")

    def decide(self, queries: Sequence[Query]) -> list[Decision]:
        """Decide a batch; see `Index.decide`."""
        decided: list[Decision] = []
        cells = self._assign(queries)
        self._read_tails(cells)
        while len(decided) < len(queries):
            todo = slice(len(decided), None)
            drafts = self._draft(queries[todo], cells[todo])
            outcome, payload = self._send(drafts)
            if outcome == b"GENERATION":
                self._load()
                cells = self._assign(queries)
                self._read_tails(cells[todo])
                continue
            decided += self._settle(drafts, payload[0])
            if outcome == b"STALE":
                self._retries += 1
                self._catch_up(drafts[len(payload[0])].cell, payload[1])
        return decided

    def _assign(self, queries: Sequence[Query]) -> list[int]:
        if not queries:
            return []
        return cast("list[int]", self._cells.assign(np.stack([query.descriptor for query in queries])).tolist())

    def _read_tails(self, cells: Iterable[int]) -> None:
        wanted = sorted(set(cells))
        with translated_errors():
            pipeline = self._client.pipeline(transaction=False)
            for cell in wanted:
                pipeline.lrange(self._cell_key(cell), len(self._block(cell)), -1)
            tails = pipeline.execute()
        for cell, tail in zip(wanted, tails, strict=True):
            self._append(cell, tail)

    def _cell_key(self, cell: int) -> str:
        return self._keys.cell(self._meta.generation, cell)

    def _block(self, cell: int) -> MemberBlock:
        if cell not in self._blocks:
            self._blocks[cell] = MemberBlock(self._meta.dimension)
        return self._blocks[cell]

    def _append(self, cell: int, records: Sequence[bytes]) -> None:
        block = self._block(cell)
        for record in records:
            block.append(decode_member(record, self._meta.dimension))

    def _draft(self, queries: Sequence[Query], cells: Sequence[int]) -> list[_Draft]:
        """Decide as if nobody else were there; a batch's own unique images count as members for its later ones."""
        ahead: defaultdict[int, MemberBlock] = defaultdict(lambda: MemberBlock(self._meta.dimension))
        drafts = []
        for query, cell in zip(queries, cells, strict=True):
            draft = self._draft_one(query, cell, ahead[cell])
            if draft.member:
                ahead[cell].append(draft.member)
            drafts.append(draft)
        return drafts

    def _draft_one(self, query: Query, cell: int, ahead: MemberBlock) -> _Draft:
        block = self._block(cell)
        match = _nearer(
            block.nearest(query.descriptor, other_than=query.key),
            ahead.nearest(query.descriptor, other_than=query.key),
        )
        decision = decision_of(match, self._meta, cell)
        known = query.key in block or query.key in ahead
        new_member = decision.verdict is Verdict.UNIQUE and not known
        return _Draft(query, cell, decision, member_of(query) if new_member else None, len(block) + len(ahead))

    def _send(self, drafts: Sequence[_Draft]) -> tuple[bytes, list[Any]]:
        keys = [self._keys.live]
        arguments: list[int | bytes] = [self._meta.generation, self._decision_ttl_s]
        for draft in drafts:
            keys += [self._keys.decided(draft.query.key), self._cell_key(draft.cell)]
            arguments += draft.arguments()
        with translated_errors():
            outcome, *payload = cast("list[Any]", self._commit(keys=keys, args=arguments))
        return outcome, payload

    def _settle(self, drafts: Sequence[_Draft], replies: Sequence[bytes]) -> list[Decision]:
        decided = []
        for draft, earlier in zip(drafts, replies, strict=False):
            if earlier:
                decided.append(decode_decision(earlier))
                continue
            decided.append(draft.decision)
            if draft.member:
                self._block(draft.cell).append(draft.member)
        return decided

    def _catch_up(self, cell: int, tail: Sequence[bytes]) -> None:
        if tail:
            self._append(cell, tail)
        else:
            # The cell is shorter than our copy of it: Redis lost its last writes. Its word counts, not ours.
            self._blocks.pop(cell, None)
            self._read_tails([cell])

    def members(self) -> Iterator[Member]:
        """Iterate over all members, cell by cell."""
        for cell in range(len(self._cells)):
            yield from self._members_of(cell)

    def _members_of(self, cell: int) -> Iterator[Member]:
        start = 0
        while True:
            with translated_errors():
                records = self._client.lrange(self._cell_key(cell), start, start + _PAGE - 1)
            for record in records:
                yield decode_member(record, self._meta.dimension)
            if len(records) < _PAGE:
                return
            start += _PAGE

    def stats(self) -> IndexStats:
        """Return sizes, read in one round trip."""
        with translated_errors():
            pipeline = self._client.pipeline(transaction=False)
            for cell in range(len(self._cells)):
                pipeline.llen(self._cell_key(cell))
            sizes = pipeline.execute()
        return IndexStats(
            members=sum(sizes),
            clusters=len(sizes),
            cluster_sizes=tuple(sizes),
            cache_bytes=sum(block.nbytes for block in self._blocks.values()),
            retries=self._retries,
        )


def _nearer(one: Match | None, other: Match | None) -> Match | None:
    if one is None or other is None:
        return one or other
    return other if other.l2_distance < one.l2_distance else one


def _generation(live: bytes) -> int:
    if not live.isdigit():
        raise CorruptIndex(f"the number of the live generation reads {live[:40]!r}: bootstrap again")
    return int(live)


def _checked_meta(metadata: bytes | None, generation: int, fingerprint: str | None) -> IndexMeta:
    if metadata is None:
        raise CorruptIndex(f"generation {generation} is live and has no metadata: bootstrap again")
    meta = IndexMeta.from_json(metadata)
    if fingerprint is not None:
        meta.check_descriptor(fingerprint)
    return meta


def _centroids(stored: bytes | None, meta: IndexMeta) -> np.ndarray[Any, np.dtype[np.float32]]:
    expected = 4 * meta.clusters * meta.dimension
    if stored is None or len(stored) != expected or not meta.clusters:
        held = "no" if stored is None else len(stored)
        raise CorruptIndex(f"the centroids of generation {meta.generation} take {expected} bytes, Redis holds {held}")
    return np.frombuffer(stored, dtype="<f4").reshape(meta.clusters, meta.dimension).astype(np.float32)
