"""Checks the consistency of a live index while consumers use it.

Each check reads, and what seems wrong is read again, all of it as of one moment, before it is reported: a cell that
was divided between two reads, or a member that came in between, is no damage.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from bootstrap.live.checks import (
    Members,
    Replay,
    Suspect,
    all_pairs,
    close_pair,
    close_pairs,
    doubles,
    head_suspects,
    is_certain,
    member_suspects,
)
from bootstrap.live.reading import Block, LiveGeneration
from bootstrap.live.stored_keys import foreign_keys, suspicious_keys
from neardup.cli.progress import Shown, not_shown
from neardup.errors import CorruptIndex
from neardup.index.retention import FOR_EVER, Retention
from neardup.relation.rule import Relation
from neardup.search.distance import l2_distances

Document = dict[str, Any]

_EXAMPLES = 10


@dataclass(slots=True)
class Check:
    """One thing that must hold.

    Attributes
    ----------
    name
        A word.
    says
        What holds when nothing is wrong.
    examined
        How many were looked at.
    wrong
        What does not hold.
    is_warning
        Whether that leaves the index right all the same.
    """

    name: str
    says: str
    examined: int = 0
    wrong: list[str] = field(default_factory=list)
    is_warning: bool = False

    def document(self) -> Document:
        """Return the check as JSON can hold it."""
        holds = "yes" if not self.wrong else "warning" if self.is_warning else "no"
        counts = {"check": self.name, "holds": holds, "examined": self.examined, "wrong": len(self.wrong)}
        return {**counts, "says": self.says, "examples": self.wrong[:_EXAMPLES]}


class Verification:
    """Checks the live generation of an index.

    Parameters
    ----------
    client
        From `neardup.index.stored.connection.connect`.
    name
        Of the index.
    sample
        How many members, chosen at random, are compared with all others; None compares each with each, and holds all
        descriptors in memory for it.
    max_cluster
        Members above which a cluster is called large.
    retention
        As the consumers are told: a member that never counted for another may be within its radius.
    shown
        Shows the progress of reading and comparing the members.
    """

    def __init__(
        self,
        client: redis.Redis,
        name: str,
        *,
        sample: int | None = None,
        max_cluster: int = 300,
        retention: Retention = FOR_EVER,
        shown: Shown = not_shown,
    ) -> None:
        self._client = client
        self._name = name
        self._sample = sample
        self._max_cluster = max_cluster
        self._retention = retention
        self._shown = shown
        pairs = "every member" if sample is None else f"a sample of {sample} members"
        self._checks = {
            check.name: check
            for check in (
                Check("metadata", "metadata, centroids and projection can be read and fit one another"),
                Check("splits", "the splits are numbered in order, and each divided a cell that was there"),
                Check("records", "every record can be read"),
                Check("norms", "every descriptor has unit length"),
                Check("homes", "every member is in its own cell, and none in a cell that was divided"),
                Check("keys", "no two members have one key"),
                Check("distances", f"no member duplicates another ({pairs} compared with all)"),
                Check(
                    "looks",
                    "no members agree by the points stored of them: by all those that one was judged by they need not",
                    is_warning=True,
                ),
                Check("log", "the log's events agree with the splits and the cells"),
                Check("orphans", "Redis holds no keys under the index's prefix but its own"),
                Check("sizes", f"no cluster has more than {max_cluster} members", is_warning=True),
            )
        }

    def run(self) -> Document:
        """Return every check with its count and, of what is wrong, the first few.

        Raises
        ------
        IndexMissing, IndexMismatch, RedisUnavailable
            There is nothing to check.
        Unavailable
            Another generation became live meanwhile.
        """
        try:
            generation = LiveGeneration(self._client, self._name, strict=False, shown=self._shown)
        except CorruptIndex as exc:
            self._checks["metadata"].wrong.append(str(exc))
            return self._document(None)
        self._check_head(generation)
        examined, suspects = suspicious_keys(generation)
        self._check_members(generation)
        self._check_orphans(generation, examined, suspects)
        generation.require_live()
        return self._document(generation.number)

    def _document(self, generation: int | None) -> Document:
        checks = list(self._checks.values())
        return {
            "index": self._name,
            "generation": generation,
            "holds": not any(check.wrong for check in checks if not check.is_warning),
            "checks": [check.document() for check in checks],
        }

    def _check_head(self, generation: LiveGeneration) -> None:
        head, splits, sizes = (self._checks[name] for name in ("metadata", "splits", "sizes"))
        head.examined = 3
        head.wrong += head_suspects(generation)
        layout = generation.layout()
        splits.examined = len(layout.stored)
        splits.wrong += layout.wrong
        log = generation.read_log()
        sizes.examined = len(log.layout.leaves)
        sizes.wrong += [
            f"cell {cell} has {size} members" for cell, size in log.sizes.items() if size > self._max_cluster
        ]

    def _check_orphans(self, generation: LiveGeneration, examined: int, suspects: Sequence[bytes]) -> None:
        orphans = self._checks["orphans"]
        orphans.examined = examined
        if suspects:
            orphans.wrong += foreign_keys(generation, suspects)

    # -- members ------------------------------------------------------------------------------------------------------

    def _check_members(self, generation: LiveGeneration) -> None:
        replay = self._replay(generation)
        suspects: list[Suspect] = []
        blocks: list[Block] = []
        seen: dict[bytes, int] = {}
        layout = generation.layout()
        for block in generation.blocks(strict=False):
            if not layout.is_leaf(block.cell):
                layout = generation.layout()
            suspects += member_suspects(generation, layout, block)
            suspects += doubles(block, seen)
            self._checks["records"].examined += len(block.heads) + len(block.wrong)
            self._checks["homes"].examined += len(block.heads)
            if self._sample is None:
                blocks.append(block)
        self._checks["norms"].examined = self._checks["keys"].examined = self._checks["homes"].examined
        suspects += replay.missing(seen)
        suspects += self._pairs(generation, blocks, len(seen))
        for suspect in self._confirmed(generation, suspects):
            self._checks[suspect.check].wrong.append(suspect.text)

    def _replay(self, generation: LiveGeneration) -> Replay:
        snapshot = generation.read_log()
        replay = Replay(snapshot)
        self._checks["log"].examined = len(snapshot.events)
        self._checks["log"].wrong += replay.wrong
        return replay

    def _pairs(self, generation: LiveGeneration, blocks: Sequence[Block], members: int) -> Iterator[Suspect]:
        if self._sample is not None:
            yield from self._sampled_pairs(generation, members, self._sample)
            return
        self._examine(generation, members)
        everyone = Members(blocks)
        if len(everyone):
            with self._shown("compare", len(everyone), "members") as progress:
                pairs = close_pairs(everyone.descriptors, generation.sketcher, generation.meta.radius, progress)
                yield from everyone.suspects(pairs, generation.meta.relation, self._retention)

    def _examine(self, generation: LiveGeneration, members: int) -> None:
        self._checks["distances"].examined = members
        self._checks["looks"].examined = members if generation.meta.relation.agreement is not None else 0

    def _sampled_pairs(self, generation: LiveGeneration, members: int, wanted: int) -> Iterator[Suspect]:
        chosen = set(random.sample(range(members), min(wanted, members)))
        sample = Members(list(_chosen(generation, chosen)))
        self._examine(generation, len(sample))
        if not len(sample):
            return
        for block in generation.blocks(strict=False):
            distances = l2_distances(sample.descriptors, block.descriptors)
            relation = generation.meta.relation
            for row, other in _alike(distances, sample, block, relation):
                one, l2_distance = (sample.heads[row], sample.cells[row]), float(distances[row, other])
                ours = None if sample.kept is None else sample.kept[row]
                theirs = None if block.kept is None else block.kept[other]
                certain = is_certain(relation, ours, theirs, l2_distance)
                pair = (block.heads[other], block.cell)
                yield from close_pair(one, pair, l2_distance, self._retention, is_certain=certain)

    # -- looking again ------------------------------------------------------------------------------------------------

    def _confirmed(self, generation: LiveGeneration, suspects: Sequence[Suspect]) -> Iterator[Suspect]:
        by_cells: defaultdict[tuple[frozenset[int], bool], list[Suspect]] = defaultdict(list)
        for suspect in dict.fromkeys(suspects):
            by_cells[suspect.cells, suspect.check == "log"].append(suspect)
        told: set[tuple[str, bytes]] = set()
        for (cells, is_log), group in by_cells.items():
            now = self._missing_now(generation, cells, group) if is_log else self._wrong_now(generation, cells)
            for suspect in group:
                mark = (suspect.check, suspect.identity)
                if mark in now and mark not in told:
                    told.add(mark)
                    yield suspect

    def _wrong_now(self, generation: LiveGeneration, cells: frozenset[int]) -> set[tuple[str, bytes]]:
        snapshot = generation.snapshot(cells)
        blocks = [generation.block(cell, records, strict=False) for cell, records in snapshot.cells.items()]
        seen: dict[bytes, int] = {}
        found = [suspect for block in blocks for suspect in member_suspects(generation, snapshot.layout, block)]
        found += [suspect for block in blocks for suspect in doubles(block, seen)]
        members = Members([block for block in blocks if block.heads])
        if len(members):
            pairs = all_pairs(members.descriptors, generation.meta.radius)
            found += members.suspects(pairs, generation.meta.relation, self._retention)
        return {(suspect.check, suspect.identity) for suspect in found}

    @staticmethod
    def _missing_now(
        generation: LiveGeneration, cells: frozenset[int], group: Sequence[Suspect]
    ) -> set[tuple[str, bytes]]:
        snapshot = generation.snapshot(cells)
        present: dict[bytes, int] = {}
        for cell, records in snapshot.cells.items():
            list(doubles(generation.block(cell, records, strict=False), present))
        # What has been taken out of the cells since is in the log, too.
        replay = Replay(generation.read_log())
        gone = present.keys() | replay.removed
        missing = {("log", suspect.identity) for suspect in group if suspect.identity not in gone}
        return set() if cells & replay.roots_rewritten else missing


def _alike(distances: NDArray[np.float64], sample: Members, block: Block, relation: Relation) -> list[tuple[int, int]]:
    """Return the pairs (row of the sample, row of the block) that are alike, each as it is stored."""
    rows, others = np.nonzero(distances <= relation.radius)
    alike = relation.allow_both_ways(
        sample.kept, rows, None if block.kept is None else block.kept[others], distances[rows, others]
    )
    rows, others = rows[alike], others[alike]
    return list(zip(rows.tolist(), others.tolist(), strict=True))


def _chosen(generation: LiveGeneration, numbers: set[int]) -> Iterator[Block]:
    first = 0
    for block in generation.blocks(strict=False):
        rows = [row for row in range(len(block.heads)) if first + row in numbers]
        if rows:
            yield block.at(rows)
        first += len(block.heads)
