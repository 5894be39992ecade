"""A new generation from the descriptor topic: what describers published, judged again, without a single image.

Two ways. At the index's own radius it is as in a bootstrap: members are carried over, and images of the topic that none
of them is like are members, too; that puts back what an index has lost. At another radius the images of the topic are
judged anew, in the order in which they were published, after the members that are not from the topic.

Consumers may go on meanwhile. What they add is carried over, unless it is from the part of the topic that was read:
that is judged here. With retention, what is too old for any image to come is left out before anything is judged.
"""

import heapq
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import redis

from bootstrap.generation.assembly import Assembly
from bootstrap.generation.snapshot import CarryOver, snapshot_of, store
from bootstrap.live.inspection import kept
from bootstrap.live.reading import LiveGeneration
from bootstrap.seeds.analyse import cluster_seeds
from neardup.capture_time import known_ms, newest_ms, now_ms
from neardup.cli.progress import Shown, not_shown
from neardup.errors import BadDescription, Misconfigured
from neardup.index.base import IndexMeta, require_fit
from neardup.index.block import member_of
from neardup.index.carry import Predecessor
from neardup.index.retention import FOR_EVER, Retention
from neardup.index.stored.generations import previous_generation
from neardup.index.stored.removals import Removals
from neardup.kafka.reading import Flags, read_topic
from neardup.relation.images import Images, packed
from neardup.relation.rule import Relation
from neardup.settings.kafka import KafkaConnection
from neardup.types import Member, Query
from neardup.wire_described import DescribedImage, decode_described, made_for

Document = dict[str, Any]

_LOG = logging.getLogger(__name__)
_FLAGS = Flags("--from-topic", "--from-topic")


@dataclass(slots=True)
class Described:
    """The images of a topic that an index can judge, each once, in the order in which they were published.

    Attributes
    ----------
    queries
        What each is compared by.
    read, again, removed
        Messages of the topic; those that told of an image once more, and those of images that were removed on request.
    not_usable
        Why other messages could not be used, and how many.
    """

    queries: list[Query] = field(default_factory=list)
    read: int = 0
    again: int = 0
    removed: int = 0
    not_usable: Counter[str] = field(default_factory=Counter)


class FromTopic(Assembly):
    """As `Assembly`; the candidates are images of the stream, of which consumers may tell meanwhile.

    Parameters
    ----------
    carried, candidates, images, relation, relation_before
        As there.
    live
        Keys of all members of the live generation, candidates among them.
    """

    def __init__(
        self,
        carried: Sequence[Member],
        candidates: Sequence[Member],
        images: Images,
        relation: Relation,
        relation_before: Relation,
        *,
        live: Iterable[str],
    ) -> None:
        super().__init__(carried, candidates, images, relation, relation_before)
        self._own = {member.key: row for row, member in zip(self.candidates, candidates, strict=True)}
        self._published = [self._own[key] for key in live if key in self._own]

    @property
    def lost(self) -> int:
        """Members of the live generation, as far as it was followed, that are none here, as they duplicate others."""
        return self.left_out + int((~self.finder.found.is_unique[self._published]).sum())

    def add_late(self, late: Sequence[Member]) -> tuple[list[Member], list[Member]]:
        """Carry over what was committed in the meantime, and is not among the candidates."""
        self._published += [self._own[member.key] for member in late if member.key in self._own]
        return super().add_late([member for member in late if member.key not in self._own])

    def refuse_removed(self, removed: Iterable[bytes]) -> None:
        """Refuse to have a candidate that was removed on request, also before members were read, or once it was one.

        Raises
        ------
        Misconfigured
            There is one.
        """
        if ours := self._own.keys() & {key.decode() for key in removed}:
            raise Misconfigured(f"{min(ours)} was removed from the index meanwhile: start again, to leave it out here")


