"""Settings that go together: what a kind of image collection needs, chosen by measurement (docs/settings.md)."""

from collections.abc import Mapping
from types import MappingProxyType

from neardup.descriptors.names import COPYNET, DCT

CAMERA_LOCAL_CHANGE = 2.5
"""As `neardup.relation.local_change.DEFAULT_LOCAL_CHANGE`, repeated here so that settings need no numpy."""


class Auto(float):
    """A number that stands for ``auto``: the one to take where nothing is measured. Calibration may choose another."""


AUTO_AGREEMENT = Auto(0.3)
"""As `neardup.relation.looks.second_look.DEFAULT_AGREEMENT`, repeated here for the same reason."""
CAMERA_RADIUS = 0.36
"""The radius of ``dct`` for photos: frames of one camera are so close to one another that a radius calibrated on them
would be next to nothing. The local-change test finds what changed between frames."""

PROFILES: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "camera": {
            "descriptor": DCT,
            "radius": CAMERA_RADIUS,
            "local_change": CAMERA_LOCAL_CHANGE,
            "fps": 1.0,
        },
        # Copynet finds mirrored copies by itself, but the second look asks for both as they came: so they are mirrored.
        "scraper": {
            "descriptor": COPYNET,
            "agreement": AUTO_AGREEMENT,
            "match_flips": True,
            "match_rotations": True,
            "match_parts": True,
        },
        "dataset": {"descriptor": DCT, "false_pairs": 1e-7},
    }
)
"""By name: defaults for settings of ``neardup bootstrap``; all others keep their own."""
