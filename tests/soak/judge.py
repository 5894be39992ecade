"""What must hold after a soak, read from Kafka and Redis without the code that wrote it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any, NamedTuple, Self

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from consumer.settings import DECIDERS
from neardup.index.stored.connection import connect
from tests.stress.audit import Contents, pairs_within
from tests.support.processes import eventually, offsets_of, run

MAX_CLUSTER = 300 + 128
"""What is divided at 300 is divided with the next batch: the last ones of some consumers may have come on top."""
MOST_GROWTH = 0.05
DRAIN_S = 180.0
"""Without progress for so long, something is wrong."""


@dataclass
class Report:
    """What a soak was, and what the audit found; every fault is a line."""

    seed: int = 0
    seconds: float = 0.0
    rounds: int = 0
    fed: int = 0
    verdicts: int = 0
    uniques: int = 0
    dead_letters: int = 0
    mishaps: dict[str, int] = field(default_factory=dict)
    drained_s: float = 0.0
    lost: int = 0
    doubled: int = 0
    strangers: int = 0
    pairs_within_radius: int = 0
    uniques_not_members: int = 0
    members_not_unique: int = 0
    memory_warm_mib: float = 0.0
    memory_end_mib: float = 0.0
    memory_growth: float = 0.0
    memory_judged: bool = False
    judged_again: int = 0
    told_otherwise: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether the audit found nothing."""
        found = [self.lost, self.doubled, self.strangers, self.pairs_within_radius]
        found += [self.uniques_not_members, self.members_not_unique, self.told_otherwise, len(self.faults)]
        return not any(found) and not (self.memory_judged and self.memory_growth >= MOST_GROWTH)

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "sound": self.sound}, indent=2)


@dataclass(frozen=True)
class Scene:
    """Where a soak takes place."""

    address: str
    redis_url: str
    index: str = "soak"
    images: str = "images"
    verdicts: str = "verdicts"
    dead: str = "images.dead"
    descriptors: str = "descriptors"
    group: str = "soak"


class Told(NamedTuple):
    """What is told of an image: the verdict, and of a duplicate the key of its member and the distance.

    The distance that is told of a unique is that of the nearest member that it was compared with, which news of other
    cells may not be: it hangs on who decided what at once.
    """

    verdict: str
    member: str | None
    distance: float | None

    def named(self, names: Mapping[str, str]) -> Self:
        """Return this with another name for the member, if it has one."""
        return self if self.member is None else self._replace(member=names.get(self.member, self.member))


def await_the_end(scene: Scene, *, has_roles: bool = False) -> None:
    """Wait until the group has committed all that was fed; and where it only describes, until that is judged."""
    for group, topic in _ways(scene, has_roles=has_roles):
        await_group(scene, group, topic)


def is_judged(scene: Scene, *, has_roles: bool = False) -> bool:
    """Say whether all that was fed is judged by now."""
    with _clients(scene) as clients:
        return all(at >= end for at, end in (_progress(*clients, *way) for way in _ways(scene, has_roles=has_roles)))


def await_group(scene: Scene, group: str, topic: str) -> None:
    """Wait until a group has committed all that is in a topic, as long as it gets on."""
    reached = -1
    with _clients(scene) as clients:

        def further() -> tuple[int, int] | None:
            at, end = _progress(*clients, group, topic)
            return (at, end) if at > reached or at >= end else None

        while True:
            reached, end = eventually(further, f"progress of the group {group} to the end of {topic}", DRAIN_S)
            if reached >= end:
                return


def _ways(scene: Scene, *, has_roles: bool) -> list[tuple[str, str]]:
    """Return the groups, and the topics that they read."""
    ways = [(scene.group, scene.images)]
    return [*ways, (f"{scene.group}{DECIDERS}", scene.descriptors)] if has_roles else ways


@contextmanager
def _clients(scene: Scene) -> Iterator[tuple[KafkaAdminClient, Any]]:
    with KafkaAdminClient(bootstrap_servers=scene.address) as admin, closing(_reader(scene.address)) as reader:
        yield admin, reader


