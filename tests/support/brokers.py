"""Brokers for faults: one that is reached by a proxy, and a second one of a cluster."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from demo.services import KafkaProgram, KafkaServer
from demo.services.process import HOST, free_port
from tests.support.proxy import FaultProxy

AS_KAFKA_COMES = dict.fromkeys(
    (
        "auto.create.topics.enable",
        "log.retention.ms",
        "message.max.bytes",
        "replica.fetch.max.bytes",
        "queued.max.request.bytes",
    )
)
"""Settings of a broker that nobody has set: it creates the topics that clients name, and takes messages of 1 MiB."""
OFTEN_CLEANED = {"log.retention.check.interval.ms": "500", "log.initial.task.delay.ms": "500"}
"""What is too old goes at once, where a broker looks every five minutes otherwise."""
_FORMAT_TIMEOUT_S = 60.0
_PROTOCOLS = {
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT",
}


class ProxiedKafka(KafkaServer):
    """A broker with two listeners: one for tests, and one that the broker itself names by the address of a proxy.

    Clients go where brokers say that they are: a proxy that only the first connection goes through proves nothing.

    Attributes
    ----------
    proxy
        Between the consumer and the broker, as long as the broker's context lasts.
    """

    def __init__(self, program: KafkaProgram, settings: Mapping[str, str] | None = None) -> None:
        self.proxy = FaultProxy((HOST, free_port()))
        super().__init__(program, {**_PROTOCOLS, **(settings or {})})

    @property
    def proxied_servers(self) -> str:
        """Where a consumer connects, as `host:port`."""
        host, port = self.proxy.address
        return f"{host}:{port}"

    def _places(self) -> dict[str, str]:
        places = super()._places()
        host, port = self.proxy.target
        return {
            **places,
            "listeners": f"{places['listeners']},PROXIED://{host}:{port}",
            "advertised.listeners": f"{places['advertised.listeners']},PROXIED://{self.proxied_servers}",
        }

    def __enter__(self) -> Self:
        super().__enter__()
        self.proxy.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.proxy.__exit__(kind, error, trace)
        super().__exit__(kind, error, trace)


class SecondBroker(KafkaServer):
    """Node 2 of a cluster whose node 1 is another server, the controller, and runs already.

    Parameters
    ----------
    program
        What to run.
    first
        Node 1. Its clients beyond the proxy find us, too, without a proxy of ours.
    """

    def __init__(self, program: KafkaProgram, first: ProxiedKafka) -> None:
        self._first = _properties(first.folder / "server.properties")
        self._cluster = _properties(first.folder / "data" / "meta.properties")["cluster.id"]
        super().__init__(program, {"process.roles": "broker", "node.id": "2", **_PROTOCOLS})

    def _places(self) -> dict[str, str]:
        ours = f"PLAINTEXT://{self.bootstrap_servers},PROXIED://{HOST}:{free_port()}"
        controller = self._first["controller.quorum.bootstrap.servers"]
        places = {"listeners": ours, "advertised.listeners": ours, "controller.quorum.bootstrap.servers": controller}
        return {**super()._places(), **places}

    def _format(self) -> None:
        subprocess.run(
            [*self._program.storage, "format", "--cluster-id", self._cluster, "--config", str(self._properties)],
            check=True,
            capture_output=True,
            env=dict(self._environment()),
            timeout=_FORMAT_TIMEOUT_S,
        )


def _properties(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text("utf-8").splitlines() if "=" in line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}
