"""Every error belongs to one family, and every reason is a bounded slug."""

import re

import pytest

from neardup import errors
from neardup.errors import BadInput, Misconfigured, NeardupError, Unavailable, reasons

FAMILIES = (BadInput, Unavailable, Misconfigured)
ERRORS = [error for error in vars(errors).values() if isinstance(error, type) and error is not NeardupError]


@pytest.mark.parametrize("error", ERRORS)
def test_each_error_has_one_fate(error: type[NeardupError]) -> None:
    assert sum(issubclass(error, family) for family in FAMILIES) == 1


@pytest.mark.parametrize("error", ERRORS)
def test_each_error_says_what_it_means(error: type[NeardupError]) -> None:
    assert error.__doc__


@pytest.mark.parametrize("error", [error for error in ERRORS if issubclass(error, BadInput) and error is not BadInput])
def test_each_reason_is_a_slug_of_its_own(error: type[BadInput]) -> None:
    assert re.fullmatch(r"[a-z][a-z-]{1,30}", error.reason)
    assert reasons()[error.reason] is error


def test_all_reasons_are_known_without_importing_anything_else() -> None:
    # A descriptor that declared a reason of its own would be missing from metrics until somebody loaded it.
    modules = {error.__module__ for error in reasons().values()}
    assert {module for module in modules if module.startswith("neardup.")} == {"neardup.errors"}
