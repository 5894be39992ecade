"""Seeds and stream are told in the same words what is decoded, and by default the same."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

import bootstrap.settings
import consumer.settings
from neardup.decoding.formats import FORMATS
from neardup.decoding.limits import DecodeLimits, WorkLimits
from neardup.errors import Misconfigured
from neardup.settings.decoding import decode_limits, work_limits
from neardup.settings.reading import read_settings

COMMANDS = [consumer.settings.ServiceSettings, bootstrap.settings.Settings]


def settings_of(command: type[Any], arguments: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401
    return read_settings(command, arguments, environ or {}, prog="test", description="test")


@pytest.mark.parametrize("command", COMMANDS)
class TestSettings:
    def test_defaults_are_those_of_the_limits(self, command: type[Any]) -> None:
        settings = settings_of(command)
        assert decode_limits(settings) == DecodeLimits()
        assert work_limits(settings) == WorkLimits()

    def test_everything_can_be_set(self, command: type[Any]) -> None:
        size = ["--max-image-bytes", "1000", "--max-image-pixels", "2000"]
        cost = ["--decode-timeout", "1.5", "--decode-memory-bytes", "67108864"]
        settings = settings_of(command, [*size, *cost, "--truncated", "accept", "--formats=-gif,+ico"])
        formats = (*(name for name in FORMATS if name != "GIF"), "ICO")
        assert decode_limits(settings) == DecodeLimits(1000, 2000, accept_truncated=True, formats=formats)
        assert work_limits(settings) == WorkLimits(1.5, 67_108_864)

    def test_threads_decode_without_limits(self, command: type[Any]) -> None:
        assert work_limits(settings_of(command, environ={"NEARDUP_DECODE_TIMEOUT": "off"})) is None

    @pytest.mark.parametrize(
        ("argument", "says"),
        [
            ("--formats=eps", "Ghostscript"),
            ("--formats=gif89", "unknown format 'GIF89'"),
            ("--truncated=maybe", "reject, accept"),
            ("--decode-timeout=0", "a number from 0.1 to 3600, or off"),
            ("--decode-memory-bytes=1000", "a whole number from 67108864"),
        ],
    )
    def test_wrong_ones_say_what_is_wrong(self, command: type[Any], argument: str, says: str) -> None:
        with pytest.raises(Misconfigured, match=says):
            settings_of(command, [argument])
