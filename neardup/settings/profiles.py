"""Settings that go together: what a kind of image collection needs, chosen by measurement (docs/settings.md)."""

from collections.abc import Mapping
from types import MappingProxyType

from neardup.descriptors.names import COPYNET, DCT

CAMERA_LOCAL_CHANGE = 2.5
"""`neardup.relation.local_change.DEFAULT_LOCAL_CHANGE`, of which numpy is not needed to read settings."""
CAMERA_RADIUS = 0.36
"""The radius of ``dct`` for photos: frames of one camera are nearer to one another than any two photos, so that a
radius by the seeds would be next to nothing. What has changed between frames is the other test's to say."""

PROFILES: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "camera": {
            "descriptor": DCT,
            "radius": CAMERA_RADIUS,
            "local_change": CAMERA_LOCAL_CHANGE,
            "fps": 1.0,
        },
        "scraper": {"descriptor": COPYNET},
        "dataset": {"descriptor": DCT, "false_pairs": 1e-7},
    }
)
"""By name: what each setting of ``neardup bootstrap`` is unless it is given; all others keep their defaults."""
