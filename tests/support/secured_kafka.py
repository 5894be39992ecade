"""A Kafka that lets nobody in without TLS, a login and rights."""

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    NewTopic,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from demo.services import KafkaProgram, KafkaServer
from demo.services.process import HOST, free_port
from tests.support.certificates import Authority, Certificate

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
MECHANISM = "SCRAM-SHA-512"
Right = tuple[str, str, Sequence[str]]
"""Kind of resource; its name, a prefix when it ends in ``*``; what may be done with it: all as Kafka's tools say it."""


class SecuredKafka(KafkaServer):
    """A broker with two ports: `address` wants a client certificate, `login_address` a name and password; both TLS.

    Whoever is not its administrator may do only what was granted.

    Parameters
    ----------
    program
        What to run.
    folder
        Where certificates are written.
    """

    def __init__(self, program: KafkaProgram, folder: Path) -> None:
        self.authority = Authority(folder)
        self._broker = self.authority.issue("broker")
        self.administrator = self.by_certificate(self.authority.issue("administrator"))
        self.login_address = f"{HOST}:{free_port()}"
        super().__init__(program, client=self.administrator)

    def by_certificate(self, own: Certificate) -> dict[str, str]:
        """Return what a kafka-python client says to come in by its certificate."""
        return {
            "security_protocol": "SSL",
            "ssl_cafile": str(self.authority.file),
            "ssl_certfile": str(own.certificate),
            "ssl_keyfile": str(own.key),
        }

    def _places(self) -> dict[str, str]:
        places = super()._places()
        controller = places["controller.quorum.bootstrap.servers"]
        public = f"CERTIFICATE://{self.bootstrap_servers},LOGIN://{self.login_address}"
        return {
            **places,
            "listeners": f"{public},CONTROLLER://{controller}",
            "advertised.listeners": public,
            "inter.broker.listener.name": "CERTIFICATE",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,CERTIFICATE:SSL,LOGIN:SASL_SSL",
            "listener.name.certificate.ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._broker.both),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.file),
            "sasl.enabled.mechanisms": MECHANISM,
            f"listener.name.login.{MECHANISM.lower()}.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # Nobody's name is known on the controller's own port.
            "super.users": "User:ANONYMOUS;User:CN=broker;User:CN=administrator",
        }

    def admin(self) -> Any:  # noqa: ANN401 - kafka-python has no types
        """Return an administrator's client, to be closed."""
        return closing(KafkaAdminClient(bootstrap_servers=self.bootstrap_servers, **self.administrator))

    def create_topics(self, *topics: str) -> None:
        """Make topics of one partition."""
        with self.admin() as admin:
            admin.create_topics([NewTopic(topic, 1, 1) for topic in topics])

    def create_user(self, name: str, password: str) -> None:
        """Let somebody log in."""
        with self.admin() as admin:
            refused = admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(name, ScramMechanism.SCRAM_SHA_512, password, iterations=4096)]
            )
        assert refused == {name: None}

    def grant(self, principal: str, rights: Sequence[Right]) -> None:
        """Allow a principal (`User:NAME`) what it may do."""
        with self.admin() as admin:
            made = admin.create_acls([_acl(principal, right, what) for right in rights for what in right[2]])
        assert not made["failed"]


def _acl(principal: str, right: Right, operation: str) -> Any:  # noqa: ANN401 - as above
    kind, name, _ = right
    pattern = ACLResourcePatternType.PREFIXED if name.endswith("*") else ACLResourcePatternType.LITERAL
    resource = ResourcePattern(ResourceType[kind], name.removesuffix("*"), pattern)
    return ACL(principal, "*", ACLOperation[operation], ACLPermissionType.ALLOW, resource)


def documented_rights(user: str) -> list[Right]:
    """Return the rights that docs/security.md gives a user."""
    row = re.compile(r"^\| `([\w-]+)` \| `([A-Z_]+)` \| `([^`]+)` \| ((?:`[A-Z_]+`(?:, )?)+) \|", re.MULTILINE)
    rows = row.findall(DOCUMENT.read_text("utf-8"))
    rights: list[Right] = [(kind, name, re.findall("[A-Z_]+", what)) for who, kind, name, what in rows if who == user]
    assert rights
    return rights


def login(kafka: SecuredKafka, name: str) -> Mapping[str, str]:
    """Return our own settings for a user, but for the password, which is given apart."""
    return {
        "NEARDUP_BOOTSTRAP_SERVERS": kafka.login_address,
        "NEARDUP_SECURITY_PROTOCOL": "SASL_SSL",
        "NEARDUP_SASL_MECHANISM": MECHANISM,
        "NEARDUP_SASL_USERNAME": name,
        "NEARDUP_SSL_CAFILE": str(kafka.authority.file),
    }
