"""The same bytes again are described once, within a bound on memory, and give what they gave the first time."""

import gc
import threading
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray

from neardup.decoding.limits import DecodeLimits
from neardup.decoding.pool import Answer, DecodeHere, PrepareAll
from neardup.describe_batch import BatchDescriber, Compared
from neardup.descriptors.dct import DctDescriptor
from neardup.errors import BadInput, DecodeMemory, UndecodableImage
from neardup.relation.describing import Describer, Preparation, PreparedImage, View
from neardup.relation.rule import Relation
from neardup.repeats import ENTRY_BYTES, Awaited, Claim, Repeats
from neardup.types import Symmetry
from tests.support.processes import photo

MEBIBYTE = 1024 * 1024
RELATION = Relation(0.3, agreement=0.3, match_flips=True, match_parts=True)
IMAGES = [photo(seed) for seed in range(6)]


class Counting(DctDescriptor):
    """The real one, which notes how many inputs it describes."""

    def __init__(self) -> None:
        super().__init__()
        self.described = 0

    def features(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.described += len(prepared)
        return super().features(prepared)


@dataclass
class Decoder:
    """Decodes here, notes what, and describes, too, if it is told to."""

    light: bool
    decoded: list[bytes] = field(default_factory=list)
    meet: Callable[[bytes], object] = lambda _: None

    def preparing(self, preparation: Preparation) -> PrepareAll:
        """See `neardup.decoding.pool.Decoder`."""
        prepare_all = DecodeHere(DecodeLimits()).preparing(preparation)

        def noted(images: Iterable[bytes]) -> Iterator[bytes]:
            for image in images:
                self.decoded.append(image)
                self.meet(image)
                yield image

        def prepare(images: Iterable[bytes]) -> list[Answer]:
            answers = prepare_all(noted(images))
            if not self.light:
                return answers
            made = iter(preparation.described([each for each in answers if isinstance(each, PreparedImage)]))
            return [next(made) if isinstance(each, PreparedImage) else each for each in answers]

        return prepare

    def share(self, images: int) -> int:
        """See `neardup.decoding.pool.Decoder`."""
        return -(-images // 2)

    @property
    def has_idle(self) -> bool:
        """See `neardup.decoding.pool.Decoder`."""
        return False


@dataclass
class Place:
    """A way from bytes to what they are compared by."""

    batches: BatchDescriber
    decoder: Decoder
    descriptor: Counting
    counted: list[int]

    def __call__(self, *images: bytes) -> list[object]:
        """Return all that each image is compared by, or what is wrong with it, as what can be compared."""
        prepared: list[PreparedImage | BadInput] = self.batches.prepare(images, bytes)
        return [bits(compared) for compared in self.batches.describe(prepared)]


def bits(compared: Compared | BadInput) -> object:
    if isinstance(compared, BadInput):
        return type(compared), str(compared)
    return [
        (each.symmetry, each.part, each.descriptor.tobytes(), None if each.kept is None else each.kept.tobytes())
        for each in compared
    ]


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


Make = Callable[..., Place]


@pytest.fixture(params=[True, False], ids=["the decoder describes", "the service describes"])
def make(request: pytest.FixtureRequest, executor: ThreadPoolExecutor) -> Make:
    def place(budget_bytes: int = 16 * MEBIBYTE) -> Place:
        decoder, descriptor, counted = Decoder(request.param), Counting(), [0]

        def count() -> None:
            counted[0] += 1

        repeats = Repeats(budget_bytes, count)
        return Place(
            BatchDescriber(Describer(descriptor, RELATION), decoder, executor, repeats), decoder, descriptor, counted
        )

    return place


def test_the_same_bytes_are_decoded_and_described_once(make: Make) -> None:
    place, plain = make(), make(0)
    first = place(*IMAGES)
    inputs = place.descriptor.described
    assert place(*reversed(IMAGES)) == first[::-1] == plain(*reversed(IMAGES))
    assert sorted(place.decoder.decoded) == sorted(IMAGES)
    assert (place.descriptor.described, place.counted) == (inputs, [len(IMAGES)])


def test_another_byte_is_another_image(make: Make) -> None:
    place = make()
    assert place(IMAGES[0]) == place(IMAGES[0] + b"\0")
    assert (len(place.decoder.decoded), place.counted) == (2, [0])


def test_the_same_bytes_within_a_batch_are_decoded_and_described_once(make: Make) -> None:
    place, plain = make(), make(0)
    batch = [IMAGES[0], IMAGES[1], IMAGES[0], IMAGES[0], IMAGES[1], IMAGES[0]]
    assert place(*batch) == plain(*batch)
    assert sorted(place.decoder.decoded) == sorted(IMAGES[:2])
    assert place.counted == [4]
    assert 3 * place.descriptor.described == plain.descriptor.described


def test_the_same_bytes_in_two_batches_at_once_are_decoded_once(make: Make) -> None:
    place = make()
    begun, waits = threading.Event(), threading.Event()

    def meet(image: bytes) -> None:
        if image is IMAGES[0]:
            begun.set()
            assert waits.wait(60)  # until the other batch has come across it, too

    place.decoder.meet = meet
    wait_for = place.batches._repeats.await_other

    def await_other(image: Awaited) -> PreparedImage | None:
        waits.set()
        return wait_for(image)

    with (
        patch.object(place.batches._repeats, "await_other", await_other),
        ThreadPoolExecutor(1) as batches,
    ):
        one = batches.submit(place, IMAGES[0])
        assert begun.wait(60)
        other = place(IMAGES[1], IMAGES[0])
        assert one.result() == other[1:]
    assert sorted(place.decoder.decoded) == sorted(IMAGES[:2])
    assert place.counted == [1]


def test_errors_are_told_again_and_not_kept(make: Make) -> None:
    place, cut = make(), IMAGES[0][:-300]
    first = place(cut, b"garbage", cut)
    assert [type(each) for each in first] == [tuple] * 3
    assert place(cut, b"garbage", cut) == first
    assert place.decoder.decoded.count(b"garbage") == 2
    assert place.decoder.decoded.count(cut) == 4
    assert place.counted == [0]


def test_what_failed_by_chance_is_decoded_again(executor: ThreadPoolExecutor) -> None:
    answers: list[Answer] = [DecodeMemory("as others took it"), UndecodableImage("so it says"), PREPARED]

    class Unlucky(Decoder):
        def preparing(self, preparation: Preparation) -> PrepareAll:
            del preparation
            return lambda images: [answers.pop(0) for _ in images]

    batches = BatchDescriber(
        Describer(DctDescriptor(), Relation(0.3)), Unlucky(light=True), executor, Repeats(MEBIBYTE)
    )
    found: list[PreparedImage | BadInput] = batches.prepare([IMAGES[0]] * 2, bytes)
    # Whichever of the two has its turn first.
    assert {type(each) for each in found} == {DecodeMemory, UndecodableImage}
    again: list[PreparedImage | BadInput] = batches.prepare([IMAGES[0]], bytes)
    assert isinstance(again[0], PreparedImage)


def test_after_a_failure_of_the_reader_nobody_waits_for_what_it_had_begun(make: Make) -> None:
    place = make()

    def read(image: bytes) -> bytes:
        if image is IMAGES[1]:
            raise OSError("the store is away")
        return image

    with pytest.raises(OSError, match="the store is away"):
        place.batches.prepare([IMAGES[0], IMAGES[1]] * 2, read)
    assert place(IMAGES[0]) == make(0)(IMAGES[0])


def test_nothing_is_kept_without_a_budget(make: Make) -> None:
    place = make(0)
    assert place(IMAGES[0], IMAGES[0]) == place(IMAGES[0], IMAGES[0])
    assert (len(place.decoder.decoded), place.counted) == (4, [0])


# The bound


PREPARED = PreparedImage(
    (View(Symmetry.NONE),), (), (np.arange(200, dtype=np.uint8),), descriptors=np.ones((1, 64), dtype=np.float16)
)


def shown(repeats: Repeats, *numbers: int) -> list[bool]:
    """Show images that are called by numbers; return which had to be decoded."""
    decoded = []
    for number in numbers:
        found = repeats.ask(b"%d" % number)
        decoded.append(isinstance(found, Claim))
        if isinstance(found, Claim):
            repeats.settle(found, PREPARED)
    return decoded


def entry_bytes() -> int:
    repeats = Repeats(MEBIBYTE)
    shown(repeats, 0)
    return repeats.nbytes


def test_the_least_recently_used_goes_first() -> None:
    repeats = Repeats(3 * entry_bytes())
    assert shown(repeats, 1, 2, 3) == [True] * 3
    assert shown(repeats, 1, 3, 4) == [False, False, True]
    assert shown(repeats, 1, 3, 4) == [False] * 3
    assert shown(repeats, 2) == [True]
    assert shown(repeats, 3, 4, 2) == [False] * 3
    assert repeats.nbytes == 3 * entry_bytes()


@pytest.mark.parametrize("missing", [1, ENTRY_BYTES])
def test_what_is_too_large_is_not_kept(missing: int) -> None:
    repeats = Repeats(entry_bytes() - missing)
    assert shown(repeats, 1, 1, 2, 1) == [True] * 4
    assert repeats.nbytes == 0


@pytest.mark.parametrize("images", [3000, 20_000])
def test_the_bound_holds_for_what_is_really_held(images: int) -> None:
    budget = images // 2 * entry_bytes()
    repeats = Repeats(budget)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        shown(repeats, *range(images))
        gc.collect()  # the interpreter keeps some memory of tuples that are gone
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert budget * 0.7 < held <= budget


def test_an_image_that_is_kept_keeps_nothing_else_alive() -> None:
    repeats, whole = Repeats(MEBIBYTE), np.zeros((1000, 64), dtype=np.float16)
    claim = repeats.ask(b"image")
    assert isinstance(claim, Claim)
    repeats.settle(claim, PreparedImage((View(Symmetry.NONE),), (), (None,), descriptors=whole[:1]))
    found = repeats.ask(b"image")
    assert isinstance(found, PreparedImage)
    assert found.descriptors is not None
    assert found.descriptors.base is None or getattr(found.descriptors.base, "nbytes", 0) <= 128


def test_an_undescribed_image_is_held_only_as_long_as_somebody_has_it() -> None:
    repeats = Repeats(MEBIBYTE)
    claim = repeats.ask(b"image")
    assert isinstance(claim, Claim)
    undescribed = PreparedImage((View(Symmetry.NONE),), (np.zeros(9, dtype=np.uint8),), (None,))
    held = [repeats.settle(claim, undescribed)]
    del claim
    assert repeats.ask(b"image") is held[0]
    held.clear()
    assert isinstance(repeats.ask(b"image"), Claim)
    assert repeats.nbytes == 0


def test_many_threads_agree(make: Make) -> None:
    place, plain = make(), make(0)
    expected = dict(zip(IMAGES, plain(*IMAGES), strict=True))

    def judged(seed: int) -> Sequence[tuple[object, object]]:
        batch = [IMAGES[number] for number in np.random.default_rng(seed).integers(0, len(IMAGES), 8)]
        return list(zip(place(*batch), map(expected.__getitem__, batch), strict=True))

    with ThreadPoolExecutor(4) as threads:
        assert all(one == other for batch in threads.map(judged, range(20)) for one, other in batch)
    assert sorted(place.decoder.decoded) == sorted(IMAGES)
