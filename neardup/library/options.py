"""The options that functions share, checked: which descriptor, and what makes a duplicate."""

from functools import lru_cache

from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.descriptors.names import hardly_sees_turns
from neardup.errors import Misconfigured
from neardup.relation.rule import Relation

_LARGEST_RADIUS = 2.0
_LARGEST_CHANGE = 255.0
_LARGEST_AGREEMENT = 1.0
_FROM_FILES = ("file:", "copynet:")
"""Descriptors of the user's own files, which may have changed since."""
_HELD = 4


def descriptor_of(spec: str) -> Descriptor:
    """Return the descriptor of that name; those that ship are loaded once.

    Raises
    ------
    Misconfigured
        There is no such descriptor, or its weights are not available.
    """
    return load_descriptor(spec) if spec.startswith(_FROM_FILES) else _shipped(spec)


@lru_cache(_HELD)
def _shipped(spec: str) -> Descriptor:
    return load_descriptor(spec)


def relation_of(
    descriptor: Descriptor,
    *,
    radius: float | None,
    local_change: float | None,
    agreement: float | None,
    **switches: bool,
) -> Relation:
    """Return when an image is a duplicate of another; a radius of None is the descriptor's own.

    The switches are those of symmetries and parts; see `neardup.relation.symmetry.Switches`.

    Raises
    ------
    Misconfigured
        A number is out of its range, or a switch needs another option.
    """
    radius = descriptor.radius_for(agreement) if radius is None else radius
    require_within("radius", radius, _LARGEST_RADIUS)
    if local_change is not None:
        require_within("local_change", local_change, _LARGEST_CHANGE)
    if agreement is not None:
        require_within("agreement", agreement, _LARGEST_AGREEMENT)
    return Relation(
        float(radius),
        None if local_change is None else float(local_change),
        None if agreement is None else float(agreement),
        hardly_sees_turns(descriptor.spec),
        **switches,
    )


def require_within(name: str, value: float, largest: float) -> None:
    """Refuse a number outside 0 to `largest`, NaN among them.

    Raises
    ------
    Misconfigured
        With the option's name.
    """
    if not 0.0 <= value <= largest:
        raise Misconfigured(f"{name} should be a number from 0 to {largest:g}, not {value!r}")


def require_workers(workers: int | None) -> None:
    """Refuse an invalid number of processes.

    Raises
    ------
    Misconfigured
        It is below 1.
    """
    if workers is not None and workers < 1:
        raise Misconfigured(f"workers should be 1 or more, not {workers!r}")
