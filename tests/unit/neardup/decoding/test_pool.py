"""Decoding in processes: the same bits as here, and whatever an image does to its process, the others get theirs."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neardup.decoding.decode import decode
from neardup.decoding.limits import DecodeLimits, WorkLimits
from neardup.decoding.pool import DecodeHere, DecodePool, open_decoder
from neardup.descriptors import load_descriptor
from neardup.descriptors.base import Descriptor
from neardup.descriptors.network import Network, NetworkDescriptor
from neardup.descriptors.pca import fit_pca
from neardup.descriptors.projected import projected
from neardup.errors import (
    BadInput,
    DecodeMemory,
    DecoderCrashed,
    DecodeTimeout,
    EmptyImage,
    Misconfigured,
    UndecodableImage,
    Undescribable,
)
from neardup.relation.describing import Describer, PreparedImage
from neardup.relation.rule import Relation
from tests.support.harm import BAD_PX, HARMLESS, Failing, Large, describe_badly, describe_no_blue, harm
from tests.support.processes import eventually, photo

pytestmark = pytest.mark.slow

LIMITS = DecodeLimits(max_bytes=1_000_000, max_pixels=20_000_000)
RELATION = Relation(0.3, local_change=2.0, agreement=0.3, match_flips=True, match_parts=True)
MEBIBYTE = 1024 * 1024
PATIENT = WorkLimits(timeout_s=120.0)
"""For what is not about time: a busy machine is slow."""


def png(image: Image.Image) -> bytes:
    return saved(image, "PNG")


def saved(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


GOOD = [png(Image.new("RGB", (8, 8), colour)) for colour in ("red", "lime", "blue", "white", "grey")]
BAD = png(Image.new("RGB", (8, BAD_PX)))
PAGES = saved(Image.new("L", (8, 8)), "TIFF", save_all=True, append_images=[Image.new("L", (8, 8))] * 2)


def outcomes(answers: list[PreparedImage | BadInput]) -> list[object]:
    """Return each answer as its colour, or as the type of what is wrong."""
    return [type(answer) if isinstance(answer, BadInput) else answer.inputs[0].tolist() for answer in answers]


RED, LIME, BLUE = [255, 0, 0], [0, 255, 0], [0, 0, 255]


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    with DecodePool(1, LIMITS, PATIENT) as pool:
        yield pool


def pid_of(pool: DecodePool) -> int:
    return pool._workers[0]._process.pid


def bits(describer: Describer, answer: PreparedImage | BadInput) -> object:
    """Return all that an image is compared by, or what is wrong with it, as what can be compared."""
    if isinstance(answer, BadInput):
        return type(answer), str(answer)
    (variants,) = describer.describe([answer])
    rows = [(each.symmetry, each.part, each.descriptor.tobytes()) for each in variants]
    kept = [None if each.kept is None else each.kept.tobytes() for each in variants]
    return rows, kept, answer.frames, answer.seeks_parts


def same(
    describer: Describer, one: Sequence[PreparedImage | BadInput], other: Sequence[PreparedImage | BadInput]
) -> bool:
    return [bits(describer, answer) for answer in one] == [bits(describer, answer) for answer in other]


def test_a_process_gives_the_same_bits_and_the_same_reasons_in_order(pool: DecodePool) -> None:
    describer = Describer(load_descriptor("dct"), RELATION)
    images = [*map(photo, range(20)), b"", photo(3)[:-300], b"garbage", bytes(LIMITS.max_bytes + 1), PAGES]
    here = DecodeHere(LIMITS).preparing(describer.preparation)(images)
    there = pool.preparing(describer.preparation)(iter(images))
    assert len(there) == len(images)
    assert same(describer, here, there)
    assert [answer.frames for answer in there if isinstance(answer, PreparedImage)] == [*[1] * 20, 3]
    kept = [answer.kept for answer in there if isinstance(answer, PreparedImage)]
    assert len(kept) == 21
    assert all(part is not None for each in kept for part in each)


COPYNET = load_descriptor("copynet")
PCA = fit_pca(COPYNET.describe([COPYNET.prepare(decode(photo(seed))) for seed in range(8)]), 4, whiten=True)
NETWORK = Network((40, 30), lambda pixels: pixels.astype(np.float32), lambda batch: batch.mean(axis=(1, 2)))


@pytest.mark.parametrize(
    "descriptor",
    [
        load_descriptor("dct"),
        load_descriptor("dct:notrim"),
        COPYNET,
        projected(COPYNET, PCA),
        load_descriptor("pixels:20"),
        NetworkDescriptor("keras:Test", "test-1", NETWORK),
    ],
    ids=lambda descriptor: descriptor.spec,
)
def test_every_descriptor_gives_in_a_process_what_it_gives_here(pool: DecodePool, descriptor: Descriptor) -> None:
    describer = Describer(descriptor, RELATION)
    images = [photo(1), photo(2, size=(90, 300)), *map(photo, range(3, 12))]
    here = [describer.prepare(decode(image, reduce_to_px=describer.reduce_to_px)) for image in images]
    prepare_all = pool.preparing(describer.preparation)
    together, alone = prepare_all(images), [answer for image in images for answer in prepare_all([image])]
    assert same(describer, here, together)
    assert same(describer, here, alone)
    # The model of a network of Keras stays here: a process gets only what shrinks images for it.
    light = not descriptor.spec.startswith(("keras", "pixels"))
    assert [answer.inputs == () for answer in together if isinstance(answer, PreparedImage)] == [light] * len(images)


def test_what_cannot_be_described_spoils_no_other(pool: DecodePool) -> None:
    answers = pool.preparing(replace(HARMLESS, describe=describe_no_blue))([*GOOD[:3], GOOD[0], b"garbage"])
    assert [type(answer) for answer in answers] == [
        *(PreparedImage, PreparedImage, Undescribable, PreparedImage, UndecodableImage)
    ]
    rows = [np.asarray(answer.descriptors).tolist() for answer in answers if isinstance(answer, PreparedImage)]
    assert rows == [[[255.0, 0.0, 0.0]], [[0.0, 255.0, 0.0]], [[255.0, 0.0, 0.0]]]


def test_of_nothing_comes_nothing(pool: DecodePool) -> None:
    assert pool.preparing(HARMLESS)([]) == []


def test_what_to_make_of_images_may_change(pool: DecodePool) -> None:
    dct, pixels = (Describer(load_descriptor(spec), Relation(0.3)) for spec in ("dct", "pixels:5"))
    for describer in (dct, pixels, dct):
        (answer,) = pool.preparing(describer.preparation)([GOOD[0]])
        assert isinstance(answer, PreparedImage)
        ((variant,),) = describer.describe([answer])
        assert variant.descriptor.shape == (describer.descriptor.dimension,)


def test_many_threads_ask_a_few_processes() -> None:
    describer = Describer(load_descriptor("dct"), Relation(0.3))
    images = [photo(seed) for seed in range(30)]
    here = DecodeHere(LIMITS).preparing(describer.preparation)(images)
    with DecodePool(2, LIMITS, PATIENT) as pool, ThreadPoolExecutor(8) as threads:
        prepare_all = pool.preparing(describer.preparation)
        answers = list(threads.map(lambda image: prepare_all([image])[0], images))
    assert same(describer, here, answers)


def test_few_images_are_held_at_a_time(pool: DecodePool) -> None:
    large = GOOD[0] + bytes(600_000)
    asked: list[int] = []

    def images() -> Iterator[bytes]:
        for number in range(6):
            asked.append(number)
            yield large
            # Two make a group: the third is asked for when they are done.
            assert pool._workers[0].is_fresh == (number < 1)

    assert outcomes(pool.preparing(HARMLESS)(images())) == [RED] * 6


# Images that do harm, among others.


def record_asked(pool: DecodePool, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by how many images the process of a pool is asked for at a time."""
    (worker,), asked = pool._workers, []
    ask = worker.ask

    def recording(images: Sequence[bytes]) -> list[PreparedImage | BadInput]:
        asked.append(len(images))
        return ask(images)

    monkeypatch.setattr(worker, "ask", recording)
    return asked


