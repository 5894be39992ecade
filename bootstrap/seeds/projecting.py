"""Describing a seed set by a descriptor whose projection is fit on that very seed set."""

import logging
from collections.abc import Callable, Iterable
from itertools import islice

from bootstrap.seeds.describe import DescribedSeeds
from bootstrap.settings import AUTO, AUTO_ABOVE, AUTO_COMPONENTS, OFF
from neardup.descriptors.base import Descriptor
from neardup.descriptors.pca import Pca, fit_pca
from neardup.descriptors.projected import ProjectedDescriptor
from neardup.errors import Misconfigured
from neardup.sources.files import ImageSet
from neardup.sources.images import SourceImage

_SAMPLE_ROWS = 5000
_SAMPLE_NUMBERS = 1 << 26
"""Of the raw descriptors that components are fit on: 128 MiB as float16, three times that while they are fit."""

_LOG = logging.getLogger(__name__)

Describe = Callable[[Iterable[SourceImage], int | None, Descriptor], DescribedSeeds]
"""Describes images, of which there are so many (None: unknown), by a descriptor."""


def components_for(project: int | str, dimension: int) -> int | None:
    """Return how many components ``--project`` asks for with a descriptor of this length; None for no projection."""
    if project == AUTO:
        return AUTO_COMPONENTS if dimension > AUTO_ABOVE else None
    return None if project == OFF else int(project)


def reusable(live: tuple[str, Pca] | None, raw: Descriptor, wanted: int, *, whiten: bool) -> Pca | None:
    """Return the live generation's components where they are what would be asked for again.

    Its members can be carried over only as long as the projection stays the same.

    Parameters
    ----------
    live
        Fingerprint of the live generation's descriptor, and its components.
    raw
        The descriptor without projection.
    wanted, whiten
        What is asked for.
    """
    if live is None:
        return None
    fingerprint, pca = live
    same = (pca.wanted, pca.whiten) == (wanted, whiten) and fingerprint == f"{raw.fingerprint}+{pca.fingerprint}"
    return pca if same else None


def describe_projected(
    seeds: ImageSet,
    raw: Descriptor,
    describe: Describe,
    project: int | str,
    *,
    whiten: bool,
    live: tuple[str, Pca] | None = None,
) -> tuple[Descriptor, DescribedSeeds]:
    """Describe seeds, and project them if asked to; return the descriptor that did it, too.

    Components are fit on at most 5,000 images, evenly spread, and fewer of very long descriptors; no more raw
    descriptors are ever in memory. The images of a larger seed set's sample are described twice.

    Parameters
    ----------
    seeds
        The seed set.
    raw
        What describes.
    describe
        See `Describe`.
    project
        Components, at most, or a word; see `components_for`. Without any, the seeds are described as they are.
    whiten
        Whether each counts the same.
    live
        As in `reusable`; None fits new ones.

    Raises
    ------
    Misconfigured
        No seed is readable, or they vary in fewer than two directions.
    """
    wanted = components_for(project, raw.dimension)
    if wanted is None:
        return raw, describe(seeds, seeds.total, raw)
    again = reusable(live, raw, wanted, whiten=whiten)
    if again is not None:
        _LOG.info("reusing the projection of the live generation; --fresh fits a new one")
        descriptor = ProjectedDescriptor(raw, again)
        return descriptor, describe(seeds, seeds.total, descriptor)
    total = sum(1 for _ in seeds) if seeds.total is None else seeds.total
    step = max(1, -(-total // min(_SAMPLE_ROWS, max(1, _SAMPLE_NUMBERS // raw.dimension))))
    sample = describe(islice(seeds, 0, None, step), -(-total // step), raw)
    descriptor = ProjectedDescriptor(raw, _fitted(sample, wanted, whiten=whiten))
    if step > 1:
        return descriptor, describe(seeds, total, descriptor)
    return descriptor, sample.described_by(descriptor.project)


def _fitted(sample: DescribedSeeds, wanted: int, *, whiten: bool) -> Pca:
    rows, dimension = sample.descriptors.shape
    try:
        pca = fit_pca(sample.descriptors, wanted, whiten=whiten)
    except Misconfigured as exc:
        raise Misconfigured(f"--project: {exc}") from exc
    if pca.components < wanted:
        _LOG.warning(
            "--project %d: %d seed images of %d numbers vary in only %d directions: that many components are kept",
            wanted,
            rows,
            dimension,
            pca.components,
        )
    else:
        _LOG.info("%d numbers become %d, fit on %d images", dimension, pca.components, rows)
    return pca
