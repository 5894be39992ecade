"""Nothing is lost, changed, removed or taken twice, whoever dies and whatever clocks say.

The same run without the check, or believing every clock, is found out.
"""

from pathlib import Path

import pytest

from tests.stress.drive import Plan, Run

pytestmark = [pytest.mark.redis, pytest.mark.slow]


@pytest.mark.parametrize("server", ["redis_url", "redis_cluster_url"])
def test_four_workers_that_are_killed_and_stopped(server: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = str(request.getfixturevalue(server))
    report = Run(Plan(images=4000, max_cluster=12, cache_bytes=20_000), url, tmp_path).run()
    assert report.sound, report.to_json()
    assert report.kills + report.zombies > 0
    assert report.deliveries > report.images
    assert report.splits > 0
    assert report.retries > 0


def test_generations_that_take_one_another_s_place_meanwhile(redis_url: str, tmp_path: Path) -> None:
    plan = Plan(images=4000, seed=2, max_cluster=12, mishap_s=0.5, rebuilt=True)
    report = Run(plan, redis_url, tmp_path).run()
    assert report.sound, report.to_json()
    assert report.generations > 0
    assert report.builds_killed > 0


def test_believing_wrong_clocks_is_found_out(redis_url: str, tmp_path: Path) -> None:
    report = Run(Plan(images=2000, mishap_s=1000.0, believing=True), redis_url, tmp_path).run()
    assert report.uniques_not_members > 0, report.to_json()
    assert not report.sound


def test_without_the_check_the_same_is_found_out(redis_url: str, tmp_path: Path) -> None:
    # Nobody is killed here: that workers are at it at the same time is enough.
    report = Run(Plan(images=2000, mishap_s=1000.0, checked=False), redis_url, tmp_path).run()
    assert report.pairs_within_radius > 0, report.to_json()
    assert not report.sound
