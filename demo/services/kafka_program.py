"""Where a Kafka comes from: installed on this machine, or fetched with Maven and run with Java."""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.services.cache import cache_root, cached
from demo.services.errors import ServiceFailed, ServiceUnavailable

_SERVICE = "Kafka"
_POM = Path(__file__).parents[1] / "kafka" / "pom.xml"
_LOG_SETTINGS = _POM.with_name("log4j2.properties")
_OLDEST_JAVA = 17
_FETCH_TIMEOUT_S = 600
_HEAP = ["-Xms128m", "-Xmx512m"]
# The first compiler alone: a broker that lives for minutes never earns back the second one's work. One
# collector thread: the collector for large heaps chokes on arrays of 32 MiB in a heap of 512.
_TUNING = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]


@dataclass(frozen=True)
class KafkaProgram:
    """How to run a broker: the command lines of its storage tool and of the broker, and their environment."""

    storage: tuple[str, ...]
    broker: tuple[str, ...]
    environment: Mapping[str, str]


def find_kafka_program(environ: Mapping[str, str], say: Callable[[str], None]) -> KafkaProgram:
    """Find a Kafka to run: one installed here, or the pinned one, fetched with Maven and run with Java.

    Raises
    ------
    ServiceFailed
        KAFKA_HOME holds no Kafka.
    ServiceUnavailable
        There is no Kafka, and no Java or Maven to get it with.
    """
    program = installed_kafka(environ)
    if program is None:
        say("Kafka: no KAFKA_HOME, and no kafka-server-start on the path")
        return maven_kafka(environ, say)
    say(f"Kafka: running {program.broker[0]}")
    return program


def installed_kafka(environ: Mapping[str, str]) -> KafkaProgram | None:
    """Return the Kafka (4.0 or newer) of KAFKA_HOME, else the one on the path, if there is one."""
    home = environ.get("KAFKA_HOME")
    path = str(Path(home) / "bin") if home else environ.get("PATH", "")
    # Packages install the scripts without their suffix.
    for suffix in (".sh", ""):
        start = shutil.which(f"kafka-server-start{suffix}", path=path)
        storage = shutil.which(f"kafka-storage{suffix}", path=path)
        if start and storage:
            return KafkaProgram((storage,), (start,), _script_environment(environ))
    if home:
        raise ServiceFailed(_SERVICE, f"KAFKA_HOME={home} holds no bin/kafka-server-start.sh")
    return None


def _script_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what tells Kafka's own scripts the options that we give to Java."""
    return {
        **environ,
        "KAFKA_HEAP_OPTS": " ".join(_HEAP),
        "KAFKA_JVM_PERFORMANCE_OPTS": " ".join(_TUNING),
    }


def maven_kafka(environ: Mapping[str, str], say: Callable[[str], None]) -> KafkaProgram:
    """Return the Kafka that demo/kafka/pom.xml pins, fetched once into our cache.

    Raises
    ------
    ServiceUnavailable
        No Java, or one too old; no Maven, or it could not fetch.
    """
    java = _java(environ)
    # Named after the file's content, so that another version is another folder.
    folder = cache_root(environ) / f"kafka-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"
    if not folder.is_dir():
        say(f"Kafka: fetching its jars with Maven into {folder} (45 MB, once) ...")
    libraries = cached(folder, lambda into: _fetch(into, environ))
    say(f"Kafka: running the jars in {libraries} with {java}")
    options = [*_HEAP, *_TUNING, f"-Dlog4j2.configurationFile={_LOG_SETTINGS.as_uri()}", "-cp", f"{libraries}/*"]
    return KafkaProgram((java, *options, "kafka.tools.StorageTool"), (java, *options, "kafka.Kafka"), environ)


def _java(environ: Mapping[str, str]) -> str:
    """Return a Java that is new enough."""
    home = environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin") if home else environ.get("PATH", ""))
    if java is None:
        raise ServiceUnavailable(_SERVICE, "no Kafka on this machine, and no Java to run one")
    version = _java_version(java, environ)
    if version < _OLDEST_JAVA:
        found = f"is version {version}" if version else "does not run"
        raise ServiceUnavailable(_SERVICE, f"Java {_OLDEST_JAVA} or newer is needed, and {java} {found}")
    return java


def _java_version(java: str, environ: Mapping[str, str]) -> int:
    """Return the feature version of a Java, 0 if it does not run (as the stub of a bare macOS does not)."""
    try:
        done = subprocess.run(
            [java, "-version"], check=True, capture_output=True, text=True, env=dict(environ), timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    # Up to 8 it called itself 1.8; a stray "Picked up JAVA_TOOL_OPTIONS" line may come first.
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    return int(found[1]) if found else 0


def _fetch(into: Path, environ: Mapping[str, str]) -> None:
    """Have Maven put the jars that the pinned file resolves to into a folder."""
    maven = shutil.which("mvn", path=environ.get("PATH", ""))
    if maven is None:
        raise ServiceUnavailable(_SERVICE, "no Kafka on this machine, and no Maven (mvn) to fetch one")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={into}"]
    try:
        subprocess.run(
            [maven, "--batch-mode", "--quiet", "--file", str(_POM), *goal],
            check=True,
            capture_output=True,
            text=True,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            timeout=_FETCH_TIMEOUT_S,
        )
    except subprocess.CalledProcessError as error:
        said = re.search(r"\[ERROR\] (.+)", error.stdout)
        raise ServiceUnavailable(
            _SERVICE, f"Maven could not fetch it: {said[1] if said else f'status {error.returncode}'}"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceUnavailable(_SERVICE, f"Maven could not fetch it: {error}") from error
