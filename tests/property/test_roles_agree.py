"""Whatever goes which way, verdicts are those of one consumer that does all, to the byte."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.handler import Steps
from consumer.health import Health
from consumer.messages import ImageMessage, OutgoingMessage
from consumer.metrics import Metrics
from consumer.service import turn
from consumer.settings import ServiceSettings
from consumer.transport.at_least_once import AtLeastOnceDelivery
from consumer.transport.memory import MemorySink, MemorySource
from neardup.index.memory import MemoryIndex
from neardup.relation.looks.second_look import DEFAULT_AGREEMENT
from neardup.relation.rule import Relation
from tests.support.processes import photo
from tests.support.roles import DCT, Head, deciding, delivered, describing, judging, meta_of

RADIUS = DCT.default_radius
RELATIONS = (
    Relation(RADIUS),
    Relation(RADIUS, local_change=3.0, match_flips=True),
    Relation(RADIUS, agreement=DEFAULT_AGREEMENT, match_rotations=True, match_parts=True),
)
VALUES = [
    *(photo(seed, size=(80, 60)) for seed in range(4)),
    *(photo(seed, 50, (80, 60)) for seed in range(3)),
    b"garbage",
    None,
]
STREAM = st.lists(st.tuples(st.sampled_from(range(len(VALUES))), st.integers(0, 2)), max_size=24)
"""Which picture, and in which partition."""


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def messages_of(stream: list[tuple[int, int]]) -> list[ImageMessage]:
    ends = [0, 0, 0]
    found = []
    for number, (value, partition) in enumerate(stream):
        headers = (("camera", b"%d" % number),) if number % 3 else ()
        key = None if number % 2 else b"key"
        place = ("images", partition, ends[partition], 1_700_000_000_000 + number)
        found.append(ImageMessage(*place, key, VALUES[value], headers))
        ends[partition] += 1
    return found


def turned(steps: Steps, messages: list[ImageMessage], batch_size: int) -> list[OutgoingMessage]:
    """Return what the loop publishes of messages, in order."""
    published: list[OutgoingMessage] = []
    source = MemorySource(messages)
    turn(
        ServiceSettings(batch_size=batch_size),
        steps,
        source,
        AtLeastOnceDelivery(source, MemorySink(published.append)),
        metrics=Metrics(),
        health=Health(),
        stop=Event(),
        refresh=lambda: None,
        poll_timeout_s=0.1,
        max_wait_ms=0.0,
    )
    return published


@settings(max_examples=25)
@given(
    stream=STREAM,
    relation=st.sampled_from(RELATIONS),
    batches=st.tuples(*[st.integers(1, 9)] * 3),
    cuts=st.lists(st.tuples(st.integers(0, 24), st.sampled_from(["all", "roles", "again"])), max_size=5),
)
def test_verdicts_are_those_of_one_consumer(
    executor: ThreadPoolExecutor,
    stream: list[tuple[int, int]],
    relation: Relation,
    batches: tuple[int, int, int],
    cuts: list[tuple[int, str]],
) -> None:
    """Parts of a stream go through one consumer or through two, and some of them again through the other."""
    messages = messages_of(stream)
    wanted = turned(judging(MemoryIndex(meta_of(relation)), executor), messages, batches[0])
    index, told = MemoryIndex(meta_of(relation)), []
    whole, first, second = judging(index, executor), describing(Head(index.meta), executor), deciding(index)

    def by_roles(part: list[ImageMessage]) -> list[OutgoingMessage]:
        described = turned(first, part, batches[1])
        verdicts = iter(turned(second, delivered(described), batches[2]))
        return [next(verdicts) if each.topic == "descriptors" else each for each in described]

    begin = 0
    for end, way in [*sorted(cuts), (len(messages), "roles")]:
        part = messages[begin:end]
        told += turned(whole, part, batches[0]) if way == "all" else by_roles(part)
        if way == "again":
            assert by_roles(part) == told[len(told) - len(part) :] == turned(whole, part, batches[0])
        begin = max(begin, end)
    assert told == wanted
    assert [member.key for member in index.members()] == [
        f"images-{partition}-{offset}" for partition, offset in unique_places(wanted)
    ]


def unique_places(sent: list[OutgoingMessage]) -> list[tuple[int, int]]:
    """Return partition and offset of what was unique, in order."""
    documents = [json.loads(each.value or b"") for each in sent if each.topic == "verdicts"]
    sources = [document["source"] for document in documents if document["verdict"] == "unique"]
    return [(source["partition"], source["offset"]) for source in sources]
