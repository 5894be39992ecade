"""Restores the members that Redis lost, from their verdicts.

Redis may lose what it wrote last: a second with ``appendfsync everysec``, what a replica had not heard yet in a
failover. Then images that were published as unique are no members, and their copies would be unique again. The
verdict of a unique carries the member's record in the header ``member``, so the verdict topic holds what is needed, as
far back as it is kept.

A record goes back through the commit that consumers use, which compares it with every member: consumers may run
meanwhile. What is within the radius of a member by now (a copy that came after the loss) is a conflict, and left out.
What was removed on request stays removed.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from bootstrap.live.reading import LiveGeneration
from bootstrap.live.verdicts import NotRestorable, member_of_verdict, read_verdicts
from neardup.capture_time import UNKNOWN_MS, known_ms, newest_ms
from neardup.cli.progress import Shown, not_shown
from neardup.errors import Misconfigured
from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.retention import Retention
from neardup.index.stored.codec import decode_decision, decode_head, head_key
from neardup.index.stored.connection import translated_errors
from neardup.index.stored.generations import DIGEST_BYTES, digests
from neardup.index.stored.removals import Removals
from neardup.relation.images import Images, images_of
from neardup.relation.kept import stacked_kept
from neardup.search.distance import l2_distances
from neardup.settings.kafka import KafkaConnection
from neardup.types import Decision, Descriptors, Member, Query, Verdict
from neardup.wire import VERDICT_HEADER

_EXAMPLES = 20


@dataclass(slots=True)
class Repaired:
    """What a repair found and did.

    Attributes
    ----------
    read
        Messages of the topic.
    verdicts
        Those that are verdicts, of whatever index.
    uniques
        Those that made a member of this index.
    already_there, restored, expired, removed
        Uniques that are members, that became members again, that are too old to be kept, and that were removed on
        request (`bootstrap.live.removal`): these stay away.
    conflicts
        Uniques that are within the radius of another member by now.
    not_restorable
        Why verdicts of uniques of this index could not be used, and how many.
    """

    read: int = 0
    verdicts: int = 0
    uniques: int = 0
    already_there: int = 0
    restored: int = 0
    expired: int = 0
    removed: int = 0
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    not_restorable: Counter[str] = field(default_factory=Counter)


def repair(
    client: redis.Redis,
    name: str,
    kafka: KafkaConnection,
    topic: str,
    since_ms: int,
    *,
    options: RedisIndexOptions,
    dry_run: bool = False,
    shown: Shown = not_shown,
    tell: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """Restore the missing members of an index from the verdicts since a moment; return what was done.

    `tell` is told in a line what of these the topic no longer has.

    Raises
    ------
    Misconfigured
        There is no such index, no such topic, or no verdict in it.
    RedisUnavailable, KafkaUnavailable
        Run it again: what was restored is restored.
    """
    generation = LiveGeneration(client, name, shown=shown)
    repairing = Repairing(generation, client, options, dry_run=dry_run)
    with shown("read", None, "verdicts") as progress:
        for records in read_verdicts(kafka, topic, since_ms, tell):
            repairing.take(records)
            progress(len(records))
    report = repairing.report
    if report.read and not report.verdicts:
        raise Misconfigured(f"--verdicts-topic {topic}: none of the {report.read} messages that were read is a verdict")
    return {
        "index": name,
        "generation": generation.number,
        "dry_run": dry_run,
        "read": report.read,
        "uniques": report.uniques,
        "already_there": report.already_there,
        "restored": report.restored,
        "expired": report.expired,
        "removed": report.removed,
        "conflicts": len(report.conflicts),
        "not_restorable": dict(sorted(report.not_restorable.items())),
        "examples": report.conflicts[:_EXAMPLES],
    }


class Repairing:
    """Takes verdicts, batch by batch, and restores what is missing.

    Parameters
    ----------
    generation
        The live one.
    client
        The same server's.
    options
        As the consumers' own.
    dry_run
        Only find out.
    """

    def __init__(
        self, generation: LiveGeneration, client: redis.Redis, options: RedisIndexOptions, *, dry_run: bool
    ) -> None:
        self.report = Repaired()
        self._generation = generation
        self._retention = options.retention
        # A generation that carried members over should have those of the one before it, whose number may be any smaller
        # one. Of others it may have been meant to know nothing, except what a rollback has carried over since. Later
        # ones were lost themselves, since the flip was among the last writes, or a rollback has carried theirs over.
        self._oldest = generation.meta.carried_from or generation.number
        self._known = _known(client, generation)
        self._removed = Removals(client, generation.meta.name).keys()
        self._keys: set[bytes] = set()
        self._now_ms = options.now_ms()
        self._newest_ms = UNKNOWN_MS
        for block in generation.blocks():
            self._keys |= {head_key(head) for head in block.heads}
            times_ms = (decode_head(head)[2] for head in block.heads)
            self._newest_ms = newest_ms([self._newest_ms, *times_ms], self._now_ms)
        self._committing = _DryRun(generation, self._retention) if dry_run else _Commit(generation, client, options)

    def take(self, records: Sequence[Any]) -> None:
        """Restore what is missing of a batch of verdicts, records of kafka-python."""
        missing: dict[str, Member] = {}
        for record in records:
            self.report.read += 1
            self.report.verdicts += any(name == VERDICT_HEADER for name, _ in record.headers)
            try:
                told = member_of_verdict(record, self._generation.meta)
                if told is not None:
                    self._sort_in(*told, missing)
            except NotRestorable as exc:
                self.report.not_restorable[str(exc)] += 1
        if missing:
            self._restore(list(missing.values()))

    def _sort_in(self, member: Member, decided_by: int, missing: dict[str, Member]) -> None:
        there = member.key.encode() in self._keys or member.key in missing
        if decided_by < self._oldest and not there and digests([member.key]) not in self._known:
            raise NotRestorable("decided by an earlier generation")
        self.report.uniques += 1
        captured_at_ms = known_ms(member.captured_at_ms, self._now_ms)  # earlier versions took any number for a time
        if there:
            self.report.already_there += 1
        elif member.key.encode() in self._removed:
            self.report.removed += 1
        elif self._retention.removable(captured_at_ms, self._newest_ms):
            self.report.expired += 1
        else:
            missing[member.key] = replace(member, captured_at_ms=captured_at_ms)

    def _restore(self, members: Sequence[Member]) -> None:
        for member, decision in zip(members, self._committing.decide(members), strict=True):
            if decision.verdict is Verdict.UNIQUE:
                self.report.restored += 1
                self._keys.add(member.key.encode())
            else:
                self.report.conflicts.append(
                    {
                        "key": member.key,
                        "image_id": member.image_id,
                        "duplicate_of": decision.duplicate_of,
                        "distance": decision.l2_distance,
                    }
                )


def _known(client: Any, generation: LiveGeneration) -> set[bytes]:  # noqa: ANN401 - redis.Redis, or a cluster
    """Return the hashes of the members that a generation had when it became live, as long as it knows."""
    with translated_errors():
        stored = client.get(generation.keys.known(generation.number)) or b""
    return {stored[start : start + DIGEST_BYTES] for start in range(0, len(stored), DIGEST_BYTES)}


class _Commit:
    """Decides by the index itself."""

    def __init__(self, generation: LiveGeneration, client: redis.Redis, options: RedisIndexOptions) -> None:
        self._generation = generation
        options = replace(options, as_stored=True)
        self._index = RedisIndex(client, generation.meta.name, generation.meta.fingerprint, options)

    def decide(self, members: Sequence[Member]) -> list[Decision]:
        """Insert what can be inserted."""
        self._forget_uniques([member.key for member in members])
        decisions = self._index.decide(
            [Query(each.key, each.image_id, each.descriptor, each.captured_at_ms, each.kept) for each in members]
        )
        self._generation.require_live()
        return decisions

    def _forget_uniques(self, keys: Sequence[str]) -> None:
        # A decision that outlived its member would be repeated, and nothing inserted. Where the member came back
        # meanwhile, the index sees it in its cell.
        names = [self._generation.keys.decided(key) for key in keys]
        with translated_errors():
            recorded = self._generation.client.mget(names)
            stale = [
                name for name, text in zip(names, recorded, strict=True) if text and _is_unique(decode_decision(text))
            ]
            if stale:
                self._generation.client.unlink(*stale)


class _DryRun:
    """Decides the same without changing anything, by comparing with every present and future member."""

    def __init__(self, generation: LiveGeneration, retention: Retention) -> None:
        self._generation = generation
        self._retention = retention
        self._to_come: list[Member] = []

    def decide(self, members: Sequence[Member]) -> list[Decision]:
        """Say what would be inserted."""
        recorded = self._recorded(members)
        queries = np.stack([member.descriptor for member in members])
        nearest: list[tuple[float, str] | None] = [None] * len(members)
        for block in self._generation.blocks():
            distances = self._unless_changed(members, queries, Images(block.descriptors, block.kept))
            distances[~self._counting(members, [decode_head(head)[2] for head in block.heads])] = np.inf
            for row, column in enumerate(distances.argmin(axis=1).tolist()):
                found = (float(distances[row, column]), decode_head(block.heads[column])[1])
                nearest[row] = min(nearest[row] or found, found)
        return [
            known or self._decide_one(member, near)
            for member, near, known in zip(members, nearest, recorded, strict=True)
        ]

    def _unless_changed(self, members: Sequence[Member], queries: Descriptors, others: Images) -> NDArray[np.float64]:
        """Return the distances (members, others), infinite within the radius where something has changed."""
        relation = self._generation.meta.relation
        distances = l2_distances(queries, others.descriptors)
        if others.kept is not None:
            rows, columns = np.nonzero(distances <= relation.radius)
            kept = stacked_kept((member.kept for member in members), relation.parts)
            changed = ~relation.check(kept, rows, others.kept[columns], distances[rows, columns]).allowed
            distances[rows[changed], columns[changed]] = np.inf
        return distances

    def _counting(self, members: Sequence[Member], times_ms: Sequence[int]) -> NDArray[np.bool_]:
        """Return bool (members, times): whether a member of each time counts for each of these."""
        if self._retention.window_ms is None:
            return np.ones((len(members), len(times_ms)), dtype=np.bool_)
        return np.array([[self._retention.counts(ms, member.captured_at_ms) for ms in times_ms] for member in members])

    def _recorded(self, members: Sequence[Member]) -> list[Decision | None]:
        with translated_errors():
            recorded = self._generation.client.mget([self._generation.keys.decided(each.key) for each in members])
        decisions = [decode_decision(text) if text else None for text in recorded]
        return [None if decision is None or _is_unique(decision) else decision for decision in decisions]

    def _decide_one(self, member: Member, nearest: tuple[float, str] | None) -> Decision:
        candidates = [nearest] if nearest else []
        if self._to_come:
            to_come = images_of(self._to_come, self._generation.meta.relation.parts)
            distances = self._unless_changed([member], member.descriptor[np.newaxis], to_come)[0]
            candidates.append((float(distances.min()), self._to_come[int(distances.argmin())].image_id))
        l2_distance, image_id = min(candidates, default=(None, None))
        meta = self._generation.meta
        if l2_distance is not None and l2_distance <= meta.radius:
            return Decision(Verdict.DUPLICATE, image_id, l2_distance, None, meta.generation)
        self._to_come.append(member)
        return Decision(Verdict.UNIQUE, None, l2_distance, None, meta.generation)


def _is_unique(decision: Decision) -> bool:
    return decision.verdict is Verdict.UNIQUE
