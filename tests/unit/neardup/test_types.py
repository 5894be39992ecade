"""Records cannot be changed, and a verdict reads as it is published."""

import dataclasses

import numpy as np
import pytest

from neardup.types import Decision, Match, Member, Query, Verdict

DESCRIPTOR = np.array([1.0, 0.0], dtype=np.float16)
MEMBER = Member("k", "a", DESCRIPTOR)


def test_a_verdict_is_its_published_word() -> None:
    assert [str(verdict) for verdict in Verdict] == ["unique", "duplicate"]


@pytest.mark.parametrize(
    "record",
    [Query("k", "a", DESCRIPTOR), MEMBER, Match(MEMBER, 0.5), Decision(Verdict.UNIQUE, None, None, None, 1)],
    ids=lambda record: type(record).__name__,
)
def test_records_are_frozen(record: Query | Member | Match | Decision) -> None:
    name = dataclasses.fields(record)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, name, None)


def test_a_time_that_is_not_known_is_zero() -> None:
    assert Query("k", "a", DESCRIPTOR).captured_at_ms == 0
