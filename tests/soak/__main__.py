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
    parser.add_argument(
        "--images", type=int, help="how many to feed before any consumer starts, in place of a feed that goes on"
    )
    parser.add_argument("--rate", type=float, default=12.0, help="images a second (default: 12)")
    parser.add_argument("--describers", type=int, default=0, help="consumers that only describe (default: none)")
    parser.add_argument("--deciders", type=int, default=0, help="consumers that only decide (default: none)")
    parser.add_argument("--round-images", type=int, default=100, help="images of one feed (default: 100)")
    parser.add_argument(
        "--batch-size", type=int, default=16, help="images that a consumer takes together (default: 16)"
    )
    parser.add_argument(
        "--mishap-s", type=float, default=6.0, help="seconds from one mishap to the next, on average (default: 6)"
    )
    parser.add_argument(
        "--again", action="store_true", help="have one process of role all judge everything once more, and compare"
    )
    args = parser.parse_args()
    least = 2  # the first of them is never killed
    if bool(args.describers) != bool(args.deciders) or 0 < args.describers < least:
        parser.error(f"give both --describers, at least {least}, and --deciders, or neither")
    seed = random.randrange(2**32) if args.seed is None else args.seed  # noqa: S311 - no secret
    kafka, redis = find_kafka_program(os.environ, _say), find_redis_program(os.environ, _say)
    with tempfile.TemporaryDirectory(prefix="neardup-soak-") as folder:
        roles = {"describers": args.describers, "deciders": args.deciders}
        plan = Plan(
            args.minutes,
            seed,
            mishap_s=args.mishap_s,
            rate=args.rate,
            images=args.images,
            round_images=args.round_images,
            batch=args.batch_size,
            again=args.again,
            **roles,
        )
        report = Soak(plan, kafka, redis, Path(folder), _say).run()
    print(report.to_json())  # noqa: T201
    return 0 if report.sound else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
