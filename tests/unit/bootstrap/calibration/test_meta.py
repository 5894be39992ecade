import json
from typing import Any

import pytest

from neardup.errors import CorruptIndex
from neardup.index.base import IndexMeta

META = IndexMeta("cats", 1, "dct", "dct-1", 256, 0.25, calibration={"method": "pairs", "radius": 0.25})


def test_the_calibration_is_kept_with_the_index() -> None:
    assert IndexMeta.from_json(META.to_json()) == META


def test_an_index_without_one_has_a_radius_that_was_given() -> None:
    fields = json.loads(META.to_json())
    del fields["calibration"]
    assert IndexMeta.from_json(json.dumps(fields).encode()).calibration == {}


@pytest.mark.parametrize("wrong", [None, [], "pairs", 1])
def test_a_calibration_of_another_type_is_refused(wrong: Any) -> None:  # noqa: ANN401 - whatever JSON holds
    fields = {**json.loads(META.to_json()), "calibration": wrong}
    with pytest.raises(CorruptIndex, match="values of the wrong type: calibration"):
        IndexMeta.from_json(json.dumps(fields).encode())
