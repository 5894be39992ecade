"""Which settings a role has no use for: given all the same, they are refused, as they would do nothing."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from neardup.settings.decoding import DecodingSettings
from neardup.settings.options import options_of

ALL, DESCRIBE, DECIDE = "all", "describe", "decide"
_OF_DECIDERS = ("decision_ttl_s", "probe", "max_cluster", "cache_bytes", "retention_s", "index_cache")
_OF_DESCRIBERS = ("descriptor", "weights", "decode_workers", "repeat_bytes", "pass_headers")


def foreign_settings(settings: Any, claim_checks: type[Any]) -> Iterator[str]:  # noqa: ANN401 - of the service
    """Iterate over what is wrong with settings of the service by its role.

    Parameters
    ----------
    settings
        Of the service.
    claim_checks
        The settings of claim checks, which only describers read.
    """
    if settings.role == ALL:
        return
    if settings.unique_topic is not None:
        yield (
            f"--unique-topic {settings.unique_topic}: works only with --role {ALL}, since a consumer that decides has "
            "no image to send on"
        )
    if settings.role == DESCRIBE:
        yield from _given(settings, _OF_DECIDERS, f"--role {DESCRIBE} decides nothing", DECIDE)
        return
    reading = [name for owner in (DecodingSettings, claim_checks) for name, _ in options_of(owner)]
    yield from _given(settings, (*_OF_DESCRIBERS, *reading), f"--role {DECIDE} reads and describes no image", DESCRIBE)


def _given(settings: Any, names: tuple[str, ...], why: str, other: str) -> Iterator[str]:  # noqa: ANN401 - as above
    defaults = {field.name: field.default for field in fields(settings)}
    for name, declared in options_of(type(settings)):
        if name in names and getattr(settings, name) != defaults[name]:
            yield f"{declared.flag}: {why}; give it to the consumers with --role {other}"
