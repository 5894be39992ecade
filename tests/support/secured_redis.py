"""A Redis that lets nobody in without TLS, a name and a password, and nobody do more than it was granted."""

import re
from pathlib import Path

from demo.services import RedisProgram, RedisServer, ServiceFailed, ServiceUnavailable
from demo.services.process import HOST
from tests.support.certificates import Authority

_ADMINISTRATOR = "administrator-password"
DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"


def documented_users(index: str, password: str) -> dict[str, str]:
    """Return the users of docs/security.md and their rules, for an index and with a password."""
    lines = re.findall(r"^user (\S+) (.+)$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    users = {
        name: rules.replace("{default}", f"{{{index}}}").replace(">password", f">{password}") for name, rules in lines
    }
    assert all(index in rules and password in rules for rules in users.values())
    return users


class SecuredRedis(RedisServer):
    """A Redis with a TLS port alone, and without its default user.

    Parameters
    ----------
    program
        What to run; it has to be built with TLS.
    authority
        Signs the server's certificate, which is good for 127.0.0.1 alone.
    users
        Names and their rules.
    """

    def __init__(self, program: RedisProgram, authority: Authority, users: dict[str, str]) -> None:
        super().__init__(program)
        self.authority = authority
        own = authority.issue("redis")
        self._settings |= {
            "port": "0",
            "tls-port": str(self.address[1]),
            "tls-cert-file": str(own.certificate),
            "tls-key-file": str(own.key),
            "tls-ca-cert-file": str(authority.file),
            "tls-auth-clients": "no",
            "user default": "off",
            "user administrator": f"on >{_ADMINISTRATOR} ~* &* +@all",
            **{f"user {name}": rules for name, rules in users.items()},
        }

    @property
    def url(self) -> str:
        """Where its administrator connects."""
        return self.url_of("administrator", _ADMINISTRATOR)

    def url_of(self, user: str, password: str | None = None, host: str = HOST, authority: Path | None = None) -> str:
        """Return the URL of a user, without a password unless there is one."""
        login = user if password is None else f"{user}:{password}"
        trusted = authority or self.authority.file
        return f"rediss://{login}@{host}:{self.address[1]}/0?ssl_ca_certs={trusted}"

    def start(self) -> None:
        """Start, or say that this build cannot."""
        try:
            super().start()
        except ServiceFailed as failed:
            if "tls-port" in str(failed) and "Bad directive" in str(failed):
                raise ServiceUnavailable("Redis", "the one that was found is built without TLS") from failed
            raise
