from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from neardup.decoding.limits import DecodeLimits
from neardup.decoding.pool import DecodeHere
from neardup.describe_batch import BatchDescriber, Compared
from neardup.descriptors.pixels import PixelsDescriptor
from neardup.errors import BadInput, EmptyImage, UndecodableImage, Undescribable
from neardup.relation.describing import Describer, PreparedImage
from neardup.relation.rule import Relation
from tests.support.processes import photo

THREADS = 2


class Picky(PixelsDescriptor):
    """Cannot describe black images."""

    def features(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        features = super().features(prepared)
        features[~prepared.reshape(len(prepared), -1).any(axis=1)] = np.nan
        return features


DESCRIBER = Describer(Picky(8), Relation(0.1, match_flips=True))
BLACK = DESCRIBER.prepare(np.zeros((8, 8, 3), dtype=np.uint8))


@pytest.fixture
def batch() -> Iterator[BatchDescriber]:
    with ThreadPoolExecutor(THREADS) as executor:
        yield BatchDescriber(DESCRIBER, DecodeHere(DecodeLimits()), executor)


Encoded = bytes | PreparedImage | BadInput | OSError


def as_it_is(item: Encoded) -> Encoded:
    return item


def rows(results: list[Compared | BadInput | OSError]) -> list[list[list[float]] | type[Exception]]:
    """Return the numbers of each image and of its mirrored ones, or what kind of error stands in its place."""
    return [
        type(result) if isinstance(result, Exception) else [each.descriptor.tolist() for each in result]
        for result in results
    ]


def test_each_image_or_what_is_wrong_with_it_comes_in_its_place(batch: BatchDescriber) -> None:
    closed, empty = OSError("closed"), EmptyImage("nothing")
    items: list[Encoded] = [photo(1), closed, b"garbage", photo(2), empty, photo(3)]
    results = batch.describe(batch.prepare(items, as_it_is))
    assert (results[1], results[4]) == (closed, empty)
    assert [type(each) for each in results if isinstance(each, Exception)] == [OSError, UndecodableImage, EmptyImage]
    alone = [rows(batch.describe(batch.prepare([item], as_it_is)))[0] for item in items]
    assert rows(results) == alone
    assert isinstance(results[0], tuple)
    assert [(variant.symmetry, variant.part) for variant in results[0]] == [
        (symmetry, None) for symmetry in DESCRIBER.symmetries
    ]


def test_what_cannot_be_described_spoils_no_other(batch: BatchDescriber) -> None:
    items: list[Encoded] = [photo(1), BLACK, photo(2), BLACK]
    results = rows(batch.describe(batch.prepare(items, as_it_is)))
    good = rows(batch.describe(batch.prepare([photo(1), photo(2)], as_it_is)))
    assert results == [good[0], Undescribable, good[1], Undescribable]


def test_nothing_comes_to_nothing(batch: BatchDescriber) -> None:
    assert batch.describe(batch.prepare([], as_it_is)) == []


def test_a_long_row_of_images_is_read_a_few_at_a_time_and_as_a_batch_would_be(batch: BatchDescriber) -> None:
    taken: list[int] = []

    def seeds() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    def read(number: int) -> bytes | BadInput:
        return photo(number) if number % 7 else EmptyImage(f"{number}")

    few: Iterator[PreparedImage | BadInput] = batch.prepare_few(seeds(), read, THREADS)
    results: list[PreparedImage | BadInput] = []
    for done, prepared in enumerate(few):
        results.append(prepared)
        assert len(taken) - done <= 4 * THREADS + 1
    together: list[PreparedImage | BadInput] = batch.prepare(range(100), read)
    assert rows(batch.describe(results)) == rows(batch.describe(together))


def test_after_an_error_nothing_more_is_read(batch: BatchDescriber) -> None:
    begun: list[int] = []

    def read(number: int) -> bytes:
        begun.append(number)
        raise RuntimeError("a fault of the program")

    few: Iterator[PreparedImage | BadInput] = batch.prepare_few(range(100), read, THREADS)
    with pytest.raises(RuntimeError, match="a fault of the program"):
        next(few)
    assert len(begun) <= 4 * THREADS
