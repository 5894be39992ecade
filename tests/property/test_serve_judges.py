"""The same images get the same verdicts over HTTP as in the stream, whatever is compared and however they come."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from consumer.claim_checks.reader import UriReader
from consumer.handler import Handler, OutputTopics
from consumer.messages import ImageMessage
from consumer.metrics import Metrics
from consumer.serve.settings import ServeSettings
from neardup.decoding.limits import DecodeLimits
from neardup.decoding.pool import DecodeHere
from neardup.descriptors.dct import DctDescriptor
from neardup.index.base import IndexMeta
from neardup.index.build import GenerationBuild
from neardup.index.memory import MemoryIndex
from neardup.index.stored.connection import connect
from neardup.relation.looks.second_look import DEFAULT_AGREEMENT
from neardup.relation.rule import Relation
from neardup.search.cells import Cells
from neardup.search.sketches import fit_sketcher
from tests.support.indexes import new_name, with_relation
from tests.support.processes import photo
from tests.support.serving import Client, serving

pytestmark = [pytest.mark.redis, pytest.mark.slow]

DCT = DctDescriptor()
FILES = [
    *(photo(seed, size=(80, 60)) for seed in range(4)),
    *(photo(seed, 50, (80, 60)) for seed in range(3)),
    photo(1, size=(40, 30)),
    photo(1, size=(80, 60))[:-150],
    b"garbage",
]
ROWS = DCT.describe(
    [DCT.prepare(np.random.default_rng(seed).integers(0, 256, (60, 80, 3), np.uint8)) for seed in range(9)]
)
CENTROIDS, SKETCHER = ROWS[:3].astype(np.float32), fit_sketcher(ROWS, 4)
RELATIONS = {
    "radius": Relation(DCT.default_radius),
    "flips": Relation(DCT.default_radius, match_flips=True, match_rotations=True),
    "look": Relation(DCT.default_radius, agreement=DEFAULT_AGREEMENT, match_flips=True, match_parts=True),
    "change": Relation(DCT.default_radius, local_change=3.0),
}
SENT = st.lists(st.tuples(st.integers(0, len(FILES) - 1), st.integers(0, 5)), min_size=1, max_size=8)
"""Which file, and under which key of a few."""
DISTANCES = ("distance", "similarity")
TOLD = (
    *("image_id", "verdict", "duplicate_of", "radius", "local_change", "symmetry", "cluster"),
    *("agreement", "agreement_needed", "edit", "descriptor", "captured_at"),
)


@contextmanager
def stream(meta: IndexMeta) -> Iterator[Handler]:
    """Give a consumer's handler on an index in memory, the specification of all others."""
    with ThreadPoolExecutor(2) as executor:
        yield Handler(
            descriptor=DCT,
            index=MemoryIndex(meta, Cells(CENTROIDS)),
            topics=OutputTopics("verdicts", "dead"),
            executor=executor,
            decoder=DecodeHere(DecodeLimits()),
            uris=UriReader([], 1),
            metrics=Metrics(),
        )


def message(number: int, key: str) -> ImageMessage:
    at = 1_767_225_600_000
    headers = (("image_id", f"id of {key}".encode()), ("captured_at", str(at).encode()))
    return ImageMessage("http", 0, 0, at, None, FILES[number], headers, identity=f"http:{key}")


@pytest.fixture(scope="module", params=list(RELATIONS))
def served(request: pytest.FixtureRequest, redis_url: str) -> Iterator[tuple[IndexMeta, Client]]:
    """Give a service on an index without members, and what the index is made for."""
    with connect(redis_url) as client:
        meta = with_relation(
            IndexMeta(new_name(), 0, "dct", DCT.fingerprint, DCT.dimension, DCT.default_radius),
            RELATIONS[request.param],
        )
        published = GenerationBuild(client, meta, CENTROIDS, SKETCHER).publish()
    with serving(ServeSettings(redis_url=redis_url, index=meta.name)) as http:
        yield published, http


runs = iter(range(1_000_000))


@pytest.mark.parametrize("together", [False, True])
def test_verdicts_are_those_of_the_stream(
    served: tuple[IndexMeta, Client],
    redis_url: str,
    together: bool,  # noqa: FBT001
) -> None:
    meta, http = served

    @settings(max_examples=5, phases=[Phase.generate])
    @given(sent=SENT)
    def check(sent: list[tuple[int, int]]) -> None:
        run = next(runs)
        with connect(redis_url) as client:  # a new generation has no members, and the service follows
            GenerationBuild(client, meta, CENTROIDS, SKETCHER).publish()
        keyed = [(number, f"{run}-{key}") for number, key in sent]
        with stream(meta) as handler, ThreadPoolExecutor(len(sent)) as threads:
            asking = threads.map if together else map
            answers = list(asking(lambda each: ask(http, *each), keyed))
            if together:
                # In which order they were decided is not known; the uniques came before what duplicates them.
                assert_one_unique_each(keyed, answers)
                return
            outcomes = [handler.decide(handler.describe([message(*each)]))[0] for each in keyed]
        for answer, outcome in zip(answers, outcomes, strict=True):
            if outcome.error is not None:
                assert (answer["status"], answer["reason"]) == (422, outcome.error.reason)
            else:
                truth = json.loads(outcome.outgoing[0].value or b"")
                # How near a unique's nearest neighbour is, an index in Redis tells of its own cluster alone.
                names = [*TOLD, *(DISTANCES if truth["verdict"] == "duplicate" else ())]
                assert {name: answer.get(name) for name in names} == {name: truth.get(name) for name in names}

    check()


def ask(http: Client, number: int, key: str) -> dict[str, object]:
    query = f"?image_id=id%20of%20{key}&captured_at=1767225600000"
    return http.judge(FILES[number], f"/judge{query}", Idempotency_Key=key).document


def assert_one_unique_each(keyed: list[tuple[int, str]], answers: list[dict[str, object]]) -> None:
    """Check that of identical files under different keys no more than one is unique, and that a key has one verdict."""
    verdicts: dict[str, set[object]] = {}
    uniques: dict[int, set[str]] = {}
    for (number, key), answer in zip(keyed, answers, strict=True):
        if "verdict" in answer:
            verdicts.setdefault(key, set()).add((answer["verdict"], answer["duplicate_of"]))
            if answer["verdict"] == "unique":
                uniques.setdefault(number, set()).add(key)
    assert all(len(told) == 1 for told in verdicts.values())
    keys_of: dict[str, set[int]] = {}
    for number, key in keyed:
        keys_of.setdefault(key, set()).add(number)
    for keys in uniques.values():
        # A key that was sent with several files was judged by one of them.
        assert len([key for key in keys if len(keys_of[key]) == 1]) <= 1
