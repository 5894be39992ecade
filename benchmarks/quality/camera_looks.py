"""What a second look would add to the camera profile, on the labelled pairs of frames of `camera.py`.

.venv/bin/python -m benchmarks.quality.camera_looks
"""

from collections import Counter
from functools import cache

from benchmarks.quality.camera import frame_bytes, labelled_pairs
from benchmarks.quality.setting import Described, described, setting_of
from neardup.relation.comparison import compare_described
from neardup.settings.profiles import AUTO_AGREEMENT, PROFILES

SETTING = setting_of("camera", {**PROFILES["camera"], "agreement": float(AUTO_AGREEMENT)})


@cache
def _frame(clip: str, number: int) -> Described:
    return described(SETTING, [frame_bytes(clip, number)])[0]


def main() -> None:
    """Count the pairs that each test by itself, and both together, would call duplicates."""
    counted: Counter[tuple[str, str]] = Counter()
    for pair in labelled_pairs():
        one, other = (_frame(pair.clip, number) for number in (pair.frame_a, pair.frame_b))
        found = compare_described(other, one, SETTING.relation, "")
        near = found.distance <= SETTING.relation.radius
        unchanged = near and SETTING.relation.allows(found.local_change)
        agrees = near and SETTING.relation.allows(None, found.look)
        tests = {"pairs": True, "near": near, "and unchanged": unchanged, "and agrees": agrees}
        for name, passed in (tests | {"and both": unchanged and agrees}).items():
            counted[pair.label, name] += passed
    for (label, name), count in sorted(counted.items()):
        print(f"{label:8}{name:16}{count:4}")


if __name__ == "__main__":
    main()
