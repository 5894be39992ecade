"""Workers on a real Redis that are killed, stopped and continued beside their successors; then the audit."""

import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from neardup.index.redis import RedisIndex, RedisIndexOptions
from neardup.index.stored.connection import connect
from neardup.index.stored.keys import IndexKeys
from neardup.search.sketches import fit_sketcher
from tests.stress.audit import Contents
from tests.stress.history import History, Recorder, Switch, Told
from tests.stress.looks import RADIUS
from tests.stress.material import DIMENSION, PARTITIONS, RETENTION, Material, key_of, make_material
from tests.stress.pairs import near_pairs
from tests.stress.rebuild import REST_S, Rebuilding, rebuild
from tests.stress.withdraw import Withdrawing, read_notes, withdraw
from tests.stress.worker import Order, time_ms, work
from tests.support.indexes import FINGERPRINT, build_anew, new_name

_POLL_S = 0.02
_START_S = 60.0
_BUILD_S = 0.3
"""Of a build, at its beginning: when the second one of a run is killed lies in it."""
_BUILDS_KILLED = 0.25
"""Share of mishaps that the process which builds generations has, too."""
_OPERATORS_KILLED = 0.25
"""The same, of the process that removes members and goes back."""
_PRELOADED = ["tests.stress.worker", "tests.stress.rebuild", "tests.stress.withdraw"]
_SHOWN = 5
"""Of the verdicts that are wrong."""
_ZOMBIES = 0.3
"""Share of mishaps after which the old worker goes on later, beside its successor; the others are deaths."""


@dataclass(frozen=True)
class Plan:
    """What a run is to be.

    Attributes
    ----------
    images
        Messages, over all partitions.
    seed
        Of messages and mishaps.
    max_cluster, cache_bytes
        Of the workers' indexes.
    mishap_s
        A worker that has worked is killed, or stopped and replaced, after up to twice this long.
    zombie_s
        Up to how long a stopped worker sleeps before it goes on beside its successor, and how long it does so.
    checked
        False switches the commit's check off.
    believing
        True takes every time for what it says: what the stress must not survive.
    rebuilt
        Whether generations are built all the time, each in place of the one before, by a process that is killed, too;
        and another one removes members and goes back to the generation before.
    rest_s
        Of the latter, after each step; up to twice this long, as above.
    defect
        Of removals or rollbacks, one of `tests.stress.withdraw.DEFECTS`.
    relation
        What decides, one of `tests.stress.looks.RELATIONS`.
    """

    images: int
    seed: int = 1
    max_cluster: int = 20
    cache_bytes: int = 200_000
    mishap_s: float = 0.6
    zombie_s: float = 1.5
    checked: bool = True
    believing: bool = False
    rebuilt: bool = False
    rest_s: float = 0.25
    defect: str = ""
    relation: str = "plain"


