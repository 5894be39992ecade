"""A view follows events to the same members as reading everything anew gives."""

from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neardup.errors import Misconfigured
from neardup.index.stored.codec import encode_member, head_key
from neardup.index.stored.events import Appended, Rewritten, Split, encode_appended, encode_rewritten, encode_split
from neardup.index.stored.log import LogEvents
from neardup.index.tree import CellTree
from neardup.index.view import GenerationView, OutdatedView
from neardup.relation.local_change import largest_change
from neardup.relation.rule import Relation
from neardup.search.cells import Cells
from neardup.types import Descriptors, Kept, Member
from tests.support.indexes import CENTROIDS, RADIUS, SKETCHER, point, thumbnail


def record(key: str, descriptor: Descriptors) -> bytes:
    return encode_member(Member(key, f"id of {key}", descriptor))


class Store:
    """Cells as Redis has them."""

    def __init__(self) -> None:
        self.cells: dict[int, list[bytes]] = {}
        self.reads: list[int] = []

    def read(self, cells: object) -> list[list[bytes]]:
        assert isinstance(cells, list | tuple)
        self.reads += cells
        return [list(self.cells.get(cell, [])) for cell in cells]

    def append(self, cell: int, key: str, descriptor: Descriptors) -> Appended:
        records = self.cells.setdefault(cell, [])
        records.append(record(key, descriptor))
        return Appended(cell, 0, len(records) - 1, records[-1])


@pytest.fixture
def store() -> Store:
    return Store()


def log_of(*events: Appended | Split | Rewritten) -> LogEvents:
    return LogEvents(
        [
            encode_appended(event)
            if isinstance(event, Appended)
            else encode_split(event)
            if isinstance(event, Split)
            else encode_rewritten(event)
            for event in events
        ]
    )


def view_of(store: Store, budget_bytes: int = 1 << 20) -> GenerationView:
    view = GenerationView(CellTree(Cells(CENTROIDS)), SKETCHER, Relation(RADIUS), store.read, budget_bytes)
    view.load(view.tree.leaves)
    store.reads.clear()
    return view


def keys_near(view: GenerationView, descriptor: Descriptors) -> list[str]:
    (hits,) = view.within(descriptor[np.newaxis], view.sketch(descriptor[np.newaxis]))
    return sorted(hit.head[14:].decode().partition("id of ")[0] for hit in hits)


@pytest.mark.parametrize("budget_bytes", [0, 1 << 20])
def test_appended_members_are_found(store: Store, budget_bytes: int) -> None:
    store.append(0, "a", point(0))
    view = view_of(store, budget_bytes)
    view.apply(log_of(store.append(0, "b", point(0, 0.05)), store.append(0, "c", point(0, 0.5))))
    assert keys_near(view, point(0)) == ["a", "b"]
    assert (len(view), view.cell_sizes) == (3, (3,))
    assert bool(store.reads) == (budget_bytes == 0)


def test_what_was_read_with_its_cell_is_not_counted_again(store: Store) -> None:
    events = [store.append(0, "a", point(0)), store.append(0, "b", point(0, 0.05))]
    view = view_of(store)
    view.apply(log_of(*events))
    assert (len(view), keys_near(view, point(0))) == (2, ["a", "b"])


def test_a_gap_in_a_cell_is_read(store: Store) -> None:
    view = view_of(store)
    store.append(0, "missed", point(0))
    view.apply(log_of(store.append(0, "b", point(0, 0.05))))
    assert keys_near(view, point(0)) == ["b", "missed"]


@pytest.mark.parametrize("budget_bytes", [0, 1 << 20])
def test_a_divided_cell(store: Store, budget_bytes: int) -> None:
    for number in range(4):
        store.append(0, f"m{number}", point(0, 0.05 * number))
    view = view_of(store, budget_bytes)
    records = store.cells.pop(0)
    store.cells |= {4: records[::2], 5: records[1::2]}
    split = Split(0, 0, 4, 5, 0, 0.5, b"LRLR")
    view.apply(log_of(split, split, store.append(5, "new", point(0, 0.01))))
    assert view.cell_sizes == (2, 3)
    assert keys_near(view, point(0)) == ["m0", "m1", "m2", "new"]


