"""The tables of docs/scaling.md: what is made of whatever was measured."""

from typing import Any

import pytest

from benchmarks.scale.tables import tables

_NAMES = (
    *("redis_mib", "open_s", "client_mib", "batch_ms_an_image", "batch_cpu_ms_an_image", "single_ms_p50"),
    *("single_ms_p99", "keep_s", "kept_mib", "kept_open_s", "kept_client_mib"),
)


def size(members: int, times: float) -> dict[str, Any]:
    return {"members": members, **dict.fromkeys(_NAMES, 2048.0 * times)}


def made(*found: dict[str, Any]) -> dict[str, str]:
    return tables({"machine": "one", "data": "generated", "before": "0", "sizes": {"found": list(found)}})


def test_of_one_size_nothing_larger_is_worked_out() -> None:
    assert made(size(1_000, 1)).keys() == {"machine", "sizes"}


@pytest.mark.parametrize("order", [1, -1])
def test_a_larger_index_is_as_many_times_larger_once_more(order: int) -> None:
    row = made(*[size(1_000, 1), size(10_000, 3)][::order])["larger"].splitlines()[-1]
    # In GiB, ten times the larger one; a GiB of records does not grow, and CPU grows by as much as it did.
    assert row.split(" | ")[:3] == ["| 100,000", "60", "50.0, 1.0"]
    assert row.endswith("| 18432.0 |")