def rebuild(
    client: redis.Redis,
    name: str,
    kafka: KafkaConnection,
    topic: str,
    by: str,
    *,
    radius: float | None = None,
    retention: Retention = FOR_EVER,
    keep_ms: int = 0,
    allow_dropping: bool = False,
    dry_run: bool = False,
    shown: Shown = not_shown,
) -> Document:
    """Make a new generation of a descriptor topic, and return what that changes.

    Parameters
    ----------
    client
        From `neardup.index.stored.connection.connect`.
    name
        Of the index, whose descriptor and relation are kept.
    kafka, topic
        Where the descriptors are.
    by
        Whoever asks for it, for the log.
    radius
        Largest L2 distance of a duplicate, inclusive, by which images are judged anew; None for the index's own.
    retention
        Which members count for an image, as for the consumers.
    keep_ms
        How long the generation before is kept for a rollback, in milliseconds; 0 removes it at once.
    allow_dropping
        Go ahead although members are left out.
    dry_run
        Only find out.
    shown
        Shows how far it is.

    Raises
    ------
    Misconfigured
        There is no such index or topic, nothing in it can be used, or members would be left out.
    RedisUnavailable, KafkaUnavailable
        The index is as it was.
    """
    generation = LiveGeneration(client, name, shown=shown)
    before = generation.meta
    relation = before.relation if radius is None else replace(before.relation, radius=radius)
    found = read_described(kafka, topic, before, Removals(client, name).keys(), shown)
    predecessor = Predecessor(client, name, before)
    members = predecessor.news().added
    refusal = _nothing(topic, found, name)
    if refusal and not (dry_run and members):
        raise Misconfigured(refusal)
    staying, queries = _in_time(members, found.queries, retention)
    assembly = _assembled(staying, queries, relation, before, anew=radius is not None)
    lost = assembly.lost
    if lost and not allow_dropping:
        refusal = refusal or _refusal(before, lost, len(members), relation.radius)
    document = {
        "index": name,
        "generation": generation.number,
        "dry_run": dry_run,
        "topic": topic,
        "read": found.read,
        "images": len(found.queries),
        "again": found.again,
        "removed": found.removed,
        "too_old": {"images": len(found.queries) - len(queries), "members": len(members) - len(staying)},
        "not_usable": dict(sorted(found.not_usable.items())),
        "radius_before": before.radius,
        "radius": relation.radius,
        "members_before": len(members),
        "left_out": lost,
        "new_generation": None,
        "previous": None,
        "refusal": refusal,
    }
    if not dry_run:
        if refusal:
            raise Misconfigured(refusal)
        meta = replace(before, radius=relation.radius, calibration=before.calibration if radius is None else {})
        document["new_generation"] = _make_live(
            generation, meta, predecessor, assembly, keep_ms, allow_dropping=allow_dropping
        )
        document["previous"] = kept(previous_generation(client, name))
        _LOG.info(
            "index %s: rebuilt from topic %s by %s; generation %d is live, with %d members, %d left out",
            *(name, topic, by, document["new_generation"], len(assembly.members), lost),
        )
    return document | {"members": len(assembly.members)}


def _in_time(
    members: Sequence[Member], queries: Sequence[Query], retention: Retention
) -> tuple[list[Member], list[Query]]:
    """Return what is not too old for any image to come, as consumers remove it: by the newest of all."""
    newest = newest_ms((each.captured_at_ms for part in (members, queries) for each in part), now_ms())
    return (
        [member for member in members if not retention.removable(member.captured_at_ms, newest)],
        [query for query in queries if not retention.removable(query.captured_at_ms, newest)],
    )


def _assembled(
    members: Sequence[Member], queries: Sequence[Query], relation: Relation, before: IndexMeta, *, anew: bool
) -> FromTopic:
    """Judge the images of the topic after the members that are carried over."""
    of_topic, there = {query.key for query in queries}, set(_keys(members))
    if anew:
        carried, judged = [member for member in members if member.key not in of_topic], list(queries)
    else:
        carried, judged = list(members), [query for query in queries if query.key not in there]
    images = packed((query.compared for query in judged), relation.parts)
    if images is None:
        none_kept = np.empty((0, relation.parts.nbytes), dtype=np.uint8) if relation.parts else None
        images = Images(np.empty((0, before.dimension), dtype=np.float16), none_kept)
    return FromTopic(carried, list(map(member_of, judged)), images, relation, before.relation, live=there)