def test_a_divided_cell_that_was_not_known_in_full(store: Store) -> None:
    view = view_of(store)
    store.cells |= {4: [record("a", point(0))], 5: [record("b", point(0, 0.05))]}
    view.apply(log_of(Split(0, 0, 4, 5, 0, 0.5, b"LR")))
    assert keys_near(view, point(0)) == ["a", "b"]


def test_a_rewritten_cell(store: Store) -> None:
    for number in range(3):
        store.append(0, f"m{number}", point(0, 0.05 * number))
    view = view_of(store)
    del store.cells[0][0]
    view.apply(log_of(Rewritten(0, 0), store.append(0, "new", point(0, 0.01))))
    assert keys_near(view, point(0)) == ["m1", "m2", "new"]
    assert len(view) == 3


@given(data=st.data())
def test_events_at_once_come_to_the_same_as_one_by_one(data: st.DataObject) -> None:
    store, rewrites, budget_bytes = Store(), data.draw(st.booleans()), data.draw(st.sampled_from([0, 1 << 20]))
    for number in range(3):
        store.append(0, f"before {number}", point(0))
    views = [view_of(store, budget_bytes) for _ in range(2)]
    log: list[Appended | Split | Rewritten] = []
    cells = len(CENTROIDS)
    kinds = ["append"] * 4 + ["divide"] + ["rewrite"] * rewrites
    for number in range(data.draw(st.integers(1, 25))):
        divided = {event.cell for event in log if isinstance(event, Split)}
        cell = data.draw(st.sampled_from(sorted({0, 1, *store.cells} - divided)))
        kind = data.draw(st.sampled_from(kinds))
        if kind == "append":
            log.append(store.append(cell, f"m{number}", point(0)))
        elif kind == "rewrite":
            del store.cells.get(cell, [])[:1]
            log.append(Rewritten(cell, 0))
        else:
            records = store.cells.pop(cell, [])
            sides = bytes(data.draw(st.lists(st.sampled_from(b"LR"), min_size=len(records), max_size=len(records))))
            for half, side in zip((cells, cells + 1), b"LR", strict=True):
                store.cells[half] = [each for each, own in zip(records, sides, strict=True) if own == side]
            log.append(Split(cell, 0, cells, cells + 1, 0, 0.5, sides))
            cells += 2
    at_once, one_by_one = views
    at_once.apply(log_of(*log))
    for event in log:
        one_by_one.apply(log_of(event))
    assert {cell: at_once.size_of(cell) for cell in range(cells)} == {
        cell: len(store.cells.get(cell, [])) for cell in range(cells)
    }
    assert at_once.tree.leaves == one_by_one.tree.leaves
    assert at_once.grown - {*range(cells)} == set()
    row = point(0)[np.newaxis]
    found = [[hit.head for hit in view.within(row, view.sketch(row))[0]] for view in views]
    assert sorted(found[0]) == sorted(found[1])
    assert len(found[0]) == len(at_once) == sum(map(len, store.cells.values()))
    assert rewrites or found[0] == found[1]  # equally near ones in the order of the log


def test_a_cell_that_is_shorter_than_it_should_be(store: Store) -> None:
    store.append(0, "a", point(0))
    view = view_of(store, budget_bytes=0)
    keys_near(view, point(2))
    store.cells.clear()
    with pytest.raises(OutdatedView, match="cell 0 holds 0 members but should hold 1"):
        keys_near(view, point(0))


