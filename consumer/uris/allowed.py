"""Which URIs the operator allows. A URI that could be read in two ways is none."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import unquote

SCHEMES = ("file", "gs", "https", "s3")
LONGEST_URI = 8192
"""Of the network; servers take no longer ones."""

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HTTPS = re.compile(
    rf"https://(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{{0,4}}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?P<query>\?[A-Za-z0-9._~!$&'()*+,;=:@%/?\[\]-]*)?"
)
_STORE = re.compile(
    r"(?P<scheme>s3|gs)://(?P<host>[a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(?P<path>/[^?#\\\x00-\x1f\x7f]*)?"
)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_HTTPS_PORT = 443
_LARGEST_PORT = 65535
_LONGEST_HOST = 253
_MOST_DECODINGS = 5


@dataclass(frozen=True, slots=True)
class Target:
    """A URI of the network, taken apart; nothing in it was rewritten.

    Attributes
    ----------
    scheme
        ``https``, ``s3`` or ``gs``.
    host
        Name of a host, an IPv6 address in brackets, or a bucket.
    port
        443 if none was written; 0 for a bucket.
    path
        From the first slash on, as it came.
    query
        With its question mark, or empty.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def origin(self) -> str:
        """What fails together."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def uri(self) -> str:
        """The URI again; a port of 443 and a path of ``/`` are not written."""
        port = "" if self.port in {0, _HTTPS_PORT} else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.path}{self.query}"

    def is_below(self, prefix: "Target") -> bool:
        """Say whether scheme, host and port are those of a prefix, and the path is its own or below, by segments."""
        if (self.scheme, self.host, self.port) != (prefix.scheme, prefix.host, prefix.port):
            return False
        return self.path == prefix.path or self.path.startswith(prefix.path.rstrip("/") + "/")


def parse_target(uri: str) -> Target:
    """Take a URI of the network apart.

    Raises
    ------
    ValueError
        It is none that is read, or one that servers and libraries may understand differently.
    """
    if len(uri) > LONGEST_URI:
        raise ValueError(f"it has more than {LONGEST_URI} characters")
    found = _HTTPS.fullmatch(uri) or _STORE.fullmatch(uri)
    if found is None:
        raise ValueError(
            "it should be https://host/path, s3://bucket/key or gs://bucket/key: lower case, no user, no fragment, "
            "nothing but ASCII that is percent-encoded where it must be"
        )
    parts = found.groupdict()
    path = parts["path"] or "/"
    _check_path(path)
    if "scheme" in parts:
        return Target(parts["scheme"], parts["host"], 0, path, "")
    if re.search(r"%(?![0-9A-Fa-f]{2})", path):
        raise ValueError("its path has a percent sign that encodes nothing")
    return Target("https", _checked_host(parts["host"]), _port(parts["port"]), path, parts["query"] or "")


def parse_prefix(prefix: str) -> Target:
    """Take an operator's prefix apart; as `parse_target`, and it has no query."""
    target = parse_target(prefix)
    if target.query:
        raise ValueError("a prefix has no query")
    return target


def allowed_target(uri: str, prefixes: Sequence[Target]) -> Target:
    """Return an allowed URI, taken apart; ValueError says why it is not allowed."""
    target = parse_target(uri)
    if not any(target.is_below(prefix) for prefix in prefixes):
        raise ValueError("it is outside what --allow-uri names")
    return target


def _port(text: str | None) -> int:
    port = int(text or _HTTPS_PORT)
    if port > _LARGEST_PORT:
        raise ValueError("there is no such port")
    return port


def _checked_host(host: str) -> str:
    if len(host) > _LONGEST_HOST:
        raise ValueError("its host is too long")
    if host.startswith("[") and f"[{IPv6Address(host[1:-1])}]" != host:
        raise ValueError("its IPv6 address is not written in the short form")
    # What ends in a number is an address to a resolver, in one of many ways to write it: 127.1, 0x7f000001, 2130706433.
    if _NUMBER.fullmatch(host.rpartition(".")[2]) and str(IPv4Address(host)) != host:
        raise ValueError("its IPv4 address is not written in the usual form")
    return host


def _check_path(path: str) -> None:
    """Refuse what may mean another place to who normalises, or decodes again: dots, hidden slashes."""
    for segment in path.split("/"):
        plain = _decoded(segment)
        # Some servers take "..;x" for "..".
        if plain.split(";")[0] in {".", ".."} or re.search(r"[/\\\x00-\x1f\x7f]", plain):
            raise ValueError("its path has dots, slashes or control characters that could lead elsewhere")


def _decoded(segment: str) -> str:
    for _ in range(_MOST_DECODINGS):
        plain = unquote(segment, errors="surrogateescape")
        if plain == segment:
            return plain
        segment = plain
    raise ValueError("its path is percent-encoded over and over")
