"""From publishing an image to reading its verdict: both builds under one load, half of what the slower one does.

None of the images was shown before, since duplicates cost more to decide. And where the photos run out others are made
of them, which may cost more to describe; so what the builds can do is measured on these very images.
"""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.throughput.builds import Build
from benchmarks.throughput.end_to_end import Case, run
from benchmarks.throughput.running import Running, consuming, producer
from benchmarks.throughput.servers import Servers

PERCENTILES = (50, 95, 99)
LASTS_S = 15.0
LEAST = 100
_WARM_UP_S = 3.0


def measure(case: Case, this: Build, servers: Servers, given: tuple[Sequence[Path], Path]) -> dict[str, Any]:
    """Return milliseconds of both builds.

    Parameters
    ----------
    case, this, servers
        As for `end_to_end.measure`.
    given
        The files of at least as many images as `wanted` says, and the folder with the seeds.
    """
    files, seeds = given
    rate = min(run(case, build, servers, given).images_s for build in (case.base, this)) / 2
    warm_up, timed = _counts(rate)
    images = [file.read_bytes() for file in files[: warm_up + timed]]
    found: dict[str, Any] = {"rate": round(rate, 2), "timed_images": timed}
    for name, build in (("before", case.base), ("this", this)):
        with consuming(build, servers, case.profile, seeds) as running, producer(servers) as sender:
            taken_ms = _taken_ms(running, sender, images, rate)[warm_up:]
        found[name] = {f"p{rank}_ms": round(float(np.percentile(taken_ms, rank)), 1) for rank in PERCENTILES}
    return found


def wanted(rate: float) -> int:
    """Return how many images it takes at a rate."""
    return sum(_counts(rate))


def _counts(rate: float) -> tuple[int, int]:
    return max(1, round(rate * _WARM_UP_S)), max(LEAST, round(rate * LASTS_S))


def _taken_ms(running: Running, sender: Any, images: Sequence[bytes], rate: float) -> list[float]:  # noqa: ANN401 - of Kafka
    """Return how long each image's verdict took."""
    sender.send(running.names.topic, images[0]).get(60)
    running.await_verdicts(1)  # it has its partition
    sent_s: list[float] = []

    def send() -> None:
        began_s = time.perf_counter()
        for number, image in enumerate(images):
            time.sleep(max(0.0, began_s + number / rate - time.perf_counter()))
            sent_s.append(time.perf_counter())
            sender.send(running.names.topic, image)

    sending = threading.Thread(target=send)
    sending.start()
    running.await_verdicts(1 + len(images))
    sending.join()
    return [1000 * (running.arrived_s[0, 1 + number] - at_s) for number, at_s in enumerate(sent_s)]