def _make_live(
    generation: LiveGeneration,
    meta: IndexMeta,
    predecessor: Predecessor,
    assembly: FromTopic,
    keep_ms: int,
    *,
    allow_dropping: bool,
) -> int:
    """Store what was assembled, with what consumers add meanwhile; return the number of its generation."""

    def counts() -> dict[str, int]:
        return {**generation.meta.seed, "carried": assembly.kept}

    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    cells, _ = cluster_seeds(assembly.finder.descriptors[assembly.members])
    snapshot = snapshot_of(assembly, replace(meta, seed=counts(), created_at=made_at), cells, generation.pca())
    removals = Removals(generation.client, meta.name)

    def check(_: Assembly) -> None:
        # After each look at what is new: what is removed later is an event, and the switch waits for another look.
        assembly.refuse_removed(removals.keys())
        if assembly.lost and not allow_dropping:
            raise Misconfigured(_refusal(generation.meta, assembly.lost, len(predecessor.keys), meta.radius))

    carry_over = CarryOver(predecessor, assembly, counts, check)
    return store(snapshot, generation.client, meta.name, carry_over, keep_ms=keep_ms).meta.generation


def _keys(members: Iterable[Member]) -> Iterator[str]:
    return (member.key for member in members)


def _nothing(topic: str, found: Described, name: str) -> str:
    """Return why nothing can be made of a topic; empty if something can."""
    if found.queries:
        return ""
    why = "".join(f"; {count} {what}" for what, count in found.not_usable.most_common(1))
    return (
        f"--from-topic {topic}: none of its {found.read} messages tells of an image that index {name!r} can judge{why}"
    )


def _refusal(before: IndexMeta, lost: int, members: int, radius: float) -> str:
    return (
        f"index {before.name!r}, generation {before.generation}: {lost} of its {members} members would be left out, as "
        f"they duplicate others by a radius of {radius:g}, judged in order. Allow it by --allow-dropping; --dry-run "
        "counts them"
    )


# -- reading ----------------------------------------------------------------------------------------------------------


def read_described(
    kafka: KafkaConnection, topic: str, meta: IndexMeta, removed: Iterable[bytes], shown: Shown = not_shown
) -> Described:
    """Read the images of a descriptor topic that an index can judge.

    Each partition in its order, and of several the image first whose message came first.

    Raises
    ------
    KafkaUnavailable, Misconfigured
        It cannot be read or is not there, or another version of neardup wrote a message.
    """
    found, wanted, gone = Described(), made_for(meta), {key.decode() for key in removed}
    by_partition: dict[int, list[DescribedImage]] = {}
    with shown("read", None, "descriptors") as progress:
        for records in _records(kafka, topic, lambda line: _LOG.warning("%s", line)):
            found.read += len(records)
            for record in records:
                image = _usable(record.value, wanted, meta, found.not_usable)
                if image is not None:
                    by_partition.setdefault(record.partition, []).append(image)
            progress(len(records))
    clock_ms, told = now_ms(), set[str]()
    for image in heapq.merge(*by_partition.values(), key=lambda each: each.source.timestamp_ms):
        query = image.query
        if query.key in told:
            found.again += 1
        elif query.key in gone:
            found.removed += 1
        else:
            found.queries.append(replace(query, captured_at_ms=known_ms(query.captured_at_ms, clock_ms)))
        told.add(query.key)
    return found


def _records(kafka: KafkaConnection, topic: str, tell: Callable[[str], object]) -> Iterator[Sequence[Any]]:
    config = {
        **kafka.client_config(),
        "client_id": "neardup-rebuild",
        "max_partition_fetch_bytes": kafka.max_message_bytes,
    }
    return read_topic(config, topic, None, flags=_FLAGS, tell=tell, whole=True)


def _usable(value: bytes | None, wanted: str, meta: IndexMeta, not_usable: Counter[str]) -> DescribedImage | None:
    try:
        image = decode_described(value)
    except BadDescription:
        not_usable["damaged, or no description"] += 1
        return None
    if image.made_for != wanted:
        not_usable[f"described for {image.made_for}"] += 1
        return None
    try:
        require_fit([image.query], meta.relation)
    except Misconfigured:
        not_usable["not as it says it was described"] += 1
        return None
    return image
