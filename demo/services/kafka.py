"""Provides a Kafka: the one that the environment names, one on this machine, or one that we fetch."""

import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from demo.services.errors import ServiceFailed
from demo.services.kafka_program import KafkaProgram, find_kafka_program
from demo.services.process import HOST, Server, accepts, free_port

_SERVICE = "Kafka"
_ADDRESS_VARIABLE = "NEARDUP_BOOTSTRAP_SERVERS"
_DEFAULT_PORT = 9092
_TOOL_TIMEOUT_S = 60
_NAMED_TIMEOUT_S = 10.0
_LARGEST_MESSAGE_BYTES = 32 * 2**20
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    # A misspelt topic must fail, as it does on a cluster that is looked after.
    "auto.create.topics.enable": "false",
    # Tests write messages of other years, which a broker that looks for old ones now and then would delete.
    "log.retention.ms": "-1",
    # A group of one need not wait three seconds for the others.
    "group.initial.rebalance.delay.ms": "0",
    # A broker that was killed may not come back before its old session is over: nine seconds otherwise.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "message.max.bytes": str(_LARGEST_MESSAGE_BYTES),
    "replica.fetch.max.bytes": str(_LARGEST_MESSAGE_BYTES),
    # Requests of 32 MiB queue by the hundred otherwise, and the heap holds sixteen.
    "queued.max.request.bytes": str(4 * _LARGEST_MESSAGE_BYTES),
}


class KafkaServer(Server):
    """A Kafka of our own: one node in KRaft mode, broker and controller in one.

    Parameters
    ----------
    program
        What to run.
    settings
        Lines of server.properties over ours; None leaves out a line of ours, for Kafka's own default.
    client
        What kafka-python's clients need besides the address, when the listener at `address` wants TLS or a login.
    """

    service = _SERVICE

    def __init__(
        self,
        program: KafkaProgram,
        settings: Mapping[str, str | None] | None = None,
        client: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._program = program
        self._client = dict(client or {})
        self._properties = self.folder / "server.properties"
        self._settings = {**_SETTINGS, **self._places(), **(settings or {})}

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect, as `host:port`."""
        host, port = self.address
        return f"{host}:{port}"

    def _places(self) -> dict[str, str]:
        """Return the settings that name our ports and folders."""
        controller = f"{HOST}:{free_port()}"
        return {
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}",
            "controller.quorum.bootstrap.servers": controller,
            "log.dirs": str(self.folder / "data"),
        }

    def _prepare(self) -> None:
        if not (self.folder / "data").exists():
            lines = [f"{name}={value}\n" for name, value in self._settings.items() if value is not None]
            self._properties.write_text("".join(lines), "utf-8")
            self._format()

    def _format(self) -> None:
        """Make the folder of a new cluster."""
        # A cluster id is 16 bytes in base64url. Ours begins with a letter: the tool takes a dash for an option.
        cluster = "k" + secrets.token_urlsafe(16)[1:]
        arguments = ["format", "--standalone", "--cluster-id", cluster, "--config", str(self._properties)]
        try:
            subprocess.run(
                [*self._program.storage, *arguments],
                check=True,
                capture_output=True,
                text=True,
                env=dict(self._environment()),
                timeout=_TOOL_TIMEOUT_S,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or error
            raise ServiceFailed(_SERVICE, f"its folder could not be formatted: {said}") from error

    def _command(self) -> list[str]:
        return [*self._program.broker, str(self._properties)]

    def _environment(self) -> Mapping[str, str]:
        # Kafka's own scripts write their logs beside the program unless told otherwise.
        return {**self._program.environment, "LOG_DIR": str(self.folder / "logs")}

    def _answers(self, timeout_s: float) -> bool:
        return _why_silent(self.bootstrap_servers, timeout_s, self._client) is None


@contextmanager
def open_kafka(environ: Mapping[str, str], say: Callable[[str], None]) -> Iterator[str]:
    """Give the address of a Kafka that answers, and end the broker afterwards if it is ours.

    Parameters
    ----------
    environ
        NEARDUP_BOOTSTRAP_SERVERS names a Kafka that runs already; KAFKA_HOME, JAVA_HOME, PATH, HOME and
        XDG_CACHE_HOME are looked into.
    say
        Told each step.

    Raises
    ------
    ServiceFailed
        The Kafka that the environment names does not answer, or ours did not start.
    ServiceUnavailable
        No Kafka can be had here.
    """
    address = environ.get(_ADDRESS_VARIABLE)
    if address:
        yield _checked(address, say)
        return
    say(f"Kafka: {_ADDRESS_VARIABLE} names none")
    program = find_kafka_program(environ, say)
    began_s = time.monotonic()
    with KafkaServer(program) as server:
        took_s = time.monotonic() - began_s
        say(f"Kafka: started at {server.bootstrap_servers} in {took_s:.1f} s, process {server.pid}")
        yield server.bootstrap_servers


def _checked(address: str, say: Callable[[str], None]) -> str:
    """Return the address that the environment names, once it has answered."""
    why = _why_silent(address, _NAMED_TIMEOUT_S)
    if why:
        raise ServiceFailed(_SERVICE, f"{address}, named by {_ADDRESS_VARIABLE}, does not answer: {why}")
    say(f"Kafka: {address}, named by {_ADDRESS_VARIABLE}")
    return address


def _why_silent(bootstrap_servers: str, timeout_s: float, client_config: Mapping[str, str] | None = None) -> str | None:
    """Ask for API versions and metadata; return why no answer with a broker came, None if it came."""
    try:
        heard = any(accepts(address) for address in _addresses(bootstrap_servers))
    except ValueError as error:
        return str(error)
    if not heard:
        # Asked here: the client never closes a socket whose connection was refused.
        return "nothing listens there"
    # Not KafkaAdminClient, which is public: one that fails in its constructor leaves its thread and its
    # sockets behind.
    client = KafkaNetClient(bootstrap_servers=bootstrap_servers, **(client_config or {}))
    try:
        client.get_broker_version(timeout_ms=int(timeout_s * 1000))
    except (KafkaError, OSError) as error:
        return str(error)
    finally:
        client.close()
    return None


def _addresses(bootstrap_servers: str) -> list[tuple[str, int]]:
    """Return host and port of each broker in a list that commas divide; ValueError for what is no port."""
    parts = [urlsplit(f"//{server.strip().rpartition('://')[2]}") for server in bootstrap_servers.split(",")]
    return [(part.hostname or "localhost", part.port or _DEFAULT_PORT) for part in parts]
