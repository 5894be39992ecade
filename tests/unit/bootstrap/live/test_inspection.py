"""The command line of the tools for a live index, and the lines that they print."""

import json
from typing import Any

import numpy as np
import pytest

from bootstrap.index import main, rendered
from bootstrap.index_settings import RepairSettings, duration
from bootstrap.live.checks import Replay, all_pairs, close_pairs
from bootstrap.live.layout import Layout
from bootstrap.live.reading import LogSnapshot
from neardup.cli.commands import command
from neardup.cli.running import EXIT_MISCONFIGURED
from neardup.cli.running import settings_of as read
from neardup.errors import Misconfigured
from neardup.index.stored.codec import encode_member
from neardup.index.stored.events import PLACE, Rewritten, Split, encode_rewritten, encode_split
from neardup.search.sketches import fit_sketcher
from neardup.settings.options import options_of
from neardup.types import Member

Document = dict[str, Any]


def settings_of(tool: str, *arguments: str, **environ: str) -> Any:  # noqa: ANN401 - each has its own
    return read(command(f"index {tool}"), arguments, environ)


# The command line.


def test_defaults() -> None:
    settings = settings_of("stats")
    assert (settings.index, settings.redis_url) == ("default", "redis://127.0.0.1:6379/0")
    assert settings_of("neighbours", "x").limit == 10
    verify = settings_of("verify")
    assert (verify.sample, verify.max_cluster, verify.retention_s) == (None, 300, None)
    settings = settings_of("repair")
    assert (settings.verdicts_topic, settings.since_s, settings.dry_run, settings.as_json) == (
        "verdicts",
        86_400,
        False,
        False,
    )


def test_flags_and_variables() -> None:
    settings = settings_of(
        "repair", "--dry-run", "--since", "30m", "--json", NEARDUP_INDEX="cats", NEARDUP_RETENTION="30d"
    )
    assert (settings.dry_run, settings.since_s, settings.as_json) == (True, 1800, True)
    assert (settings.index, settings.retention_s) == ("cats", 30 * 86_400)
    assert settings_of("show", "a b.jpg", "--index", "x").target == "a b.jpg"


def test_the_redis_url_is_a_secret() -> None:
    assert "secret" not in repr(settings_of("stats", "--redis", "redis://:secret@host/1"))


def test_variables_are_those_of_the_other_commands() -> None:
    names = {env for _, declared in options_of(RepairSettings) for env in declared.envs}
    assert {"NEARDUP_REDIS_URL", "NEARDUP_INDEX", "NEARDUP_VERDICTS", "NEARDUP_BOOTSTRAP_SERVERS"} <= names
    assert "NEARDUP_TOPIC" not in names


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("30m", 1800), ("24h", 86_400), ("7d", 604_800)])
def test_a_duration(text: str, seconds: int) -> None:
    assert duration(text) == text
    assert settings_of("repair", "--since", text).since_s == seconds


@pytest.mark.parametrize("text", ["", "off", "24", "h", "0h", "-1h", "1.5h", "1 h", "1w"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="such as"):
        duration(text)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], ["COMMAND"]),
        (["look"], ["COMMAND"]),
        (["show"], ["TARGET"]),
        (["neighbours"], ["TARGET"]),
        (["duplicates"], ["TARGET"]),
        (["explain", "a"], ["B"]),
        (["explain", "a", "b", "--image-a", "x", "--image-b", "y"], ["--image-a works only", "--image-b works only"]),
        (["remove"], ["ID"]),
        (["set-radius"], ["RADIUS"]),
        (["set-radius", "wide"], ["RADIUS"]),
        (["export"], ["FILE"]),
        (["copy-to"], ["URL"]),
        (["copy-to", "redis://x", "--to-index", "a b"], ["index name 'a b'"]),
        (["stats", "x"], ["'x'"]),
        (["verify", "x", "--dry-run"], ["'x'", "--dry-run"]),
        (["stats", "--sample", "3"], ["--sample"]),
        (["repair", "--since", "yesterday", "--limit", "0"], ["--limit", "--since"]),
        (["stats", "--redis", "nowhere"], ["not a Redis URL"]),
        (["stats", "--index", "a b"], ["index name 'a b'"]),
    ],
)
def test_bad_input_is_a_line_each_and_exit_code_2(
    arguments: list[str], named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments, {}) == EXIT_MISCONFIGURED
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(named)
    assert all(line.startswith(word) for line, word in zip(lines, named, strict=True))