@dataclass
class Report:
    """What a run was, and what the audit found; every fault is a line."""

    images: int = 0
    deliveries: int = 0
    kills: int = 0
    zombies: int = 0
    generations: int = 0
    builds_killed: int = 0
    removed: int = 0
    rollbacks: int = 0
    kept_away: int = 0
    lost_by_rollbacks: int = 0
    operators_killed: int = 0
    unique_again: int = 0
    pairs_kept_apart: int = 0
    turned: int = 0
    pairs_seen_inside: int = 0
    retries: int = 0
    splits: int = 0
    members: int = 0
    cells: int = 0
    largest_cell: int = 0
    seconds: float = 0.0
    images_per_s: float = 0.0
    lost: int = 0
    changed: int = 0
    wrong_verdicts: int = 0
    judged_by_removed: int = 0
    pairs_within_radius: int = 0
    uniques_not_members: int = 0
    members_not_unique: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether the audit found nothing."""
        return not (
            self.lost
            or self.changed
            or self.wrong_verdicts
            or self.judged_by_removed
            or self.pairs_within_radius
            or self.uniques_not_members
            or self.members_not_unique
            or self.faults
        )

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "sound": self.sound}, indent=2)


class Run:
    """One run of a plan."""

    def __init__(self, plan: Plan, redis_url: str, folder: Path) -> None:
        self._plan = plan
        self._url = redis_url
        self._folder = folder
        self._name = new_name()
        self._random = random.Random(plan.seed)  # noqa: S311 - no secret
        self._options = RedisIndexOptions(
            max_cluster=plan.max_cluster, cache_bytes=plan.cache_bytes, retention=RETENTION
        )
        # Workers are forked from a process that has imported all they need: one that is killed is replaced at once.
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload([*_PRELOADED, "sklearn.cluster"])
        self._seeds = 0
        self._began_s = 0.0
        self._workers: dict[int, tuple[Order, BaseProcess]] = {}
        self._zombies: list[tuple[float, BaseProcess]] = []
        self._rebuilding = Rebuilding(folder, redis_url, self._name, FINGERPRINT)
        self._builder: BaseProcess | None = None
        self._second_build_s = 0.0
        self._operator: BaseProcess | None = None
        self._withdrawing = Withdrawing(folder, redis_url, self._name, FINGERPRINT, plan.rest_s, defect=plan.defect)
        self.report = Report()

    def run(self) -> Report:
        material = make_material(self._plan.images, self._plan.seed, self._plan.relation)
        material.save(self._folder)
        history = self._history(material)
        recorder = Recorder(self._url, self._name, history)
        with connect(self._url) as client:
            sketcher = fit_sketcher(material.partitions[:, :500, 0].reshape(-1, DIMENSION))
            build_anew(client, self._name, RADIUS, material.centroids, sketcher, relation=material.rule)
        try:
            self._deliver()
        finally:
            self._end_all()
        self.report.seconds = round(time.monotonic() - self._began_s, 2)
        self._audit(material, history, recorder)
        return self.report

    def _history(self, material: Material) -> History:
        keys, near = material.keys, defaultdict(list)
        pairs = near_pairs(material)
        self.report.pairs_kept_apart = int((~pairs.duplicates).sum())
        self.report.pairs_seen_inside = int((pairs.duplicates & pairs.of_part).sum())
        for later, earlier, distance in pairs.found():
            near[keys[later]].append((distance, keys[earlier]))
        times_ms = {
            key_of(partition, offset): time_ms(partition, offset, believing=self._plan.believing)
            for partition, offset in np.ndindex(material.shown.shape)
        }
        return History(self._name, near, times_ms, RETENTION)

    # -- delivering ---------------------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        # However fast workers are: one is held back until a generation was made and the building of another killed,
        # and until a generation is live that will be left by a rollback which loses what was added to it.
        held_back = [PARTITIONS - 1] if self._plan.rebuilt else []
        for partition in range(PARTITIONS - len(held_back)):
            self._start(partition)
        self._begin()
        self._start_builder()
        self._start_operator()
        next_s = self._soon()
        while self._workers or self._zombies or held_back:
            time.sleep(_POLL_S)
            self._reap()
            self._wake_zombies()
            if held_back and self._first_build_killed() and self._has_left():
                self._start(held_back.pop())
            at_work = [partition for partition, (order, _) in self._workers.items() if order.notes.exists()]
            if time.monotonic() > next_s and at_work:
                self._mishap(self._random.choice(at_work))
                self._others_mishaps()
                next_s = self._soon()
        self._end_others()

    def _begin(self) -> None:
        orders = [order for order, _ in self._workers.values()]
        deadline_s = time.monotonic() + _START_S
        while not all(order.ready.exists() for order in orders):
            assert time.monotonic() < deadline_s, "the workers did not start"
            time.sleep(_POLL_S)
        self._began_s = time.monotonic()
        orders[0].go.touch()

    def _soon(self) -> float:
        return time.monotonic() + self._random.uniform(0.0, 2.0 * self._plan.mishap_s)

    def _start(self, partition: int) -> None:
        self._seeds += 1
        order = Order(
            *(self._folder, self._url, self._name, partition, self._seeds, self._options),
            checked=self._plan.checked,
            believing=self._plan.believing,
            relation=self._plan.relation,
        )
        worker = self._processes.Process(target=work, args=(order,), daemon=True)
        worker.start()
        self._workers[partition] = order, worker

    def _start_builder(self) -> None:
        if self._plan.rebuilt:
            self._builder = self._processes.Process(target=rebuild, args=(self._rebuilding,), daemon=True)
            self._builder.start()

    def _first_build_killed(self) -> bool:
        """Kill the second build while it is under way; tell whether that was done."""
        assert self._builder is not None
        assert self._builder.is_alive(), f"building generations ended with {self._builder.exitcode}"
        if self._rebuilding.made and not self._second_build_s:
            self._second_build_s = time.monotonic() + REST_S + self._random.uniform(0.0, _BUILD_S)
        if not self.report.builds_killed and 0 < self._second_build_s < time.monotonic():
            self._kill_builder()
        return self.report.builds_killed > 0

    def _others_mishaps(self) -> None:
        if self.report.builds_killed and self._random.random() < _BUILDS_KILLED:
            self._kill_builder()
        if self._operator is not None and self._withdrawing.left.exists() and self._random.random() < _OPERATORS_KILLED:
            self._operator.kill()
            self._operator.join()
            self.report.operators_killed += 1
            self._start_operator()

    def _start_operator(self) -> None:
        if self._plan.rebuilt:
            self._withdrawing = replace(self._withdrawing, seed=self._withdrawing.seed + 1)
            self._operator = self._processes.Process(target=withdraw, args=(self._withdrawing,), daemon=True)
            self._operator.start()

    def _has_left(self) -> bool:
        """Let the operator leave for another descriptor, once a rollback kept away what was removed; tell if it has."""
        assert self._operator is not None
        assert self._operator.is_alive(), f"removing and going back ended with {self._operator.exitcode}"
        if any("instead_of" in note and note["removed"] for note in read_notes(self._folder)):
            self._withdrawing.may_leave.touch()
        return self._withdrawing.left.exists()

    def _kill_builder(self) -> None:
        assert self._builder is not None
        self._builder.kill()
        self._builder.join()
        self.report.builds_killed += 1
        self._start_builder()

    def _end_others(self) -> None:
        self.report.generations = self._rebuilding.made
        self._rebuilding.stop.touch()
        self._withdrawing.stop.touch()
        for other in (self._builder, self._operator):
            if other is not None:
                other.join(_START_S)
                assert other.exitcode == 0, f"building generations, or withdrawing, ended with {other.exitcode}"

    def _mishap(self, partition: int) -> None:
        _, worker = self._workers[partition]
        if self._random.random() < _ZOMBIES:
            _send(worker, signal.SIGSTOP)
            self._zombies.append((time.monotonic() + self._random.uniform(0.2, self._plan.zombie_s), worker))
            self.report.zombies += 1
        else:
            worker.kill()
            worker.join()
            self.report.kills += 1
        self._start(partition)

    def _wake_zombies(self) -> None:
        for due_s, zombie in self._zombies:
            if time.monotonic() > due_s:
                _send(zombie, signal.SIGCONT)
            if time.monotonic() > due_s + self._plan.zombie_s:
                zombie.kill()  # else each would go on to the end of its partition, and they would be ever more
        self._zombies = [(due_s, zombie) for due_s, zombie in self._zombies if zombie.is_alive()]

    def _reap(self) -> None:
        for partition, (_, worker) in list(self._workers.items()):
            if not worker.is_alive():
                assert worker.exitcode == 0, f"the worker of partition {partition} ended with {worker.exitcode}"
                del self._workers[partition]

    def _end_all(self) -> None:
        others = [other for other in (self._builder, self._operator) if other is not None]
        workers = [worker for _, worker in self._workers.values()]
        for worker in [*others, *workers, *(zombie for _, zombie in self._zombies)]:
            worker.kill()
            worker.join()

    # -- judging ------------------------------------------------------------------------------------------------------

    def _audit(self, material: Material, history: History, recorder: Recorder) -> None:
        report = self.report
        keys = material.keys
        with connect(self._url) as client:
            self._settle(material)
            recorder.end()
            contents = Contents(client, self._name)
            for key in client.scan_iter(match=IndexKeys(self._name).pattern, count=1000):
                client.unlink(key)
        verdicts = self._read_notes()
        report.images = len(keys)
        report.images_per_s = round(report.images / report.seconds, 1)
        report.lost = len(set(keys) - verdicts.keys())
        report.changed = sum(
            set(history.told[key]) != told or len(history.told[key]) > 1 for key, told in verdicts.items()
        )
        report.wrong_verdicts = len(history.wrong)
        report.judged_by_removed = history.by_removed
        report.pairs_within_radius = history.unexplained
        report.unique_again = history.again
        report.turned = sum(symmetry != "none" for told in verdicts.values() for *_, symmetry, _ in told)
        uniques = {key for key, told in verdicts.items() if any(verdict == "unique" for verdict, *_ in told)}
        self._audit_contents(contents, history, uniques)
        self._audit_withdrawn(contents, history)
        report.faults += [*history.faults, *history.wrong[:_SHOWN]]

    def _audit_contents(self, contents: Contents, history: History, uniques: set[str]) -> None:
        report = self.report
        keys = {member.key for member in contents.members}
        report.members = len(contents.members)
        report.cells = len(contents.cells)
        report.largest_cell = max(map(len, contents.cells.values()))
        report.splits = contents.tree.split_count
        report.faults += contents.faults(self._plan.max_cluster)
        report.uniques_not_members = len(uniques - keys - history.removed - history.dropped)
        report.members_not_unique = len(keys - uniques)
        if keys != history.members:
            report.faults.append(f"{len(keys ^ history.members)} members are other ones than Redis told of")

    def _audit_withdrawn(self, contents: Contents, history: History) -> None:
        report = self.report
        notes = read_notes(self._folder)
        rollbacks = [note for note in notes if "instead_of" in note]
        removed = {member["key"] for note in notes if "instead_of" not in note for member in note["removed"]}
        report.removed, report.rollbacks = len(removed), len(rollbacks)
        report.kept_away = sum(note["removed"] for note in rollbacks)
        report.lost_by_rollbacks = sum(note["added"]["lost"] for note in rollbacks)
        still_there = (removed | history.removed) & {member.key for member in contents.members}
        report.faults += [f"{key} was removed and is a member" for key in sorted(still_there)]
        report.faults += [f"{key} was removed, and nothing is noted" for key in sorted(removed - history.removed)]
        # One that was killed may have made a switch and not have told of it, but not the other way round.
        told = Counter(_switch_of(note) for note in rollbacks)
        report.faults += [f"a rollback told another story: {switch}" for switch in told - Counter(history.switches)]

    def _settle(self, material: Material) -> None:
        """Let what the last batches made too large be divided, as the next ones would."""
        with connect(self._url) as client:
            index = RedisIndex(client, self._name, options=self._options)
            while index._view.grown:
                index.decide([material.query(0, 0)])

    def _read_notes(self) -> dict[str, set[Told]]:
        verdicts: dict[str, set[Told]] = defaultdict(set)
        for path in self._folder.glob("notes-*"):
            lines = [json.loads(line) for line in path.read_bytes().splitlines()]
            self.report.retries += max((line["retries"] for line in lines), default=0)
            for line in lines:
                self.report.deliveries += len(line["verdicts"])
                for key, *told in line["verdicts"]:
                    verdicts[key].add(tuple(told))
        return verdicts


def _send(worker: BaseProcess, signal_number: int) -> None:
    assert worker.pid is not None
    with suppress(ProcessLookupError):  # it has just come to its end
        os.kill(worker.pid, signal_number)


def _switch_of(rollback: dict[str, Any]) -> Switch:
    """Return the switch that a rollback told of."""
    added = rollback["added"]
    gone = rollback["gone"] + added["lost"] + added["duplicates"]
    return Switch(rollback["instead_of"], rollback["generation"], gone, rollback["back"])
