"""The soak in short: feed, consumers, kills, restarts and the audit, all of it, in about a minute."""

from pathlib import Path

import pytest

from demo.services import KafkaProgram, RedisProgram
from tests.soak.drive import Plan, Soak

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]


def test_nothing_is_lost_or_told_twice_whatever_dies(
    kafka_program: KafkaProgram, redis_program: RedisProgram, tmp_path: Path
) -> None:
    plan = Plan(minutes=0.4, seed=3, mishap_s=1.5, rate=20.0)
    report = Soak(plan, kafka_program, redis_program, tmp_path, print).run()
    assert report.sound, report.to_json()
    assert report.fed > 50
    assert report.uniques > 0
    assert report.dead_letters > 0
    for what in ("consumer killed", "consumer stopped", "redis stalled", "redis ", "kafka "):
        assert any(name.startswith(what) for name in report.mishaps), report.mishaps


def test_nothing_is_lost_or_told_twice_where_some_describe_and_others_decide(
    kafka_program: KafkaProgram, redis_program: RedisProgram, tmp_path: Path
) -> None:
    plan = Plan(minutes=0.4, seed=4, mishap_s=1.5, rate=20.0, describers=2, deciders=2, again=True)
    report = Soak(plan, kafka_program, redis_program, tmp_path, print).run()
    assert report.sound, report.to_json()
    assert report.fed > 50
    assert report.uniques > 0
    assert report.dead_letters > 0
    assert report.judged_again == report.fed
    for role in ("describer", "decider"):
        assert report.mishaps[f"{role} killed"] > 0
        assert report.mishaps[f"{role} stopped"] > 0