def _progress(admin: KafkaAdminClient, reader: Any, group: str, topic: str) -> tuple[int, int]:  # noqa: ANN401 - of kafka
    """Return how much of a topic a group has committed, and how much there is."""
    ends = reader.end_offsets(_partitions(reader, topic))
    offsets = offsets_of(admin, group) or {}
    return sum(min(offsets.get(place, 0), end) for place, end in ends.items()), sum(ends.values())


def audit(scene: Scene, report: Report) -> None:
    """Compare what was fed with what was told and with what the index holds."""
    fed = {place_of(record) for record in records(scene.address, scene.images)}
    verdicts = Counter[str]()
    uniques = set()
    for place, each in _verdicts(scene):
        verdicts[place] += 1
        if each.verdict == "unique":
            uniques.add(place)
    letters = Counter(place for place, _ in _letters(scene))
    told = verdicts + letters
    report.fed, report.verdicts, report.dead_letters = len(fed), verdicts.total(), letters.total()
    report.lost = len(fed - told.keys())
    report.doubled = sum(count > 1 for count in told.values())
    report.strangers = len(told.keys() - fed)
    report.uniques = len(uniques)
    _audit_index(scene, uniques, report)


def verdicts_of(scene: Scene) -> dict[str, Told]:
    """Return what is told of each image, by its place in the topic."""
    return dict(_verdicts(scene))


def letters_of(scene: Scene) -> dict[str, str]:
    """Return why an image was refused, by its place in the topic."""
    return dict(_letters(scene))


def _verdicts(scene: Scene) -> Iterator[tuple[str, Told]]:
    for record in records(scene.address, scene.verdicts):
        verdict = json.loads(record.value)
        member = None if verdict["member"] is None else verdict["member"]["key"]
        distance = None if member is None else verdict["distance"]
        source = verdict["source"]
        place = f"{source['topic']}-{source['partition']}-{source['offset']}"
        yield place, Told(verdict["verdict"], member, distance)


def _letters(scene: Scene) -> Iterator[tuple[str, str]]:
    for record in records(scene.address, scene.dead):
        headers = dict(record.headers)
        yield headers["error.source"].decode(), headers["error.reason"].decode()


def _audit_index(scene: Scene, uniques: set[str], report: Report) -> None:
    with connect(scene.redis_url) as client:
        contents = Contents(client, scene.index)
    members = contents.members
    streamed = {member.key for member in members if member.key.startswith(f"{scene.images}-")}
    report.uniques_not_members = len(uniques - streamed)
    report.members_not_unique = len(streamed - uniques)
    descriptors = np.stack([member.descriptor for member in members])
    report.pairs_within_radius = len(pairs_within(descriptors, contents.meta.radius))
    report.faults += contents.faults(MAX_CLUSTER)
    verified = run(["-m", "bootstrap.index", "verify", "--redis", scene.redis_url, "--index", scene.index])
    if verified.returncode != 0:
        report.faults.append(
            f"verify ended with {verified.returncode}: {verified.stdout[-300:]}{verified.stderr[-300:]}"
        )


def place_of(record: Any) -> str:  # noqa: ANN401 - kafka-python has no types
    """Return a record's place in its topic, as the index has it for its key."""
    return f"{record.topic}-{record.partition}-{record.offset}"


def _reader(address: str) -> Any:  # noqa: ANN401 - as above
    return KafkaConsumer(bootstrap_servers=address, isolation_level="read_committed")


def _partitions(reader: Any, topic: str) -> list[TopicPartition]:  # noqa: ANN401 - as above
    return [TopicPartition(topic, number) for number in sorted(reader.partitions_for_topic(topic))]


def records(address: str, topic: str) -> Iterator[Any]:
    """Iterate over all that read_committed readers see of a topic at this moment."""
    with closing(_reader(address)) as reader:
        places = _partitions(reader, topic)
        reader.assign(places)
        reader.seek_to_beginning()
        ends = reader.end_offsets(places)

        def is_at_the_end() -> bool:
            return all(reader.position(place) >= end for place, end in ends.items())

        def came() -> Any:  # noqa: ANN401 - as above
            return reader.poll(200) or ({None: []} if is_at_the_end() else None)

        while not is_at_the_end():
            yield from chain.from_iterable(eventually(came, f"the end of {topic}", DRAIN_S).values())
