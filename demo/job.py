"""The demo itself: servers, bootstrap, consumer, feed, verdicts as they come, summary."""

import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.material import Material, NoPictures, filmed_scenes, own_pictures
from demo.services import ServiceFailed, ServiceUnavailable, open_kafka, open_redis

_VERDICT_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 30.0


class DemoFailed(Exception):
    """A step failed."""

    def __init__(self, text: str, *, wrong_settings: bool = False) -> None:
        super().__init__(text)
        self.wrong_settings = wrong_settings


@dataclass(frozen=True, slots=True)
class Names:
    """Topics and index of one run: the servers may be ones that serve somebody else, too."""

    run: str = field(default_factory=lambda: secrets.token_hex(3))

    @property
    def index(self) -> str:
        """Index in Redis."""
        return f"demo-{self.run}"

    @property
    def images(self) -> str:
        """Topic of the images."""
        return f"demo-{self.run}.images"

    @property
    def verdicts(self) -> str:
        """Topic of the verdicts."""
        return f"demo-{self.run}.verdicts"

    @property
    def dead_letters(self) -> str:
        """Topic of the dead letters."""
        return f"demo-{self.run}.images.dead"


@dataclass(slots=True)
class Tally:
    """What has come out of the stream so far."""

    started: float
    counts: Counter[str] = field(default_factory=Counter)
    lines: list[dict[str, Any]] = field(default_factory=list)
    last: float = 0.0

    @property
    def total(self) -> int:
        """Messages answered."""
        return self.counts.total()

    def verdict(self, document: dict[str, Any]) -> None:
        """Take a verdict and print it."""
        kind = document["verdict"]
        self._count(kind, document)
        distance = "-" if document["distance"] is None else f"{document['distance']:.3f}"
        twin = f"  of {document['duplicate_of']}" if document["duplicate_of"] else ""
        print(f"{self.total:5d}  {kind:<11}  {document['image_id']:<33}  distance {distance}{twin}", flush=True)

    def dead_letter(self, image_id: str, reason: str, detail: str) -> None:
        """Take a dead letter and print it."""
        self._count("dead letter", {"image_id": image_id, "reason": reason, "detail": detail})
        print(f"{self.total:5d}  {'dead letter':<11}  {image_id:<33}  {reason}", flush=True)

    def _count(self, kind: str, line: dict[str, Any]) -> None:
        self.counts[kind] += 1
        self.lines.append(line)
        self.last = time.monotonic()


def run_demo(images: Path | None, report: Path, environ: Mapping[str, str]) -> None:
    """Show the main job.

    Raises
    ------
    DemoFailed, ServiceFailed
        In words for the user.
    """
    names = Names()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="neardup-demo-")))
        material = _material(images, folder)
        print(f"Pictures: {material.title}")
        redis_url = _service(stack, open_redis, environ)
        kafka = _service(stack, open_kafka, environ) if redis_url else None
        run_environ = {**environ, "NEARDUP_INDEX": names.index, "NEARDUP_METRICS_PORT": "0"}
        if redis_url:
            run_environ["NEARDUP_REDIS_URL"] = redis_url
            stack.callback(_forget_index, redis_url, names.index)
            _bootstrap(material, report, run_environ)
        if kafka:
            tally = _through_kafka(material, kafka, run_environ, names)
        else:
            print("\nRunning the same service on the in-memory transport instead.")
            tally = _in_memory(material, folder, run_environ, with_redis=bool(redis_url))
        _summarise(tally, report)


def _material(images: Path | None, folder: Path) -> Material:
    try:
        return own_pictures(images, folder) if images else filmed_scenes(folder)
    except NoPictures as error:
        raise DemoFailed(str(error), wrong_settings=True) from error


def _service(stack: ExitStack, open_service: Any, environ: Mapping[str, str]) -> str | None:  # noqa: ANN401
    try:
        return str(stack.enter_context(open_service(environ, lambda text: print(f"  {text}", flush=True))))
    except ServiceFailed:
        raise
    except ServiceUnavailable as error:
        print(f"  {error}")
        return None


def _forget_index(redis_url: str, index: str) -> None:
    """Remove the demo's keys: the Redis may be one that was there before."""
    from neardup.index.stored.connection import connect  # noqa: PLC0415 - nothing heavy before the first words
    from neardup.index.stored.keys import IndexKeys  # noqa: PLC0415 - as above

    with connect(redis_url) as client:
        for key in client.scan_iter(match=IndexKeys(index).pattern, count=1000):
            client.unlink(key)


def _bootstrap(material: Material, report: Path, environ: Mapping[str, str]) -> None:
    clusters = str(material.clusters or "auto")
    arguments = [str(material.seeds), "--clusters", clusters, "--report", str(report)]
    print(f"\n$ neardup bootstrap seeds --clusters {clusters} --report {report.name}")
    with child("bootstrap", arguments, environ) as process:
        code = process.wait()
    if code:
        raise DemoFailed(f"bootstrap failed with exit code {code}; see the output above", wrong_settings=code == 2)  # noqa: PLR2004


