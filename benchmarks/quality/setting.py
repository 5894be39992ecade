"""A whole setting, as its users get it: what describes images, and everything that makes one a duplicate of another.

The other parts of the evaluation measure descriptors by distances. This one asks the relation itself for its verdicts:
what is added to the relation is measured without a change here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any

import numpy as np

from neardup.decoding.decode import decode
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.descriptors.names import DCT, hardly_sees_turns
from neardup.relation.comparison import Comparison, compare_described
from neardup.relation.describing import Describer
from neardup.relation.rule import Relation
from neardup.search.distance import l2_distances
from neardup.settings.profiles import PROFILES
from neardup.types import Variant, Verdict

MEASURED = "scraper"
"""The profile for pictures from the web: what its users want is to find such copies as are made here."""
_BLOCK_ROWS = 1024

Described = tuple[Variant, ...]
"""An image as it is compared: as it came, then after each symmetry."""


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Attributes
    ----------
    name
        For people: a profile, or a descriptor.
    spec
        The descriptor.
    relation
        Decides by the descriptor, and by whatever else it asks for.
    """

    name: str
    spec: str
    relation: Relation

    @property
    def facts(self) -> dict[str, Any]:
        """What the results say of it."""
        return {"setting": self.name, "descriptor": self.spec, **asdict(self.relation)}


def settings(radius: float | None = None) -> tuple[Setting, ...]:
    """Return the measured profile, by another radius if one is told, and ``dct`` as it ships beside it."""
    given = {} if radius is None else {"radius": radius}
    return setting_of(MEASURED, {**PROFILES[MEASURED], **given}), setting_of(DCT, {"descriptor": DCT})


def setting_of(name: str, told: Mapping[str, Any]) -> Setting:
    """Return the setting that holds what is told.

    The radius is else what calibration takes at most: ordinary photos allow it.
    """
    spec, descriptor = str(told["descriptor"]), _loaded(str(told["descriptor"]))
    radius = descriptor.radius_for(told.get("agreement"))
    known = {field.name: told[field.name] for field in fields(Relation) if field.name in told}
    return Setting(
        name,
        spec,
        Relation(**{"radius": radius, "turned_by_look": hardly_sees_turns(spec), **known}),
    )


@cache
def _loaded(spec: str) -> Descriptor:
    return load_descriptor(spec)


def described(setting: Setting, images: Sequence[bytes]) -> list[Described]:
    """Decode and describe encoded images as the service does."""
    describer = Describer(_loaded(setting.spec), setting.relation)
    return describer.describe([describer.prepare(decode(data, reduce_to_px=describer.reduce_to_px)) for data in images])


def compared(setting: Setting, image: Described, other: Described) -> Comparison:
    """Compare a later image with an earlier one."""
    return compare_described(image, other, setting.relation, _loaded(setting.spec).fingerprint)


def is_found(comparison: Comparison) -> bool:
    """Tell whether the later image was found to be a duplicate."""
    return comparison.verdict is Verdict.DUPLICATE


def duplicate_pairs(setting: Setting, images: Sequence[Described]) -> list[tuple[float, int, int]]:
    """Return the distance and the numbers (earlier, later) of all images that are called duplicates, nearest first.

    Only pairs within the radius are compared by more than their distance.
    """
    pairs = (
        (earlier, later, compared(setting, images[later], images[earlier])) for earlier, later in _near(setting, images)
    )
    return sorted((found.distance, earlier, later) for earlier, later, found in pairs if is_found(found))


def _near(setting: Setting, images: Sequence[Described]) -> list[tuple[int, int]]:
    """Return the numbers (earlier, later) of images of which a variant of the later one lies within the radius."""
    if not images:
        return []
    near: set[tuple[int, int]] = set()
    stored = np.stack([image[0].descriptor for image in images])
    rows = np.stack([variant.descriptor for image in images for variant in image])
    owners = np.repeat(np.arange(len(images)), [len(image) for image in images])
    for start in range(0, len(rows), _BLOCK_ROWS):
        later, earlier = np.nonzero(l2_distances(rows[start : start + _BLOCK_ROWS], stored) <= setting.relation.radius)
        later = owners[start + later]
        near.update(zip(earlier[earlier < later].tolist(), later[earlier < later].tolist(), strict=True))
    return sorted(near)


def count_pairs(images: int) -> int:
    """Return how many pairs so many images make."""
    return images * (images - 1) // 2
