"""Settings to reach Kafka; declarations only."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neardup.errors import Misconfigured
from neardup.settings.options import option
from neardup.settings.parsers import integer, one_of
from neardup.settings.subjects import KAFKA, TOPICS

_MEBIBYTE = 1024 * 1024
_WITH_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def verdicts_topic_option() -> Any:  # noqa: ANN401 - stands where a field's default stands
    """Declare the topic of the verdicts, which many commands read or write."""
    return option(
        "--verdicts-topic", "topic of the verdicts", "verdicts", subject=TOPICS, common=True, aliases=("--verdicts",)
    )


def dead_letters_topic_option() -> Any:  # noqa: ANN401 - as above
    """Declare the topic of the messages that cannot be judged."""
    return option(
        "--dead-letters-topic",
        "topic of the messages that cannot be judged",
        "images.dead",
        subject=TOPICS,
        common=True,
        aliases=("--dead-letters",),
    )


@dataclass(frozen=True)
class KafkaConnection:
    """How to reach Kafka; shared by every command that does."""

    bootstrap_servers: str = option(
        "--bootstrap-servers", "Kafka brokers, host:port,host:port", "127.0.0.1:9092", subject=KAFKA, common=True
    )
    security_protocol: str = option(
        "--security-protocol",
        "protocol to reach the brokers: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
        "PLAINTEXT",
        one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
        subject=KAFKA,
    )
    sasl_mechanism: str | None = option(
        "--sasl-mechanism",
        "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or GSSAPI",
        None,
        one_of(*_WITH_PASSWORD, "GSSAPI"),
        subject=KAFKA,
    )
    sasl_username: str | None = option("--sasl-username", "user name for SASL", None, subject=KAFKA)
    sasl_password: str | None = option("--sasl-password", "password for SASL", None, subject=KAFKA, secret=True)
    ssl_cafile: str | None = option("--ssl-cafile", "file with the brokers' certificate authority", None, subject=KAFKA)
    ssl_certfile: str | None = option("--ssl-certfile", "file with the client certificate", None, subject=KAFKA)
    ssl_keyfile: str | None = option("--ssl-keyfile", "file with the client's private key", None, subject=KAFKA)
    ssl_key_password: str | None = option(
        "--ssl-key-password", "password of the private key", None, subject=KAFKA, secret=True
    )
    max_message_bytes: int = option(
        "--max-message-bytes",
        "largest Kafka message to send or fetch, in bytes; no more than the brokers allow",
        32 * _MEBIBYTE,
        integer(1024, 1024 * _MEBIBYTE),
        subject=KAFKA,
    )

    def client_config(self) -> dict[str, Any]:
        """Return the settings for every kafka-python client.

        Raises
        ------
        Misconfigured
            The settings contradict one another; kafka-python would retry for ever.
        """
        if wrong := list(self._contradictions_of_connection()):
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

    def _contradictions_of_connection(self) -> Iterator[str]:
        yield from self._contradictions_of_login()
        yield from self._contradictions_of_tls()

    def _contradictions_of_login(self) -> Iterator[str]:
        if not self.security_protocol.startswith("SASL"):
            if self.sasl_mechanism is not None:
                yield f"--sasl-mechanism: --security-protocol {self.security_protocol} has no login"
            return
        if self.sasl_mechanism is None:
            yield f"--sasl-mechanism: --security-protocol {self.security_protocol} needs one"
        elif self.sasl_mechanism in _WITH_PASSWORD and (self.sasl_username is None or self.sasl_password is None):
            yield f"--sasl-mechanism {self.sasl_mechanism} needs --sasl-username and --sasl-password"

    def _contradictions_of_tls(self) -> Iterator[str]:
        files = {"cafile": self.ssl_cafile, "certfile": self.ssl_certfile, "keyfile": self.ssl_keyfile}
        given = {name: path for name, path in files.items() if path is not None}
        missing = [name for name, path in given.items() if not Path(path).is_file()]
        if given and not self.security_protocol.endswith("SSL"):
            # Naming a certificate means that TLS is expected.
            yield f"--ssl-{next(iter(given))}: --security-protocol {self.security_protocol} has no TLS"
        elif "keyfile" in given and "certfile" not in given:
            yield "--ssl-keyfile: it needs --ssl-certfile, the certificate that the key belongs to"
        elif not missing:
            yield from self._unusable_files()
        yield from (f"--ssl-{name}: there is no file {given[name]!r}" for name in missing)

    def _unusable_files(self) -> Iterator[str]:
        """Yield problems that kafka-python would only log, at every attempt."""
        import ssl  # noqa: PLC0415 - not for --help

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if self.ssl_cafile is not None:
                context.load_verify_locations(self.ssl_cafile)
        except OSError as exc:
            yield f"--ssl-cafile: {self.ssl_cafile!r} holds no certificate that can be read: {_why(exc)}"
        try:
            if self.ssl_certfile is not None:
                # An encrypted key without a password would make OpenSSL ask for one at the terminal.
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, self.ssl_key_password or "")
        except OSError as exc:
            key = f"the key in {(self.ssl_keyfile or self.ssl_certfile)!r}"
            yield f"--ssl-certfile: {self.ssl_certfile!r}, {key} and --ssl-key-password do not fit: {_why(exc)}"


def _why(exc: OSError) -> str:
    return getattr(exc, "reason", None) or exc.strerror or type(exc).__name__
