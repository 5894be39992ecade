"""The scheme ``https``: how its URIs are written. `https_client` reads them.

They are separate because importing asyncio takes a quarter of the time of ``--help``.
"""

import re
from collections.abc import Sequence
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from consumer.claim_checks.addresses import permitted
from consumer.claim_checks.allowed import AllowedImages, Target, allowed_target, parts_of
from consumer.claim_checks.scheme import Access, Scheme

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_URI = re.compile(
    rf"https://(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{{0,4}}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?P<query>\?[A-Za-z0-9._~!$&'()*+,;=:@%/?\[\]-]*)?"
)
_FORM = "https://host/path, in ASCII, percent-encoded where needed"
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_USUAL_PORT = 443
_LARGEST_PORT = 65535
_LONGEST_HOST = 253


def parse(uri: str) -> Target:
    """Parse an https URI.

    Raises
    ------
    ValueError
        It is not an https URI, or servers and libraries may read it differently.
    """
    parts = parts_of(uri, _URI, _FORM)
    if re.search(r"%(?![0-9A-Fa-f]{2})", parts["path"]):
        raise ValueError("its path has a percent sign without two hex digits")
    return Target("https", _checked_host(parts["host"]), _port(parts["port"]), parts["path"], parts["query"])


def _parse_prefix(prefix: str) -> Target:
    target = parse(prefix)
    if target.query:
        raise ValueError("a prefix has no query")
    return target


def _port(text: str) -> int:
    port = int(text or _USUAL_PORT)
    if port > _LARGEST_PORT:
        raise ValueError("its port is above 65535")
    return 0 if port == _USUAL_PORT else port


def _checked_host(host: str) -> str:
    if len(host) > _LONGEST_HOST:
        raise ValueError("its host is too long")
    if host.startswith("[") and f"[{IPv6Address(host[1:-1])}]" != host:
        raise ValueError("its IPv6 address is not written in the short form")
    # Resolvers read a name that ends in a number as an address, in many notations: 127.1, 0x7f000001, 2130706433.
    if _NUMBER.fullmatch(host.rpartition(".")[2]) and str(IPv4Address(host)) != host:
        raise ValueError("its IPv4 address is not written in the usual form")
    return host


def _open(prefixes: Sequence[Target], access: Access) -> AllowedImages:
    from consumer.claim_checks.https_client import HttpsClient  # noqa: PLC0415 - see above

    client = HttpsClient(
        allowed=partial(allowed_target, parse=parse, prefixes=prefixes),
        permitted=access.permitted or partial(permitted, private=access.fetch.private_addresses),
        max_bytes=access.max_bytes,
        connect_timeout_s=access.fetch.connect_timeout_s,
        timeout_s=access.fetch.timeout_s,
        ca_file=access.fetch.ca_file,
        resolver=access.resolver,
    )
    return AllowedImages(parse, prefixes, client)


HTTPS = Scheme("https", "https://host/path/", _parse_prefix, parse, _open, package="aiohttp")
