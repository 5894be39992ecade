"""Ask the look-up service as much as it can take, half of it, and twice as much; check every answer.

    make load [MEMBERS=1000000] [ARGS="--seconds 30 --write-docs"]

The load is vegeta's: requests at a fixed rate, whether or not the earlier ones are answered. Redis and the service are
started for this; each picture is decoded anew. At twice what it can take nothing but 503 with Retry-After may come
besides right answers, and others may judge meanwhile: one client does, and comes again when it is told to.
"""

import argparse
import base64
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.pages import table, with_tables
from benchmarks.throughput.members import fill
from benchmarks.throughput.processes import cpu_s
from demo.services import RedisServer, find_redis_program

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "serve.md"
INDEX = "serve-load"
SEEDS = 24
PICTURES = 96
"""Every other one is a copy of one that was judged before; of the rest nothing like them is known."""
SIZE_PX = (640, 480)
WORKERS = 16
"""Clients that find out what the service can take: each asks again when it has its answer."""
DOUBLINGS = 6
LONGEST_S = 60
Row = dict[str, Any]


def picture(number: int, quality: int) -> bytes:
    """Return a JPEG that looks like no other number's; another quality is a copy of it."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize(SIZE_PX, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def post(url: str, data: bytes, key: str | None = None) -> tuple[Row, int]:
    """Return the answer to an image, and how often it was told to come again before."""
    headers = {"Content-Type": "image/jpeg"} | ({} if key is None else {"Idempotency-Key": key})
    told = 0
    while True:
        try:
            request = urllib.request.Request(url, data, headers)  # noqa: S310 - our own http:// address
            with urllib.request.urlopen(request, timeout=LONGEST_S) as answer:  # noqa: S310 - as above
                return json.loads(answer.read()), told
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 503:
                    raise
                told += 1
                time.sleep(float(error.headers["Retry-After"]))


class Load:
    """Asks a service with vegeta.

    Parameters
    ----------
    url, pid
        Of the service.
    folder
        For pictures and results.
    """

    def __init__(self, url: str, pid: int, folder: Path) -> None:
        self._url, self._pid, self._folder = url, pid, folder
        self._expected: dict[str, str] = {}
        lines = []
        for number in range(PICTURES):
            file = folder / f"{number}.jpg"
            file.write_bytes(picture(number, 70))
            if number % 2:
                post(f"{url}/judge?image_id=judged-{number}", picture(number, 90), f"before-{number}")
            path = f"{url}/lookup?image_id={number}"
            lines.append(f"POST {path}\nContent-Type: image/jpeg\n@{file}\n")
            found, _ = post(path, file.read_bytes())
            self._expected[str(number)] = found["verdict"]
            if number % 2 and found["duplicate_of"] != f"judged-{number}":
                sys.exit(f"picture {number} is told to be like {found['duplicate_of']}")
        (folder / "targets").write_text("\n".join(lines))

    def run(self, seconds: int, rate: str, *options: str) -> Row:
        """Ask for some seconds, and return what came of it."""
        results = self._folder / "results"
        attack = ["vegeta", "attack", "-format=http", f"-targets={self._folder / 'targets'}", f"-rate={rate}"]
        attack += [f"-duration={seconds}s", f"-timeout={LONGEST_S}s", f"-output={results}", *options]
        before_s = cpu_s(self._pid)
        subprocess.run(attack, check=True)
        used_s = cpu_s(self._pid) - before_s
        encode = ["vegeta", "encode", "-to=json", str(results)]
        encoded = subprocess.run(encode, check=True, capture_output=True)
        found = self._summed([json.loads(line) for line in encoded.stdout.splitlines()], seconds)
        return {**found, "cpu_ms": round(1000 * used_s / max(1, found["answered"]), 1)}

    def _summed(self, answers: list[Row], seconds: int) -> Row:
        statuses = Counter(each["code"] for each in answers)
        wrong = 0
        for each in answers:
            if each["code"] == 200:
                found = json.loads(base64.b64decode(each["body"]))
                wrong += found["verdict"] != self._expected[found["image_id"]]
            elif each["code"] == 503:
                wrong += "Retry-After" not in each["headers"]
        answered = sorted(each["latency"] / 1e6 for each in answers if each["code"] == 200)
        told = sorted(each["latency"] / 1e6 for each in answers if each["code"] == 503)
        others = len(answers) - statuses[200] - statuses[503]
        return {
            "asked": len(answers),
            "asked_s": round(len(answers) / seconds, 1),
            "answered": statuses[200],
            "answered_s": round(statuses[200] / seconds, 1),
            "told_to_come_again": statuses[503],
            "anything_else": others,
            "wrong": wrong,
            "p50_ms": _quantile(answered, 0.5),
            "p99_ms": _quantile(answered, 0.99),
            "told_p99_ms": _quantile(told, 0.99),
            "errors": sorted({each["error"] for each in answers if each["code"] not in {200, 503}})[:5],
        }


def _quantile(values: list[float], share: float) -> float | None:
    return round(values[min(len(values) - 1, int(share * len(values)))], 1) if values else None


class Judge(threading.Thread):
    """A client that judges while others ask too much: a new picture, the same again, and a copy of it, in turn."""

    def __init__(self, url: str) -> None:
        super().__init__(name="judge")
        self._url = url
        self.stop = threading.Event()
        self.judged = self.told = self.wrong = 0

    def run(self) -> None:
        """Judge until stopped."""
        number = 10_000
        while not self.stop.is_set():
            number += 1
            asked = ((90, f"load-{number}", "unique"), (90, f"load-{number}", "unique"), (70, None, "duplicate"))
            for quality, key, verdict in asked:
                found, told = post(f"{self._url}/judge", picture(number, quality), key)
                self.judged += 1
                self.told += told
                self.wrong += found["verdict"] != verdict


@contextmanager
def service(redis_url: str, in_flight: int) -> Iterator[tuple[str, int]]:
    """Run the service, and give its address and its process."""
    command = [sys.executable, "-m", "neardup", "serve", "--redis", redis_url, "--index", INDEX, "--port", "0"]
    command += ["--repeat-bytes", "0", "--max-in-flight", str(in_flight)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None  # noqa: S101 - it is a pipe
        url = json.loads(process.stderr.readline())["message"].split()[-1]
        reader = threading.Thread(target=process.stderr.read)
        reader.start()
        try:
            while not _is_ready(url):
                time.sleep(0.1)
            yield url, process.pid
        finally:
            process.terminate()
            process.wait()
            reader.join()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:  # noqa: S310 - our own http:// address
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False


def measure(members: int, seconds: int, in_flight: int) -> Row:
    """Return all figures."""
    with (
        tempfile.TemporaryDirectory(prefix="neardup-") as name,
        RedisServer(find_redis_program(os.environ, _say)) as redis,
    ):
        folder = Path(name)
        (folder / "seeds").mkdir()
        for number in range(SEEDS):
            (folder / "seeds" / f"{number}.jpg").write_bytes(picture(20_000 + number, 90))
        command = ["bootstrap", str(folder / "seeds"), "--redis", redis.url, "--index", INDEX]
        subprocess.run([sys.executable, "-m", "neardup", *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        fill(redis.url, INDEX, members, _say)
        with service(redis.url, in_flight) as (url, pid):
            return _measured(Load(url, pid, folder), url, members, seconds, in_flight)


def _measured(load: Load, url: str, members: int, seconds: int, in_flight: int) -> Row:
    load.run(max(2, seconds // 4), "0", f"-workers={WORKERS}", f"-max-workers={WORKERS}")  # caches fill
    most = load.run(seconds, "0", f"-workers={WORKERS}", f"-max-workers={WORKERS}")
    _say(f"as fast as {WORKERS} clients can: {most['answered_s']} look-ups a second")
    loads, rate = {}, max(1, round(most["answered_s"]))
    for share in ("half", "all"):
        rate_s = rate if share == "all" else max(1, rate // 2)
        loads[share] = load.run(seconds, f"{rate_s}/s")
        _say(f"{share}: {loads[share]}")
    # On a machine that does other things, too, it may take more by now.
    for _ in range(DOUBLINGS):
        rate *= 2
        loads["twice"] = _beside_a_judge(load, url, seconds, rate)
        _say(f"{rate} a second: {loads['twice']}")
        if loads["twice"]["told_to_come_again"]:
            break
    after = load.run(max(2, seconds // 4), f"{max(1, round(most['answered_s'] / 2))}/s")
    return {
        "command": "make load",
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "busy": [round(load, 1) for load in os.getloadavg()],
        "members": members,
        "members_are": "crops of photos" if os.environ.get("NEARDUP_DATA") else "generated",
        "seconds": seconds,
        "max_in_flight": in_flight,
        "clients": WORKERS,
        "most": most,
        "loads": loads,
        "after": after,
    }


def _beside_a_judge(load: Load, url: str, seconds: int, rate: int) -> Row:
    judge = Judge(url)
    judge.start()
    found = load.run(seconds, f"{rate}/s")
    judge.stop.set()
    judge.join()
    return {**found, "judge": {"judged": judge.judged, "told": judge.told, "wrong": judge.wrong}}


def tables(result: Row) -> dict[str, str]:
    """Return the figures of the page by the name of their place."""
    return {f"load-{result['members']}": _table(result)}


def _table(result: Row) -> str:
    head = [
        "load",
        "asked a second",
        "answered a second",
        "p50",
        "p99",
        "CPU of the service",
        "503 with `Retry-After`",
        "anything else, or wrong",
    ]
    names = {"half": "half", "all": "all that it can take", "twice": "twice as much or more"}
    rows = [(f"{result['clients']} clients, one after another", result["most"])]
    rows += [(names[share], load) for share, load in result["loads"].items()]
    rows.append(("half, right after that", result["after"]))
    return table(head, [[name, *_cells(load)] for name, load in rows])


def _cells(load: Row) -> list[str]:
    asked = load["told_to_come_again"] / load["asked"]
    return [
        f"{load['asked_s']:.0f}",
        f"{load['answered_s']:.0f}",
        *(f"{load[name]:.0f} ms" for name in ("p50_ms", "p99_ms")),
        f"{load['cpu_ms']:.0f} ms",
        f"{100 * asked:.0f} %",
        str(load["anything_else"] + load["wrong"] + load.get("judge", {}).get("wrong", 0)),
    ]


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=15, help="of each load")
    parser.add_argument("--max-in-flight", type=int, default=32, help="as of neardup serve")
    parser.add_argument("--out", type=Path, help="file for the figures, instead of the one in benchmarks/results")
    parser.add_argument("--write-docs", action="store_true", help="write the table into docs/serve.md")
    given = parser.parse_args()
    if shutil.which("vegeta") is None:
        sys.exit("vegeta is not on the path: make load fetches it with Go")
    result = measure(given.members, given.seconds, given.max_in_flight)
    out = given.out or RESULTS / f"serve-{given.members}.json"
    out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    [shown] = tables(result).values()
    print(shown)
    if given.write_docs:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), tables(result)), "utf-8")


if __name__ == "__main__":
    main()
