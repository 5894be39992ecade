"""What must hold after a soak, read from Kafka and Redis without the code that wrote it."""

import json
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from consumer.settings import DECIDERS
from neardup.index.stored.connection import connect
from tests.stress.audit import Contents, pairs_within
from tests.support.processes import eventually, offsets_of, run

MAX_CLUSTER = 300
MOST_GROWTH = 0.05
DRAIN_S = 180.0


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
    faults: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether the audit found nothing."""
        found = [self.lost, self.doubled, self.strangers, self.pairs_within_radius]
        found += [self.uniques_not_members, self.members_not_unique, len(self.faults)]
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


def await_the_end(scene: Scene, *, has_roles: bool = False) -> None:
    """Wait until the group has committed all that was fed; and where it only describes, until that is judged."""
    _await_group(scene, scene.group, scene.images)
    if has_roles:
        _await_group(scene, f"{scene.group}{DECIDERS}", scene.descriptors)


def _await_group(scene: Scene, group: str, topic: str) -> None:
    with KafkaAdminClient(bootstrap_servers=scene.address) as admin, closing(_reader(scene.address)) as reader:
        ends = reader.end_offsets(_partitions(reader, topic))

        def done() -> bool:
            offsets = offsets_of(admin, group) or {}
            return all(offsets.get(place, 0) >= end for place, end in ends.items())

        eventually(done, f"the group {group} at the end of {topic}", DRAIN_S)


def audit(scene: Scene, report: Report) -> None:
    """Compare what was fed with what was told and with what the index holds."""
    fed = {f"{record.topic}-{record.partition}-{record.offset}" for record in _records(scene.address, scene.images)}
    verdicts = [json.loads(record.value) for record in _records(scene.address, scene.verdicts)]
    letters = [dict(record.headers)["error.source"].decode() for record in _records(scene.address, scene.dead)]
    places = [_place(verdict["source"]) for verdict in verdicts]
    told = Counter([*places, *letters])
    report.fed, report.verdicts, report.dead_letters = len(fed), len(verdicts), len(letters)
    report.lost = len(fed - told.keys())
    report.doubled = sum(count > 1 for count in told.values())
    report.strangers = len(told.keys() - fed)
    uniques = {place for place, verdict in zip(places, verdicts, strict=True) if verdict["verdict"] == "unique"}
    report.uniques = len(uniques)
    _audit_index(scene, uniques, report)


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


def _place(source: dict[str, Any]) -> str:
    return f"{source['topic']}-{source['partition']}-{source['offset']}"


def _reader(address: str) -> Any:  # noqa: ANN401 - kafka-python has no types
    return KafkaConsumer(bootstrap_servers=address, isolation_level="read_committed")


def _partitions(reader: Any, topic: str) -> list[TopicPartition]:  # noqa: ANN401 - as above
    return [TopicPartition(topic, number) for number in sorted(reader.partitions_for_topic(topic))]


def _records(address: str, topic: str) -> Iterable[Any]:
    """Return all that read_committed readers see of a topic at this moment."""
    records: list[Any] = []
    with closing(_reader(address)) as reader:
        places = _partitions(reader, topic)
        reader.assign(places)
        reader.seek_to_beginning()
        ends = reader.end_offsets(places)

        def at_the_end() -> bool:
            for batch in reader.poll(200).values():
                records.extend(batch)
            return all(reader.position(place) >= end for place, end in ends.items())

        eventually(at_the_end, f"the end of {topic}", DRAIN_S)
    return records
