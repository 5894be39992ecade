"""Seeds described by an engine: each piece of them is read, decoded and described where it is done.

A process keeps its descriptor and its decoder from piece to piece.
"""

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from bootstrap.seeds.describe import Answer, DescribedSeeds, collected, read_seed
from neardup.decoding.limits import DecodeLimits, WorkLimits
from neardup.decoding.pool import open_decoder
from neardup.describe_batch import BATCH, BatchDescriber
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.descriptors.pca import Pca
from neardup.descriptors.projected import pca_of, projected
from neardup.engine import Engine, with_pieces
from neardup.errors import BadInput, Misconfigured
from neardup.relation.describing import Describer, PreparedImage
from neardup.relation.rule import Relation
from neardup.sources.images import EncodedImage, FileImage, SourceImage

Sent = EncodedImage | PreparedImage | bytes | BadInput | OSError
"""A seed on its way: to be read where it is described, or read here already."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a process needs to describe as all others do.

    Attributes
    ----------
    spec, weights, pca
        Of the descriptor.
    fingerprint
        Which it should have.
    relation
        What else is compared.
    limits, work_limits
        As in `describe_seeds`.
    """

    spec: str
    weights: str | None
    pca: Pca | None
    fingerprint: str
    relation: Relation
    limits: DecodeLimits
    work_limits: WorkLimits | None

    @property
    def name(self) -> str:
        """Equal for equal recipes."""
        return repr((self.fingerprint, self.weights, self.relation, self.limits, self.work_limits))


def describe_spread(
    seeds: Iterable[SourceImage],
    descriptor: Descriptor,
    relation: Relation,
    engine: Engine,
    *,
    weights: str | None = None,
    limits: DecodeLimits,
    work_limits: WorkLimits | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> DescribedSeeds:
    """Describe seeds as `bootstrap.seeds.describe.describe_seeds` does, to the bit, by an engine.

    Files are read where they are described, at the path that they have here; frames of clips are decoded here.

    Parameters
    ----------
    weights
        The descriptor's file of weights, which is read there, too.

    Raises
    ------
    Misconfigured
        No seed is a readable image, or the descriptor is another one there.
    """
    # There the current folder is another one.
    weights = str(Path(weights).absolute()) if weights and Path(weights).exists() else weights
    recipe = Recipe(descriptor.spec, weights, pca_of(descriptor), descriptor.fingerprint, relation, limits, work_limits)
    held = engine.hold(recipe)

    describer = Describer(descriptor, relation)

    def read(seed: SourceImage) -> Sent:
        # The pixels of a frame are here, and large.
        return seed if isinstance(seed, EncodedImage) else read_seed(seed, describer, limits)

    def compared(taken: Iterable[SourceImage]) -> Iterator[list[Answer]]:
        for batch, (machine, answers) in with_pieces(engine, _described, _batches(map(read, taken)), held):
            for sent, answer in zip(batch, answers, strict=True):
                if isinstance(sent, FileImage) and isinstance(answer, OSError):
                    _require_unreadable(sent, answer, machine, limits)
            yield answers

    return collected(seeds, compared, describer, progress)


def _batches(sent: Iterable[Sent]) -> Iterator[list[Sent]]:
    remaining = iter(sent)
    while batch := list(islice(remaining, BATCH)):
        yield batch


def _require_unreadable(image: FileImage, error: OSError, machine: str, limits: DecodeLimits) -> None:
    """Refuse a machine that cannot read what can be read here: its images would be missing, by chance."""
    try:
        image.encoded(limits.max_bytes)
    except (BadInput, OSError):
        return
    raise Misconfigured(
        f"{image.path} can be read here, but not on {machine} ({error.strerror or error}): mount the seeds under the "
        "same path on all machines of the cluster"
    )


class _Place:
    """Where a process describes: by one recipe at a time."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._open = ExitStack()

    def described(self, batch: Sequence[Sent], recipe: Recipe) -> list[Answer]:
        if recipe.name != self._name:
            self._prepare(recipe)
        return self._path.describe(self._path.prepare(batch, self._read))

    def _prepare(self, recipe: Recipe) -> None:
        self._open.close()
        self._name = None
        descriptor = projected(load_descriptor(recipe.spec, recipe.weights), recipe.pca)
        if descriptor.fingerprint != recipe.fingerprint:
            raise Misconfigured(
                f"descriptor {recipe.spec!r} is {descriptor.fingerprint} on a machine of the cluster, and "
                f"{recipe.fingerprint} here: install the same packages, and give both the same weights"
            )
        describer = Describer(descriptor, recipe.relation)
        decoder = self._open.enter_context(open_decoder(1, recipe.limits, recipe.work_limits))
        executor = self._open.enter_context(ThreadPoolExecutor(1, thread_name_prefix="decode"))
        self._path = BatchDescriber(describer, decoder, executor)
        self._read = partial(_read, describer=describer, limits=recipe.limits)
        self._name = recipe.name


_PLACE = _Place()


def _read(sent: Sent, describer: Describer, limits: DecodeLimits) -> bytes | PreparedImage | BadInput | OSError:
    return read_seed(sent, describer, limits) if isinstance(sent, EncodedImage) else sent


def _described(batch: Sequence[Sent], recipe: Recipe) -> tuple[str, list[Answer]]:
    """Return which machine this is, and what each image is compared by."""
    return socket.gethostname(), _PLACE.described(batch, recipe)