@pytest.mark.parametrize("budget_bytes", [0, 1 << 20])
def test_members_in_which_something_has_changed_are_no_hits(store: Store, budget_bytes: int) -> None:
    still, visited = thumbnail(), thumbnail((8, 8))
    change = float(largest_change(still, visited[np.newaxis])[0])
    for key, shown in (("a", still), ("b", visited)):
        store.cells.setdefault(0, []).append(encode_member(Member(key, key, point(0, 0.05), 0, shown)))

    def found(local_change: float, shown: Kept) -> list[tuple[bytes, float | None]]:
        view = GenerationView(
            CellTree(Cells(CENTROIDS)), SKETCHER, Relation(RADIUS, local_change), store.read, budget_bytes
        )
        view.load(view.tree.leaves)
        row = point(0)[np.newaxis]
        (hits,) = view.within(row, view.sketch(row), shown[np.newaxis])
        return [(head_key(hit.head), hit.local_change) for hit in hits]

    assert found(change, still) == [(b"a", 0.0), (b"b", change)]
    assert found(float(np.nextafter(change, 0)), still) == [(b"a", 0.0)]
    assert found(0.0, visited) == [(b"b", 0.0)]
    assert found(0.0, thumbnail((20, 20))) == []


def test_local_change_is_never_left_out_silently(store: Store) -> None:
    store.cells[0] = [encode_member(Member("a", "a", point(0), 0, thumbnail()))]
    view = GenerationView(CellTree(Cells(CENTROIDS)), SKETCHER, Relation(RADIUS, 0.0), store.read, 1 << 20)
    view.load(view.tree.leaves)
    with pytest.raises(Misconfigured, match="compares a thumbnail"):
        keys_near(view, point(0))


def test_nothing_is_near_in_an_empty_view(store: Store) -> None:
    view = view_of(store)
    assert keys_near(view, point(0)) == []
    assert view.nearest_in(0, point(0)) is None
    assert view.nearest_elsewhere(point(0)) is None


def test_slots_of_members_that_went_are_given_back(store: Store) -> None:
    """A cell that is rewritten for ever, as retention does, takes no more memory than the first time."""
    for number in range(40):
        store.append(0, f"a{number}", point(0, 0.01 * number))
    store.append(1, "b", point(1))
    view = view_of(store)
    slots = set()
    for turn in range(120):
        store.cells[0].pop(0)
        store.append(0, f"new{turn}", point(0, 0.3 + 0.001 * turn))
        view.apply(log_of(Rewritten(0, 0)))
        view.tidy()
        slots.add(view._places.count)
        assert len(view) == 41
    assert 1024 < max(slots) <= 1024 + 2 * 41
    asked = point(0, 0.38)
    assert keys_near(view, asked) == keys_near(view_of(store), asked) != []
    assert keys_near(view, point(1)) == ["b"]
    store.cells[0].clear()
    for _ in range(40):
        view.apply(log_of(Rewritten(0, 0)))
    view.tidy()
    view.apply(log_of(store.append(0, "last", point(0))))
    assert (len(view), keys_near(view, point(0))) == (2, ["last"])


@pytest.mark.parametrize("budget_bytes", [0, 1 << 20])
def test_multiplying_with_all_members_finds_the_same(
    store: Store, budget_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        store.append(number % 2, f"m{number}", point(number % 2, 0.02 * number))
    view = view_of(store, budget_bytes)
    asked = np.stack([point(0, 0.1), point(1, 0.3), point(0, 0.58)])
    found = view.within(asked, view.sketch(asked))
    touched, view.rows_touched = view.rows_touched, 0
    monkeypatch.setattr("neardup.index.view._PAIRS", 1)
    monkeypatch.setattr("neardup.index.view._SCAN_SHARE", 0.0)
    scans = Mock(wraps=view._scan)
    monkeypatch.setattr(view, "_scan", scans)
    assert view.within(asked, view.sketch(asked)) == found
    assert sum(map(len, found)) > 3
    scans.assert_called_once()
    assert view.rows_touched <= touched