def test_contradictions_are_refused_together() -> None:
    with pytest.raises(Misconfigured) as caught:
        settings_of("stats", "x", "--dry-run", "--sample", "3")
    assert len(str(caught.value).splitlines()) == 3


# What is printed.

STATS: Document = {
    "index": "cats",
    "generation": 3,
    "descriptor": "dct",
    "fingerprint": "dct-1",
    "dimension": 256,
    "radius": 0.2,
    "calibration": {},
    "local_change": None,
    "agreement": None,
    "symmetries": [],
    "created_at": "2026-01-01T00:00:00+00:00",
    "previous": None,
    "seed": {"images": 10, "unique": 8},
    "members": 1000,
    "clusters": {"count": 9, "centroids": 4, "p1": 10, "p50": 111, "p99": 290, "max": 300},
    "splits": 5,
    "events": {"in_log": 20, "ever": 997},
    "decisions": 7,
    "removed": 2,
    "memory_bytes": {"members": 2**20, "decisions": 2**19, "log": 0, "rest": 5},
    "bytes_a_member": 571.2,
}


def lines_of(tool: str, document: Document) -> list[str]:
    json.dumps(document)
    return rendered(tool, document).splitlines()


def test_stats_as_lines() -> None:
    lines = lines_of("stats", STATS)
    assert lines[0] == "index       cats, generation 3, made 2026-01-01T00:00:00+00:00"
    assert "sizes       p1 10, p50 111, p99 290, max 300" in lines
    assert "memory      members 1.0 MiB, decisions 0.5 MiB, log 0.0 MiB, rest 0.0 MiB" in lines
    assert "removed     2 on request, ever" in lines
    assert {"change      any", "agreement   off", "symmetries  none"} <= set(lines)
    assert "agreement   0.7 at least" in lines_of("stats", {**STATS, "agreement": 0.7})
    camera = lines_of("stats", {**STATS, "local_change": 2.5, "symmetries": ["mirror", "rotate90"]})
    assert {"change      2.5 at most, locally", "symmetries  mirror, rotate90"} <= set(camera)
    assert "previous    none" in lines
    kept = lines_of("stats", {**STATS, "previous": {"generation": 2, "left_s": 5400}})
    assert "previous    generation 2, kept for another 1:30:00 for a rollback" in kept
    assert lines[-1] == "a member    571.2 bytes"
    assert lines_of("stats", {**STATS, "members": 0, "bytes_a_member": None})[-1] == "a member    no members"


def test_a_lone_decision_is_shown() -> None:
    decision = {"verdict": "duplicate", "duplicate_of": "b.jpg", "distance": 0.1, "generation": 2}
    document: Document = {"wanted": "images-0-7", "members": [], "decision": decision, "removed": None}
    assert lines_of("show", document) == ["decision    duplicate of b.jpg, by generation 2"]


def test_who_removed_a_member_is_shown() -> None:
    removed = {"image_id": "a.jpg", "generation": 1, "at": "2026-01-01T00:00:00+00:00", "by": "legal"}
    document: Document = {"wanted": "images-0-7", "members": [], "decision": None, "removed": removed}
    assert lines_of("show", document) == ["removed     2026-01-01T00:00:00+00:00, by legal"]


