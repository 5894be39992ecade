"""Nothing is lost, changed or taken twice, and what was removed judges nobody, whoever dies and whatever clocks say.

The same run without the check, believing every clock, or with a defect of removal or rollback, is found out.
"""

from pathlib import Path

import pytest

from tests.stress.drive import Plan, Run
from tests.stress.withdraw import WHOLE_CACHE

pytestmark = [pytest.mark.redis, pytest.mark.slow]


@pytest.mark.parametrize("server", ["redis_url", "redis_cluster_url"])
def test_four_workers_that_are_killed_and_stopped(server: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = str(request.getfixturevalue(server))
    report = Run(Plan(images=3000, max_cluster=12, cache_bytes=20_000), url, tmp_path).run()
    assert report.sound, report.to_json()
    assert report.kills + report.zombies > 0
    assert report.deliveries > report.images
    assert report.splits > 0
    assert report.retries > 0


@pytest.mark.parametrize("relation", ["look", "symmetries", "parts"])
def test_a_second_look_says_the_same_to_all_workers(relation: str, redis_url: str, tmp_path: Path) -> None:
    plan = Plan(images=1000, seed=3, max_cluster=12, cache_bytes=20_000, mishap_s=1.0, relation=relation)
    report = Run(plan, redis_url, tmp_path).run()
    assert report.sound, report.to_json()
    assert report.kills + report.zombies > 0
    assert report.pairs_kept_apart > 0
    assert (report.turned > 0) == (relation != "look")
    assert (report.pairs_seen_inside > 0) == (relation == "parts")


def test_generations_built_and_rolled_back_and_members_removed_meanwhile(redis_url: str, tmp_path: Path) -> None:
    plan = Plan(images=3000, seed=2, max_cluster=12, mishap_s=0.5, rebuilt=True)
    report = Run(plan, redis_url, tmp_path).run()
    assert report.sound, report.to_json()
    assert report.generations > 0
    assert report.builds_killed > 0
    assert report.removed > 0
    assert report.rollbacks > 0
    assert report.kept_away > 0
    assert report.lost_by_rollbacks > 0
    assert report.unique_again > 0


def test_believing_wrong_clocks_is_found_out(redis_url: str, tmp_path: Path) -> None:
    report = Run(Plan(images=2000, mishap_s=1000.0, believing=True), redis_url, tmp_path).run()
    assert report.uniques_not_members > 0, report.to_json()
    assert not report.sound


def test_without_the_check_the_same_is_found_out(redis_url: str, tmp_path: Path) -> None:
    # Nobody is killed here: that workers are at it at the same time is enough.
    report = Run(Plan(images=2000, mishap_s=1000.0, checked=False), redis_url, tmp_path).run()
    assert report.pairs_within_radius > 0, report.to_json()
    assert not report.sound


@pytest.mark.parametrize("defect", ["untold", "returning"])
def test_a_defect_of_removal_or_rollback_is_found_out(defect: str, redis_url: str, tmp_path: Path) -> None:
    plan = Plan(images=2000, mishap_s=1000.0, rebuilt=True, defect=defect, cache_bytes=WHOLE_CACHE)
    report = Run(plan, redis_url, tmp_path).run()
    came_back = any("brought back what was removed" in fault for fault in report.faults)
    assert came_back if defect == "returning" else report.wrong_verdicts > 0 or came_back, report.to_json()
    assert not report.sound
