"""How a span is named, and which messages have had their verdict."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.verdicts.seen import Seen
from consumer.verdicts.settings import SpanSettings, edge, moment
from neardup.errors import Misconfigured
from neardup.settings.reading import read_settings

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2h", NOW.timestamp() * 1000 - 7_200_000),
        ("2h ago", NOW.timestamp() * 1000 - 7_200_000),
        ("99999d", 0),
        ("2026-01-31T12:00:00Z", NOW.timestamp() * 1000),
        ("2026-01-31T13:00:00.250+01:00", NOW.timestamp() * 1000 + 250),
        ("0:100", {0: 100}),
        ("0:100,12:0", {0: 100, 12: 0}),
    ],
)
def test_a_moment_is_a_time_an_age_or_offsets(text: str, meant: object) -> None:
    assert edge(moment(text), NOW) == meant


@pytest.mark.parametrize("text", ["30d ago", "36h ago", "90s ago", "0:100,12:0"])
def test_it_is_told_as_it_was_given(text: str) -> None:
    assert str(moment(text)) == text


def test_without_one_the_topic_says() -> None:
    assert edge(None, NOW) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "2", "2w", "yesterday", "off", "0:", ":1", "0:-1", "0:1,", "0:1;1:2", "2026-13-01", "ago"),
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_anything_else_is_refused_with_what_it_should_be(text: str) -> None:
    with pytest.raises(ValueError, match="it should be a time with its zone"):
        moment(text)


def test_a_time_without_a_zone_and_a_partition_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="the time has no zone"):
        moment("2026-01-31T12:00:00")
    with pytest.raises(ValueError, match="names a partition twice"):
        moment("0:1,0:2")


def test_both_are_settings_of_a_command() -> None:
    given_both = read_settings(
        SpanSettings, ["--from", "0:5", "--to", "1h", "--verdicts", "other"], {}, prog="", description=""
    )
    assert (edge(given_both.since, NOW), given_both.verdicts_topic) == ({0: 5}, "other")
    with pytest.raises(Misconfigured, match="--from: 'noon' is wrong: it should be a time"):
        read_settings(SpanSettings, ["--from", "noon"], {}, prog="", description="")


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 200_000))))
def test_seen_is_a_set(places: list[tuple[str, int]]) -> None:
    seen, known = Seen(), set[tuple[str, int]]()
    for place in places:
        assert seen.add(*place, 1_700_000_000_000) is (place not in known)
        known.add(place)


def test_other_messages_at_the_same_offsets_are_new() -> None:
    seen = Seen()
    assert [seen.add("a", 7, time_ms) for time_ms in (1000, 1000, -1, 2000, 2000)] == [True, False, True, True, False]
