"""The local change on frame pairs of real cameras that a person labelled; the frames are not part of the project."""

import csv
import os
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from neardup.decoding.decode import decode
from neardup.relation.local_change import DEFAULT_LOCAL_CHANGE, largest_change, thumbnail_of

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(os.environ.get("NEARDUP_DATA") or ROOT / "../shared/data").resolve() / "camera"
with (ROOT / "benchmarks/quality/camera_pairs.csv").open(encoding="utf-8", newline="") as file:
    PAIRS = list(csv.DictReader(file))

SWAYED = ("car_detection", "16", "241")
"""The one still scene that is called a change: the camera swayed by six pixels, and a painted sign came into view."""

needs_frames = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no {FOLDER}: NEARDUP_DATA names the folder that camera/ lies in"
)


@cache
def thumbnail(clip: str, number: str) -> NDArray[np.uint8]:
    return thumbnail_of(decode((FOLDER / clip / f"{int(number):05d}.jpg").read_bytes(), reduce_to_px=128))


def change_of(pair: dict[str, str]) -> float:
    one, other = thumbnail(pair["clip"], pair["frame_a"]), thumbnail(pair["clip"], pair["frame_b"])
    return float(largest_change(one, other[np.newaxis])[0])


def kind_of(pair: dict[str, str]) -> str:
    return pair["what"].partition(":")[0]


def test_there_are_200_different_pairs_half_of_them_changes() -> None:
    assert len({(pair["clip"], pair["frame_a"], pair["frame_b"]) for pair in PAIRS}) == len(PAIRS) == 200
    assert Counter(pair["label"] for pair in PAIRS) == {"change": 100, "same": 100}


def test_every_pair_says_what_was_seen_and_goes_forward_in_time() -> None:
    kinds = {"same": {"still", "moves a little"}}
    kinds["change"] = {"enters", "left", "moved", "other", "camera moves"}
    for pair in PAIRS:
        assert int(pair["frame_a"]) < int(pair["frame_b"])
        assert kind_of(pair) in kinds[pair["label"]]


def test_the_pairs_reach_from_one_frame_to_hundreds() -> None:
    for label in ("same", "change"):
        gaps = [int(pair["frame_b"]) - int(pair["frame_a"]) for pair in PAIRS if pair["label"] == label]
        assert min(gaps) <= 2
        assert max(gaps) >= 300


@pytest.mark.data
@needs_frames
@pytest.mark.parametrize("clip", sorted({pair["clip"] for pair in PAIRS}))
def test_no_change_is_missed(clip: str) -> None:
    changes = [pair for pair in PAIRS if pair["clip"] == clip and pair["label"] == "change"]
    assert [pair for pair in changes if change_of(pair) <= DEFAULT_LOCAL_CHANGE] == []


@pytest.mark.data
@needs_frames
def test_a_still_scene_is_no_change() -> None:
    alarms = [pair for pair in PAIRS if kind_of(pair) == "still" and change_of(pair) > DEFAULT_LOCAL_CHANGE]
    assert [(pair["clip"], pair["frame_a"], pair["frame_b"]) for pair in alarms] == [SWAYED]


@pytest.mark.data
@needs_frames
def test_walkers_who_took_a_step_are_seldom_a_change() -> None:
    steps = [pair for pair in PAIRS if pair["clip"] == "vtest_pedestrians" and pair["label"] == "same"]
    alarms = sum(change_of(pair) > DEFAULT_LOCAL_CHANGE for pair in steps)
    assert alarms <= len(steps) // 8
