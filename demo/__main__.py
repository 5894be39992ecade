"""``make demo``: the whole pipeline, on real servers that it starts and stops itself.

Exit codes: 0 done, 1 something that should work did not, 2 wrong settings, 130 Ctrl-C.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from demo.job import DemoFailed, run_demo
from demo.services import ServiceFailed


def main(arguments: Sequence[str]) -> int:
    """Run the demo; return the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: everything stopped
    try:
        run_demo(options.images, options.report.resolve(), os.environ)
    except (DemoFailed, ServiceFailed) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2 if isinstance(error, DemoFailed) and error.wrong_settings else 1
    except KeyboardInterrupt:
        print("\ndemo: stopped, with everything that it started", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="folder with your own pictures, instead of two filmed scenes")
    parser.add_argument("--report", type=Path, default=Path("demo-report"), help="folder for pictures and verdicts")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
