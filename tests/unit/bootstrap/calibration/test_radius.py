import json

import numpy as np
import pytest
from numpy.typing import NDArray

from bootstrap.calibration import radius
from bootstrap.calibration.radius import Calibration, choose
from bootstrap.calibration.tail import NearPairs
from bootstrap.calibration.wording import radius_origin

NONE = np.empty(0)


def near_pairs(floor: float = 0.05, images: int = 200) -> NearPairs:
    rows = np.stack(np.triu_indices(images, 1), axis=1)
    l2 = np.random.default_rng(0).uniform(size=len(rows)) ** 0.125
    order = np.argsort(l2)
    order = order[l2[order] > floor][: radius.enough_for(images, 1e-6)]
    return NearPairs(l2[order], rows[order], images, floor)


def edits_up_to(largest: float) -> NDArray[np.float64]:
    return np.linspace(0.0, largest, 1001)


def chosen(edits: NDArray[np.float64], comparisons: int = 1) -> Calibration:
    found = choose(near_pairs(), edits, 1e-6, [str(row) for row in range(200)], comparisons)
    assert found is not None
    return found


def test_the_bound_is_taken_where_edits_need_less() -> None:
    found = chosen(edits_up_to(0.05))
    assert found.method == "pairs"
    assert found.radius == found.bound
    assert 0.1 < found.radius < 1e-6**0.125
    assert (found.found, found.warning) == (1.0, "")
    assert found.rate is not None
    assert found.rate < 1e-6
    assert found.nearest[0][2] == pytest.approx(near_pairs().l2_distance[0], abs=1e-4)
    assert radius_origin(found.document()) == (
        "calibrated: at most 1e-06 false pairs with 95% confidence, from 200 different images, "
        "100.0% of light edits found"
    )


def test_edits_that_are_missed_are_told() -> None:
    bound = chosen(edits_up_to(0.05)).radius
    found = chosen(edits_up_to(bound / 0.95))
    assert (found.method, found.radius) == ("pairs", bound)
    assert found.found == pytest.approx(0.95, abs=0.01)
    assert f"{found.found:.1%} of light edits are found: 99% would need a radius of" in found.warning


def test_most_edits_are_found_whatever_that_costs() -> None:
    found = chosen(edits_up_to(0.5))
    one, other, l2 = found.nearest[0]
    named = f"the nearest images that were taken for different ones: {one} and {other}, {l2:g} apart; "
    assert found.warnings[1].startswith(named)
    assert found.method == "edits"
    assert found.radius == pytest.approx(0.45)
    assert found.bound is not None
    assert found.rate is not None
    assert found.bound < 0.45
    assert found.rate > 1e-6
    assert f"a radius of {found.bound:g} would keep 1e-06 false pairs, 90% of the edits need 0.45" in found.warning
    assert radius_origin(found.document()).startswith("as light edits need, from 200 different images, 90")


def test_symmetries_share_the_rate() -> None:
    once, often = chosen(edits_up_to(0.05)), chosen(edits_up_to(0.05), comparisons=8)
    assert often.radius < once.radius
    assert often.rate is not None
    assert often.rate < 1e-6


def test_the_curve_is_short_and_rises() -> None:
    curve = chosen(edits_up_to(0.05)).curve
    assert {len(values) for values in curve.values()} == {48}
    for values in curve.values():
        assert values == sorted(values)
    assert curve["radius"][0] > 0.0
    assert curve["edits_found"][-1] == 1.0


def test_the_document_is_json_and_names_no_image() -> None:
    document = chosen(edits_up_to(0.05)).document()
    assert json.loads(json.dumps(document)) == document
    assert "nearest" not in document
    assert len(json.dumps(document)) < 4096


def test_too_few_pairs_choose_nothing() -> None:
    rows = np.stack(np.triu_indices(5, 1), axis=1)
    assert choose(NearPairs(np.linspace(0.5, 1.0, 10), rows, 5), edits_up_to(0.1), 1e-6) is None


@pytest.mark.parametrize(
    ("measured", "said"), [(True, "the descriptor's default, measured on photos"), (False, "a guess")]
)
def test_the_default_says_where_it_is_from(measured: bool, said: str) -> None:  # noqa: FBT001 - a parameter of a test
    found = radius.default(0.25, 1e-6, 7, "there are seven", measured=measured, edits=NONE)
    assert found.warning.startswith("not calibrated, there are seven: the radius 0.25 is ")
    assert said in found.warning
    assert (found.radius, found.images, found.bound, found.found) == (0.25, 7, None, None)
    assert radius_origin(found.document()) == "default"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        pytest.param({}, "given", id="empty"),
        pytest.param({"method": "pairs"}, "calibrated", id="fields missing"),
        pytest.param({"method": "edits", "images": 3, "found": "all"}, "as light edits need, from 3", id="odd"),
    ],
)
def test_documents_of_others_are_told_without_an_error(document: dict[str, object], said: str) -> None:
    assert radius_origin(document).startswith(said)
