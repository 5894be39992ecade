"""What makes a duplicate, as settings: one declaration for the bootstrap and for folder mode."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from neardup.settings.options import option
from neardup.settings.parsers import auto_or, number, off_or, one_of
from neardup.settings.profiles import PROFILES
from neardup.settings.subjects import DUPLICATES


def radius_option(text: str) -> Any:  # noqa: ANN401 - stands where a field's default stands, as `option` does
    """Declare the field `radius` of a settings dataclass; `text` says what ``auto`` does there."""
    return option(
        "--radius",
        text,
        None,
        auto_or(number(0, 2)),
        subject=DUPLICATES,
        common=True,
        aliases=("--threshold",),
    )


@dataclass(frozen=True)
class RelationSettings:
    """Shared by the commands that decide what a duplicate is; all others take it from the index."""

    profile: str | None = option(
        "--profile",
        f"{', '.join(PROFILES)}: the defaults of some settings for such images; what is given wins",
        None,
        one_of(*PROFILES),
        subject=DUPLICATES,
        common=True,
    )
    local_change: float | None = option(
        "--local-change",
        "largest local difference, in grey levels, that a duplicate may have: an image in which a small part has "
        "changed is unique; off lets only the whole count (default: off)",
        None,
        off_or(number(0, 255)),
        subject=DUPLICATES,
    )
    match_flips: bool = option(
        "--match-flips", "an image mirrored left to right is a duplicate, too", default=False, subject=DUPLICATES
    )
    match_rotations: bool = option(
        "--match-rotations",
        "an image turned by 90, 180 or 270 degrees is a duplicate, too",
        default=False,
        subject=DUPLICATES,
    )

    @classmethod
    def implied(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what settings are that were not given, by the profile that was; see `read_settings`."""
        known = {field.name for field in fields(cls)}
        profile = PROFILES[given["profile"]] if "profile" in given else {}
        return {name: value for name, value in profile.items() if name in known}
