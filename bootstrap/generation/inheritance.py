"""What a bootstrap takes over from the live generation where its settings say nothing, and what it changes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import redis

from bootstrap.seeds.projecting import components_for, reusable
from bootstrap.settings import OFF, Settings
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.descriptors.names import hardly_sees_turns
from neardup.descriptors.pca import Pca
from neardup.errors import CorruptIndex, IndexMismatch
from neardup.index.base import IndexMeta
from neardup.index.carry import check_carrying, find_whole
from neardup.index.descriptor import fitted_to
from neardup.index.live import Live, live_generation
from neardup.relation.kept import Parts
from neardup.relation.rule import Relation
from neardup.relation.symmetry import SWITCHES, switches_of
from neardup.settings.profiles import Auto

_FREE = ("local_change", "agreement", *SWITCHES)
"""Inherited one by one, under the name that the settings have for it, too."""
INHERITED = ("descriptor", "pca", "radius", "calibration", *_FREE)
"""Fields of `IndexMeta` that the next generation has from the live one, unless a setting says otherwise."""
MADE_ANEW: Mapping[str, str] = {
    "name": "which index it is",
    "generation": "each has its own number",
    "fingerprint": "follows from descriptor and pca",
    "dimension": "follows from descriptor and pca",
    "clusters": "as many as the members of the next generation need",
    "seed": "counted",
    "created_at": "the moment",
    "carried_from": "the live one, if members are carried over",
    "format_version": "that of this version",
}
"""All other fields, and why they are not inherited."""


@dataclass(frozen=True, slots=True)
class Before:
    """What is live when a bootstrap begins.

    Attributes
    ----------
    generation
        Its number; None when nothing is live.
    live
        Its head; None, too, when nothing of it matters (``--fresh``), or another version of neardup wrote it.
    obstacle
        Why none of its members can be carried over; empty when they can.
    """

    generation: int | None = None
    live: Live | None = None
    obstacle: str = ""

    @property
    def meta(self) -> IndexMeta | None:
        """Its metadata, if they can be read."""
        return self.live.meta if self.live else None


@dataclass(frozen=True, slots=True)
class Start:
    """With what a bootstrap of seeds begins.

    Attributes
    ----------
    settings
        Complete: what was not given is inherited.
    raw
        The descriptor, without projection.
    before
        What is live.
    inherited
        What is inherited, by field of `IndexMeta`.
    """

    settings: Settings
    raw: Descriptor
    before: Before
    inherited: Mapping[str, Any] = field(default_factory=dict)


def find_before(settings: Settings, client: redis.Redis) -> Before:
    """Return what is live, as far as the next generation builds on it.

    Raises
    ------
    CorruptIndex
        It cannot be read: only ``--fresh`` replaces it.
    """
    if settings.fresh:
        return _before_fresh(settings, client)
    try:
        live = find_whole(client, settings.index)
    except IndexMismatch as exc:
        return Before(live_generation(client, settings.index), None, str(exc))
    return Before(live.meta.generation, live) if live else Before()


def _before_fresh(settings: Settings, client: redis.Redis) -> Before:
    try:
        generation = live_generation(client, settings.index)
    except CorruptIndex:  # which is a reason to start afresh
        generation = None
    return Before(generation, None, "--fresh starts from the seeds alone" if generation else "")


def begin(settings: Settings, client: redis.Redis) -> Start:
    """Return complete settings, with what they leave open taken from the live generation.

    A radius belongs to a descriptor, and a projection to one as well: neither is inherited by another descriptor.

    Raises
    ------
    Misconfigured
        There is no such descriptor here, or parts are to be matched without a second look.
    CorruptIndex
        As `find_before`.
    """
    before = find_before(settings, client)
    if before.live is None:
        relation_by(settings)  # refuses what contradicts itself before a seed is read
        return Start(settings, load_descriptor(settings.descriptor, settings.weights), before)
    meta = before.live.meta
    found: dict[str, Any] = {name: getattr(meta, name) for name in _FREE if not settings.says(name)}
    inherited = dict(found)
    if not settings.says("descriptor"):
        found["descriptor"] = inherited["descriptor"] = meta.descriptor
    raw = load_descriptor(found.get("descriptor", settings.descriptor), settings.weights)
    obstacle = _another_descriptor(before.live, raw)
    if not obstacle:
        projection = _projection(settings, before.live.pca)
        if projection:
            inherited["pca"] = meta.pca
        found |= projection
        obstacle = _another_projection(replace(settings, **found), before.live, raw)
    if not obstacle and not settings.says("radius") and not settings.says("false_pairs") and not _chooses(settings):
        found["radius"] = inherited["radius"] = meta.radius
        inherited["calibration"] = meta.calibration
    complete = replace(settings, **found)
    obstacle = obstacle or obstacle_to(meta, meta.fingerprint, relation_by(complete).parts)
    return Start(complete, raw, replace(before, obstacle=obstacle), inherited)


def relation_by(settings: Settings, radius: float = 0.0) -> Relation:
    """Return what decides, beside a radius that may not be known yet.

    Raises
    ------
    Misconfigured
        Parts are to be matched without a second look.
    """
    turned_by_look = hardly_sees_turns(settings.descriptor)
    return Relation(radius, settings.local_change, settings.agreement, turned_by_look, **switches_of(settings))


def _chooses(settings: Settings) -> bool:
    """Return whether the agreement is to be calibrated, which is done together with the radius."""
    return settings.says("agreement") and isinstance(settings.agreement, Auto)


def obstacle_to(meta: IndexMeta, fingerprint: str, parts: Parts) -> str:
    """Return why no member of a generation can be carried over, as `check_carrying` says it; empty if they can."""
    try:
        check_carrying(meta, fingerprint, parts)
    except IndexMismatch as exc:
        return str(exc)
    return ""


def _another_descriptor(live: Live, raw: Descriptor) -> str:
    try:
        fitted_to(live.meta, live.pca, raw)
    except IndexMismatch:
        return (
            f"they were described by {live.meta.descriptor} ({live.meta.fingerprint}), and what {raw.spec} "
            f"({raw.fingerprint}) describes cannot be compared with them"
        )
    return ""


def _projection(settings: Settings, pca: Pca | None) -> dict[str, Any]:
    """Return the settings of the live generation's projection that are not given."""
    theirs = {"project": pca.wanted if pca else OFF, "whiten": bool(pca and pca.whiten)}
    return {name: value for name, value in theirs.items() if not settings.says(name)}


