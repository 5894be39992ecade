"""How fast neardup backfill is: lines a second, checked alone and published to a real Kafka, and its memory.

Each run is the command line itself, from its start to its end. Run: ``python -m benchmarks.backfill_lines``.
"""

import argparse
import csv
import json
import os
import secrets
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.pages import table
from benchmarks.throughput.servers import topics
from demo.services import open_kafka

_HOST = "https://images.example.org/cameras"


def _uris(lines: int) -> Iterator[str]:
    return (f"{_HOST}/{number // 1000:06d}/{number:010d}.jpg" for number in range(lines))


def _list(folder: Path, lines: int) -> Path:
    path = folder / "list.txt"
    with path.open("w") as file:
        file.writelines(f"{uri}\n" for uri in _uris(lines))
    return path


def _json(folder: Path, lines: int) -> Path:
    path = folder / "list.jsonl"
    with path.open("w") as file:
        for number, uri in enumerate(_uris(lines)):
            file.write(
                json.dumps({"uri": uri, "image_id": f"{number}", "captured_at": 1_767_225_600_000 + number}) + "\n"
            )
    return path


def _csv(folder: Path, lines: int) -> Path:
    path = folder / "list.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "uri", "captured_at"])
        writer.writerows([number, uri, 1_767_225_600_000 + number] for number, uri in enumerate(_uris(lines)))
    return path


def _parquet(folder: Path, lines: int) -> Path:
    path = folder / "list.parquet"
    columns = {"image_id": [*range(lines)], "uri": [*_uris(lines)]}
    pq.write_table(pa.table(columns), path, row_group_size=100_000)
    return path


def _shard(folder: Path, lines: int) -> Path:
    path = folder / "shard.tar"
    with path.open("wb") as file:
        for number in range(lines):
            member = tarfile.TarInfo(f"{number:08d}.jpg")
            member.size = 10_000
            file.write(member.tobuf())
            # Headers are what is read; a hole takes the pictures' place, so that a million of them fit on a disk.
            file.seek(10_240, os.SEEK_CUR)
        file.write(bytes(2 * tarfile.BLOCKSIZE))
    return path


KINDS: dict[str, Callable[[Path, int], Path]] = {
    "list of URIs": _list,
    "JSON lines": _json,
    "CSV": _csv,
    "Parquet": _parquet,
    "tar shard": _shard,
}


_REPORTING = """
import sys
from neardup.cli import main
code = main(sys.argv[1:])
with open("/proc/self/status") as status:
    print(next(line for line in status if line.startswith("VmHWM")).split()[1])
sys.exit(code)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """Of a process, from its start to its end: seconds, those of CPU, and the most memory it had."""

    seconds: float
    cpu_s: float
    memory_mib: float


def timed(arguments: Sequence[str]) -> Run:
    """Run the command line to its end; SystemExit if it fails."""
    began = time.perf_counter()
    command = [sys.executable, "-c", _REPORTING, "backfill", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with process:
        told = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"the backfill of {arguments[0]} ended with {process.returncode}")
    return Run(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, int(told) / 1024)


def measured(address: str, kind: str, lines: int) -> tuple[Run, Run]:
    """Return a dry run and a run of one kind of listing."""
    topic = f"backfill-{secrets.token_hex(4)}"
    with TemporaryDirectory() as folder, topics(address, [topic]):
        path = str(KINDS[kind](Path(folder), lines))
        kafka = ["--bootstrap-servers", address, "--topic", topic]
        return timed([path, "--dry-run"]), timed([path, "--state", f"{folder}/state.db", *kafka])


def main(arguments: Sequence[str]) -> int:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args(arguments)
    rows: list[list[str]] = []
    with open_kafka(os.environ, _say) as address:
        for kind in options.kinds:
            for lines in options.lines:
                dry, wet = measured(address, kind, lines)
                cells = [f"{lines / run.seconds:,.0f} ({1e6 * run.cpu_s / lines:.0f} µs)" for run in (dry, wet)]
                rows.append([kind, f"{lines:,}", *cells, f"{wet.memory_mib:.0f} MiB"])
                sys.stderr.write(f"{rows[-1]}\n")
    print(
        table(["listing", "lines", "checked a second (CPU each)", "published a second (CPU each)", "most memory"], rows)
    )
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
