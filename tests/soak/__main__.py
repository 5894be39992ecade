"""`make soak`: the long run, told as it goes, and its report as JSON."""

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path

from demo.services import find_kafka_program, find_redis_program
from tests.soak.drive import Plan, Soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to feed (default: 10)")
    parser.add_argument("--seed", type=int, help="of pictures and mishaps (default: any, which is told)")
    args = parser.parse_args()
    seed = random.randrange(2**32) if args.seed is None else args.seed  # noqa: S311 - no secret
    kafka, redis = find_kafka_program(os.environ, _say), find_redis_program(os.environ, _say)
    with tempfile.TemporaryDirectory(prefix="neardup-soak-") as folder:
        report = Soak(Plan(args.minutes, seed), kafka, redis, Path(folder), _say).run()
    print(report.to_json())  # noqa: T201
    return 0 if report.sound else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
