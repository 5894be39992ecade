"""How fast networks of Keras describe images, beside Keras's own ``predict`` at its best batch size.

    .venv/bin/python -m benchmarks.networks [--network vgg16 keras:ResNet50] [--images 64] [--rounds 3] [--decoders N]

Each way has a process of its own, since TensorFlow's threads are set once in a process; they take turns within each
round. ``predict`` gets its preprocessed floats ready-made; ours preprocesses, scales and rounds, too. "shared images"
is ours with all cores on each image, one image at a time. Ratios are medians over the rounds, of this way over the
best ``predict`` of the same round; CPU time is what a busy machine disturbs least. With ``--decoders``, so many
processes decode photos all the time on the same cores, and the last column says how many they finish a second.
Weights are random: they do not change the time.
"""

import argparse
import multiprocessing
import resource
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks.photos import data_folder
from neardup.cores import cores
from neardup.decoding.limits import DecodeLimits
from neardup.decoding.pool import DecodePool
from neardup.descriptors import load_descriptor
from neardup.relation.describing import Describer
from neardup.relation.rule import Relation

NETWORKS = ("keras:MobileNetV3Small", "keras:EfficientNetV2B0", "keras:ResNet50", "vgg16")
OURS, SHARED, PREDICT = "ours", "shared images", "predict"
BATCHES = (1, 8, 32)
RUNS = 5
_PROCESSES = multiprocessing.get_context("spawn")


def milliseconds(work: Callable[[], object], images: int) -> float:
    """Return the least CPU time an image of several runs, after one that warms up."""
    work()
    times = []
    for _ in range(RUNS):
        began_s = time.process_time()
        work()
        times.append(time.process_time() - began_s)
    return 1000 * min(times) / images


def one_thread() -> None:
    """Keep TensorFlow to one thread; before it has done anything."""
    import tensorflow as tf  # noqa: PLC0415 - the process that starts the others does without

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


# -- a process for each way -------------------------------------------------------------------------------------------


def work_of(way: str, network: str, images: int) -> Callable[[], object]:
    """Return what is timed: a way of describing random images."""
    if way == SHARED:
        import tensorflow as tf  # noqa: PLC0415 - loaded first, its threads stay as they are set here

        tf.config.threading.set_intra_op_parallelism_threads(cores())
    descriptor: Any = load_descriptor(network, "none")
    if way == SHARED:
        descriptor._threads, descriptor._together = ThreadPoolExecutor(1), 1  # noqa: SLF001 - nobody else needs it
    height, width = descriptor._network.input_px  # noqa: SLF001 - as above
    pixels = np.random.default_rng(0).integers(0, 256, (images, height, width, 3), dtype=np.uint8)
    return lambda: descriptor.describe(list(pixels))


def predict_of(network: str, images: int, batch: int) -> Callable[[], object]:
    """Return Keras's own way, with nothing set."""
    import keras  # noqa: PLC0415 - as above

    from neardup.descriptors.keras_net import DEFAULT_SIDE_PX, SIDES_PX  # noqa: PLC0415 - as above

    name, flat = ("VGG16", True) if network == "vgg16" else (network.split(":")[1], network.endswith(":flat"))
    side_px = SIDES_PX.get(name, DEFAULT_SIDE_PX)
    model = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(side_px, side_px, 3), pooling=None if flat else "avg"
    )
    values = np.random.default_rng(0).uniform(-128, 128, (images, side_px, side_px, 3)).astype(np.float32)
    return lambda: model.predict(values, batch_size=batch, verbose=0)


def serve(asked: Connection, way: str, network: str, images: int) -> None:
    """Answer each message with what one run takes: images a second, milliseconds of CPU an image, MiB so far."""
    name, _, batch = way.partition(" ")
    work = predict_of(network, images, int(batch)) if name == PREDICT else work_of(way, network, images)
    work()
    asked.send("ready")
    while asked.recv() == "run":
        began_s, cpu_s = time.perf_counter(), time.process_time()
        work()
        took_s, used_s = time.perf_counter() - began_s, time.process_time() - cpu_s
        asked.send((images / took_s, 1000 * used_s / images, most_mib()))


