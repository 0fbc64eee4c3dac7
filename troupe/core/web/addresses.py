"""Which IP addresses a foreign URL may lead to."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

# The IANA special-purpose registries, spelled out because `is_global` differs between releases of Python.
# https://www.iana.org/assignments/iana-ipv4-special-registry
_NOT_PUBLIC_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# https://www.iana.org/assignments/iana-ipv6-special-registry; outside 2000::/3 nothing is global unicast.
_GLOBAL_UNICAST_V6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_V6: Final = tuple(IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_NAT64: Final = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class AddressRules:
    """Public addresses may be called, others only in `allowed_networks`.

    `allowed_ports` empty means every port. `setting` is where a deployment sets the networks, for messages.
    """

    allowed_networks: Sequence[IpNetwork] = ()
    allowed_ports: frozenset[int] = frozenset()
    setting: str = "allowed_networks"

    def allow(self, address: IpAddress) -> bool:
        """Whether connections may be made to this address."""
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            return False
        forms = (address, destination(address))
        return is_public(address) or any(form in network for form in forms for network in self.allowed_networks)


def is_public(address: IpAddress) -> bool:
    """Whether the address is globally routable unicast, and where it carries an IPv4 address, that one too."""
    target = destination(address)
    if isinstance(target, IPv4Address):
        return not any(target in network for network in _NOT_PUBLIC_V4)
    return target in _GLOBAL_UNICAST_V6 and not any(target in network for network in _NOT_PUBLIC_V6)


def destination(address: IpAddress) -> IpAddress:
    """The address that packets reach in the end: the IPv4 address inside a mapped, 6to4 or NAT64 one."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def parse_address(text: str) -> IpAddress | None:
    """The address that a literal spells in its canonical notation, or None when it is a name."""
    try:
        return ip_address(text)
    except ValueError:
        return None
