"""Which addresses of the network a claim check may connect to.

Source
------
IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890). The tables are kept here because
``ipaddress.is_global`` differs between Python releases.
"""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, text.split()))


_GLOBAL = _networks("0.0.0.0/0 2000::/3")
"""IPv6 outside 2000::/3 is not on the public internet: mapped IPv4, NAT64, local addresses, multicast."""

_PRIVATE = _networks("10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 172.16.0.0/12 192.168.0.0/16 ::1/128 fc00::/7")
"""Loopback, private and carrier-grade NAT networks: what ``--allow-private-addresses`` opens."""

_NEVER = _networks(
    # "This" network, link-local (most metadata services), protocol assignments, documentation, relays, benchmarks,
    # multicast, reserved and broadcast.
    "0.0.0.0/8 169.254.0.0/16 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 "
    "224.0.0.0/4 240.0.0.0/4 "
    # Metadata services outside of link-local: Azure's, Alibaba's, Amazon's.
    "168.63.129.16/32 100.100.100.200/32 fd00:ec2::/32 "
    # Teredo and other protocol assignments, documentation, and 6to4, which has an IPv4 address inside.
    "2001::/23 2001:db8::/32 2002::/16 3fff::/20"
)


def permitted(address: str, *, private: bool) -> bool:
    """Say whether a claim check may connect to an address, written as ``getaddrinfo`` writes it.

    Private ones only where `private` says so. Link-local, multicast, reserved addresses and the metadata services of
    clouds never; nor IPv6 addresses with an IPv4 address inside (mapped, NAT64, 6to4, Teredo).
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if "%" in address or _within(_NEVER, address):  # a zone: link-local
        return False
    if _within(_PRIVATE, address):
        return private
    return any(parsed in network for network in _GLOBAL)


def _within(networks: tuple[Network, ...], address: str) -> bool:
    parsed = ip_address(address)
    return any(parsed in network for network in networks)
