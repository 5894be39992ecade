"""Which settings a role has no use for: their flags would do nothing and are refused, their variables are ignored."""

from collections.abc import Iterator, Mapping
from typing import Any

from neardup.settings.decoding import DecodingSettings
from neardup.settings.options import options_of

ALL, DESCRIBE, DECIDE = "all", "describe", "decide"
_OF_DECIDERS = ("decision_ttl_s", "probe", "max_cluster", "cache_bytes", "retention_s", "index_cache")
_OF_DESCRIBERS = ("descriptor", "weights", "decode_workers", "repeat_bytes", "pass_headers")


def foreign_flags(role: str, flags: Mapping[str, str], claim_checks: type[Any]) -> Iterator[str]:
    """Iterate over what is wrong with the flags of a consumer by its role.

    Parameters
    ----------
    flags
        Those that were given, by the names of their settings.
    claim_checks
        The settings of claim checks, which only describers read.
    """
    if role == DESCRIBE:
        names, why, other = list(_OF_DECIDERS), f"--role {DESCRIBE} decides nothing", DECIDE
    elif role == DECIDE:
        reading = [name for owner in (DecodingSettings, claim_checks) for name, _ in options_of(owner)]
        names, why, other = [*_OF_DESCRIBERS, *reading], f"--role {DECIDE} reads and describes no image", DESCRIBE
    else:
        return
    yield from (
        f"{flag}: {why}; give it to the consumers with --role {other}" for name, flag in flags.items() if name in names
    )


def cut_off(role: str, unique_topic: str | None) -> Iterator[str]:
    """Iterate over what is wrong where unique images are to go on and a role has none."""
    if role != ALL and unique_topic is not None:
        yield (
            f"--unique-topic {unique_topic}: works only with --role {ALL}, since a consumer that decides has no image "
            "to send on"
        )
