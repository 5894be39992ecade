"""`make stress`: the long run, as a table and as JSON."""

import argparse
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from demo.services import open_redis
from tests.stress.drive import Plan, Report, Run
from tests.stress.looks import RELATIONS
from tests.stress.withdraw import DEFECTS, WHOLE_CACHE


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stress")
    parser.add_argument("--images", type=int, default=100_000, help="messages over all partitions (default: 100000)")
    parser.add_argument("--seed", type=int, default=1, help="of messages and mishaps (default: 1)")
    parser.add_argument("--max-cluster", type=int, default=60, help="members of a cell (default: 60)")
    parser.add_argument("--relation", choices=RELATIONS, default="plain", help="what decides (default: plain)")
    parser.add_argument("--unchecked", action="store_true", help="switch the commit's check off: must be found out")
    parser.add_argument("--believing", action="store_true", help="believe wrong clocks: must be found out")
    parser.add_argument("--defect", choices=DEFECTS, default="", help="of removal or rollback: must be found out")
    parser.add_argument(
        "--workers-only", action="store_true", help="no generation built, nothing removed or rolled back"
    )
    args = parser.parse_args()
    plan = Plan(
        args.images,
        args.seed,
        max_cluster=args.max_cluster,
        cache_bytes=WHOLE_CACHE if args.defect else 1_000_000,
        mishap_s=1.5,
        zombie_s=5.0,
        checked=not args.unchecked,
        believing=args.believing,
        rebuilt=not args.workers_only,
        rest_s=2.0,
        defect=args.defect,
        relation=args.relation,
    )
    with open_redis(os.environ, _say) as url, tempfile.TemporaryDirectory(prefix="neardup-stress-") as folder:
        report = Run(plan, url, Path(folder)).run()
    show(report)
    return 0 if report.sound else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201


def show(report: Report) -> None:
    for name, value in asdict(report).items():
        print(f"{name.replace('_', ' '):<24}{len(value) if isinstance(value, list) else value:>12}")  # noqa: T201
    print(report.to_json())  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