def most_mib() -> float:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def process_of(way: str, network: str, images: int) -> Iterator[Connection]:
    """Start a process that serves, and end it."""
    asking, asked = _PROCESSES.Pipe()
    process = _PROCESSES.Process(target=serve, args=(asked, way, network, images))
    process.start()
    asked.close()  # so that a process that fails ends the run
    try:
        yield asking
    finally:
        process.kill()
        process.join()


# -- processes that decode beside -------------------------------------------------------------------------------------


class Beside:
    """Photos that are decoded at the same time."""

    def __init__(self) -> None:
        self.decoded = 0
        self.ended = threading.Event()
        self._lock = threading.Lock()

    def decode(self, pool: DecodePool, photos: list[bytes]) -> None:
        """Decode photos until told to end."""
        prepare_all = pool.preparing(Describer(load_descriptor("pixels"), Relation(0.0)).preparation)
        while not self.ended.is_set():
            prepare_all(photos)
            with self._lock:
                self.decoded += len(photos)


@contextmanager
def decoding(decoders: int) -> Iterator[Beside]:
    """Keep so many processes decoding."""
    beside = Beside()
    if not decoders:
        yield beside
        return
    photos = [path.read_bytes() for path in sorted((data_folder() / "photos_eval").rglob("*.jpg"))[:8]]
    with DecodePool(decoders, DecodeLimits()) as pool, ThreadPoolExecutor(decoders) as threads:
        for _ in range(decoders):
            threads.submit(beside.decode, pool, photos)
        try:
            yield beside
        finally:
            beside.ended.set()


# -- the table --------------------------------------------------------------------------------------------------------


def measure(network: str, images: int, rounds: int, decoders: int) -> None:
    """Print the lines of a network."""
    names = [OURS, SHARED, *(f"{PREDICT} {batch}" for batch in BATCHES if batch <= images)]
    seen: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in names}
    with ExitStack() as stack:
        ways = {name: stack.enter_context(process_of(name, network, images)) for name in names}
        for way in ways.values():
            way.recv()
        with decoding(decoders) as beside:
            for _ in range(rounds):
                for name, way in ways.items():
                    before, began_s = beside.decoded, time.perf_counter()
                    way.send("run")
                    rate, cpu_ms, mib = way.recv()
                    decoded_s = (beside.decoded - before) / (time.perf_counter() - began_s)
                    seen[name].append((rate, cpu_ms, mib, decoded_s))
    for name in names:
        print(line(network, name, seen), flush=True)


def line(network: str, name: str, seen: dict[str, list[tuple[float, float, float, float]]]) -> str:
    """Return a line of the table."""
    predicts = [runs for each, runs in seen.items() if each.startswith(PREDICT)]
    best = [(max(run[0] for run in turn), min(run[1] for run in turn)) for turn in zip(*predicts, strict=True)]
    rates = statistics.median(run[0] / most[0] for run, most in zip(seen[name], best, strict=True))
    cpus = statistics.median(run[1] / most[1] for run, most in zip(seen[name], best, strict=True))
    rate, cpu_ms, mib, decoded_s = (statistics.median(run[place] for run in seen[name]) for place in range(4))
    cells = [f"`{network}`", name, f"**{rates:.2f}**", f"**{cpus:.2f}**", f"{rate:.1f}", f"{cpu_ms:.1f}", f"{mib:.0f}"]
    return f"| {' | '.join([*cells, f'{decoded_s:.0f}'])} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", nargs="+", default=NETWORKS)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--decoders", type=int, default=0)
    arguments = parser.parse_args()
    print("| network | way | images/s over predict's best | CPU over its least | images/s | CPU ms | MiB | decoded/s |")
    print("|---|---|---|---|---|---|---|---|")
    for network in arguments.network:
        measure(network, arguments.images, arguments.rounds, arguments.decoders)


if __name__ == "__main__":
    main()