@contextmanager
def child(module: str, arguments: list[str], environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of our command lines in a session of its own, so that Ctrl-C reaches it through us, once."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, env=dict(environ), start_new_session=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(_STOP_DEADLINE_S)
                except subprocess.TimeoutExpired:
                    process.kill()


def _through_kafka(material: Material, kafka: str, environ: Mapping[str, str], names: Names) -> Tally:
    environ = {
        **environ,
        "NEARDUP_TOPIC": names.images,
        "NEARDUP_VERDICTS": names.verdicts,
        "NEARDUP_DEAD_LETTERS": names.dead_letters,
        "NEARDUP_BOOTSTRAP_SERVERS": kafka,
        "NEARDUP_LOG_LEVEL": "WARNING",
    }
    with topics(kafka, names):
        print("\n$ neardup consume &\n$ neardup feed stream\n")
        with child("consumer", [], environ) as consumer:
            with child("consumer.feed", [str(material.stream)], environ) as feed:
                tally = _collect(kafka, names, material.stream_files, consumer)
                if feed.wait(_STOP_DEADLINE_S):
                    raise DemoFailed("the feed failed; see the output above")
            consumer.terminate()
            code = consumer.wait(_STOP_DEADLINE_S)
            if code:
                raise DemoFailed(f"the consumer ended with exit code {code}")
            print("\nThe consumer got SIGTERM, finished its batch, committed its offsets and exited with code 0.")
    return tally


@contextmanager
def topics(kafka: str, names: Names) -> Iterator[None]:
    """Create the topics of a run, and delete them in the end."""
    from kafka.admin import KafkaAdminClient  # noqa: PLC0415 - nothing heavy before the first words

    wanted = [names.images, names.verdicts, names.dead_letters]
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    try:
        admin.create_topics({name: {"num_partitions": 2, "replication_factor": 1} for name in wanted})
        yield
    finally:
        admin.delete_topics(wanted)
        admin.close()


def _collect(kafka: str, names: Names, expected: int, consumer: subprocess.Popen[bytes]) -> Tally:
    """Print verdicts and dead letters as they come, until every image has one."""
    from kafka import KafkaConsumer  # noqa: PLC0415 - as above

    reader = KafkaConsumer(
        names.verdicts, names.dead_letters, bootstrap_servers=kafka, group_id=None, auto_offset_reset="earliest"
    )
    tally = Tally(time.monotonic())
    deadline = time.monotonic() + _VERDICT_DEADLINE_S
    try:
        while tally.total < expected:
            for records in reader.poll(timeout_ms=200).values():
                for record in records:
                    _take(record, names, tally)
                    deadline = time.monotonic() + _VERDICT_DEADLINE_S
            if consumer.poll() is not None:
                raise DemoFailed(f"the consumer ended early with exit code {consumer.returncode}")
            if time.monotonic() > deadline:
                raise DemoFailed(f"no verdict for {_VERDICT_DEADLINE_S:.0f} s, after {tally.total} of {expected}")
    finally:
        reader.close()
    return tally


def _take(record: Any, names: Names, tally: Tally) -> None:  # noqa: ANN401 - kafka-python has no types
    if record.topic == names.verdicts:
        tally.verdict(json.loads(record.value))
    else:
        headers = {name: text.decode(errors="replace") for name, text in record.headers}
        tally.dead_letter(headers.get("image_id", ""), headers["error.reason"], headers["error.detail"])


def _in_memory(material: Material, folder: Path, environ: Mapping[str, str], *, with_redis: bool) -> Tally:
    output = folder / "verdicts.jsonl"
    # Without Redis there is no index to bootstrap: seeds and stream are judged one after the other.
    source = material.stream if with_redis else folder
    index = environ["NEARDUP_INDEX"] if with_redis else "memory"
    print(f"\n$ neardup folder {source.name} --output verdicts.jsonl --index {index}\n")
    tally = Tally(time.monotonic())
    arguments = ["--input", str(source), "--output", str(output), "--index", index, "--log-level", "WARNING"]
    with child("consumer", arguments, environ) as process:
        if process.wait():
            raise DemoFailed(f"the consumer ended with exit code {process.returncode}")
    for line in output.read_text(encoding="utf-8").splitlines():
        tally.verdict(json.loads(line))
    dead = output.with_name("verdicts.dead.jsonl")
    for line in dead.read_text(encoding="utf-8").splitlines() if dead.exists() else ():
        letter = json.loads(line)
        tally.dead_letter(letter["image_id"], letter["reason"], letter["detail"])
    return tally


def _summarise(tally: Tally, report: Path) -> None:
    report.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in tally.lines)
    (report / "verdicts.jsonl").write_text(lines, encoding="utf-8")
    seconds = max(tally.last - tally.started, 1e-9)
    print(f"\nImages        {tally.total}")
    print(f"  unique      {tally.counts['unique']}")
    print(f"  duplicates  {tally.counts['duplicate']}")
    print(f"  not images  {tally.counts['dead letter']}  (dead letters, with their reason)")
    print(f"Rate          {tally.total / seconds:.0f} images per second, including the consumer's start")
    print(f"Report        {report}")
