"""What each worker gets."""

import pytest

import consumer.workers.shares
from consumer.settings import ServiceSettings
from consumer.workers.shares import shares_of


@pytest.fixture(autouse=True)
def _sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer.workers.shares, "cores", lambda: 16)


def test_one_worker_has_what_was_given() -> None:
    settings = ServiceSettings(group_instance_id="x")
    assert shares_of(settings) == [settings]


def test_three_workers_share_cores_and_records_and_each_has_a_name_of_its_own() -> None:
    shares = shares_of(ServiceSettings(workers=3, cache_bytes=3000, group_instance_id="x"))
    assert sorted(share.decode_workers or 0 for share in shares) == [5, 5, 6]
    assert [share.cache_bytes for share in shares] == [1000] * 3
    assert [share.group_instance_id for share in shares] == ["x-1", "x-2", "x-3"]


def test_a_number_of_decoding_processes_that_was_given_is_that_of_each() -> None:
    shares = shares_of(ServiceSettings(workers=2, decode_workers=3))
    assert [share.decode_workers for share in shares] == [3, 3]
    assert [share.group_instance_id for share in shares] == [None, None]


def test_more_workers_than_cores_decode_in_one_process_each() -> None:
    assert {share.decode_workers for share in shares_of(ServiceSettings(workers=20))} == {1}


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (8, 1), (12, 2), (32, 5)])
def test_auto_follows_the_cores(cores: int, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer.workers.shares, "cores", lambda: cores)
    assert len(shares_of(ServiceSettings(workers=None))) == workers
