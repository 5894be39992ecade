"""Settings for what makes a duplicate, shared by the bootstrap and folder mode."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from neardup.settings.options import option
from neardup.settings.parsers import auto_or, number, off_or, one_of, word_or
from neardup.settings.profiles import AUTO_AGREEMENT, PROFILES
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
        f"{', '.join(PROFILES)}: presets for such images; settings that you give take precedence",
        None,
        one_of(*PROFILES),
        subject=DUPLICATES,
        common=True,
    )
    local_change: float | None = option(
        "--local-change",
        "largest local difference, in grey levels, of a duplicate: an image in which a small part changed is unique; "
        "off compares images only as a whole (default: off)",
        None,
        off_or(number(0, 255)),
        subject=DUPLICATES,
    )
    agreement: float | None = option(
        "--agreement",
        "least share, 0 to 1, of what both images show that is the same in a duplicate, by a second look at each pair "
        "(plain pictures need more, next to equal ones less); "
        f"off takes no second look (default: off), auto is {AUTO_AGREEMENT:g}, or what calibration on seeds asks for",
        None,
        off_or(word_or("auto", AUTO_AGREEMENT, number(0, 1))),
        subject=DUPLICATES,
    )
    match_flips: bool = option(
        "--match-flips", "also match images mirrored left to right", default=False, subject=DUPLICATES
    )
    match_rotations: bool = option(
        "--match-rotations",
        "also match images turned by 90, 180 or 270 degrees",
        default=False,
        subject=DUPLICATES,
    )
    match_parts: bool = option(
        "--match-parts",
        "also match images that show an earlier one inside a larger picture: screenshots, collages; needs --agreement",
        default=False,
        subject=DUPLICATES,
    )

    @classmethod
    def implied(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the profile's values for settings not given; see `read_settings`."""
        known = {field.name for field in fields(cls)}
        profile = dict(PROFILES[given["profile"]]) if "profile" in given else {}
        if given.get("agreement", AUTO_AGREEMENT) is None:
            profile.pop("match_parts", None)  # works only with a second look, which was turned off
        return {name: value for name, value in profile.items() if name in known}
