"""Describe as a consumer does, in one thread, and time each stage."""

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise

from neardup.decoding.decode import decode_file
from neardup.decoding.limits import DecodeLimits
from neardup.descriptors import load_descriptor
from neardup.descriptors.names import hardly_sees_turns
from neardup.relation.describing import Describer
from neardup.relation.rule import Relation
from neardup.relation.symmetry import SWITCHES
from neardup.settings.profiles import PROFILES
from neardup.types import Variant

STAGES = ("decode", "prepare", "describe")


def describer_of(profile: str) -> Describer:
    """Return what describes as an index of this profile asks for; see `running.PROFILES`."""
    chosen = PROFILES.get(profile, {"descriptor": profile})
    spec = str(chosen["descriptor"])
    agreement = chosen.get("agreement")
    return Describer(
        load_descriptor(spec),
        Relation(
            0.0,
            agreement=float(agreement) if isinstance(agreement, float) else None,
            turned_by_look=hardly_sees_turns(spec),
            **{name: bool(chosen.get(name)) for name in SWITCHES},
        ),
    )


def describe_batch(
    describer: Describer, images: Sequence[bytes]
) -> tuple[list[tuple[Variant, ...]], Mapping[str, float]]:
    """Decode, prepare and describe; return what the images are compared by, and the CPU seconds of each stage."""
    limits, preparation = DecodeLimits(), describer.preparation
    marks_s = [time.process_time()]
    decoded = [decode_file(data, reduce_to_px=preparation.reduce_to_px, limits=limits) for data in images]
    marks_s.append(time.process_time())
    prepared = [preparation.prepare(each.pixels, each.frames) for each in decoded]
    marks_s.append(time.process_time())
    compared = list(describer.describe(prepared))
    marks_s.append(time.process_time())
    return compared, {stage: after - before for stage, (before, after) in zip(STAGES, pairwise(marks_s), strict=True)}
