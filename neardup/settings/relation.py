"""What makes a duplicate, as settings: one declaration for the bootstrap and for folder mode."""

from collections.abc import Mapping
from typing import Any, Protocol

from neardup.settings.options import option
from neardup.settings.parsers import number, off_or, one_of
from neardup.settings.profiles import PROFILES


class RelationSettings(Protocol):
    """The fields that the functions below declare."""

    @property
    def local_change(self) -> float | None:
        """Grey levels; None when only the whole counts."""

    @property
    def match_flips(self) -> bool:
        """Whether mirrored images are duplicates."""

    @property
    def match_rotations(self) -> bool:
        """Whether turned images are duplicates."""


def profile_option(where: str = "") -> Any:  # noqa: ANN401 - stands where a field's default stands, as `option` does
    """Declare the field `profile` of a settings dataclass; `where` begins its line of help."""
    text = f"{', '.join(PROFILES)}: the defaults of some settings for such images; what is given wins"
    return option("--profile", f"{where}{text}", None, one_of(*PROFILES))


def local_change_option(where: str = "") -> Any:  # noqa: ANN401 - as above
    """Declare the field `local_change` of a settings dataclass."""
    return option(
        "--local-change",
        f"{where}largest local difference, in grey levels, that a duplicate may have: an image in which a small part "
        "has changed is unique; off lets only the whole count (default: off)",
        None,
        off_or(number(0, 255)),
    )


def match_flips_option(where: str = "") -> Any:  # noqa: ANN401 - as above
    """Declare the field `match_flips` of a settings dataclass."""
    return option("--match-flips", f"{where}an image mirrored left to right is a duplicate, too", default=False)


def match_rotations_option(where: str = "") -> Any:  # noqa: ANN401 - as above
    """Declare the field `match_rotations` of a settings dataclass."""
    return option(
        "--match-rotations", f"{where}an image turned by 90, 180 or 270 degrees is a duplicate, too", default=False
    )


def profile_defaults(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what settings are that were not given, by the profile that was: the defaults of `read_settings`."""
    return PROFILES[given["profile"]] if "profile" in given else {}
