"""What does not depend on the machine, against what it was: commands, requests, bytes and instructions an image.

    make bench-check [ARGS="--write"]

One consumer judges drawn images that were published before it starts, on servers of its own. Exit codes: 0 nothing has
grown, 1 something has.
"""

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.pages import table
from benchmarks.throughput import instructions
from benchmarks.throughput.builds import ROOT, THIS
from benchmarks.throughput.end_to_end import seeds_in
from benchmarks.throughput.images import SIZES, drawn_photos, write_images
from benchmarks.throughput.running import PROFILES, consuming, publish
from benchmarks.throughput.servers import Servers, own_servers
from neardup.index.stored.connection import connect

BASELINE = ROOT / "benchmarks/results/counts.json"
IMAGES = 320
"""Few enough that no cell is divided: that reads a whole cell, a batch sooner or later."""
DATA_REQUESTS = {
    0: "produce",
    1: "fetch",
    8: "commit",
    24: "transaction",
    25: "transaction",
    26: "transaction",
    28: "commit",
}
"""Kinds of requests to Kafka that move images, verdicts and offsets; the others come by the clock."""
TOLERANCES: Mapping[str, tuple[float, str]] = {
    "redis_commands": (0.1, "sizes are read every 5 s, so a slow machine reads them more often"),
    "redis_bytes_sent": (0.05, "sizes are read every 5 s"),
    "redis_bytes_received": (
        0.3,
        "opening the index is a fifth of it, and on a busy machine a connection that times out has it opened again",
    ),
    "kafka_requests": (
        1.0,
        "a fetch brings what has arrived by then, and more is asked for while a batch is in work",
    ),
    "kafka_bytes_sent": (0.15, "fetches and heartbeats, which come by the clock, are a part of what is sent"),
    "kafka_bytes_received": (0.03, "nearly all of it is images"),
    "decoder_bytes_sent": (0.01, "images and how to prepare them: only where batches end differs"),
    "decoder_bytes_received": (0.01, "only where batches end differs"),
    "describe_instructions": (0.03, "the start of the interpreter, which is subtracted, is not quite the same twice"),
    "decide_instructions": (
        0.05,
        "the start that is subtracted is not quite the same twice, and less is done",
    ),
}
"""Share by which a count may grow, and why it may."""
PACKAGES = ("numpy", "pillow", "kafka-python", "redis", "ai-edge-litert")
"""Whose versions decide how many instructions there are."""


def main(arguments: Sequence[str]) -> int:
    """Count, compare, and say what has grown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="make what is counted the baseline")
    parser.add_argument("--quick", action="store_true", help="leave out instructions, which take minutes")
    options = parser.parse_args(arguments)
    baseline = json.loads(BASELINE.read_text("utf-8")) if BASELINE.exists() else {"counts": {}}
    with own_servers() as servers, TemporaryDirectory(prefix="neardup-counts-") as folder:
        found: dict[str, Any] = {"software": software(), "counts": {}}
        why_not = _why_no_instructions(options, baseline, found["software"])
        for profile in PROFILES:
            counts = counted(profile, servers, Path(folder))
            if why_not is None:
                spent = instructions.measure(profile, servers, seeds_in(Path(folder)))
                counts |= {f"{name}_instructions": round(each) for name, each in spent.items()}
            found["counts"][profile] = counts
    if why_not:
        print(f"instructions are not counted: {why_not}")
    print(_table(found["counts"], baseline["counts"]))
    if options.write:
        for profile, counts in found["counts"].items() if baseline.get("software") == found["software"] else ():
            found["counts"][profile] = {**baseline["counts"].get(profile, {}), **counts}  # instructions, if left out
        BASELINE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return 0
    return 1 if any(grown(found["counts"][each], baseline["counts"].get(each, {})) for each in PROFILES) else 0


def software() -> dict[str, str]:
    """Return the versions that counts depend on."""
    python = f"{platform.python_version()} {platform.machine()}"
    return {"python": python, **{package: version(package) for package in PACKAGES}}


def _why_no_instructions(
    options: argparse.Namespace, baseline: Mapping[str, Any], found: Mapping[str, str]
) -> str | None:
    if options.quick:
        return "--quick"
    if not options.write and baseline.get("software") != found:
        return f"the baseline's are of {baseline.get('software')}, and here is {found}"
    return instructions.why_not()


def counted(profile: str, servers: Servers, folder: Path) -> dict[str, float]:
    """Return counts an image of one consumer, from its start to its end."""
    place = folder / "drawn"
    place.mkdir(exist_ok=True)
    files = write_images(drawn_photos(), SIZES[0], IMAGES, place)
    client = connect(servers.redis_url)
    client.script_flush()  # whether somebody has sent the scripts before is no part of what is counted
    with consuming(
        THIS,
        servers,
        profile,
        seeds_in(folder),
        before=lambda names: publish(servers, names.topic, files),
        watched=True,
    ) as running:
        commands = _commands(client)
        running.await_verdicts(len(files))
        running.close()
        note = json.loads(running.notes.read_text("utf-8").splitlines()[-1])
        commands = _commands(client) - commands
    ways = {"sent": note["sent"], "received": note["received"]}
    ends = {"redis": "redis", "kafka": "kafka", "decoders": "decoder"}
    found = {f"{name}_bytes_{way}": ways[way].get(end, 0) for end, name in ends.items() for way in ways}
    requests = sum(count for kind, count in note["requests"].items() if int(kind) in DATA_REQUESTS)
    return {
        name: round(count / len(files), 3)
        for name, count in {"redis_commands": commands, "kafka_requests": requests, **found}.items()
    }


def _commands(client: Any) -> int:  # noqa: ANN401 - redis-py's types are loose
    """Return how many commands Redis has run, those of scripts included, without our own question."""
    return sum(each["calls"] for name, each in client.info("commandstats").items() if name != "cmdstat_info")


def grown(counts: Mapping[str, float], baseline: Mapping[str, float]) -> dict[str, float]:
    """Return what is above its tolerance, as a multiple of the baseline."""
    return {
        name: count / baseline[name]
        for name, count in counts.items()
        if name in baseline and count > baseline[name] * (1 + TOLERANCES[name][0])
    }


def _table(found: Mapping[str, Mapping[str, float]], baseline: Mapping[str, Mapping[str, float]]) -> str:
    rows = []
    for profile, counts in found.items():
        before = baseline.get(profile, {})
        over = grown(counts, before)
        for name, count in counts.items():
            tolerance, why = TOLERANCES[name]
            was = f"{before[name]:,.2f}" if name in before else "none"
            change = f"{count / before[name] - 1:+.1%}" if before.get(name) else ""
            verdict = f"**grown by more than {tolerance:.0%}** ({why})" if name in over else ""
            rows.append([f"{profile}: {name.replace('_', ' ')}", was, f"{count:,.2f}", change, verdict])
    return table(("an image", "baseline", "now", "change", ""), rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