NEAR = {"distance": 0.25, "within_radius": True, "image_id": "a.jpg", "key": "images-0-1", "local_change": None}
FAR = {"distance": 0.75, "within_radius": False, "image_id": "b.jpg", "key": "images-0-2", "local_change": None}
NEIGHBOURS: Document = {"image": "c.jpg", "verdict": "duplicate", "duplicate_of": "a.jpg", "radius": 0.3, "cell": 7}


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        ({}, ""),
        ({"local_change": 2.5}, ", local change 2.5"),
        ({"agreement": 0.42, "agreement_needed": 0.31}, ", agreement 0.42, 0.31 is needed"),
        ({"agreement": 0.1, "agreement_needed": 2.0}, ", agreement 0.1, none is enough"),
        (
            {"local_change": 2.5, "agreement": 1.0, "agreement_needed": 0.3},
            ", local change 2.5, agreement 1, 0.3 is needed",
        ),
    ],
)
def test_neighbours_as_lines(measured: Document, told: str) -> None:
    lines = lines_of("neighbours", {**NEIGHBOURS, "neighbours": [{**NEAR, **measured}, {**FAR, **measured}]})
    assert lines == [
        "c.jpg would be duplicate of a.jpg; radius 0.3",
        "It belongs to cell 7.",
        f"* 0.250000  a.jpg  (images-0-1){told}",
        f"  0.750000  b.jpg  (images-0-2){told}",
    ]


def test_verify_as_lines() -> None:
    check = {"check": "keys", "holds": "no", "examined": 5, "wrong": 12, "says": "no two", "examples": ["a", "b"]}
    lines = lines_of("verify", {"holds": False, "checks": [check]})
    assert lines == [
        "WRONG   keys      no two: 5 examined, 12 wrong",
        "                  a",
        "                  b",
        "                  and 10 more",
        "the index is not consistent",
    ]


def test_repair_as_lines() -> None:
    conflict = {"key": "images-0-1", "image_id": "a", "duplicate_of": "b", "distance": 0.01}
    document = {
        "index": "cats",
        "generation": 1,
        "dry_run": True,
        "read": 10,
        "uniques": 8,
        "already_there": 5,
        "restored": 2,
        "expired": 0,
        "removed": 3,
        "conflicts": 1,
        "not_restorable": {"without the member header": 4},
        "examples": [conflict],
    }
    lines = lines_of("repair", document)
    assert "would restore   2" in lines
    assert "removed         3" in lines
    assert "  4 without the member header" in lines
    assert lines[-1] == "  a (images-0-1) is a duplicate of b by now, 0.010000 away"


# The layout and the log.


def split(cell: int, root: int, number: int, sides: bytes = b"LR", roots: int = 3) -> bytes:
    return encode_split(Split(cell, root, roots + 2 * number, roots + 2 * number + 1, 0, 0.0, sides))


def test_a_layout_knows_its_leaves() -> None:
    layout = Layout(3, [split(1, 1, 0), split(4, 1, 1)])
    assert layout.wrong == []
    assert layout.leaves == [0, 2, 3, 5, 6]
    assert layout.leaves_under(1) == [3, 5, 6]
    assert layout.leaves_under(0, 4) == [0, 5, 6]
    assert [layout.root_of(cell) for cell in layout.leaves] == [0, 2, 1, 1, 1]
    assert [(cut.cell, high) for cut, high in layout.cuts(6)] == [(4, True), (1, True)]
    assert layout.leaf(1, np.array([-1.0, 0.0])) == 3
    assert layout.leaf(1, np.array([0.0, 0.0])) == 6


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param([b"garbage"], id="garbage"),
        pytest.param([encode_rewritten(Rewritten(0, 0))], id="another event"),
        pytest.param([split(1, 1, 1)], id="numbers skipped"),
        pytest.param([split(1, 1, 0), split(1, 1, 1)], id="divided twice"),
        pytest.param([split(7, 1, 0, roots=9)], id="a cell that was not there"),
        pytest.param([split(1, 2, 0)], id="another root"),
        pytest.param([split(1, 1, 0, sides=b"LX")], id="no sides"),
        pytest.param([encode_split(Split(5, 1, 3, 4, 0, 0.0, b"LR"))], id="in a circle"),
        pytest.param([encode_split(Split(1, 1, 3, 4, 0, float("nan"), b"LR"))], id="no threshold"),
    ],
)
def test_a_wrong_list_of_splits_is_told_of(stored: list[bytes]) -> None:
    assert Layout(3, stored).wrong != []


