"""``make fuzz``: feed what reads images, envelopes, records and descriptions with bytes that nobody meant, and see.

Atheris follows the coverage of our modules and of Pillow's. Where it is not installed, seeds are mutated at random.
What it found last is kept below ``.fuzz`` and is where the next run begins; an input that breaks something stays there,
too, and ``python -m tests.fuzz --replay FILE --target NAME`` runs it again.

Exit codes: 0 nothing was found, 1 something was, 2 wrong arguments.
"""

import argparse
import hashlib
import os
import random
import re
import subprocess
import sys
import time
import traceback
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.targets import ROOT, TARGETS, Target

KEPT = ROOT / ".fuzz"
MAX_BYTES = 65_536
SLOW_S = 25
"""An input that takes longer is a finding; atheris's instruments cost a factor of ten."""
SHARES = {"decode": 0.6, "envelope": 0.15, "record": 0.15, "description": 0.1}
_MUTATIONS = 8


def main() -> int:
    """Fuzz the targets, one after another."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=60.0, help="in all")
    parser.add_argument("--target", choices=TARGETS, help="this one alone")
    parser.add_argument("--engine", choices=("atheris", "random"), default=_best_engine())
    parser.add_argument("--kept", type=Path, default=KEPT, help="folder for what is found")
    parser.add_argument("--replay", type=Path, help="run one input of the target")
    arguments = parser.parse_args()
    if arguments.replay:
        TARGETS[arguments.target or "decode"].run(arguments.replay.read_bytes())
        return 0
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)  # what decoders print; what we say goes to standard output
    names = [arguments.target] if arguments.target else list(TARGETS)
    failed = 0
    for name in names:
        seconds = arguments.seconds * (1.0 if arguments.target else SHARES[name])
        run = _atheris if arguments.engine == "atheris" else _at_random
        failed += run(TARGETS[name], arguments.kept, seconds)
    return 1 if failed else 0


def _best_engine() -> str:
    return "atheris" if find_spec("atheris") else "random"


def _atheris(target: Target, kept: Path, seconds: float) -> int:
    """Fuzz in a process of its own, which libFuzzer never gives back."""
    corpus, seeds = kept / target.name, kept / f"{target.name}-seeds"
    corpus.mkdir(parents=True, exist_ok=True)
    seeds.mkdir(exist_ok=True)
    for data in target.seeds():
        (seeds / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    options = [
        f"-max_total_time={max(1, round(seconds))}",
        f"-max_len={MAX_BYTES}",
        f"-timeout={SLOW_S}",
        "-rss_limit_mb=2048",
        f"-artifact_prefix={kept}/{target.name}-broken-",
        "-print_final_stats=1",
        "-verbosity=0",
        "-close_fd_mask=2",  # what decoders print
    ]
    command = [sys.executable, "-m", "tests.fuzz.follow", target.name, *options, str(corpus), str(seeds)]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    runs = re.search(r"number_of_executed_units: (\d+)", ended.stderr)
    if ended.returncode or not runs:
        _tell(f"{ended.stdout}{ended.stderr}\n{target.name}: something was found, see {kept}")
        return 1
    _tell(f"{target.name}: nothing was found in {runs[1]} runs")
    return 0


def _at_random(target: Target, kept: Path, seconds: float) -> int:
    """Mutate seeds by chance, the same on every run."""
    chance = random.Random(0)  # noqa: S311 - no secrets
    seeds = list(target.seeds())
    until, runs = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        data = mutated(chance, seeds)
        runs += 1
        try:
            target.run(data)
        except Exception:  # noqa: BLE001 - a finding, whatever it is
            kept.mkdir(parents=True, exist_ok=True)
            found = kept / f"{target.name}-broken-{hashlib.sha256(data).hexdigest()[:16]}"
            found.write_bytes(data)
            _tell(f"{traceback.format_exc()}\n{target.name}: broken by {found}")
            return 1
    _tell(f"{target.name}: nothing was found in {runs} runs")
    return 0


def mutated(chance: random.Random, seeds: list[bytes]) -> bytes:
    """Return a seed with some bytes changed, cut out, repeated, or put in from another seed."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, _MUTATIONS)):
        start = chance.randrange(len(data) + 1)
        length = chance.choice((1, 2, 4, chance.randrange(64) + 1))
        match chance.randrange(4):
            case 0:
                data[start : start + length] = chance.randbytes(len(data[start : start + length]))
            case 1:
                del data[start : start + length]
            case 2:
                data[start:start] = data[start : start + length]
            case _:
                other = chance.choice(seeds)
                at = chance.randrange(len(other) + 1)
                data[start : start + length] = other[at : at + length]
    return bytes(data[:MAX_BYTES])


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
