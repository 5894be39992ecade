"""Where the time goes: the CPU time of a consumer by what it is doing, stage by stage."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.throughput.builds import Build
from benchmarks.throughput.end_to_end import Case
from benchmarks.throughput.running import Mark, consuming, publish
from benchmarks.throughput.servers import Servers

DECODERS, LIBRARIES = "decoding processes", "threads of libraries"


def measure(case: Case, build: Build, servers: Servers, given: tuple[Sequence[Path], Path]) -> dict[str, float]:
    """Return CPU milliseconds an image, by what is done; the watching itself is left out."""
    files, seeds = given
    with consuming(
        build, servers, case.profile, seeds, before=lambda names: publish(servers, names.topic, files), watched=True
    ) as running:
        first = running.await_verdicts(case.size.edge)
        last = running.await_verdicts(case.size.edge + case.timed)
        running.await_verdicts(case.images)
        notes = [json.loads(line) for line in running.notes.read_text().splitlines()[:-1]]
    return by_stage(notes, first, last)


def by_stage(notes: list[dict[str, Any]], first: Mark, last: Mark) -> dict[str, float]:
    """Return CPU milliseconds an image between two moments, most first."""
    before, after = (_at(notes, mark) for mark in (first, last))
    images = last.verdicts - first.verdicts
    rooms = {room: after["rooms"][room] - before["rooms"].get(room, 0.0) for room in after["rooms"]}
    process = after["process"] - before["process"]
    watch = after["watch"] - before["watch"]
    children = last.consumer_s - first.consumer_s - process
    spent = {**rooms, DECODERS: children, LIBRARIES: max(0.0, process - watch - sum(rooms.values()))}
    return {
        name: round(1000 * seconds / images, 3) for name, seconds in sorted(spent.items(), key=lambda each: -each[1])
    }


def _at(notes: list[dict[str, Any]], mark: Mark) -> Mapping[str, Any]:
    return min(notes, key=lambda note: abs(float(note["at"]) - mark.at_s))