def appended(cell: int, place: int, key: str, root: int | None = None) -> bytes:
    record = encode_member(Member(key, key, np.zeros(4, dtype=np.float16)))
    begin = PLACE.pack(cell, cell if root is None else root)
    return b"A" + begin + place.to_bytes(4, "little") + record


def replay(events: list[bytes], sizes: dict[int, int], splits: list[bytes] | None = None) -> Replay:
    return Replay(LogSnapshot(Layout(3, splits or []), events, b"0", sizes))


def test_a_log_that_tells_what_is_there() -> None:
    events = [appended(0, 7, "a"), appended(1, 0, "b"), appended(0, 8, "c")]
    found = replay(events, {0: 9, 1: 1, 2: 4})
    assert found.wrong == []
    assert [suspect.identity for suspect in found.missing({b"a": 0, b"b": 1})] == [b"c"]


def test_a_log_with_a_split_in_it() -> None:
    divide = split(0, 0, 0, sides=b"LRL")
    events = [appended(0, 2, "a"), divide, appended(3, 2, "b", root=0), appended(4, 1, "c", root=0)]
    assert replay(events, {3: 3, 4: 2, 1: 0, 2: 0}, [divide]).wrong == []
    assert replay(events, {3: 3, 4: 2, 1: 0, 2: 0}).wrong != []


def test_after_a_removal_the_log_says_nothing_of_what_was_there() -> None:
    events = [appended(0, 2, "a"), encode_rewritten(Rewritten(0, 0)), appended(0, 1, "b"), appended(0, 2, "c")]
    found = replay(events, {0: 3})
    assert found.wrong == []
    assert {suspect.identity for suspect in found.missing({})} == {b"b", b"c"}


def test_a_removal_on_request_excuses_only_what_it_names() -> None:
    removal = encode_rewritten(Rewritten(0, 0, (b"b", b"older")))
    found = replay([appended(0, 2, "a"), appended(0, 3, "b"), removal, appended(0, 2, "c")], {0: 3})
    assert (found.wrong, found.removed, found.roots_rewritten) == ([], {b"b", b"older"}, set())
    assert {suspect.identity for suspect in found.missing({})} == {b"a", b"c"}
    again = replay([removal, appended(0, 2, "b")], {0: 3})
    assert (again.removed, {suspect.identity for suspect in again.missing({})}) == ({b"older"}, {b"b"})


@pytest.mark.parametrize(
    ("events", "sizes"),
    [
        pytest.param([appended(0, 0, "a"), appended(0, 2, "b")], {0: 3}, id="a place left out"),
        pytest.param([appended(0, 0, "a"), appended(0, 0, "b")], {0: 1}, id="a place taken twice"),
        pytest.param([appended(0, 0, "a")], {0: 0}, id="a record gone"),
        pytest.param([appended(0, 0, "a")], {0: 2}, id="a record too many"),
        pytest.param([appended(0, 0, "a", root=1)], {0: 1}, id="another root"),
        pytest.param([b"garbage"], {}, id="garbage"),
        pytest.param([b""], {}, id="nothing"),
        pytest.param([b"A" + bytes(12) + b"short"], {}, id="no record"),
    ],
)
def test_a_log_that_tells_another_story(events: list[bytes], sizes: dict[int, int]) -> None:
    assert replay(events, sizes).wrong != []


@pytest.mark.parametrize("radius", [0.1, 0.8, 1.4])
def test_the_search_for_near_pairs_finds_what_comparing_each_with_each_finds(radius: float) -> None:
    rows = np.random.default_rng(5).normal(size=(700, 12))
    rows[600:] = rows[:100] + 0.02 * np.random.default_rng(6).normal(size=(100, 12))
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    expected = {(one, other) for one, other, _ in all_pairs(unit, radius)}
    assert {(one, other) for one, other, _ in close_pairs(unit, fit_sketcher(unit), radius)} == expected
    assert len(expected) >= 90
