"""Radius and agreement chosen together, from pairs that somebody else looked at."""

import json
from collections.abc import Sequence

import numpy as np
import pytest

from bootstrap.calibration.edits import EditDistances
from bootstrap.calibration.looking import AGREEMENTS, LookedPairs
from bootstrap.calibration.radius import Calibration
from bootstrap.calibration.tail import NearPairs
from bootstrap.calibration.together import choose_together
from bootstrap.calibration.wording import agreement_origin, radius_origin

CANDIDATE, RATE = 0.7, 1e-6
ENOUGH, FEW = 3500, 300
"""Images that can just show the rate, and some that cannot."""
EDITS = EditDistances(np.linspace(0.0, 0.1, 101), np.full(101, np.inf))


def looked(l2: Sequence[float], passes_up_to: Sequence[float], images: int) -> LookedPairs:
    rows = np.arange(2 * len(l2), dtype=np.intp).reshape(-1, 2) % images
    passes = np.array(passes_up_to, dtype=np.float64)
    return LookedPairs(
        NearPairs(np.array(l2, dtype=np.float64), rows, images), passes, np.zeros(len(l2), dtype=np.bool_)
    )


def chosen(
    l2: Sequence[float] = (),
    passes_up_to: Sequence[float] = (),
    *,
    images: int = ENOUGH,
    agreements: Sequence[float] = AGREEMENTS,
    edits: EditDistances = EDITS,
    comparisons: int = 1,
) -> Calibration:
    pairs = looked(l2, passes_up_to, images)
    return choose_together(pairs, edits, RATE, agreements, CANDIDATE, comparisons=comparisons)


def test_where_nothing_agrees_the_candidate_is_taken() -> None:
    found = chosen([0.4, 0.5], [-1.0, -1.0])
    assert (found.method, found.radius, found.agreement) == ("pairs", CANDIDATE, AGREEMENTS[0])
    assert (found.looked, found.agreed, found.rate, found.found, found.warning) == (2, 0, 0.0, 1.0, "")
    assert found.shown is not None
    assert found.shown <= RATE
    assert radius_origin(found.document()).startswith("calibrated: at most 1e-06 false pairs with 95% confidence, from")
    assert agreement_origin(found.document()) == (
        "calibrated, the least of 0.3, 0.4, 0.5, 0.6 that was needed; "
        "of 2 pairs of different images within 0.7, 0 agree so much"
    )


def test_a_small_set_says_what_it_can_show() -> None:
    found = chosen(images=FEW)
    assert (found.method, found.radius) == ("shown", CANDIDATE)
    assert found.shown is not None
    assert RATE < found.shown < 1e-3
    said = radius_origin(found.document())
    assert said.startswith(
        f"calibrated: too few images to show 1e-06; they show at most {found.shown:g} false pairs with"
    )


def test_a_few_that_agree_ask_for_more_agreement_before_the_radius_gives_way() -> None:
    found = chosen([0.4, 0.45], [0.45, 0.35])
    assert (found.radius, found.agreement, found.agreed) == (CANDIDATE, 0.5, 0)


def test_more_agreement_is_not_asked_for_a_little_more_radius() -> None:
    found = chosen([0.4, 0.69], [0.35, 0.55])
    assert (found.radius, found.agreement, found.agreed) == (0.6899, 0.4, 1)


def test_more_agreement_is_not_asked_where_light_edits_lack_it() -> None:
    edits = EditDistances(EDITS.l2, np.where(np.arange(101) < 12, 0.45, np.inf))
    found = chosen([0.4], [0.55], edits=edits)
    assert (found.radius, found.agreement) == (0.3999, 0.3)


def test_an_agreement_that_is_given_stays() -> None:
    found = chosen([0.4], [0.45], agreements=[0.3])
    assert (found.radius, found.agreement, found.agreed, found.rate) == (0.3999, 0.3, 1, 0.0)
    assert agreement_origin(found.document()).startswith("given; of 1 pairs")


def test_as_many_as_the_rate_allows_may_agree() -> None:
    # Of 32 million pairs 32 may be false: five may be found, and many more may not.
    few, many = (chosen(np.linspace(0.5, 0.6, count).tolist(), [np.inf] * count, images=8000) for count in (5, 40))
    assert (few.radius, few.method, few.agreed) == (CANDIDATE, "pairs", 5)
    assert (many.method, many.agreement) == ("pairs", AGREEMENTS[0])  # no other would help
    assert 0.5 < many.radius < 0.6
    assert few.shown is not None
    assert many.shown is not None
    assert few.shown <= RATE
    assert 0.0 < (many.rate or 0.0) < many.shown <= RATE


def test_many_that_agree_whatever_is_asked_leave_a_smaller_radius() -> None:
    l2 = np.sort(np.random.default_rng(0).uniform(size=400)) ** (1 / 8) * CANDIDATE
    found = chosen(l2.tolist(), [np.inf] * len(l2), images=2000)
    assert (found.method, found.agreement, found.shown) == ("pairs", AGREEMENTS[0], None)
    # 400 of two million pairs lie within the candidate, and two of two million are allowed.
    two = (2 / 400) ** (1 / 8) * CANDIDATE
    assert 0.7 * two < found.radius < two
    assert found.rate is not None
    assert found.rate < RATE
    assert found.exponent == pytest.approx(8, rel=0.3)


def test_symmetries_are_as_many_chances() -> None:
    assert chosen(comparisons=8).method == "shown"
    one, eight = chosen(images=FEW).shown, chosen(images=FEW, comparisons=8).shown
    assert eight == pytest.approx(8 * (one or 0.0), rel=0.01)


def test_light_edits_are_found_whatever_that_costs_but_not_beyond_the_candidate() -> None:
    l2, passes = [0.05] * 40, [np.inf] * 40
    found = chosen(l2, passes)
    assert (found.method, found.radius) == ("edits", 0.09)
    assert f"would allow a radius of {found.bound:g}, 90% of the edits need 0.09, which is taken" in found.warning
    far = chosen(l2, passes, edits=EditDistances(10 * EDITS.l2, EDITS.passes_up_to))
    assert (far.method, far.radius) == ("edits", CANDIDATE)


def test_light_edits_that_do_not_agree_are_told() -> None:
    edits = EditDistances(EDITS.l2, np.where(np.arange(101) < 5, -1.0, np.inf))
    found = chosen(edits=edits)
    assert found.found == pytest.approx(96 / 101, abs=1e-4)
    assert found.warning == "95.0% of light edits are found: 5.0% agree with their original by less than is needed"


def test_the_document_has_the_curve_and_is_json() -> None:
    document = json.loads(json.dumps(chosen([0.4], [0.35]).document()))
    assert document["agreements"] == list(AGREEMENTS)
    assert document["candidate"] == document["curve"]["radius"][-1] == CANDIDATE
    assert {len(line) for line in document["curve"].values()} == {48}
