"""The short form of ``make report-check``."""

import pytest

from tests.stress.many_verdicts import check

pytestmark = pytest.mark.slow


def test_a_report_of_verdicts_made_up() -> None:
    told = check(2_000)
    assert told.startswith("2000 verdicts: 2000 shown, ")