def test_what_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with DecodePool(1, LIMITS, WorkLimits(timeout_s=3.0)) as pool:
        prepare_all = pool.preparing(harm("hang"))
        prepare_all([GOOD[0]])
        asked = record_asked(pool, monkeypatch)
        answers = prepare_all([GOOD[0], GOOD[2], BAD, GOOD[1]])
        assert outcomes(answers) == [RED, BLUE, DecodeTimeout, LIME]
        assert str(answers[2]) == "decoding took longer than 3 s"
        # Together, then those before it and those behind it; the one that takes too long not again.
        assert asked == [4, 2, 1]


def test_each_image_has_its_time() -> None:
    with DecodePool(1, LIMITS, WorkLimits(timeout_s=3.0)) as pool:
        # Longer than that together.
        assert outcomes(pool.preparing(harm("take_a_second"))([BAD] * 4)) == [[0, 0, 0]] * 4


def test_a_process_is_idle_unless_it_is_asked(pool: DecodePool, monkeypatch: pytest.MonkeyPatch) -> None:
    (worker,), seen = pool._workers, []
    ask = worker.ask

    def asking(images: Sequence[bytes]) -> list[PreparedImage | BadInput]:
        seen.append(pool.has_idle)
        return ask(images)

    monkeypatch.setattr(worker, "ask", asking)
    assert pool.has_idle
    pool.preparing(HARMLESS)([GOOD[0]])
    assert seen == [False]
    assert pool.has_idle
    assert not DecodeHere(LIMITS).has_idle


