"""What the service and the feed can be told."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neardup.errors import Misconfigured
from neardup.options import auto_or, integer, number, one_of, option

MEBIBYTE = 1024 * 1024
_WITH_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True)
class KafkaSettings:
    """How to reach Kafka; shared by the service and the feed."""

    bootstrap_servers: str = option("--bootstrap-servers", "Kafka brokers, host:port,host:port", "127.0.0.1:9092")
    topic: str = option("--topic", "topic of the images", "images")
    security_protocol: str = option(
        "--security-protocol",
        "how to talk to Kafka",
        "PLAINTEXT",
        one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    )
    sasl_mechanism: str | None = option(
        "--sasl-mechanism",
        "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or GSSAPI",
        None,
        one_of(*_WITH_PASSWORD, "GSSAPI"),
    )
    sasl_username: str | None = option("--sasl-username", "user name for SASL", None)
    sasl_password: str | None = option("--sasl-password", "password for SASL", None, secret=True)
    ssl_cafile: str | None = option("--ssl-cafile", "file with the certificate authority of the brokers", None)
    ssl_certfile: str | None = option("--ssl-certfile", "file with our certificate", None)
    ssl_keyfile: str | None = option("--ssl-keyfile", "file with our private key", None)
    ssl_key_password: str | None = option("--ssl-key-password", "password of the private key", None, secret=True)
    max_message_bytes: int = option(
        "--max-message-bytes",
        "largest Kafka message sent or fetched, as the brokers allow",
        32 * MEBIBYTE,
        integer(1024, 1024 * MEBIBYTE),
    )

    def client_config(self) -> dict[str, Any]:
        """Return what every kafka-python client is constructed with.

        Raises
        ------
        Misconfigured
            The settings cannot work together; kafka-python would try for ever.
        """
        if wrong := list(self._contradictions()):
            raise Misconfigured("\n".join(wrong))
        config = {
            "bootstrap_servers": [server.strip() for server in self.bootstrap_servers.split(",")],
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
            "ssl_cafile": self.ssl_cafile,
            "ssl_certfile": self.ssl_certfile,
            "ssl_keyfile": self.ssl_keyfile,
            "ssl_password": self.ssl_key_password,
        }
        return {name: value for name, value in config.items() if value is not None}

    def _contradictions(self) -> Iterator[str]:
        with_password = self.sasl_mechanism in _WITH_PASSWORD
        if self.security_protocol.startswith("SASL") and self.sasl_mechanism is None:
            yield f"--sasl-mechanism: --security-protocol {self.security_protocol} needs one"
        if with_password and (self.sasl_username is None or self.sasl_password is None):
            yield f"--sasl-mechanism {self.sasl_mechanism} needs --sasl-username and --sasl-password"
        files = {"cafile": self.ssl_cafile, "certfile": self.ssl_certfile, "keyfile": self.ssl_keyfile}
        for name, path in files.items():
            if path is not None and not Path(path).is_file():
                yield f"--ssl-{name}: there is no file {path!r}"


@dataclass(frozen=True)
class Settings(KafkaSettings):
    """All settings of ``python -m consumer``."""

    verdicts: str = option("--verdicts", "topic of the verdicts", "verdicts")
    dead_letters: str = option("--dead-letters", "topic of the messages that are no image", "images.dead")
    group: str = option("--group", "Kafka consumer group", "neardup")
    redis_url: str = option(
        "--redis",
        "Redis, as redis://, rediss:// (TLS) or unix:// URL",
        "redis://127.0.0.1:6379/0",
        env="NEARDUP_REDIS_URL",
        secret=True,
    )
    index: str = option("--index", "name of the index in Redis; with --input also memory", "default")
    weights: str | None = option("--weights", "weights file of the index's descriptor, when it has weights", None)
    decision_ttl_s: int = option(
        "--decision-ttl-s",
        "seconds that a verdict is remembered by its message; longer than Kafka may take to deliver again",
        2 * 60 * 60,
        integer(60, 365 * 24 * 60 * 60),
    )
    metrics_host: str = option("--metrics-host", "address that /metrics, /healthz and /readyz listen on", "127.0.0.1")
    metrics_port: int = option("--metrics-port", "their port; 0 takes a free one", 9108, integer(0, 65535))
    batch_size: int = option("--batch-size", "largest number of images in one micro-batch", 64, integer(1, 10_000))
    poll_timeout_s: float = option(
        "--poll-timeout-s", "longest wait for the first image of a batch", 0.5, number(0.01, 60)
    )
    decode_threads: int = option("--decode-threads", "threads that decode images", 2, integer(1, 256))
    max_image_bytes: int = option(
        "--max-image-bytes", "largest encoded image", 32 * MEBIBYTE, integer(1, 1024 * MEBIBYTE)
    )
    max_image_pixels: int = option(
        "--max-image-pixels", "largest width times height, read from the header", 64_000_000, integer(1, 178_956_970)
    )
    allow_uri: tuple[str, ...] = option(
        "--allow-uri",
        "prefix of file: URIs that envelopes may name, such as file:///data/; may be repeated",
        (),
        many=True,
    )
    shutdown_timeout_s: float = option(
        "--shutdown-timeout-s", "longest time to finish the batch in hand after SIGTERM", 20.0, number(0.1, 3600)
    )
    input: str | None = option("--input", "folder or file to judge without any server, instead of Kafka", None)
    output: str = option("--output", "with --input: file for the verdicts, a JSON document a line", "verdicts.jsonl")
    fps: float = option("--fps", "with --input: frames a second taken from a video clip", 1.0, number(0.001, 1000))
    descriptor: str | None = option(
        "--descriptor", "with --index memory: dct, pixels, pixels:SIDE or vgg16 (default there: dct)", None
    )
    threshold: float | None = option(
        "--threshold",
        "with --index memory: largest distance that counts as duplicate, or auto for the descriptor's own",
        None,
        auto_or(number(0.0, 2.0)),
    )
    log_level: str = option(
        "--log-level", "least severity that is logged", "INFO", one_of("DEBUG", "INFO", "WARNING", "ERROR")
    )

    def allowing(self, uri_prefix: str) -> "Settings":
        """Return the same settings with one more allowed prefix."""
        return replace(self, allow_uri=(*self.allow_uri, uri_prefix))


@dataclass(frozen=True)
class FeedSettings(KafkaSettings):
    """All settings of ``python -m consumer.feed``."""

    paths: tuple[str, ...] = option("PATH", "images, folders (searched through) or video clips", (), many=True)
    rate: float = option("--rate", "images a second; 0 sends as fast as the broker takes them", 0.0, number(0, 1e6))
    loop: bool = option("--loop", "begin again after the last image, until stopped", default=False)
    fps: float = option("--fps", "frames a second taken from a video clip", 1.0, number(0.001, 1000))
    key: str | None = option("--key", "key of every message, such as a camera's name: keeps their order", None)
    source: str | None = option("--source", "value of the source header", None)
