"""An operator who removes members, and goes back to the generation before, again and again while workers judge."""

import itertools
import json
import random
import time
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import redis
from threadpoolctl import threadpool_limits

from bootstrap.live.reading import LiveGeneration
from bootstrap.live.removal import remove
from bootstrap.live.rollback import rollback
from neardup.errors import CorruptIndex, Misconfigured, Unavailable
from neardup.index.build import GenerationBuild
from neardup.index.stored.codec import head_key, split_record
from neardup.index.stored.connection import connect
from neardup.index.stored.keys import IndexKeys
from tests.stress.material import RETENTION

KEEP_MS = 60 * 60 * 1000
"""How long a generation is kept for a rollback: longer than any run."""
_CELLS = 4
"""At most so many lose members by one removal, and each at most as many."""
DEFECTS = {
    "untold": ("for i = 4 * count + 3, #ARGV do\n  redis.call('RPUSH', KEYS[2], ARGV[i])\nend\n", ""),
    "returning": ("for i = 1, removed do\n", "for i = 1, 0 do\n"),
    "hasty": ("  return 'NEWS'\n", ""),
}
"""What the stress must not survive: of a removal consumers are not told; a rollback brings back what was removed; it
does not look at what came meanwhile. Text of the scripts, and what takes its place."""
WHOLE_CACHE = 1 << 30
"""For workers of such a run: whoever reads a cell again that has changed untold takes it for corrupt, and stops."""


@dataclass(frozen=True)
class Withdrawing:
    """What the process is to do; it ends when `stop` is there."""

    folder: Path
    redis_url: str
    index: str
    fingerprint: str
    rest_s: float
    seed: int = -1
    defect: str = ""

    @property
    def stop(self) -> Path:
        """Made when it is to end."""
        return self.folder / "stop-withdrawing"

    @property
    def may_leave(self) -> Path:
        """Made when it may go over to another descriptor, on which no generation is built."""
        return self.folder / "may-leave"

    @property
    def left(self) -> Path:
        """Made when it has: it goes back when something has happened there."""
        return self.folder / "left"

    @property
    def notes(self) -> Path:
        """Where it writes what was acknowledged."""
        return self.folder / f"withdrawn-{self.seed}"


def read_notes(folder: Path) -> list[dict[str, Any]]:
    """Return what was acknowledged to all such processes: what `remove` and `rollback` return."""
    return [json.loads(line) for path in folder.glob("withdrawn-*") for line in path.read_bytes().splitlines()]


def withdraw(task: Withdrawing) -> None:
    """Remove and go back, in turn."""
    threadpool_limits(1)
    with connect(task.redis_url) as client:
        if task.defect:
            _spoil(client, *DEFECTS[task.defect])
        _Operator(task, client).run()


def _spoil(client: redis.Redis, text: str, instead: str) -> None:
    assert any(
        text in script.read_text("utf-8") for script in files("neardup.index.stored").iterdir() if script.is_file()
    )
    register = client.register_script
    client.register_script = lambda script: register(str(script).replace(text, instead))  # type: ignore[method-assign]


class _Operator:
    def __init__(self, task: Withdrawing, client: redis.Redis) -> None:
        self._task = task
        self._client = client
        self._random = random.Random(task.seed)  # noqa: S311 - no secret
        self._notes = task.notes.open("ab", buffering=0)

    def run(self) -> None:
        steps = itertools.cycle([self._remove, self._there_and_back, self._remove, self._back])
        for step in itertools.islice(steps, self._task.seed % 4, None):
            if self._task.stop.exists():
                break
            try:
                step()
            except CorruptIndex:
                raise
            except (Misconfigured, Unavailable):  # another generation came first, or uniques would be lost
                continue
            time.sleep(self._random.uniform(0.0, 2.0 * self._task.rest_s))
        if self._is_away():
            self._roll_back(KEEP_MS, allow_dropping=True)

    def _note(self, document: dict[str, Any]) -> None:
        # One write: a line is there or it is not.
        self._notes.write(json.dumps(document).encode() + b"\n")

    def _live(self) -> LiveGeneration:
        return LiveGeneration(self._client, self._task.index)

    def _is_away(self) -> bool:
        return self._live().meta.fingerprint != self._task.fingerprint

    def _remove(self) -> None:
        """Remove some, as soon as there are any."""
        while not (keys := self._some_members()) and not self._task.stop.exists():
            time.sleep(0.01)
        if keys:
            self._note(remove(self._client, self._task.index, keys, "stress"))

    def _some_members(self) -> list[str]:
        generation = self._live()
        leaves = generation.layout().leaves
        cells = self._random.sample(leaves, min(_CELLS, len(leaves)))
        return [
            head_key(split_record(record, generation.meta.dimension)[0]).decode()
            for records in generation.read_cells(cells)
            for record in self._random.sample(records, min(_CELLS, len(records)))
        ]

    def _back(self) -> None:
        """Go back without losing anything, or else be refused, mostly."""
        self._roll_back(KEEP_MS, allow_dropping=self._random.random() < 0.2)

    def _there_and_back(self) -> None:
        """Go over to a generation of another descriptor, which begins with nothing, and back: what it added is lost."""
        if not self._task.may_leave.exists():
            return
        if not self._is_away():
            self._go_away()
        self._roll_back(self._random.choice([0, KEEP_MS]), allow_dropping=True)

    def _go_away(self) -> None:
        live = self._live()
        meta = replace(live.meta, fingerprint=f"not {self._task.fingerprint}")
        build = GenerationBuild(self._client, meta, live.roots.centroids, live.sketcher, keep_ms=KEEP_MS)
        log = IndexKeys(self._task.index).log(build.publish().generation)
        self._task.left.touch()
        while not self._client.llen(log) and not self._task.stop.exists():
            time.sleep(0.01)

    def _roll_back(self, keep_ms: int, *, allow_dropping: bool) -> None:
        self._note(
            rollback(
                self._client,
                self._task.index,
                keep_ms=keep_ms,
                retention=RETENTION,
                allow_dropping=allow_dropping,
            )
        )