def _another_projection(settings: Settings, live: Live, raw: Descriptor) -> str:
    wanted = components_for(settings.project, raw.dimension)
    if wanted is None and live.pca is None:
        return ""
    head = (live.meta.fingerprint, live.pca) if live.pca else None
    if wanted is not None and reusable(head, raw, wanted, whiten=settings.whiten):
        return ""
    return f"their projection ({shown('pca', live.meta.pca)}) is not the one that is asked for"


# -- in words ---------------------------------------------------------------------------------------------------------


def _switch(value: object) -> str:
    return "on" if value else "off"


def _projected(fingerprint: str) -> str:
    return fingerprint or OFF


_WORDS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "descriptor": ("descriptor", str),
    "pca": ("projection", _projected),
    "radius": ("radius", "{:g}".format),
    "local_change": ("local change", lambda value: "any" if value is None else f"{value:g}"),
    "agreement": ("agreement", lambda value: "off" if value is None else f"{value:g}"),
    **{name: (name.replace("_", "-"), _switch) for name in SWITCHES},
}


def shown(name: str, value: Any) -> str:  # noqa: ANN401 - of the field's own type
    """Return the value of a field of `IndexMeta` as people read it."""
    return _WORDS[name][1](value)


def told(inherited: Mapping[str, Any]) -> str:
    """Return what is inherited, in one line."""
    return ", ".join(f"{_WORDS[name][0]} {shown(name, value)}" for name, value in inherited.items() if name in _WORDS)


def changes(before: IndexMeta, after: IndexMeta) -> list[str]:
    """Return what a generation compares by in another way than the one before, such as ``radius 0.3 -> 0.36``."""
    pairs = [(name, getattr(before, name), getattr(after, name)) for name in _WORDS]
    texts = [f"{_WORDS[name][0]} {shown(name, was)} -> {shown(name, now)}" for name, was, now in pairs if was != now]
    if before.fingerprint != after.fingerprint and (before.descriptor, before.pca) == (after.descriptor, after.pca):
        texts.append(f"fingerprint {before.fingerprint} -> {after.fingerprint}")
    return texts