def test_what_crashes_its_process_is_told_by_the_signal(pool: DecodePool) -> None:
    answers = pool.preparing(harm("crash"))([GOOD[0], BAD, GOOD[1], BAD, GOOD[2]])
    assert outcomes(answers) == [RED, DecoderCrashed, LIME, DecoderCrashed, BLUE]
    assert "SIGSEGV" in str(answers[1])


def test_a_process_that_somebody_else_ends_costs_no_image(pool: DecodePool, tmp_path: Path) -> None:
    prepare_all = pool.preparing(harm("be_killed_once", str(tmp_path / "flag")))
    assert outcomes(prepare_all([BAD])) == [[0, 0, 0]]
    assert (tmp_path / "flag").exists()


def test_a_process_that_ends_between_images_is_replaced(pool: DecodePool) -> None:
    prepare_all = pool.preparing(HARMLESS)
    prepare_all([GOOD[0]])
    first = pid_of(pool)
    os.kill(first, signal.SIGKILL)
    pool._workers[0]._process.wait()
    assert outcomes(prepare_all([GOOD[1]])) == [LIME]
    assert pid_of(pool) != first


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit is not enforced")
def test_what_asks_for_too_much_memory_is_given_up(pool: DecodePool) -> None:
    assert outcomes(pool.preparing(harm("allocate"))([GOOD[0], BAD, GOOD[1]])) == [RED, DecodeMemory, LIME]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit is not enforced")
@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "AVIF"])
def test_a_decoder_that_asks_for_too_much_memory_is_stopped(image_format: str) -> None:
    buffer = io.BytesIO()
    # As quickly as each can: it is decoding that is asked for much.
    Image.new("RGB", (5000, 4000), "red").save(buffer, image_format, method=0, speed=10, compress_level=1)
    limits = DecodeLimits(max_bytes=100 * MEBIBYTE, max_pixels=20_000_000)
    with DecodePool(1, limits, WorkLimits(timeout_s=120.0, memory_bytes=64 * MEBIBYTE)) as pool:
        large, small = pool.preparing(HARMLESS)([buffer.getvalue(), GOOD[0]])
    # Some libraries only say that they failed.
    assert isinstance(large, BadInput), image_format
    assert large.reason in {"decode-memory", "undecodable"}
    assert outcomes([small]) == [RED]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit is not enforced")
def test_the_memory_of_a_model_is_no_images() -> None:
    small = WorkLimits(timeout_s=120.0, memory_bytes=64 * MEBIBYTE)
    large = Large(256 * MEBIBYTE)
    with DecodePool(1, LIMITS, small) as pool:
        for plan in (HARMLESS, replace(HARMLESS, describe=large), harm("allocate")):
            good, bad = pool.preparing(plan)([GOOD[0], BAD])
            assert isinstance(good, PreparedImage)
        assert isinstance(bad, DecodeMemory)


