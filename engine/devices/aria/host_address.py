"""Finds the address of this host on the link to the glasses, for a server that only they can reach.

A server on every interface would also be open to the café's Wi-Fi. Sends nothing.
"""

import ipaddress
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from engine.core.errors import LinkLost

USB_DRIVERS = ("cdc_ncm", "cdc_ether", "rndis_host")  # Linux's drivers of a network over USB
INTERFACES = Path("/sys/class/net")
Addresses = Mapping[str, Sequence[Any]]  # by interface, as psutil gives them


def host_address(glasses: str | None) -> str:
    """The IPv4 address of this host from which the glasses are reached: over Wi-Fi if their address
    is given, else over USB. Raises LinkLost."""
    if glasses:
        return address_towards(glasses)
    addresses = psutil.net_if_addrs()
    own = (c.laddr.ip for c in psutil.Process().net_connections("tcp") if c.raddr)
    found = address_of_a_connection(own, addresses) or address_of(usb_interfaces(), addresses)
    if found is None:
        raise LinkLost(
            "source=aria: expected a network interface of the glasses at USB, found none; "
            "plug them in again, or give their address on Wi-Fi with source.address=IP"
        )
    return found


def address_towards(remote: str) -> str:
    """The local address from which packets to `remote` leave. Connecting a UDP socket only looks up
    the route. Raises LinkLost."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((remote, 9))
        except OSError as error:
            raise LinkLost(
                f"source.address: expected an IP address that can be reached, got {remote} "
                f"({error.strerror}); check the Wi-Fi"
            ) from error
        return str(probe.getsockname()[0])


def address_of_a_connection(local: Iterable[str], addresses: Addresses) -> str | None:
    """The IPv4 address of the interface that one of this process's connections uses: the SDK's
    connection to the glasses."""
    names = {
        name
        for ip in local
        for name, rows in addresses.items()
        if not ipaddress.ip_address(ip.split("%")[0]).is_loopback
        and any(row.address.split("%")[0] == ip.split("%")[0] for row in rows)
    }
    return address_of(sorted(names), addresses) if len(names) == 1 else None


def usb_interfaces(interfaces: Path = INTERFACES) -> list[str]:
    """The names of the network interfaces at USB; none where the system does not list drivers."""
    return sorted(
        path.parent.parent.name
        for path in interfaces.glob("*/device/driver")
        if path.resolve().name in USB_DRIVERS
    )


def address_of(names: Iterable[str], addresses: Addresses) -> str | None:
    """The first IPv4 address of the first of these interfaces that has one."""
    for name in names:
        for row in addresses.get(name, ()):
            if row.family == socket.AF_INET:
                return str(row.address)
    return None