def test_what_is_our_own_fault_is_raised(pool: DecodePool) -> None:
    for plan in (harm("fail"), replace(HARMLESS, describe=Failing(0)), replace(HARMLESS, describe=describe_badly)):
        with pytest.raises(RuntimeError) as caught:
            pool.preparing(plan)([GOOD[0], BAD])
        assert str(caught.value) == "ValueError: no picture of mine"
        assert "harm.py" in caught.value.__notes__[0]
    assert outcomes(pool.preparing(HARMLESS)([GOOD[0]])) == [RED]


# The processes themselves.


def test_what_decoders_print_does_not_stand_among_our_lines(
    pool: DecodePool, capfd: pytest.CaptureFixture[str]
) -> None:
    pool.preparing(harm("print_something"))([BAD])
    assert capfd.readouterr() == ("", "")


def test_a_process_loads_only_what_it_needs(pool: DecodePool) -> None:
    with pytest.raises(RuntimeError) as caught:
        pool.preparing(harm("tell_modules"))([BAD])
    loaded = {name.partition(".")[0] for name in str(caught.value).split()}
    assert {"PIL", "numpy", "neardup"} <= loaded
    assert not loaded & {"tensorflow", "keras", "sklearn", "scipy", "kafka", "redis", "prometheus_client", "consumer"}


def test_signals_for_the_service_do_not_end_its_processes(pool: DecodePool) -> None:
    prepare_all = pool.preparing(HARMLESS)
    prepare_all([GOOD[0]])
    first = pid_of(pool)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(first, number)
    assert outcomes(prepare_all([GOOD[1]])) == [LIME]
    assert pid_of(pool) == first


def test_the_processes_end_with_the_pool() -> None:
    with DecodePool(2, LIMITS) as pool:
        processes = [worker._process for worker in pool._workers]
    assert [process.returncode for process in processes] == [-signal.SIGKILL] * 2


PARENT = """
import sys, threading
from neardup.decoding.limits import DecodeLimits
from neardup.decoding.pool import DecodePool
from tests.support.harm import harm
from tests.unit.neardup.decoding.test_pool import BAD, GOOD
pool = DecodePool(2, DecodeLimits())
prepare_all = pool.preparing(harm("hang"))
for image in (GOOD[0], BAD):
    # The second hangs, for as long as it may.
    threading.Thread(target=prepare_all, args=([image],)).start()
for worker in pool._workers:
    worker_pid = worker._process.pid
    print(worker_pid, flush=True)
threading.Event().wait()
"""


def state_of(pid: int) -> str:
    """Return the letter that says what a process does; nothing when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_processes_end_with_a_service_that_is_killed() -> None:
    root = Path(__file__).parents[4]
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        pids = [int(parent.stdout.readline()) for _ in range(2)]
        # Both are up, and one hangs in the middle of an image.
        eventually(lambda: all(state_of(pid) == "S" for pid in pids), "both processes wait")
        parent.kill()
    eventually(lambda: not any(state_of(pid) not in {"", "Z"} for pid in pids), "both processes gone")


def test_a_process_that_does_not_start_is_told_and_costs_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with DecodePool(1, LIMITS) as pool, pytest.raises(Misconfigured, match="does not start: it ended with exit code 1"):
        pool.preparing(HARMLESS)([GOOD[0]])
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(Misconfigured, match="cannot be started"):
        DecodePool(1, LIMITS)


def test_without_limits_of_work_threads_decode() -> None:
    with open_decoder(2, LIMITS, None) as decoder:
        assert isinstance(decoder, DecodeHere)
        assert outcomes(decoder.preparing(HARMLESS)([GOOD[0], b""])) == [RED, EmptyImage]
    with open_decoder(2, LIMITS, PATIENT) as decoder:
        assert isinstance(decoder, DecodePool)


@pytest.mark.parametrize(("workers", "images", "share"), [(2, 64, 16), (2, 10, 3), (2, 1, 1), (16, 64, 2), (1, 4, 2)])
def test_shares_keep_all_processes_busy(workers: int, images: int, share: int) -> None:
    with DecodePool(workers, LIMITS) as pool:
        assert pool.share(images) == share
    assert DecodeHere(LIMITS).share(images) == 1
